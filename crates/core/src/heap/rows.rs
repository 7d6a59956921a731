//! The rows of a binary COPY, out of chunks that end anywhere.
//!
//! Format: "Binary Format" in the documentation of COPY.

use crate::{Error, Result};

/// What every stream begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Bytes of the header: signature, flags, length of an extension.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;

/// The field count that ends a stream.
const TRAILER: i16 = -1;

/// Bytes of a carried row that are kept for the next one.
const KEPT_BYTES: usize = 1 << 20;

/// What the first bytes of a stream's rest are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A whole row of this many bytes.
    Row(usize),
    /// A row, or the trailer, of which at least this many bytes are needed to know more.
    Needs(usize),
    /// The trailer.
    Trailer,
}

/// Takes rows from a stream.
pub struct RowReader<F> {
    /// Gives the next chunk and takes the one before back; None at the stream's end.
    next_chunk: F,
    chunk: Vec<u8>,
    at: usize,
    /// A row that began in an earlier chunk.
    carried: Vec<u8>,
    has_header: bool,
}

impl<F: FnMut(Vec<u8>) -> Result<Option<Vec<u8>>>> RowReader<F> {
    /// Reads what `next_chunk` gives.
    pub fn new(next_chunk: F) -> Self {
        RowReader { next_chunk, chunk: Vec::new(), at: 0, carried: Vec::new(), has_header: false }
    }

    /// The next row with its field count, or None after the trailer, when the chunks have ended too.
    ///
    /// A stream that does not follow the format is `Error::Protocol`.
    pub fn next_row(&mut self) -> Result<Option<&[u8]>> {
        if !self.has_header {
            self.read_header()?;
            self.has_header = true;
        }
        if let Next::Row(length) = look(&self.chunk[self.at..])? {
            self.at += length;
            return Ok(Some(&self.chunk[self.at - length..self.at]));
        }
        self.carried.clear();
        self.carried.shrink_to(KEPT_BYTES);
        loop {
            match look(&self.carried)? {
                Next::Row(_) => return Ok(Some(&self.carried)),
                Next::Needs(bytes) => self.carry(bytes)?,
                Next::Trailer => {
                    self.expect_end()?;
                    return Ok(None);
                }
            }
        }
    }

    fn read_header(&mut self) -> Result<()> {
        self.carry(HEADER_BYTES)?;
        let extension = &self.carried[HEADER_BYTES - 4..];
        let extension =
            i32::from_be_bytes([extension[0], extension[1], extension[2], extension[3]]);
        let (Ok(extension), true) =
            (usize::try_from(extension), self.carried.starts_with(SIGNATURE))
        else {
            return Err(Error::Protocol("not the header of a binary COPY".to_owned()));
        };
        self.carry(HEADER_BYTES + extension)
    }

    /// Takes bytes over until `bytes` are carried.
    fn carry(&mut self, bytes: usize) -> Result<()> {
        while self.carried.len() < bytes {
            if self.at == self.chunk.len() && !self.advance()? {
                return Err(Error::Protocol("a COPY ended within a row".to_owned()));
            }
            let count = (bytes - self.carried.len()).min(self.chunk.len() - self.at);
            self.carried.extend_from_slice(&self.chunk[self.at..self.at + count]);
            self.at += count;
        }
        Ok(())
    }

    /// Goes to the next chunk; false if there is none.
    fn advance(&mut self) -> Result<bool> {
        self.at = 0;
        match (self.next_chunk)(std::mem::take(&mut self.chunk))? {
            Some(chunk) => {
                self.chunk = chunk;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Fails if anything comes after the trailer.
    fn expect_end(&mut self) -> Result<()> {
        loop {
            if self.at < self.chunk.len() {
                return Err(Error::Protocol("data after the end of a COPY".to_owned()));
            }
            if !self.advance()? {
                return Ok(());
            }
        }
    }
}

/// What `bytes` begin with.
fn look(bytes: &[u8]) -> Result<Next> {
    let Some(count) = bytes.get(..2) else {
        return Ok(Next::Needs(2));
    };
    let count = i16::from_be_bytes([count[0], count[1]]);
    if count == TRAILER {
        return Ok(Next::Trailer);
    }
    if count < 0 {
        return Err(Error::Protocol(format!("a row with {count} fields")));
    }
    let mut at = 2_usize;
    for _ in 0..count {
        let Some(length) = bytes.get(at..at + 4) else {
            return Ok(Next::Needs(at + 4));
        };
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        at += 4;
        match (usize::try_from(length), length) {
            (Ok(length), _) => at += length,
            (Err(_), -1) => {}
            (Err(_), length) => {
                return Err(Error::Protocol(format!("a field of {length} bytes")));
            }
        }
    }
    Ok(if bytes.len() < at { Next::Needs(at) } else { Next::Row(at) })
}
