//! Bulk data: COPY TO STDOUT from the socket into buffers, as fast as it comes.
//!
//! The server sends each row as a CopyData message of its own. A buffer is filled by reads as large as
//! the room left in it, then the message headers are squeezed out in place, so that every byte moves at
//! most once, and the buffer itself is handed on. A message may span any number of buffers; what is
//! kept between reads is a number (bytes left of the message) and at most a header in pieces.

use std::ops::ControlFlow;

use super::connection::{Connection, MAX_RESULTS};
use super::message::{self, HEADER_BYTES};
use crate::name::quote_literal;
use crate::{Error, Result};

/// Size of the buffers: large enough that per-buffer costs vanish, small enough to stay in the L2 cache
/// between the reader and the one who consumes it.
pub const BUFFER_BYTES: usize = 256 * 1024;

/// Size of the first buffer of a COPY: most tables are small, and fresh memory is not free.
const FIRST_BUFFER_BYTES: usize = 64 * 1024;

/// Room below which a buffer is handed on rather than read into: no read asks for less.
const MIN_READ_BYTES: usize = 32 * 1024;

/// Reads in a row that brought no data before the server is taken to have none: every message that
/// PostgreSQL sends has some.
const MAX_BARREN_READS: u32 = 10_000;

/// Takes the data of a COPY.
pub trait CopySink {
    /// A buffer the consumer has done with, to be used again.
    fn take_buffer(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Takes the next buffer, never an empty one; `Break` ends the copy and the session.
    fn push(&mut self, buffer: Vec<u8>) -> ControlFlow<()>;

    /// A COPY is complete, with this number of rows by the server's count; the data of the next one
    /// follow, if there is one.
    fn end(&mut self, _rows: u64) {}
}

impl<F: FnMut(Vec<u8>) -> ControlFlow<()>> CopySink for F {
    fn push(&mut self, buffer: Vec<u8>) -> ControlFlow<()> {
        self(buffer)
    }
}

/// How far a COPY has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Before,
    Data,
    After,
}

/// What `Squeezer::squeeze` found.
enum Squeezed {
    /// Nothing but data, so far.
    More,
    /// A message of another kind: the bytes from its header on.
    Other(Vec<u8>),
    /// A message whose length cannot be.
    Invalid,
}

/// A buffer that raw bytes are read into and message headers are removed from.
struct Squeezer {
    /// Data, then the beginning of a header, then room.
    bytes: Vec<u8>,
    /// Bytes of data at the front.
    data: usize,
    /// Bytes of a header in pieces behind the data.
    header: usize,
    /// Bytes still to come of the message at hand.
    missing: usize,
}

impl Squeezer {
    /// A squeezer with nothing in it and room for `size` bytes, over a used buffer if there is one.
    fn new(used: Option<Vec<u8>>, size: usize) -> Squeezer {
        let mut bytes = used.unwrap_or_default();
        bytes.resize(size, 0);
        Squeezer { bytes, data: 0, header: 0, missing: 0 }
    }

    /// Bytes that can still be read into the buffer.
    fn room(&self) -> usize {
        self.bytes.len() - self.data - self.header
    }

    /// The place to read into.
    fn unused(&mut self) -> &mut [u8] {
        &mut self.bytes[self.data + self.header..]
    }

    /// Takes the data out and goes on with another buffer.
    fn replace(&mut self, used: Option<Vec<u8>>) -> Vec<u8> {
        let mut next = Squeezer::new(used, BUFFER_BYTES);
        next.missing = self.missing;
        next.header = self.header;
        next.bytes[..self.header].copy_from_slice(&self.bytes[self.data..][..self.header]);
        std::mem::replace(self, next).into_data()
    }

    /// The data alone.
    fn into_data(mut self) -> Vec<u8> {
        self.bytes.truncate(self.data);
        self.bytes
    }

    /// Removes the headers from `count` bytes that were read into the unused part.
    fn squeeze(&mut self, count: usize) -> Squeezed {
        let end = self.data + self.header + count;
        let mut at = self.data;
        self.header = 0;
        while at < end {
            let length = self.missing.min(end - at);
            if at != self.data {
                self.bytes.copy_within(at..at + length, self.data);
            }
            self.data += length;
            self.missing -= length;
            at += length;
            let raw = &self.bytes[at..end];
            if raw.first().is_some_and(|&tag| tag != b'd') {
                return Squeezed::Other(raw.to_vec());
            }
            if raw.len() < HEADER_BYTES {
                self.header = raw.len();
                self.bytes.copy_within(at..end, self.data);
                break;
            }
            let Some((_, length)) = message::parse_header(raw) else {
                return Squeezed::Invalid;
            };
            self.missing = length;
            at += HEADER_BYTES;
        }
        Squeezed::More
    }
}

impl Connection {
    /// Runs a `copy … to stdout`, hands its data to `sink` in order, without protocol, and returns the
    /// number of rows by the server's count.
    ///
    /// When the sink breaks off, the session is lost and the error is `Error::Cancelled`. An error of the
    /// server is returned as `Error::Remote`, whatever the sink has taken before; the session remains,
    /// in an open transaction with the encoding of the data until its ROLLBACK.
    pub fn copy_out(&mut self, sql: &str, sink: &mut dyn CopySink) -> Result<u64> {
        self.copy_out_all(&[sql], sink)
    }

    /// The same for several in a row, sent as one message so that no time is lost between them; returns
    /// the number of all rows. The first error ends them all.
    pub fn copy_out_all(&mut self, sqls: &[&str], sink: &mut dyn CopySink) -> Result<u64> {
        let sql = sqls.join("; ");
        match self.copy_encoding.as_deref() {
            None => self.send_query(&sql)?,
            Some(encoding) => {
                let encoding = quote_literal(encoding);
                let sql = format!(
                    "set client_encoding = {encoding}; {sql}; set client_encoding = 'UTF8'"
                );
                self.send_query(&sql)?;
            }
        }
        let (mut rows, mut copied) = (0, 0);
        let mut phase = Phase::Before;
        let limit = MAX_RESULTS.saturating_mul(u32::try_from(sqls.len()).unwrap_or(u32::MAX));
        for _ in 0..limit {
            let message = self.channel.receive()?;
            match (message.tag, phase) {
                (b'H', Phase::Before) if copied < sqls.len() => {
                    self.pump_data(sink)?;
                    phase = Phase::Data;
                }
                (b'c', Phase::Data) => phase = Phase::After,
                (b'C', Phase::Before | Phase::After) => {
                    let tag = message::parse_tag(self.channel.body(&message)).unwrap_or_default();
                    if phase == Phase::After && tag.starts_with("COPY ") {
                        let count = message::count_of_tag(&tag);
                        sink.end(count);
                        rows += count;
                        copied += 1;
                        phase = Phase::Before;
                    }
                }
                (b'E', _) => return Err(self.drain_error(&message)),
                (b'Z', _) => {
                    self.finish_query(&message)?;
                    let is_complete = copied == sqls.len() && phase == Phase::Before;
                    return is_complete.then_some(rows).ok_or_else(|| {
                        Error::Protocol("a COPY ended without data or row count".to_owned())
                    });
                }
                _ => return Err(self.unexpected(&message)),
            }
        }
        Err(self.channel.violate("a result without end"))
    }

    /// Hands on the data of all CopyData messages up to a message of another kind.
    fn pump_data(&mut self, sink: &mut dyn CopySink) -> Result<()> {
        let mut buffer = Squeezer::new(sink.take_buffer(), FIRST_BUFFER_BYTES);
        let mut barren_reads = 0;
        while self.channel.next_tag()? == b'd' {
            loop {
                if buffer.room() < MIN_READ_BYTES {
                    let full = buffer.replace(sink.take_buffer());
                    self.push(sink, full)?;
                }
                let count = self.channel.read_raw(buffer.unused())?;
                let before = buffer.data;
                let squeezed = buffer.squeeze(count);
                barren_reads = if buffer.data > before { 0 } else { barren_reads + 1 };
                if barren_reads > MAX_BARREN_READS {
                    return Err(self.channel.violate("messages of data without data"));
                }
                match squeezed {
                    Squeezed::More => {}
                    Squeezed::Other(bytes) => {
                        self.channel.unread(&bytes);
                        break;
                    }
                    Squeezed::Invalid => {
                        return Err(self
                            .channel
                            .violate("a message of data has an impossible length"));
                    }
                }
            }
        }
        let last = buffer.into_data();
        if last.is_empty() { Ok(()) } else { self.push(sink, last) }
    }

    /// Hands one buffer to the sink.
    fn push(&mut self, sink: &mut dyn CopySink, buffer: Vec<u8>) -> Result<()> {
        if sink.push(buffer).is_continue() {
            return Ok(());
        }
        let why = "the copy was broken off, and the session with it";
        self.channel.close(why);
        Err(Error::Cancelled(why.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::wire::fake;

    /// The messages of a COPY of these rows, with the messages in between that may come at any time.
    fn copy_of(rows: &[&[u8]]) -> Vec<u8> {
        let mut bytes = [fake::complete("SET"), fake::message(b'H', &[0, 0, 0])].concat();
        for (i, row) in rows.iter().enumerate() {
            if i == 2 {
                bytes.extend(fake::message(b'N', &[b'x'; 300]));
                bytes.extend(fake::message(b'S', b"a\0b\0"));
            }
            bytes.extend(fake::message(b'd', row));
        }
        let tag = format!("COPY {}", rows.len());
        bytes.extend([fake::message(b'c', b""), fake::complete(&tag), fake::ready()].concat());
        bytes
    }

    /// Runs a COPY and returns its outcome and the data taken.
    fn run(connection: &mut Connection) -> (Result<u64>, Vec<u8>) {
        let mut data = Vec::new();
        let outcome = connection.copy_out("copy t to stdout", &mut |buffer: Vec<u8>| {
            assert!(!buffer.is_empty() && buffer.len() <= BUFFER_BYTES);
            data.extend(buffer);
            ControlFlow::Continue(())
        });
        (outcome, data)
    }

    #[test]
    fn the_same_data_arrives_however_it_is_cut() {
        let rows: &[&[u8]] = &[b"first", b"", b"d\0\0\0\x04", b"third row", b"x"];
        let bytes = copy_of(rows);
        let cuts = (1..bytes.len()).map(|at| vec![at, bytes.len()]);
        for pieces in cuts.chain((1..20).map(|piece| vec![piece])) {
            let mut connection = fake::session(bytes.clone(), &pieces);
            let (outcome, data) = run(&mut connection);
            assert_eq!(outcome.unwrap(), 5, "{pieces:?}");
            assert_eq!(data, rows.concat(), "{pieces:?}");
            assert_eq!(connection.parameter("a"), Some("b"));
        }
    }

    #[test]
    fn several_copies_come_one_after_the_other() {
        #[derive(Default)]
        struct Ends {
            data: Vec<u8>,
            ends: Vec<(u64, usize)>,
        }
        impl CopySink for Ends {
            fn push(&mut self, buffer: Vec<u8>) -> ControlFlow<()> {
                self.data.extend(buffer);
                ControlFlow::Continue(())
            }
            fn end(&mut self, rows: u64) {
                self.ends.push((rows, self.data.len()));
            }
        }
        let copies: [&[&[u8]]; 4] = [&[b"first", b"second"], &[], &[b"d", b"third", b"x"], &[b"!"]];
        let mut bytes = Vec::new();
        for rows in copies {
            let copy = copy_of(rows);
            bytes.extend(&copy[..copy.len() - fake::ready().len()]);
        }
        let answer = [&bytes[..], &fake::ready()].concat();
        for pieces in [vec![1], vec![7], vec![usize::MAX]] {
            let mut sink = Ends::default();
            let mut connection = fake::session(answer.clone(), &pieces);
            assert_eq!(connection.copy_out_all(&["copy"; 4], &mut sink).unwrap(), 6);
            assert_eq!(sink.ends, [(2, 11), (0, 11), (3, 18), (1, 19)]);
            // One more or less than was asked for is refused.
            for count in [3, 5] {
                let mut connection = fake::session(answer.clone(), &pieces);
                let outcome = connection.copy_out_all(&vec!["copy"; count], &mut sink);
                assert!(matches!(outcome, Err(Error::Protocol(_))), "{outcome:?}");
            }
        }
    }

    #[test]
    fn a_row_may_be_longer_than_any_buffer() {
        let long: Vec<u8> =
            (0..3 * BUFFER_BYTES + 17).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let full = vec![1; BUFFER_BYTES];
        let rows: &[&[u8]] = &[b"a", &long, &full, &long, b"b"];
        for pieces in [vec![1000], vec![8192], vec![9, usize::MAX], vec![usize::MAX]] {
            let (outcome, data) = run(&mut fake::session(copy_of(rows), &pieces));
            assert_eq!(outcome.unwrap(), 5);
            assert!(data == rows.concat(), "{pieces:?}");
        }
    }

    #[test]
    fn an_end_at_any_byte_is_a_lost_connection() {
        let bytes = copy_of(&[b"first", b"second", b"third"]);
        for length in 0..bytes.len() {
            let mut connection = fake::session(bytes[..length].to_vec(), &[7]);
            let (outcome, _) = run(&mut connection);
            assert!(matches!(outcome, Err(Error::Lost(_))), "{length}: {outcome:?}");
            assert!(connection.is_closed());
        }
    }

    #[test]
    fn an_error_of_the_server_in_mid_stream_leaves_the_session() {
        let bytes = [
            fake::message(b'H', &[0, 0, 0]),
            fake::message(b'd', b"row"),
            fake::error("22P02", "no good"),
            fake::ready(),
            copy_of(&[b"again"]),
        ]
        .concat();
        let mut connection = fake::session(bytes, &[usize::MAX]);
        let (outcome, data) = run(&mut connection);
        assert_eq!(outcome.unwrap_err().sqlstate(), "22P02");
        assert_eq!(data, b"row");
        assert_eq!(run(&mut connection).1, b"again");
    }

    #[test]
    fn a_sink_that_breaks_off_ends_the_session() {
        let mut connection = fake::session(copy_of(&[b"row"]), &[usize::MAX]);
        let outcome = connection.copy_out("copy", &mut |_: Vec<u8>| ControlFlow::Break(()));
        assert!(matches!(outcome, Err(Error::Cancelled(_))));
        assert!(matches!(connection.execute("select"), Err(Error::Lost(_))));
    }

    #[test]
    fn what_breaks_the_protocol_is_refused() {
        let start = fake::message(b'H', &[0, 0, 0]);
        for rest in [
            b"d\0\0\0\x03".to_vec(),
            b"d\xff\xff\xff\xff".to_vec(),
            b"c\x7f\xff\xff\xff".to_vec(),
            start.clone(),
            fake::row(&[]),
            fake::complete("COPY 1"),
            fake::ready(),
            [fake::message(b'c', b""), fake::message(b'd', b"")].concat(),
            [fake::message(b'c', b""), fake::ready()].concat(),
        ] {
            let (outcome, _) = run(&mut fake::session([&start[..], &rest].concat(), &[usize::MAX]));
            assert!(matches!(outcome, Err(Error::Protocol(_))), "{rest:?}: {outcome:?}");
        }
    }

    #[test]
    fn data_without_data_and_results_without_end_are_refused() {
        let start = fake::message(b'H', &[0, 0, 0]);
        let empty = fake::message(b'd', b"");
        let notice = fake::message(b'N', b"x");
        for (first, again) in [
            (&start, empty.clone()),
            (&start, [empty, notice.clone()].concat()),
            (&start, notice),
            (&Vec::new(), fake::complete("SET")),
            (&Vec::new(), fake::message(b'S', b"a\0b\0")),
        ] {
            let mut connection = fake::endless(first.clone(), again.clone());
            let (outcome, _) = run(&mut connection);
            assert!(matches!(outcome, Err(Error::Protocol(_))), "{again:?}: {outcome:?}");
        }
    }

    #[test]
    fn used_buffers_are_used_again() {
        /// Takes each buffer back at once.
        struct Recycler {
            free: Vec<Vec<u8>>,
            places: std::collections::BTreeSet<*const u8>,
        }
        impl CopySink for Recycler {
            fn take_buffer(&mut self) -> Option<Vec<u8>> {
                self.free.pop()
            }
            fn push(&mut self, mut buffer: Vec<u8>) -> ControlFlow<()> {
                self.places.insert(buffer.as_ptr());
                buffer.clear();
                self.free.push(buffer);
                ControlFlow::Continue(())
            }
        }
        let row = vec![0; 20 * BUFFER_BYTES];
        let mut sink = Recycler { free: Vec::new(), places: Default::default() };
        let mut connection = fake::session(copy_of(&[&row]), &[usize::MAX]);
        assert_eq!(connection.copy_out("copy", &mut sink).unwrap(), 1);
        // Two, one of which grows after the first round.
        assert!(sink.places.len() <= 3, "{} buffers", sink.places.len());
    }
}
