//! Values of fixed length as unsigned integers in the order of their type.

/// A type whose values can be mapped to unsigned integers of the same size that sort alike, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `bool`, `oid` and other unsigned numbers, with their bytes.
    Unsigned(u8),
    /// `int2`, `int4`, `int8`, and what is stored as one: dates, times, timestamps, money.
    Signed(u8),
    /// `float4` and `float8`.
    Float(u8),
    /// `uuid`.
    Uuid,
}

/// A value is not one that a key can have, or the key is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

impl KeyKind {
    /// The kind of a type by its OID, those of `catalog/pg_type.dat`; None for all others.
    pub fn of_type(oid: u32) -> Option<Self> {
        match oid {
            16 => Some(KeyKind::Unsigned(1)),
            26 => Some(KeyKind::Unsigned(4)),
            21 => Some(KeyKind::Signed(2)),
            23 | 1082 => Some(KeyKind::Signed(4)),
            20 | 790 | 1083 | 1114 | 1184 => Some(KeyKind::Signed(8)),
            700 => Some(KeyKind::Float(4)),
            701 => Some(KeyKind::Float(8)),
            2950 => Some(KeyKind::Uuid),
            _ => None,
        }
    }

    /// Bytes of a value.
    pub fn bytes(self) -> u8 {
        match self {
            KeyKind::Unsigned(bytes) | KeyKind::Signed(bytes) | KeyKind::Float(bytes) => bytes,
            KeyKind::Uuid => 16,
        }
    }

    /// Bits of a value.
    pub(super) fn bits(self) -> u32 {
        u32::from(self.bytes()) * 8
    }

    /// The integer of a stored value, which has as many bytes as the kind.
    ///
    /// # Errors
    /// `Unfit` for floats that are equal to others: a zero with a sign, and all forms of NaN but the usual one.
    pub fn normalize(self, stored: &[u8]) -> Result<u128, Unfit> {
        if self == KeyKind::Uuid {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(stored);
            return Ok(u128::from_be_bytes(bytes));
        }
        let raw = read(stored);
        Ok(u128::from(match self {
            KeyKind::Signed(_) => raw ^ self.sign_bit(),
            KeyKind::Float(_) => self.normalize_float(raw)?,
            KeyKind::Unsigned(_) | KeyKind::Uuid => raw,
        }))
    }

    /// IEEE 754: magnitudes sort as integers, with NaN above infinity.
    fn normalize_float(self, raw: u64) -> Result<u64, Unfit> {
        let (sign, infinity, nan) = match self.bytes() {
            4 => (1 << 31, 0xff << 23, 0x1ff << 22),
            _ => (1 << 63, 0x7ff << 52, 0xfff << 51),
        };
        let magnitude = raw & !sign;
        match raw & sign != 0 {
            _ if magnitude > infinity && raw != nan => Err(Unfit),
            true if magnitude == 0 => Err(Unfit),
            true => Ok(sign - 1 - magnitude),
            false => Ok(sign | magnitude),
        }
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
        let sign = self.sign_bit();
        let raw = match self {
            KeyKind::Signed(_) => key ^ sign,
            KeyKind::Float(_) if key & sign == 0 => sign | (sign - 1 - key),
            KeyKind::Float(_) => key ^ sign,
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
