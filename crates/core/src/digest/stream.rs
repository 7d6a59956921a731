//! The digest of a COPY TO stream in binary or text format, fed in pieces of any size.
//!
//! Follows "File Formats" in PostgreSQL's documentation of COPY. Only what the server writes is accepted:
//! text with the default delimiter and NULL marker, binary without OIDs.

use super::binary::BinaryParser;
use super::text::TextParser;
use super::{Digest, RowHasher};
use crate::{Error, Result};

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
        StreamDigest { rows: RowHasher::new(), format: Format::Binary(BinaryParser::new()) }
    }

    /// For `format text` with this many columns; an empty line is a row both of no column and of one.
    pub fn text(column_count: usize) -> StreamDigest {
        StreamDigest { rows: RowHasher::new(), format: Format::Text(TextParser::new(column_count)) }
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
            Format::Binary(parser) => parser.is_complete(),
            Format::Text(parser) => parser.is_complete(),
        };
        if is_complete { Ok(self.rows.digest()) } else { Err(corrupt("it ends within a row")) }
    }
}

/// The error for a stream that is not what COPY writes.
pub(super) fn corrupt(what: &str) -> Error {
    Error::Protocol(format!("the data of a COPY cannot be read: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::INLINE_BYTES;
    use crate::digest::binary::SIGNATURE;

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
