//! How values of a column become what is stored, type by type.
//!
//! Everything that is not beyond doubt is left to the type's receive function.

use super::array::{self, ElementKind, Elements};
use super::deform::Attribute;
use super::encoding::Encoding;
use super::json::Arena;
use super::network::HostBits;
use super::numeric::Limit;
use super::{jsonb, moment, network, numeric};

/// How values of a column become what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// Numbers, which travel with the highest byte first.
    Number,
    Bool,
    Uuid,
    Date,
    /// A time that is a multiple of so many microseconds.
    Time {
        unit_us: i64,
    },
    TimeWithZone {
        unit_us: i64,
    },
    Timestamp {
        unit_us: i64,
    },
    Interval,
    Bytea,
    /// Text of at most so many characters if there is a limit.
    Text {
        encoding: Encoding,
        most_characters: Option<usize>,
    },
    /// Text padded to a number of characters.
    PaddedText {
        encoding: Encoding,
        characters: usize,
    },
    Numeric(Option<Limit>),
    /// Text that is checked and kept.
    Json(Encoding),
    Jsonb(Encoding),
    Network(HostBits),
    /// Bytes that are stored as they travel.
    Bytes,
    /// So many floating-point numbers.
    Coordinates(usize),
    Array(Elements),
    /// By the type's receive function only.
    Receive,
}

/// What has become of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing is doubted of the wire's bytes, from which the tuple can be formed.
    AsSent,
    /// The stored form has been appended.
    Stored,
    /// It is the receive function's.
    Doubtful,
}

impl Conversion {
    /// The conversion for a type of `catalog/pg_type.dat` by its OID, with the column's modifier, in a
    /// database of this encoding.
    pub fn of_type(oid: u32, modifier: i32, encoding: Encoding) -> Self {
        // The modifier of texts counts a header of four bytes.
        let characters = usize::try_from(modifier - 4).ok();
        let most_characters = characters;
        let unit_us = moment::unit_us(modifier);
        match oid {
            16 => Conversion::Bool,
            // "char" to oid, xid and cid, floats, money, pg_lsn, xid8.
            18 | 20 | 21 | 23 | 26 | 28 | 29 | 700 | 701 | 790 | 3220 | 5069 => Conversion::Number,
            17 => Conversion::Bytea,
            1700 => Limit::of_modifier(modifier).map_or(Conversion::Receive, Conversion::Numeric),
            1082 => Conversion::Date,
            1186 if modifier < 0 => Conversion::Interval,
            1083 | 1114 | 1184 | 1266 => match (oid, unit_us) {
                (1083, Some(unit_us)) => Conversion::Time { unit_us },
                (1266, Some(unit_us)) => Conversion::TimeWithZone { unit_us },
                (_, Some(unit_us)) => Conversion::Timestamp { unit_us },
                (_, None) => Conversion::Receive,
            },
            2950 => Conversion::Uuid,
            829 | 774 => Conversion::Bytes,
            869 => Conversion::Network(HostBits::Any),
            650 => Conversion::Network(HostBits::Zero),
            600 => Conversion::Coordinates(2),
            601 => Conversion::Coordinates(4),
            1005 | 1007 | 1016 | 1021 | 1022 | 2951 => Conversion::Array(match oid {
                1005 => Elements { type_oid: 21, kind: ElementKind::Number(2) },
                1007 => Elements { type_oid: 23, kind: ElementKind::Number(4) },
                1016 => Elements { type_oid: 20, kind: ElementKind::Number(8) },
                1021 => Elements { type_oid: 700, kind: ElementKind::Number(4) },
                1022 => Elements { type_oid: 701, kind: ElementKind::Number(8) },
                _ => Elements { type_oid: 2950, kind: ElementKind::Uuid },
            }),
            _ if encoding == Encoding::Other => Conversion::Receive,
            25 => Conversion::Text { encoding, most_characters: None },
            1043 => Conversion::Text { encoding, most_characters },
            1042 => match characters {
                Some(characters) => Conversion::PaddedText { encoding, characters },
                None => Conversion::Text { encoding, most_characters: None },
            },
            114 => Conversion::Json(encoding),
            3802 => Conversion::Jsonb(encoding),
            1009 => Conversion::Array(Elements {
                type_oid: 25,
                kind: ElementKind::Text { encoding, most_characters: None },
            }),
            1015 => Conversion::Array(Elements {
                type_oid: 1043,
                kind: ElementKind::Text { encoding, most_characters },
            }),
            _ => Conversion::Receive,
        }
    }

    /// Whether a value in its form on the wire becomes the stored one behind a header.
    pub(super) fn is_varying(self) -> bool {
        matches!(
            self,
            Conversion::Bytea
                | Conversion::Text { .. }
                | Conversion::PaddedText { .. }
                | Conversion::Json(_)
        )
    }

    /// Turns a value on the wire into the stored form, in `stored` if it is not the wire's; after a
    /// doubtful value something useless may be there.
    #[inline]
    pub(super) fn convert(
        &self,
        attribute: Attribute,
        value: &[u8],
        arena: &mut Arena,
        stored: &mut Vec<u8>,
    ) -> Outcome {
        let has_length = || usize::try_from(attribute.length) == Ok(value.len());
        let is_stored = match *self {
            Conversion::Numeric(limit) => numeric::push_received(value, limit, stored),
            Conversion::Jsonb(encoding) => {
                encoding.is_valid(value) && jsonb::push_received(value, arena, stored)
            }
            Conversion::Interval => moment::push_words(value, &[8, 4, 4], stored),
            Conversion::TimeWithZone { unit_us } => {
                moment::push_time_with_zone(value, unit_us, stored)
            }
            Conversion::Network(host_bits) => network::push_received(value, host_bits, stored),
            Conversion::Coordinates(count) => {
                moment::push_words(value, &[8; 4][..count.min(4)], stored)
            }
            Conversion::Array(elements) => array::push_received(value, elements, stored),
            Conversion::Bytes if has_length() => {
                stored.extend_from_slice(value);
                true
            }
            _ if attribute.length > 0 && !has_length() => false,
            _ if self.is_certain(value) || self.is_text(value, arena) => return Outcome::AsSent,
            _ => false,
        };
        if is_stored { Outcome::Stored } else { Outcome::Doubtful }
    }

    /// Whether a value is a number on the wire, of a type that has no other form.
    pub(super) fn is_number(self) -> bool {
        matches!(
            self,
            Conversion::Number
                | Conversion::Date
                | Conversion::Time { .. }
                | Conversion::Timestamp { .. }
        )
    }

    /// Whether a value of fixed length, which has that length, is one that is stored as it travels but
    /// for the order of its bytes.
    #[inline]
    pub(super) fn is_certain(&self, value: &[u8]) -> bool {
        match *self {
            Conversion::Number | Conversion::Uuid => true,
            Conversion::Bool => matches!(value, [0 | 1]),
            Conversion::Date => moment::is_date(value),
            Conversion::Time { unit_us } => moment::is_time(value, unit_us),
            Conversion::Timestamp { unit_us } => moment::is_timestamp(value, unit_us),
            _ => false,
        }
    }

    /// Whether a value of variable length is one that is stored as it travels.
    fn is_text(&self, value: &[u8], arena: &mut Arena) -> bool {
        match *self {
            Conversion::Bytea => true,
            // No text has more characters than bytes.
            Conversion::Text { encoding, most_characters } => {
                most_characters.is_none_or(|most| value.len() <= most) && encoding.is_text(value)
            }
            // The same number of bytes and characters: nothing but ASCII.
            Conversion::PaddedText { encoding, characters } => {
                value.len() == characters && value.is_ascii() && encoding.is_text(value)
            }
            Conversion::Json(encoding) => encoding.is_valid(value) && arena.parse(value).is_some(),
            _ => false,
        }
    }
}
