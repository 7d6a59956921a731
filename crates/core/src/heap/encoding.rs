//! What is text in a database's encoding.

/// A database's encoding, as far as it decides which bytes are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    /// One in which every byte is a character, or `SQL_ASCII`.
    SingleByte,
    /// One whose rules only the server knows.
    Other,
}

impl Encoding {
    /// Whether bytes are text beyond doubt, without zero bytes, as the server stores it.
    pub(super) fn is_text(self, value: &[u8]) -> bool {
        match self {
            Encoding::Utf8 => memchr::memchr(0, value).is_none() && self.is_valid(value),
            Encoding::SingleByte => memchr::memchr(0, value).is_none(),
            Encoding::Other => false,
        }
    }

    /// Whether bytes are text beyond doubt if none of them is zero.
    pub(super) fn is_valid(self, value: &[u8]) -> bool {
        match self {
            Encoding::Utf8 => std::str::from_utf8(value).is_ok(),
            Encoding::SingleByte => true,
            Encoding::Other => false,
        }
    }
}
