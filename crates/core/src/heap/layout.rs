//! Values as they lie in a tuple: their alignment and the headers of those of variable length.
//!
//! Layout: `heap_fill_tuple` in `access/common/heaptuple.c`, `varatt.h`.

use super::conversion::Conversion;
use super::form::Column;

/// Bytes of the header of a value of variable length, and the most that fit behind a short one.
pub(super) const LONG_HEADER: usize = 4;
const SHORT_BYTES: usize = 126;

/// Bytes of a row's values with as much padding as they can need.
pub(super) fn data_bytes(columns: &[Column], sizes: &[usize]) -> usize {
    columns.iter().zip(sizes).fold(0, |bytes, (column, size)| {
        let is_short = column.attribute.length == -1 && *size <= SHORT_BYTES + LONG_HEADER;
        match (*size, is_short) {
            (0, _) => bytes,
            (size, true) if column.is_packable => bytes + size - (LONG_HEADER - 1).min(size),
            (size, _) => bytes.next_multiple_of(column.attribute.alignment) + size,
        }
    })
}

/// Appends a value in its form on the wire.
pub(super) fn push_wire(tuples: &mut Vec<u8>, column: Column, value: &[u8]) {
    match column.conversion {
        conversion if conversion.is_varying() => {
            if column.is_packable && value.len() <= SHORT_BYTES {
                tuples.push(short_header(value.len()));
            } else {
                pad(tuples, column.attribute.alignment);
                tuples.extend_from_slice(&long_header(value.len()));
            }
            tuples.extend_from_slice(value);
        }
        Conversion::Bool | Conversion::Uuid => tuples.extend_from_slice(value),
        _ => {
            pad(tuples, column.attribute.alignment);
            match *value {
                [a, b] => tuples.extend_from_slice(&u16::from_be_bytes([a, b]).to_ne_bytes()),
                [a, b, c, d] => {
                    tuples.extend_from_slice(&u32::from_be_bytes([a, b, c, d]).to_ne_bytes());
                }
                [a, b, c, d, e, f, g, h] => tuples
                    .extend_from_slice(&u64::from_be_bytes([a, b, c, d, e, f, g, h]).to_ne_bytes()),
                _ => tuples.extend(value.iter().rev()),
            }
        }
    }
}

/// Appends a value in its stored form.
pub(super) fn push_stored(tuples: &mut Vec<u8>, column: Column, stored: &[u8]) {
    if column.attribute.length != -1 {
        pad(tuples, column.attribute.alignment);
        tuples.extend_from_slice(stored);
        return;
    }
    let first = stored.first().copied().unwrap_or(0);
    let is_plain = first & 3 == 0;
    if first & 1 == 1 {
        tuples.extend_from_slice(stored);
    } else if column.is_packable && is_plain && stored.len() <= SHORT_BYTES + LONG_HEADER {
        tuples.push(short_header(stored.len() - LONG_HEADER.min(stored.len())));
        tuples.extend_from_slice(stored.get(LONG_HEADER..).unwrap_or_default());
    } else {
        pad(tuples, column.attribute.alignment);
        tuples.extend_from_slice(stored);
    }
}

/// The header of a value of at most 126 bytes.
fn short_header(bytes: usize) -> u8 {
    ((bytes + 1) << 1 | 1) as u8
}

/// The header of a value of any length that is not compressed.
pub(super) fn long_header(bytes: usize) -> [u8; LONG_HEADER] {
    (((bytes + LONG_HEADER) as u32) << 2).to_le_bytes()
}

/// The first word of a compressed value of `size` bytes with both words of its header; the other one
/// is its original length, with the two highest bits zero for `pglz`.
pub(super) fn compressed_header(size: usize) -> u32 {
    (size as u32) << 2 | 2
}

/// Appends zeros up to a multiple of `alignment`.
pub(super) fn pad(tuples: &mut Vec<u8>, alignment: usize) {
    tuples.resize(tuples.len().next_multiple_of(alignment), 0);
}

/// Appends zeros up to a multiple of `alignment`, counted from `start`.
pub(super) fn pad_from(bytes: &mut Vec<u8>, start: usize, alignment: usize) {
    let length = bytes.len() - start;
    bytes.resize(start + length.next_multiple_of(alignment), 0);
}
