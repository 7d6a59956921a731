//! The parser of COPY's text format, with the default delimiter and NULL marker.

use super::RowHasher;
use super::stream::corrupt;
use crate::Result;

/// What the next byte of a text stream is.
enum Place {
    RowStart,
    /// The first byte of a value other than the row's first.
    FieldStart,
    /// A byte of a value that has begun.
    Value,
    /// What follows a backslash; whether it is the first byte of its value.
    Escape {
        is_first: bool,
    },
    /// What ends a NULL.
    AfterNull,
}

/// Reads rows in the text format.
pub(super) struct TextParser {
    column_count: usize,
    /// Values of the row that have ended.
    columns: usize,
    place: Place,
}

impl TextParser {
    /// A parser at the beginning of a stream with this many columns.
    pub(super) fn new(column_count: usize) -> TextParser {
        TextParser { column_count, columns: 0, place: Place::RowStart }
    }

    /// Whether the stream may end here.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.place, Place::RowStart)
    }

    /// Takes the next bytes and hands their fields to `rows`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], rows: &mut RowHasher) -> Result<()> {
        while let Some(&byte) = bytes.first() {
            match self.place {
                Place::RowStart => {
                    rows.begin_row();
                    self.columns = 0;
                    self.place = Place::FieldStart;
                    if self.column_count == 0 {
                        if byte != b'\n' {
                            return Err(corrupt("a row has more fields than columns"));
                        }
                        rows.end_row();
                        self.place = Place::RowStart;
                        bytes = &bytes[1..];
                    }
                }
                Place::FieldStart if byte == b'\\' => {
                    self.place = Place::Escape { is_first: true };
                    bytes = &bytes[1..];
                }
                Place::FieldStart => {
                    rows.open_field();
                    self.place = Place::Value;
                }
                Place::Value => {
                    let end = memchr::memchr3(b'\\', b'\t', b'\n', bytes).unwrap_or(bytes.len());
                    rows.append(&bytes[..end]);
                    bytes = &bytes[end..];
                    let Some((&byte, rest)) = bytes.split_first() else {
                        return Ok(());
                    };
                    bytes = rest;
                    if byte == b'\\' {
                        self.place = Place::Escape { is_first: false };
                    } else {
                        rows.close_field();
                        self.end_field(byte, rows)?;
                    }
                }
                Place::Escape { is_first: true } if byte == b'N' => {
                    rows.null_field();
                    self.place = Place::AfterNull;
                    bytes = &bytes[1..];
                }
                Place::Escape { is_first } => {
                    if is_first {
                        rows.open_field();
                    }
                    rows.append(&[unescape(byte)?]);
                    self.place = Place::Value;
                    bytes = &bytes[1..];
                }
                Place::AfterNull => {
                    self.end_field(byte, rows)?;
                    bytes = &bytes[1..];
                }
            }
        }
        Ok(())
    }

    /// Ends a field at `byte`, the delimiter or the end of the row.
    fn end_field(&mut self, byte: u8, rows: &mut RowHasher) -> Result<()> {
        self.columns += 1;
        match byte {
            b'\t' if self.columns < self.column_count => self.place = Place::FieldStart,
            b'\n' if self.columns == self.column_count => {
                rows.end_row();
                self.place = Place::RowStart;
            }
            b'\t' | b'\n' => {
                return Err(corrupt("a row has another number of fields than columns"));
            }
            _ => return Err(corrupt("a NULL goes on")),
        }
        Ok(())
    }
}

/// The byte that a backslash and `byte` stand for; COPY TO writes no others, and none as numbers.
fn unescape(byte: u8) -> Result<u8> {
    Ok(match byte {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        _ => return Err(corrupt("a backslash before a byte that needs none")),
    })
}
