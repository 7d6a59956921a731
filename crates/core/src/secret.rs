//! Texts that may hold a password, on their way between processes.
//!
//! What must hold: whatever memory such a text was in is wiped when it is given up. So it travels in
//! hexadecimal digits, which a JSON parser borrows instead of unescaping them into a buffer of its own,
//! and is written into memory that never has to grow.

use std::fmt;
use std::io::{self, Write};

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::{Error, Result};

/// A text that is wiped when it is dropped, and that nothing prints.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text over.
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }

    /// The text, for those who have to know it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut digits = Zeroizing::new(String::with_capacity(2 * self.0.len()));
        for byte in self.0.bytes() {
            for digit in [byte >> 4, byte & 0xf] {
                digits.extend(char::from_digit(digit.into(), 16));
            }
        }
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        /// Decodes the digits.
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, digits: &str) -> std::result::Result<Secret, E> {
                let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
                for pair in digits.as_bytes().chunks_exact(2) {
                    let digit = |i: usize| char::from(pair[i]).to_digit(16);
                    let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                        return Err(E::custom("not a digit"));
                    };
                    bytes.extend(u8::try_from(high << 4 | low).ok());
                }
                let text = String::from_utf8(std::mem::take(&mut *bytes));
                text.map(Secret::new).map_err(|_| E::custom("not UTF-8"))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

/// A message that holds secrets, as bytes for a mailbox.
pub fn encode(message: &impl Serialize) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error| Error::Internal(format!("the request cannot be sent: {error}"));
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, message).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(counter.0));
    serde_json::to_writer(&mut *bytes, message).map_err(failed)?;
    Ok(bytes)
}

/// Counts what is written to it.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_travels_whole_and_unreadable() {
        let secret = Secret::new("it's \"geh\\eim\" \u{1}\u{ef}\u{1f600}".to_owned());
        let bytes = encode(&secret).unwrap();
        assert_eq!(bytes.capacity(), bytes.len());
        assert!(!String::from_utf8_lossy(&bytes).contains("geh"));
        let again: Secret = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(again.reveal(), secret.reveal());
        for wrong in ["\"zz\"", "\"ff\"", "7"] {
            assert!(serde_json::from_str::<Secret>(wrong).is_err(), "{wrong}");
        }
    }
}
