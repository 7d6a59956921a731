//! Values of type `numeric` as they are stored, from the wire or from decimal text.
//!
//! Only values that the receive function would leave as they are: no digit is rounded or cut off.
//! Format: `numeric_recv`, `make_result`, `apply_typmod` in `utils/adt/numeric.c`.

/// Decimal digits in a digit of base 10000.
const DECIMALS: i32 = 4;
pub(super) const BASE: u16 = 10_000;

/// Powers of ten up to a digit's highest.
const POWERS: [u16; 4] = [1, 10, 100, 1000];

/// Signs on the wire and in long headers; others are not finite.
const POSITIVE: u16 = 0;
pub(super) const NEGATIVE: u16 = 0x4000;

/// Decimal digits after the point, at most.
pub(super) const MOST_SCALE: u16 = 0x3fff;

/// Short headers: a mark, the sign, the scale, the weight's sign and the weight.
pub(super) const SHORT: u16 = 0x8000;
pub(super) const SHORT_NEGATIVE: u16 = 0x2000;
pub(super) const SHORT_SCALE_SHIFT: u16 = 7;
pub(super) const SHORT_MOST_SCALE: u16 = 0x3f;
pub(super) const SHORT_WEIGHT_NEGATIVE: u16 = 0x40;
pub(super) const SHORT_WEIGHT_MASK: u16 = 0x3f;
const SHORT_WEIGHTS: std::ops::RangeInclusive<i16> = -64..=63;

/// Bytes of the header of a value of variable length.
const VARLENA_HEADER: usize = 4;

/// Column modifiers of variable-length types count a header of four bytes.
const MODIFIER_OFFSET: i32 = 4;

/// Decimal digits of a number in text, at most, so that its digits have a place on the stack.
const MOST_DECIMALS: usize = 30;
const MOST_DIGITS: usize = MOST_DECIMALS / 4 + 2;

/// What a column's modifier leaves a number: `numeric(precision, scale)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Decimal digits before the point, at most; below zero that many after it must be zero.
    pub most_integer_digits: i32,
    /// Decimal digits after the point.
    pub scale: u16,
}

impl Limit {
    /// The limit of a column's modifier: the inner None is that there is none, the outer one that
    /// numbers are rounded before the point.
    #[expect(clippy::option_option, reason = "no limit and a limit of another kind differ")]
    pub(super) fn of_modifier(modifier: i32) -> Option<Option<Self>> {
        let Some(modifier) = modifier.checked_sub(MODIFIER_OFFSET).filter(|bits| *bits >= 0) else {
            return Some(None);
        };
        let precision = (modifier >> 16) & 0xffff;
        // A number of 11 bits with its sign.
        let scale = ((modifier & 0x7ff) ^ 0x400) - 0x400;
        let most_integer_digits = precision - scale;
        u16::try_from(scale).ok().map(|scale| Some(Limit { most_integer_digits, scale }))
    }
}

/// Appends the stored form of a value on the wire, with a long header; false, and nothing is
/// appended, unless it is beyond doubt and keeps the limit exactly.
pub(super) fn push_received(wire: &[u8], limit: Option<Limit>, out: &mut Vec<u8>) -> bool {
    let Some((head, mut digits)) = wire.split_first_chunk::<8>() else {
        return false;
    };
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (count, sign, scale) = (word(0), word(4), word(6));
    let mut weight = i32::from(i16::from_be_bytes([head[2], head[3]]));
    if digits.len() != 2 * usize::from(count)
        || !matches!(sign, POSITIVE | NEGATIVE)
        || scale > MOST_SCALE
        || limit.is_some_and(|limit| limit.scale != scale)
    {
        return false;
    }
    while let [0, 0, rest @ ..] = digits {
        digits = rest;
        weight -= 1;
    }
    while let [rest @ .., 0, 0] = digits {
        digits = rest;
    }
    let read = |pair: &[u8]| u16::from_be_bytes([pair[0], pair[1]]);
    let mut pairs = digits.chunks_exact(2).map(read);
    if let (Some(first), [.., high, low]) = (pairs.clone().next(), digits) {
        let last = u16::from_be_bytes([*high, *low]);
        let integer_digits = (weight + 1) * DECIMALS - leading_zeros(first);
        let fraction_digits =
            (i32::from(count_of(digits)) - weight - 1) * DECIMALS - trailing_zeros(last);
        // Digits beyond the scale would be cut off, too many before the point refused.
        if pairs.any(|digit| digit >= BASE)
            || fraction_digits > i32::from(scale)
            || limit.is_some_and(|limit| integer_digits > limit.most_integer_digits)
        {
            return false;
        }
    }
    let is_negative = sign == NEGATIVE;
    push(is_negative, weight, scale, digits.chunks_exact(2).map(read), out)
}

/// Appends the stored form of a number as JSON writes it, without an exponent; false, and nothing is
/// appended, if it is too long.
pub(super) fn push_decimal(text: &[u8], out: &mut Vec<u8>) -> bool {
    let (is_negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (integer, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    if integer.len() + fraction.len() > MOST_DECIMALS {
        return false;
    }
    let decimal = |byte: u8| u16::from(byte.wrapping_sub(b'0'));
    let before = integer.len().div_ceil(4);
    let count = before + fraction.len().div_ceil(4);
    let mut digits = [0; MOST_DIGITS];
    for (index, byte) in integer.iter().rev().enumerate() {
        digits[before - 1 - index / 4] += decimal(*byte) * POWERS[index % 4];
    }
    for (index, byte) in fraction.iter().enumerate() {
        digits[before + index / 4] += decimal(*byte) * POWERS[3 - index % 4];
    }
    let Some(first) = digits[..count].iter().position(|digit| *digit != 0) else {
        return push(false, 0, count_u16(fraction.len()), [].into_iter(), out);
    };
    let last = digits[..count].iter().rposition(|digit| *digit != 0).unwrap_or(first);
    let weight = i32::from(count_u16(before)) - 1 - i32::from(count_u16(first));
    let digits = digits[first..=last].iter().copied();
    push(is_negative, weight, count_u16(fraction.len()), digits, out)
}

/// Appends a number whose digits are not zero at either end; false if its header has no room.
fn push(
    is_negative: bool,
    weight: i32,
    scale: u16,
    digits: impl ExactSizeIterator<Item = u16>,
    out: &mut Vec<u8>,
) -> bool {
    let (is_negative, weight) = if digits.len() == 0 { (false, 0) } else { (is_negative, weight) };
    let Ok(stored_weight) = i16::try_from(weight) else {
        return false;
    };
    let start = out.len();
    let (header, own_bytes) = header_of(is_negative, stored_weight, scale);
    let header_bytes = VARLENA_HEADER + own_bytes;
    let size = header_bytes + 2 * digits.len();
    out.resize(start + size, 0);
    let bytes = &mut out[start..];
    bytes[..VARLENA_HEADER].copy_from_slice(&((size as u32) << 2).to_le_bytes());
    bytes[VARLENA_HEADER..header_bytes].copy_from_slice(&header[..own_bytes]);
    for (place, digit) in bytes[header_bytes..].chunks_exact_mut(2).zip(digits) {
        place.copy_from_slice(&digit.to_ne_bytes());
    }
    true
}

/// A number's own header, short if it can be, and how many of its bytes there are.
pub(super) fn header_of(is_negative: bool, weight: i16, scale: u16) -> ([u8; 4], usize) {
    let mut bytes = [0; 4];
    // Two's complement, of which the mask keeps the lower bits.
    let weight_bits = weight as u16;
    let (header, length) = if is_short(scale, weight) {
        let sign = if is_negative { SHORT_NEGATIVE } else { 0 };
        let weight_sign = if weight < 0 { SHORT_WEIGHT_NEGATIVE } else { 0 };
        let weight_bits = weight_bits & SHORT_WEIGHT_MASK;
        (SHORT | sign | scale << SHORT_SCALE_SHIFT | weight_sign | weight_bits, 2)
    } else {
        bytes[2..].copy_from_slice(&weight_bits.to_ne_bytes());
        (scale | if is_negative { NEGATIVE } else { POSITIVE }, 4)
    };
    bytes[..2].copy_from_slice(&header.to_ne_bytes());
    (bytes, length)
}

/// Whether a number has a short header.
pub(super) fn is_short(scale: u16, weight: i16) -> bool {
    scale <= SHORT_MOST_SCALE && SHORT_WEIGHTS.contains(&weight)
}

/// The number of digits in bytes whose number a header has told.
fn count_of(digits: &[u8]) -> u16 {
    count_u16(digits.len() / 2)
}

fn count_u16(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Decimal zeros in front of a digit's first other one.
fn leading_zeros(digit: u16) -> i32 {
    match digit {
        1000.. => 0,
        100.. => 1,
        10.. => 2,
        _ => 3,
    }
}

/// Decimal zeros behind a digit's last other one.
fn trailing_zeros(digit: u16) -> i32 {
    if digit % 10 != 0 {
        0
    } else if digit % 100 != 0 {
        1
    } else if digit % 1000 != 0 {
        2
    } else {
        3
    }
}
