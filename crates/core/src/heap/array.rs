//! Arrays of one dimension without NULLs as they are stored.
//!
//! Format: `array_recv` in `utils/adt/arrayfuncs.c`. Layout: `utils/array.h`.

use super::encoding::Encoding;
use super::layout::{long_header, pad_from};

/// Bytes of an array's header without dimensions and with one, and what is on the wire in its place.
const EMPTY_BYTES: usize = 16;
const HEADER_BYTES: usize = 24;
const WIRE_HEADER_BYTES: usize = 20;

/// Alignment of texts.
const TEXT_ALIGNMENT: usize = 4;

/// The elements of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elements {
    /// The OID of their type.
    pub type_oid: u32,
    /// How they are stored.
    pub kind: ElementKind,
}

/// How elements are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementKind {
    /// Numbers of so many bytes.
    Number(usize),
    Uuid,
    /// Text of at most so many characters if there is a limit.
    Text {
        encoding: Encoding,
        most_characters: Option<usize>,
    },
}

/// Appends the stored form of a value on the wire, with a long header; false unless it is beyond
/// doubt, and then something useless may be appended.
pub(super) fn push_received(wire: &[u8], elements: Elements, out: &mut Vec<u8>) -> bool {
    let word = |index: usize| {
        let bytes = wire.get(4 * index..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    if word(2) != Some(elements.type_oid) || word(1) != Some(0) {
        return false;
    }
    let start = out.len();
    match word(0) {
        Some(0) if wire.len() == 12 => {
            out.extend_from_slice(&long_header(EMPTY_BYTES - 4));
            for word in [0, 0, elements.type_oid] {
                out.extend_from_slice(&word.to_ne_bytes());
            }
            return true;
        }
        Some(1) => {}
        _ => return false,
    }
    let (Some(count @ 1..), Some(1), Some(body)) =
        (word(3), word(4), wire.get(WIRE_HEADER_BYTES..))
    else {
        return false;
    };
    out.extend_from_slice(&[0; 4]);
    for word in [1, 0, elements.type_oid, count, 1] {
        out.extend_from_slice(&word.to_ne_bytes());
    }
    debug_assert_eq!(out.len() - start, HEADER_BYTES);
    if !push_elements(body, count, elements.kind, start, out) {
        return false;
    }
    let header = long_header(out.len() - start - 4);
    out[start..start + 4].copy_from_slice(&header);
    true
}

/// Appends so many elements, which must be all there is.
fn push_elements(
    mut body: &[u8],
    count: u32,
    kind: ElementKind,
    start: usize,
    out: &mut Vec<u8>,
) -> bool {
    for _ in 0..count {
        let Some((length, rest)) = body.split_first_chunk::<4>() else {
            return false;
        };
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let Some((value, rest)) = length.and_then(|length| rest.split_at_checked(length)) else {
            return false;
        };
        body = rest;
        match kind {
            ElementKind::Number(bytes) if value.len() == bytes => out.extend(value.iter().rev()),
            ElementKind::Uuid if value.len() == 16 => out.extend_from_slice(value),
            ElementKind::Text { encoding, most_characters }
                if most_characters.is_none_or(|most| value.len() <= most)
                    && encoding.is_text(value) =>
            {
                out.extend_from_slice(&long_header(value.len()));
                out.extend_from_slice(value);
                pad_from(out, start, TEXT_ALIGNMENT);
            }
            _ => return false,
        }
    }
    body.is_empty()
}
