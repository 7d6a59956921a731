//! Values that are moved out of line: what stays behind of them, and the tuples of their chunks.
//!
//! Format: `varatt.h`, `access/heaptoast.h`, `toast_save_datum` in `access/common/toast_internals.c`.

pub use super::layout::has_external;
use super::layout::{LONG_HEADER, chunk_header, long_header};

/// Bytes of what stays behind of a value.
pub(super) const POINTER_BYTES: usize = 18;

/// What stays behind of a value, `varatt_external` with its header.
pub(super) type Pointer = [u8; POINTER_BYTES];

/// Bytes of a value in a chunk, at most: `TOAST_MAX_CHUNK_SIZE`.
const CHUNK_BYTES: usize = 1996;

/// `VARTAG_ONDISK`, behind the byte that says that a value is elsewhere.
const POINTER_HEADER: [u8; 2] = [1, 18];

/// Bits of a compressed value's second word that are its original length; the others tell the method.
const LENGTH_MASK: u32 = 0x3fff_ffff;

/// Where values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueId {
    /// The value's number, unique in its relation.
    pub value: u32,
    /// OID of the relation that has its chunks.
    pub relation: u32,
}

/// Where values go that are moved out of line.
pub trait Toast {
    /// Takes a value, compressed or not, without the first word of its header.
    fn store(&mut self, value: &[u8]) -> ValueId;
}

/// Moves a value that has no header yet; returns what stays behind.
pub(super) fn move_plain(value: &[u8], toast: &mut dyn Toast) -> Pointer {
    let bytes = value.len() as u32;
    pointer(bytes, bytes, toast.store(value))
}

/// The same with a stored value, compressed or not.
pub(super) fn move_stored(stored: &[u8], toast: &mut dyn Toast) -> Pointer {
    match stored[0] & 3 {
        2 => {
            let value = &stored[LONG_HEADER..];
            let info = value.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
            let extent = value.len() as u32 | info & !LENGTH_MASK;
            pointer(info & LENGTH_MASK, extent, toast.store(value))
        }
        0 => move_plain(&stored[LONG_HEADER..], toast),
        _ => move_plain(&stored[1..], toast),
    }
}

/// `original_bytes` is what the value has when it is not compressed, `extent` what it has out of line, with the
/// method of compression in the upper bits.
fn pointer(original_bytes: u32, extent: u32, id: ValueId) -> Pointer {
    let mut pointer = [0; POINTER_BYTES];
    let (header, words) = pointer.split_at_mut(POINTER_HEADER.len());
    header.copy_from_slice(&POINTER_HEADER);
    let values = [original_bytes + LONG_HEADER as u32, extent, id.value, id.relation];
    for (word, value) in words.chunks_exact_mut(4).zip(values) {
        word.copy_from_slice(&value.to_le_bytes());
    }
    pointer
}

/// Calls `each` with the number and the tuple of every chunk of a value.
pub fn for_each_chunk(value_id: u32, value: &[u8], mut each: impl FnMut(u32, &[u8])) {
    let mut tuple = Vec::with_capacity(CHUNK_BYTES + 64);
    for (number, chunk) in (0..).zip(value.chunks(CHUNK_BYTES)) {
        tuple.clear();
        tuple.extend_from_slice(&chunk_header());
        tuple.extend_from_slice(&value_id.to_ne_bytes());
        tuple.extend_from_slice(&u32::to_ne_bytes(number));
        tuple.extend_from_slice(&long_header(chunk.len()));
        tuple.extend_from_slice(chunk);
        each(number, &tuple);
    }
}
