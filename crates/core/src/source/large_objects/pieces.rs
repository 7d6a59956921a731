//! A binary COPY of pages, turned into pieces of large objects.

use std::ops::ControlFlow;

use crate::{Error, Result};

/// Bytes of a piece at most: neighbouring pages are written with one call.
const PIECE_BYTES: usize = 256 * 1024;

/// What a binary COPY begins with: signature, flags and the length of an extension, which is empty.
const HEADER_BYTES: usize = 19;

/// Fields of a row: OID, offset, data.
const FIELD_COUNT: i16 = 3;

/// Bytes of a row before its data: the count, three lengths, OID and offset.
const ROW_HEAD_BYTES: usize = 26;

/// Neighbouring bytes of one large object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub oid: u32,
    /// Bytes before the piece.
    pub offset: i64,
    /// Empty where the object ends at `offset` after a hole, or in a page without bytes.
    pub data: Vec<u8>,
}

/// Reads the stream of `copy_out_statement`.
#[derive(Debug, Default)]
pub struct PieceReader {
    /// What was cut off at the end of a buffer.
    pending: Vec<u8>,
    is_begun: bool,
    is_ended: bool,
    current: Option<Piece>,
}

impl PieceReader {
    /// Takes the next bytes and hands on the pieces that are complete, until told to stop.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(Piece) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut input = std::mem::take(&mut self.pending);
        input.extend_from_slice(bytes);
        let mut rest = input.as_slice();
        if !self.is_begun {
            let Some((_, after)) = rest.split_at_checked(HEADER_BYTES) else {
                self.pending = input;
                return Ok(ControlFlow::Continue(()));
            };
            rest = after;
            self.is_begun = true;
        }
        while let Some((page, after)) = self.take_page(rest)? {
            rest = after;
            if self.append(page, each).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.pending = rest.to_vec();
        Ok(ControlFlow::Continue(()))
    }

    /// Hands on the last piece; an error if the stream is not complete.
    pub fn finish(mut self, each: &mut dyn FnMut(Piece) -> ControlFlow<()>) -> Result<()> {
        if !self.is_ended {
            return Err(Error::Protocol("the stream of large objects is incomplete".to_owned()));
        }
        if let Some(piece) = self.current.take() {
            // Nothing is left to be stopped.
            let _ = each(piece);
        }
        Ok(())
    }

    /// The first page of `bytes` if it is complete, and what follows it.
    fn take_page<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<(Page<'b>, &'b [u8])>> {
        let Some(count) = bytes.first_chunk::<2>().map(|count| i16::from_be_bytes(*count)) else {
            return Ok(None);
        };
        if count == -1 {
            self.is_ended = true;
            return Ok(None);
        }
        if count != FIELD_COUNT {
            return Err(Error::Protocol("a page of a large object has no three fields".to_owned()));
        }
        let Some((head, rest)) = bytes.split_at_checked(ROW_HEAD_BYTES) else {
            return Ok(None);
        };
        let length = usize::try_from(i32::from_be_bytes(field(head, 22)))
            .map_err(|_| Error::Protocol("a page of a large object has no data".to_owned()))?;
        let Some((data, rest)) = rest.split_at_checked(length) else {
            return Ok(None);
        };
        let page = Page {
            oid: u32::from_be_bytes(field(head, 6)),
            offset: i64::from_be_bytes(field(head, 14)),
            data,
        };
        Ok(Some((page, rest)))
    }

    /// Adds a page to the piece at hand, or begins a new one.
    fn append(
        &mut self,
        page: Page<'_>,
        each: &mut dyn FnMut(Piece) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Some(piece) = &mut self.current {
            let end = i64::try_from(piece.data.len()).map_or(i64::MAX, |size| piece.offset + size);
            let fits = piece.data.len() + page.data.len() <= PIECE_BYTES;
            if piece.oid == page.oid && end == page.offset && fits && !page.data.is_empty() {
                piece.data.extend_from_slice(page.data);
                return ControlFlow::Continue(());
            }
        }
        let next = Piece { oid: page.oid, offset: page.offset, data: page.data.to_vec() };
        match self.current.replace(next) {
            Some(complete) => each(complete),
            None => ControlFlow::Continue(()),
        }
    }
}

/// A row of the stream.
struct Page<'b> {
    oid: u32,
    offset: i64,
    data: &'b [u8],
}

/// The bytes of a number at `at`, which must lie within `head`.
fn field<const N: usize>(head: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&head[at..at + N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pages: &[(u32, i64, &[u8])]) -> Vec<u8> {
        let mut bytes = b"PGCOPY\n\xff\r\n\0".to_vec();
        bytes.extend([0; 8]);
        for (oid, offset, data) in pages {
            bytes.extend(3_i16.to_be_bytes());
            bytes.extend(4_i32.to_be_bytes());
            bytes.extend(oid.to_be_bytes());
            bytes.extend(8_i32.to_be_bytes());
            bytes.extend(offset.to_be_bytes());
            bytes.extend(i32::try_from(data.len()).expect("short").to_be_bytes());
            bytes.extend(*data);
        }
        bytes.extend((-1_i16).to_be_bytes());
        bytes
    }

    /// The pieces of a stream that arrives in buffers of `size` bytes.
    fn read(stream: &[u8], size: usize) -> Result<Vec<(u32, i64, Vec<u8>)>> {
        let mut pieces = Vec::new();
        let mut each = |piece: Piece| {
            pieces.push((piece.oid, piece.offset, piece.data));
            ControlFlow::Continue(())
        };
        let mut reader = PieceReader::default();
        for buffer in stream.chunks(size) {
            assert!(reader.feed(buffer, &mut each)?.is_continue());
        }
        reader.finish(&mut each)?;
        Ok(pieces)
    }

    #[test]
    fn neighbouring_pages_are_one_piece_however_the_stream_is_cut() {
        let stream =
            stream(&[(7, 0, b"abc"), (7, 3, b"de"), (7, 9, b"f"), (8, 0, b"g"), (8, 1, b"")]);
        let expected = [
            (7, 0, b"abcde".to_vec()),
            (7, 9, b"f".to_vec()),
            (8, 0, b"g".to_vec()),
            (8, 1, Vec::new()),
        ];
        for size in [1, 2, 7, 30, 1000] {
            assert_eq!(read(&stream, size).expect("a whole stream"), expected);
        }
    }

    #[test]
    fn a_stream_that_was_cut_short_is_an_error() {
        let stream = stream(&[(7, 0, b"abc")]);
        assert!(read(&stream[..stream.len() - 2], 10).is_err());
        assert!(read(&stream[..10], 10).is_err());
    }
}
