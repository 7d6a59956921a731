//! Tuples: their header, and values one behind the other, each at its alignment, behind a header of its
//! own if it is of variable length.
//!
//! Layout: `heap_fill_tuple` in `access/common/heaptuple.c`, `varatt.h`.

use super::conversion::Conversion;
use super::form::Column;

/// Bytes of a tuple's header up to the null bitmap.
const HEADER_BYTES: usize = 23;

/// Alignment of tuples and of their data.
const MAX_ALIGN: usize = 8;

/// Offsets in a tuple's header.
const INFOMASK2: usize = 18;
const INFOMASK: usize = 20;
const HOFF: usize = 22;

/// Bits of `t_infomask`.
const HAS_NULL: u16 = 0x0001;
const HAS_VARWIDTH: u16 = 0x0002;
const HAS_EXTERNAL: u16 = 0x0004;

/// The first byte of what stays behind of a value that is elsewhere.
const EXTERNAL: u8 = 1;

/// Columns of a chunk of a value that is elsewhere, and bytes of its header.
const CHUNK_COLUMNS: u16 = 3;
const CHUNK_HEADER_BYTES: usize = 24;

/// Bytes of the header of a value of variable length, and the most that fit behind a short one.
pub(crate) const LONG_HEADER: usize = 4;
pub(crate) const SHORT_BYTES: usize = 126;

/// Bytes of a row's values with as much padding as they can need.
pub(super) fn data_bytes(columns: &[Column], sizes: &[usize]) -> usize {
    columns.iter().zip(sizes).fold(0, |bytes, (column, size)| {
        let is_short = column.attribute.length == -1 && *size <= SHORT_BYTES + LONG_HEADER;
        match (*size, is_short) {
            (0, _) => bytes,
            (size, true) if column.is_packable() => bytes + size - (LONG_HEADER - 1).min(size),
            (size, _) => bytes.next_multiple_of(column.attribute.alignment) + size,
        }
    })
}

/// Writes a tuple.
pub(super) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    /// Where the tuple begins.
    start: usize,
    header_bytes: usize,
    infomask: u16,
    /// Where the next value goes; all bytes from there on are zeros.
    at: usize,
}

impl<'a> Writer<'a> {
    /// Begins a tuple behind what is there already, a multiple of 8 bytes; its values will take about
    /// `size` bytes.
    pub(super) fn new(
        bytes: &'a mut Vec<u8>,
        column_count: usize,
        has_null: bool,
        size: usize,
    ) -> Self {
        let bitmap_bytes = if has_null { column_count.div_ceil(8) } else { 0 };
        let header_bytes = align(HEADER_BYTES + bitmap_bytes, MAX_ALIGN);
        let infomask = if has_null { HAS_NULL } else { 0 };
        let start = bytes.len();
        let at = start + header_bytes;
        bytes.resize(at + size, 0);
        Writer { bytes, start, header_bytes, infomask, at }
    }

    pub(super) fn header_bytes(&self) -> usize {
        self.header_bytes
    }

    /// Begins with so many columns, none of them NULL; returns the place for their values, zeros yet.
    pub(super) fn begin(&mut self, column_count: usize, size: usize) -> &mut [u8] {
        if self.infomask & HAS_NULL != 0 {
            (0..column_count).for_each(|index| self.mark_present(index));
        }
        let end = self.at + size;
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        let place = &mut self.bytes[self.at..end];
        self.at = end;
        place
    }

    /// Completes the tuple, and zeros behind it up to a multiple of 8 bytes; returns its length.
    pub(super) fn finish(self, column_count: usize) -> usize {
        let count = u16::try_from(column_count).unwrap_or(0);
        let header = &mut self.bytes[self.start..];
        header[INFOMASK2..INFOMASK2 + 2].copy_from_slice(&count.to_ne_bytes());
        header[INFOMASK..INFOMASK + 2].copy_from_slice(&self.infomask.to_ne_bytes());
        header[HOFF] = self.header_bytes as u8;
        self.bytes.resize(align(self.at, MAX_ALIGN), 0);
        self.at - self.start
    }

    /// Writes the value of a column in its form on the wire.
    pub(super) fn put_wire(&mut self, index: usize, column: &Column, value: &[u8]) {
        self.note(index, column);
        match column.conversion {
            Conversion::Bool | Conversion::Uuid => self.put(1, value),
            conversion if conversion.is_varying() => {
                if column.is_packable() && value.len() <= SHORT_BYTES {
                    self.put(1, &[short_header(value.len())]);
                } else {
                    self.put(column.attribute.alignment, &long_header(value.len()));
                }
                self.put(1, value);
            }
            _ => {
                let alignment = column.attribute.alignment;
                match *value {
                    [a, b] => self.put(alignment, &u16::from_be_bytes([a, b]).to_ne_bytes()),
                    [a, b, c, d] => {
                        self.put(alignment, &u32::from_be_bytes([a, b, c, d]).to_ne_bytes());
                    }
                    [a, b, c, d, e, f, g, h] => {
                        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                        self.put(alignment, &number.to_ne_bytes());
                    }
                    _ => {
                        self.put(alignment, value);
                        let start = self.at - value.len();
                        self.bytes[start..self.at].reverse();
                    }
                }
            }
        }
    }

    /// Writes the value of a column in its stored form.
    pub(super) fn put_stored(&mut self, index: usize, column: &Column, stored: &[u8]) {
        self.note(index, column);
        let alignment = column.attribute.alignment;
        if column.attribute.length != -1 {
            return self.put(alignment, stored);
        }
        let first = stored.first().copied().unwrap_or(0);
        let is_plain = first & 3 == 0;
        if first == EXTERNAL {
            self.infomask |= HAS_EXTERNAL;
        }
        if first & 1 == 1 {
            self.put(1, stored);
        } else if column.is_packable() && is_plain && stored.len() <= SHORT_BYTES + LONG_HEADER {
            self.put(1, &[short_header(stored.len() - LONG_HEADER.min(stored.len()))]);
            self.put(1, stored.get(LONG_HEADER..).unwrap_or_default());
        } else {
            self.put(alignment, stored);
        }
    }

    /// Notes in the header that the column with this index has a value.
    #[inline]
    fn note(&mut self, index: usize, column: &Column) {
        if column.attribute.length < 0 {
            self.infomask |= HAS_VARWIDTH;
        }
        if self.infomask & HAS_NULL != 0 {
            self.mark_present(index);
        }
    }

    fn mark_present(&mut self, index: usize) {
        self.bytes[self.start + HEADER_BYTES + index / 8] |= 1 << (index % 8);
    }

    #[inline]
    fn put(&mut self, alignment: usize, value: &[u8]) {
        let start = align(self.at, alignment);
        let end = start + value.len();
        if end > self.bytes.len() {
            self.bytes.resize(end + value.len(), 0);
        }
        self.bytes[start..end].copy_from_slice(value);
        self.at = end;
    }
}

/// Whether values of a tuple made here are elsewhere.
pub fn has_external(tuple: &[u8]) -> bool {
    u16::from_ne_bytes([tuple[INFOMASK], tuple[INFOMASK + 1]]) & HAS_EXTERNAL != 0
}

/// The header of a chunk's tuple.
pub(super) fn chunk_header() -> [u8; CHUNK_HEADER_BYTES] {
    let mut header = [0; CHUNK_HEADER_BYTES];
    header[INFOMASK2..INFOMASK2 + 2].copy_from_slice(&CHUNK_COLUMNS.to_ne_bytes());
    header[INFOMASK..INFOMASK + 2].copy_from_slice(&HAS_VARWIDTH.to_ne_bytes());
    header[HOFF] = CHUNK_HEADER_BYTES as u8;
    header
}

/// The next multiple of a power of two.
fn align(place: usize, alignment: usize) -> usize {
    (place + alignment - 1) & !(alignment - 1)
}

/// The header of a value of at most 126 bytes.
pub(crate) fn short_header(bytes: usize) -> u8 {
    ((bytes + 1) << 1 | 1) as u8
}

/// The header of a value of any length that is not compressed.
pub(crate) fn long_header(bytes: usize) -> [u8; LONG_HEADER] {
    (((bytes + LONG_HEADER) as u32) << 2).to_le_bytes()
}

/// The first word of a compressed value of `size` bytes with both words of its header; the other one
/// is its original length, with the two highest bits zero for `pglz`.
pub(super) fn compressed_header(size: usize) -> u32 {
    (size as u32) << 2 | 2
}

/// Appends zeros up to a multiple of `alignment`, counted from `start`.
pub(super) fn pad_from(bytes: &mut Vec<u8>, start: usize, alignment: usize) {
    let length = bytes.len() - start;
    bytes.resize(start + length.next_multiple_of(alignment), 0);
}
