//! Values of fixed length as unsigned integers in the order of their type.

/// A type whose values can be mapped to unsigned integers of the same size that sort alike, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `bool`, `oid` and other unsigned numbers, with their bytes.
    Unsigned(u8),
    /// `int2`, `int4`, `int8`, and what is stored as one: dates, times, timestamps, money.
    Signed(u8),
    /// `uuid`.
    Uuid,
}

/// A value is not one that a key can have, or the key is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

impl KeyKind {
    /// The kind of a type by its OID, those of `catalog/pg_type.dat`; None for all others, as for floats:
    /// zeros of either sign are equal, and so are many forms of NaN.
    pub fn of_type(oid: u32) -> Option<Self> {
        match oid {
            16 => Some(KeyKind::Unsigned(1)),
            26 => Some(KeyKind::Unsigned(4)),
            21 => Some(KeyKind::Signed(2)),
            23 | 1082 => Some(KeyKind::Signed(4)),
            20 | 790 | 1083 | 1114 | 1184 => Some(KeyKind::Signed(8)),
            2950 => Some(KeyKind::Uuid),
            _ => None,
        }
    }

    /// Bytes of a value.
    pub fn bytes(self) -> u8 {
        match self {
            KeyKind::Unsigned(bytes) | KeyKind::Signed(bytes) => bytes,
            KeyKind::Uuid => 16,
        }
    }

    /// Bits of a value.
    pub(super) fn bits(self) -> u32 {
        u32::from(self.bytes()) * 8
    }

    /// The integer of a stored value, which has as many bytes as the kind.
    pub fn normalize(self, stored: &[u8]) -> u128 {
        if self == KeyKind::Uuid {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(stored);
            return u128::from_be_bytes(bytes);
        }
        let raw = read(stored);
        u128::from(match self {
            KeyKind::Signed(_) => raw ^ self.sign_bit(),
            KeyKind::Unsigned(_) | KeyKind::Uuid => raw,
        })
    }

    /// The integer of the same value in another kind, which is this one or a wider one with a sign too.
    pub(super) fn widen(self, key: u128, wider: KeyKind) -> u128 {
        match (self, wider) {
            (KeyKind::Signed(_), KeyKind::Signed(_)) => {
                key + u128::from(wider.sign_bit() - self.sign_bit())
            }
            _ => key,
        }
    }

    /// The stored value of an integer, in the first bytes.
    pub fn restore(self, key: u128) -> [u8; 16] {
        if self == KeyKind::Uuid {
            return key.to_be_bytes();
        }
        // The upper bits of what normalize made are zero.
        let key = u64::try_from(key).unwrap_or(0);
        let raw = match self {
            KeyKind::Signed(_) => key ^ self.sign_bit(),
            KeyKind::Unsigned(_) | KeyKind::Uuid => key,
        };
        let mut stored = [0; 16];
        stored[..8].copy_from_slice(&raw.to_ne_bytes());
        stored
    }

    fn sign_bit(self) -> u64 {
        1 << (self.bits().min(64) - 1)
    }
}

/// A number of 1, 2, 4 or 8 bytes.
fn read(stored: &[u8]) -> u64 {
    match *stored {
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_ne_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}
