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
    /// A whole row.
    Row { bytes: usize, has_null: bool },
    /// A row, or the trailer, of which at least this many bytes are needed to know more.
    Needs(usize),
    /// The trailer.
    Trailer,
}

/// A row with its field count.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub bytes: &'a [u8],
    pub fields: &'a [Field],
    pub has_null: bool,
}

/// Where a row has a value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Field {
    start: usize,
    /// -1 for NULL.
    length: i32,
}

impl Field {
    /// The value's bytes in the row: the first one's place, and the place behind the last one; None for
    /// NULL.
    pub fn place(self) -> Option<(usize, usize)> {
        let length = usize::try_from(self.length).ok()?;
        Some((self.start, self.start + length))
    }
}

/// Takes rows from a stream.
pub struct RowReader<F> {
    /// Gives the next chunk and takes the one before back; None at the stream's end.
    next_chunk: F,
    chunk: Vec<u8>,
    at: usize,
    /// A row that began in an earlier chunk.
    carried: Vec<u8>,
    fields: Vec<Field>,
    has_header: bool,
}

impl<F: FnMut(Vec<u8>) -> Result<Option<Vec<u8>>>> RowReader<F> {
    /// Reads what `next_chunk` gives.
    pub fn new(next_chunk: F) -> Self {
        RowReader {
            next_chunk,
            chunk: Vec::new(),
            at: 0,
            carried: Vec::new(),
            fields: Vec::new(),
            has_header: false,
        }
    }

    /// The next row, or None after the trailer, when the chunks have ended too.
    ///
    /// A stream that does not follow the format is `Error::Protocol`.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        if !self.has_header {
            self.read_header()?;
            self.has_header = true;
        }
        let next = look(&self.chunk[self.at..], &mut self.fields)?;
        if let Next::Row { bytes, has_null } = next {
            self.at += bytes;
            let bytes = &self.chunk[self.at - bytes..self.at];
            return Ok(Some(Row { bytes, fields: &self.fields, has_null }));
        }
        self.carried.clear();
        self.carried.shrink_to(KEPT_BYTES);
        loop {
            match look(&self.carried, &mut self.fields)? {
                Next::Row { has_null, .. } => {
                    let (bytes, fields) = (&self.carried[..], &self.fields[..]);
                    return Ok(Some(Row { bytes, fields, has_null }));
                }
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

/// What `bytes` begin with; of a whole row also where its fields are.
fn look(bytes: &[u8], fields: &mut Vec<Field>) -> Result<Next> {
    let Some(count) = bytes.first_chunk() else {
        return Ok(Next::Needs(2));
    };
    let count = i16::from_be_bytes(*count);
    if count == TRAILER {
        return Ok(Next::Trailer);
    }
    let Ok(field_count) = usize::try_from(count) else {
        return Err(Error::Protocol(format!("a row with {count} fields")));
    };
    if fields.len() != field_count {
        fields.resize(field_count, Field::default());
    }
    let (mut at, mut has_null) = (2_usize, false);
    for field in fields {
        let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else {
            return Ok(Next::Needs(at + 4));
        };
        let length = i32::from_be_bytes(*length);
        at += 4;
        *field = Field { start: at, length };
        match (usize::try_from(length), length) {
            (Ok(length), _) => at += length,
            (Err(_), -1) => has_null = true,
            (Err(_), length) => {
                return Err(Error::Protocol(format!("a field of {length} bytes")));
            }
        }
    }
    match bytes.len() < at {
        true => Ok(Next::Needs(at)),
        false => Ok(Next::Row { bytes: at, has_null }),
    }
}
