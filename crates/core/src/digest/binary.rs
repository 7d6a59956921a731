//! The parser of COPY's binary format.

use super::stream::corrupt;
use super::{INLINE_BYTES, LENGTH_BYTES, RowHasher};
use crate::Result;

/// The bytes a binary stream begins with.
pub(super) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Signature, flags and length of the header's extension.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;

/// The number of fields before each row.
const COUNT_BYTES: usize = 2;

/// Flags that a reader must understand; among them that of rows with OIDs, which ended with version 12.
const CRITICAL_FLAGS: u32 = 0xffff_0000;

/// What the next bytes of a binary stream are.
enum Place {
    Header,
    /// This many bytes of the header's extension.
    Extension(usize),
    Row,
    /// The length of a field, with this many fields left in the row, it included.
    Length(usize),
    /// This many bytes of a value, with this many fields left behind it.
    Value(usize, usize),
    End,
}

/// Reads rows in the binary format.
pub(super) struct BinaryParser {
    place: Place,
    /// The beginning of a header, row or length that was cut off at the end of a piece.
    pending: Vec<u8>,
}

impl BinaryParser {
    /// A parser at the beginning of a stream.
    pub(super) fn new() -> BinaryParser {
        BinaryParser { place: Place::Header, pending: Vec::new() }
    }

    /// Whether the stream has ended.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.place, Place::End)
    }

    /// Takes the next bytes and hands their fields to `rows`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], rows: &mut RowHasher) -> Result<()> {
        while !bytes.is_empty() {
            match self.place {
                Place::Row => {
                    while let Some(length) = self.whole_row(bytes)? {
                        rows.encoded_row(&bytes[COUNT_BYTES..length]);
                        bytes = &bytes[length..];
                    }
                    let Some(count) = self.take::<COUNT_BYTES>(&mut bytes) else {
                        return Ok(());
                    };
                    self.begin_row(i16::from_be_bytes(count), rows)?;
                }
                Place::Length(left) => {
                    let Some(length) = self.take::<LENGTH_BYTES>(&mut bytes) else {
                        return Ok(());
                    };
                    match value_length(length)? {
                        None => {
                            rows.null_field();
                            self.next_field(left - 1, rows);
                        }
                        Some(length) => {
                            rows.open_field();
                            self.place = Place::Value(length, left - 1);
                            self.end_empty_value(rows);
                        }
                    }
                }
                Place::Value(length, left) => {
                    let piece = length.min(bytes.len());
                    rows.append(&bytes[..piece]);
                    bytes = &bytes[piece..];
                    self.place = Place::Value(length - piece, left);
                    self.end_empty_value(rows);
                }
                Place::Header => {
                    let Some(header) = self.take::<HEADER_BYTES>(&mut bytes) else {
                        return Ok(());
                    };
                    self.place = Place::Extension(parse_header(&header)?);
                    self.end_empty_extension();
                }
                Place::Extension(length) => {
                    let piece = length.min(bytes.len());
                    bytes = &bytes[piece..];
                    self.place = Place::Extension(length - piece);
                    self.end_empty_extension();
                }
                Place::End => return Err(corrupt("bytes follow its trailer")),
            }
        }
        Ok(())
    }

    /// The length of the next row, if it lies in `bytes` whole and without a long value.
    fn whole_row(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(count) = bytes.first_chunk().map(|count| i16::from_be_bytes(*count)) else {
            return Ok(None);
        };
        if count < 0 || !self.pending.is_empty() {
            return Ok(None);
        }
        let mut at = COUNT_BYTES;
        for _ in 0..count {
            let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else {
                return Ok(None);
            };
            let length = value_length(*length)?.unwrap_or(0);
            at += LENGTH_BYTES + length;
            if length > INLINE_BYTES {
                return Ok(None);
            }
        }
        Ok(Some(at).filter(|&at| at <= bytes.len()))
    }

    /// Takes `N` bytes off the front, together with those cut off before; None if there are too few.
    fn take<const N: usize>(&mut self, bytes: &mut &[u8]) -> Option<[u8; N]> {
        let piece = (N - self.pending.len()).min(bytes.len());
        self.pending.extend_from_slice(&bytes[..piece]);
        *bytes = &bytes[piece..];
        let taken = self.pending.as_slice().try_into().ok()?;
        self.pending.clear();
        Some(taken)
    }

    /// Begins a row of `count` fields, or ends the stream.
    fn begin_row(&mut self, count: i16, rows: &mut RowHasher) -> Result<()> {
        match usize::try_from(count) {
            Ok(count) => {
                rows.begin_row();
                self.next_field(count, rows);
                Ok(())
            }
            Err(_) if count == -1 => {
                self.place = Place::End;
                Ok(())
            }
            Err(_) => Err(corrupt("a row has an impossible number of fields")),
        }
    }

    /// Goes on to the next of `left` fields, or ends the row.
    fn next_field(&mut self, left: usize, rows: &mut RowHasher) {
        self.place = if left > 0 {
            Place::Length(left)
        } else {
            rows.end_row();
            Place::Row
        };
    }

    /// Ends the value if nothing of it is left.
    fn end_empty_value(&mut self, rows: &mut RowHasher) {
        if let Place::Value(0, left) = self.place {
            rows.close_field();
            self.next_field(left, rows);
        }
    }

    /// Ends the header if nothing of its extension is left.
    fn end_empty_extension(&mut self) {
        if let Place::Extension(0) = self.place {
            self.place = Place::Row;
        }
    }
}

/// Checks a binary header and returns the length of its extension.
fn parse_header(header: &[u8; HEADER_BYTES]) -> Result<usize> {
    let (signature, numbers) = header.split_at(SIGNATURE.len());
    let (flags, extension) = numbers.split_at(4);
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).ok();
    match (number(flags), number(extension).and_then(|length| usize::try_from(length).ok())) {
        (Some(flags), Some(length)) if signature == SIGNATURE && flags & CRITICAL_FLAGS == 0 => {
            Ok(length)
        }
        _ => Err(corrupt("its header is not that of the binary format")),
    }
}

/// The length of a value; None for NULL.
fn value_length(bytes: [u8; LENGTH_BYTES]) -> Result<Option<usize>> {
    let length = i32::from_be_bytes(bytes);
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(corrupt("a value has an impossible length")),
    }
}
