//! The digest of a COPY TO stream in binary or text format, fed in pieces of any size.
//!
//! Follows "File Formats" in PostgreSQL's documentation of COPY. Only what the server writes is accepted:
//! text with the default delimiter and NULL marker, binary without OIDs.

use super::{Digest, INLINE_BYTES, LENGTH_BYTES, RowHasher};
use crate::{Error, Result};

/// The bytes a binary stream begins with.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Signature, flags and length of the header's extension.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;

/// The number of fields before each row.
const COUNT_BYTES: usize = 2;

/// Flags that a reader must understand; among them that of rows with OIDs, which ended with version 12.
const CRITICAL_FLAGS: u32 = 0xffff_0000;

/// Digest of the rows of one COPY.
pub struct StreamDigest {
    rows: RowHasher,
    format: Format,
}

/// The stream's format, with the place reached in it.
enum Format {
    Binary(BinaryParser),
    Text(TextParser),
}

impl StreamDigest {
    /// For `format binary`.
    pub fn binary() -> StreamDigest {
        let parser = BinaryParser { place: BinaryPlace::Header, pending: Vec::new() };
        StreamDigest { rows: RowHasher::new(), format: Format::Binary(parser) }
    }

    /// For `format text` with this many columns; an empty line is a row both of no column and of one.
    pub fn text(column_count: usize) -> StreamDigest {
        let parser = TextParser { column_count, columns: 0, place: TextPlace::RowStart };
        StreamDigest { rows: RowHasher::new(), format: Format::Text(parser) }
    }

    /// Takes the stream's next bytes; an error says that the stream is not what COPY writes.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.format {
            Format::Binary(parser) => parser.feed(bytes, &mut self.rows),
            Format::Text(parser) => parser.feed(bytes, &mut self.rows),
        }
    }

    /// The digest of the whole stream, which must have ended.
    pub fn finish(self) -> Result<Digest> {
        let is_complete = match &self.format {
            Format::Binary(parser) => matches!(parser.place, BinaryPlace::End),
            Format::Text(parser) => matches!(parser.place, TextPlace::RowStart),
        };
        if is_complete { Ok(self.rows.digest()) } else { Err(corrupt("it ends within a row")) }
    }
}

/// The error for a stream that is not what COPY writes.
fn corrupt(what: &str) -> Error {
    Error::Protocol(format!("the data of a COPY cannot be read: {what}"))
}

/// What the next bytes of a binary stream are.
enum BinaryPlace {
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

/// The binary format.
struct BinaryParser {
    place: BinaryPlace,
    /// The beginning of a header, row or length that was cut off at the end of a piece.
    pending: Vec<u8>,
}

impl BinaryParser {
    fn feed(&mut self, mut bytes: &[u8], rows: &mut RowHasher) -> Result<()> {
        while !bytes.is_empty() {
            match self.place {
                BinaryPlace::Row => {
                    while let Some(length) = self.whole_row(bytes)? {
                        rows.encoded_row(&bytes[COUNT_BYTES..length]);
                        bytes = &bytes[length..];
                    }
                    let Some(count) = self.take::<COUNT_BYTES>(&mut bytes) else {
                        return Ok(());
                    };
                    self.begin_row(i16::from_be_bytes(count), rows)?;
                }
                BinaryPlace::Length(left) => {
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
                            self.place = BinaryPlace::Value(length, left - 1);
                            self.end_empty_value(rows);
                        }
                    }
                }
                BinaryPlace::Value(length, left) => {
                    let piece = length.min(bytes.len());
                    rows.append(&bytes[..piece]);
                    bytes = &bytes[piece..];
                    self.place = BinaryPlace::Value(length - piece, left);
                    self.end_empty_value(rows);
                }
                BinaryPlace::Header => {
                    let Some(header) = self.take::<HEADER_BYTES>(&mut bytes) else {
                        return Ok(());
                    };
                    self.place = BinaryPlace::Extension(parse_header(&header)?);
                    self.end_empty_extension();
                }
                BinaryPlace::Extension(length) => {
                    let piece = length.min(bytes.len());
                    bytes = &bytes[piece..];
                    self.place = BinaryPlace::Extension(length - piece);
                    self.end_empty_extension();
                }
                BinaryPlace::End => return Err(corrupt("bytes follow its trailer")),
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
                self.place = BinaryPlace::End;
                Ok(())
            }
            Err(_) => Err(corrupt("a row has an impossible number of fields")),
        }
    }

    /// Goes on to the next of `left` fields, or ends the row.
    fn next_field(&mut self, left: usize, rows: &mut RowHasher) {
        self.place = if left > 0 {
            BinaryPlace::Length(left)
        } else {
            rows.end_row();
            BinaryPlace::Row
        };
    }

    /// Ends the value if nothing of it is left.
    fn end_empty_value(&mut self, rows: &mut RowHasher) {
        if let BinaryPlace::Value(0, left) = self.place {
            rows.close_field();
            self.next_field(left, rows);
        }
    }

    /// Ends the header if nothing of its extension is left.
    fn end_empty_extension(&mut self) {
        if let BinaryPlace::Extension(0) = self.place {
            self.place = BinaryPlace::Row;
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

/// What the next byte of a text stream is.
enum TextPlace {
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

/// The text format.
struct TextParser {
    column_count: usize,
    /// Values of the row that have ended.
    columns: usize,
    place: TextPlace,
}

impl TextParser {
    fn feed(&mut self, mut bytes: &[u8], rows: &mut RowHasher) -> Result<()> {
        while let Some(&byte) = bytes.first() {
            match self.place {
                TextPlace::RowStart => {
                    rows.begin_row();
                    self.columns = 0;
                    self.place = TextPlace::FieldStart;
                    if self.column_count == 0 {
                        if byte != b'\n' {
                            return Err(corrupt("a row has more fields than columns"));
                        }
                        rows.end_row();
                        self.place = TextPlace::RowStart;
                        bytes = &bytes[1..];
                    }
                }
                TextPlace::FieldStart if byte == b'\\' => {
                    self.place = TextPlace::Escape { is_first: true };
                    bytes = &bytes[1..];
                }
                TextPlace::FieldStart => {
                    rows.open_field();
                    self.place = TextPlace::Value;
                }
                TextPlace::Value => {
                    let end = memchr::memchr3(b'\\', b'\t', b'\n', bytes).unwrap_or(bytes.len());
                    rows.append(&bytes[..end]);
                    bytes = &bytes[end..];
                    let Some((&byte, rest)) = bytes.split_first() else {
                        return Ok(());
                    };
                    bytes = rest;
                    if byte == b'\\' {
                        self.place = TextPlace::Escape { is_first: false };
                    } else {
                        rows.close_field();
                        self.end_field(byte, rows)?;
                    }
                }
                TextPlace::Escape { is_first: true } if byte == b'N' => {
                    rows.null_field();
                    self.place = TextPlace::AfterNull;
                    bytes = &bytes[1..];
                }
                TextPlace::Escape { is_first } => {
                    if is_first {
                        rows.open_field();
                    }
                    rows.append(&[unescape(byte)?]);
                    self.place = TextPlace::Value;
                    bytes = &bytes[1..];
                }
                TextPlace::AfterNull => {
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
            b'\t' if self.columns < self.column_count => self.place = TextPlace::FieldStart,
            b'\n' if self.columns == self.column_count => {
                rows.end_row();
                self.place = TextPlace::RowStart;
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

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'a> = &'a [Option<&'a [u8]>];

    fn expected(rows: &[Row]) -> Digest {
        let mut hasher = RowHasher::new();
        for row in rows {
            hasher.begin_row();
            row.iter().for_each(|field| hasher.field(*field));
            hasher.end_row();
        }
        hasher.digest()
    }

    fn encode_binary(rows: &[Row]) -> Vec<u8> {
        let mut stream = SIGNATURE.to_vec();
        stream.extend([0, 0, 0, 1, 0, 0, 0, 3, 9, 9, 9]);
        for row in rows {
            stream.extend(i16::try_from(row.len()).unwrap().to_be_bytes());
            for field in *row {
                let length = field.map_or(-1, |value| i32::try_from(value.len()).unwrap());
                stream.extend(length.to_be_bytes());
                stream.extend(field.unwrap_or_default());
            }
        }
        stream.extend([0xff, 0xff]);
        stream
    }

    fn digest_in_pieces(mut digest: StreamDigest, stream: &[u8], piece: usize) -> Result<Digest> {
        stream.chunks(piece).try_for_each(|piece| digest.feed(piece))?;
        digest.finish()
    }

    #[test]
    fn a_binary_stream_has_the_digest_of_its_rows_in_any_pieces() {
        let long = vec![b'x'; INLINE_BYTES + 1];
        let rows: &[Row] = &[
            &[],
            &[Some(b"a"), None, Some(b"")],
            &[None, Some(b"bc\0")],
            &[Some(&long), Some(b"z")],
            &[Some(&long[1..])],
            &[Some(b"a"), None, Some(b"")],
        ];
        let stream = encode_binary(rows);
        for piece in (1..64).chain([1000, 65_536, stream.len()]) {
            let digest = digest_in_pieces(StreamDigest::binary(), &stream, piece).unwrap();
            assert_eq!(digest, expected(rows), "pieces of {piece}");
        }
    }

    #[test]
    fn a_binary_stream_cut_at_any_byte_is_refused_and_so_is_what_follows_its_end() {
        let stream = encode_binary(&[&[Some(b"a"), None], &[]]);
        for length in 0..stream.len() {
            let cut = &stream[..length];
            assert!(digest_in_pieces(StreamDigest::binary(), cut, 7).is_err(), "{length}");
        }
        let longer = [&stream[..], b"x"].concat();
        assert!(digest_in_pieces(StreamDigest::binary(), &longer, longer.len()).is_err());
    }

    #[test]
    fn malformed_binary_streams_are_refused() {
        let header = &encode_binary(&[])[..SIGNATURE.len() + 11];
        let with = |bytes: &[u8]| [header, bytes].concat();
        let oids = [SIGNATURE, &[0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff]].concat();
        for stream in [
            b"PGCOPY\n\xff\r\n\n\0\0\0\0\0\0\0\0\xff\xff".to_vec(),
            oids,
            with(&[0xff, 0xfe]),
            with(&[0, 1, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff]),
        ] {
            for piece in [1, stream.len()] {
                assert!(digest_in_pieces(StreamDigest::binary(), &stream, piece).is_err());
            }
        }
    }

    #[test]
    fn text_has_the_digest_of_its_unescaped_rows_in_any_pieces() {
        let long = vec![b'x'; INLINE_BYTES + 5];
        let cases: &[(usize, &[u8], &[Row])] = &[
            (0, b"\n\n", &[&[], &[]]),
            (1, b"\n\\N\n\\\\N\n", &[&[Some(b"")], &[None], &[Some(b"\\N")]]),
            (2, b"a\tbc\nab\tc\n", &[&[Some(b"a"), Some(b"bc")], &[Some(b"ab"), Some(b"c")]]),
            (2, b"\\N\t\n\t\\N\n", &[&[None, Some(b"")], &[Some(b""), None]]),
            (1, b"\\b\\f\\n\\r\\t\\v\\\\\n", &[&[Some(b"\x08\x0c\n\r\t\x0b\\")]]),
            (2, b"x\\\\N\t\\\\\\\\\n", &[&[Some(b"x\\N"), Some(b"\\\\")]]),
            (1, b"\\\\.\n", &[&[Some(b"\\.")]]),
            (1, "\u{e9}\u{20ac}\n".as_bytes(), &[&[Some("\u{e9}\u{20ac}".as_bytes())]]),
            (1, &[&long[..], b"\\t\n"].concat(), &[&[Some(&[&long[..], b"\t"].concat())]]),
        ];
        for (columns, stream, rows) in cases {
            for piece in [1, 2, 3, 5, 7, stream.len()] {
                let digest = digest_in_pieces(StreamDigest::text(*columns), stream, piece).unwrap();
                assert_eq!(digest, expected(rows), "{stream:.20?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn malformed_text_is_refused() {
        for (columns, stream) in [
            (1, &b"a"[..]),
            (1, b"a\\"),
            (1, b"a\tb\n"),
            (2, b"a\n"),
            (2, b"a\tb\tc\n"),
            (0, b"a\n"),
            (1, b"\\Nx\n"),
            (1, b"x\\N\n"),
            (1, b"\\."),
            (1, b"\\101\n"),
            (1, b"\\x41\n"),
        ] {
            let digest = digest_in_pieces(StreamDigest::text(columns), stream, 1);
            assert!(digest.is_err(), "{stream:?}");
        }
    }
}
