//! Values of type `numeric` as bytes that compare as the numbers do, and back.
//!
//! ```text
//!   class 1 │ weight 2 │ digits, each plus 1, of 2 │ zero 2 │ scale 2
//! ```
//!
//! Weight, digits and zero are there for numbers that are neither zero nor beyond all others, and have their
//! bits inverted in negative ones. The scale says how many decimals a number is shown with: numbers that
//! differ in that alone are equal to the server.
//!
//! Format of stored values: `NumericData` in `utils/adt/numeric.c`.

use super::key::Unfit;
use super::numeric::{
    BASE, MOST_SCALE, NEGATIVE, SHORT, SHORT_MOST_SCALE, SHORT_NEGATIVE, SHORT_SCALE_SHIFT,
    SHORT_WEIGHT_MASK, SHORT_WEIGHT_NEGATIVE, header_of, is_short,
};

/// Bits of a header that tell its form, and headers of values that are no numbers.
const FORM_MASK: u16 = 0xc000;
const SPECIAL: u16 = 0xc000;
const NAN: u16 = 0xc000;
const POSITIVE_INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;

/// Classes in their order.
const BELOW_ALL: u8 = 0;
const NEGATIVE_NUMBER: u8 = 1;
const ZERO: u8 = 2;
const POSITIVE_NUMBER: u8 = 3;
const ABOVE_ALL: u8 = 4;
const NO_NUMBER: u8 = 5;

/// What makes weights sort as unsigned numbers.
const WEIGHT_SIGN: u16 = 0x8000;

/// Bytes of the scale.
pub(super) const SCALE_BYTES: usize = 2;

/// Appends the key of a stored value, what is behind its header of variable length.
///
/// # Errors
/// `Unfit` if the server would have stored the same number in another way.
pub(super) fn push_key(stored: &[u8], into: &mut Vec<u8>) -> Result<(), Unfit> {
    let (header, rest) = stored.split_first_chunk().ok_or(Unfit)?;
    let header = u16::from_ne_bytes(*header);
    if header & FORM_MASK == SPECIAL {
        let class = match header {
            NEGATIVE_INFINITY => BELOW_ALL,
            POSITIVE_INFINITY => ABOVE_ALL,
            NAN => NO_NUMBER,
            _ => return Err(Unfit),
        };
        into.extend([class, 0, 0]);
        return if rest.is_empty() { Ok(()) } else { Err(Unfit) };
    }
    let (is_negative, scale, weight, digits) = if header & FORM_MASK == SHORT {
        let weight = i32::from(header & SHORT_WEIGHT_MASK);
        let weight = weight - i32::from(header & SHORT_WEIGHT_NEGATIVE);
        let scale = header >> SHORT_SCALE_SHIFT & SHORT_MOST_SCALE;
        (header & SHORT_NEGATIVE != 0, scale, weight as i16, rest)
    } else {
        let (weight, digits) = rest.split_first_chunk().ok_or(Unfit)?;
        let (scale, weight) = (header & MOST_SCALE, i16::from_ne_bytes(*weight));
        if is_short(scale, weight) {
            return Err(Unfit);
        }
        (header & FORM_MASK == NEGATIVE, scale, weight, digits)
    };
    if digits.is_empty() {
        into.push(ZERO);
        into.extend(scale.to_be_bytes());
        return if is_negative || weight != 0 { Err(Unfit) } else { Ok(()) };
    }
    let has_zero_end = digits.starts_with(&[0; 2]) || digits.ends_with(&[0; 2]);
    if has_zero_end || digits.len() % 2 != 0 || words(digits).any(|digit| digit >= BASE) {
        return Err(Unfit);
    }
    into.push(if is_negative { NEGATIVE_NUMBER } else { POSITIVE_NUMBER });
    let mask = mask_of(is_negative);
    into.extend((weight as u16 ^ WEIGHT_SIGN ^ mask).to_be_bytes());
    for digit in words(digits) {
        into.extend(((digit + 1) ^ mask).to_be_bytes());
    }
    into.extend(mask.to_be_bytes());
    into.extend(scale.to_be_bytes());
    Ok(())
}

/// Bytes of the key that others may follow; its bits are inverted by exclusive or with the mask.
pub(super) fn length_of(bytes: &[u8], mask: u8) -> usize {
    let class = bytes[0] ^ mask;
    if class != NEGATIVE_NUMBER && class != POSITIVE_NUMBER {
        return 1 + SCALE_BYTES;
    }
    let end = u16::from_ne_bytes([mask; 2]) ^ mask_of(class == NEGATIVE_NUMBER);
    let count = words(&bytes[3..]).take_while(|digit| *digit != end).count();
    3 + 2 * count + 2 + SCALE_BYTES
}

/// Appends the stored value of a key, inverted or not.
pub(super) fn push_stored(key: &[u8], mask: u8, into: &mut Vec<u8>) {
    let word = |at: usize| u16::from_be_bytes([key[at] ^ mask, key[at + 1] ^ mask]);
    let scale = word(key.len() - SCALE_BYTES);
    let class = key[0] ^ mask;
    let is_negative = class == NEGATIVE_NUMBER;
    let special = match class {
        BELOW_ALL => NEGATIVE_INFINITY,
        ABOVE_ALL => POSITIVE_INFINITY,
        NO_NUMBER => NAN,
        _ => 0,
    };
    if special != 0 {
        into.extend(special.to_ne_bytes());
        return;
    }
    let sign = mask_of(is_negative);
    let weight = match class {
        ZERO => 0,
        _ => (word(1) ^ WEIGHT_SIGN ^ sign) as i16,
    };
    let (header, header_bytes) = header_of(is_negative, weight, scale);
    into.extend_from_slice(&header[..header_bytes]);
    // Between the weight and the zero, where there are any.
    for at in (3..key.len().saturating_sub(2 + SCALE_BYTES)).step_by(2) {
        into.extend(((word(at) ^ sign) - 1).to_ne_bytes());
    }
}

/// Bytes as numbers of two.
fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|word| u16::from_ne_bytes([word[0], word[1]]))
}

/// What weight and digits are inverted by.
fn mask_of(is_negative: bool) -> u16 {
    if is_negative { u16::MAX } else { 0 }
}
