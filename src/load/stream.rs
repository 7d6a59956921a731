//! A COPY stream from the source: read on the session's thread, handed over in buffers.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use pgmig_core::digest::{Digest, StreamDigest};
use pgmig_core::source::wire::{Connection, CopySink};
use pgmig_core::{Error, Result};

use crate::pg::copy_in::Chunk;
use crate::pg::thread::{Actor, Answer, Pending};

/// Buffers on their way to the main thread: with a quarter of a megabyte each, enough to keep both
/// sides busy and little enough to bound memory.
const BUFFERS_AHEAD: usize = 8;

/// Buffers ahead of the main thread with which the reading thread rests for a moment.
const ENOUGH_AHEAD: usize = 2;

/// Time in which the source fills the socket, so that it is read in large pieces: without it the two
/// would wake each other for every few kilobytes.
const REST: Duration = Duration::from_millis(1);

/// A stream under way.
pub struct Stream {
    pub chunks: Receiver<Chunk>,
    /// Takes emptied buffers back.
    pub spent: Sender<Vec<u8>>,
    pub outcome: Pending<Result<Sent>>,
}

/// What the source has sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub rows: u64,
    pub bytes: u64,
    pub digest: Option<Digest>,
}

/// What is to be copied: the statement, and a digest if rows are hashed on the way.
pub struct Copy {
    pub sql: String,
    pub digest: Option<StreamDigest>,
}

/// Begins copies that the source sends one after another, without a pause; the streams are to be read
/// in order. An error of one ends those behind it too.
pub fn open_all(actor: &Actor<Connection>, copies: Vec<Copy>) -> Result<VecDeque<Stream>> {
    let (spent, spent_receiver) = bounded(BUFFERS_AHEAD);
    let mut streams = VecDeque::with_capacity(copies.len());
    let mut sqls = Vec::with_capacity(copies.len());
    let mut outlets = VecDeque::with_capacity(copies.len());
    for copy in copies {
        let (chunk_sender, chunks) = bounded(BUFFERS_AHEAD);
        let (answer, outcome) = Pending::new();
        streams.push_back(Stream { chunks, spent: spent.clone(), outcome });
        sqls.push(copy.sql);
        outlets.push_back(Outlet { chunks: chunk_sender, answer, digest: copy.digest, bytes: 0 });
    }
    actor.begin(move |connection| {
        let sqls: Vec<_> = sqls.iter().map(String::as_str).collect();
        let mut sink = Sink { outlets, spent: spent_receiver, broken: None };
        let copied = connection.copy_out_all(&sqls, &mut sink);
        if let Err(error) = sink.broken.map_or(copied, Err) {
            for outlet in sink.outlets {
                outlet.answer(Err(error.clone()));
            }
        }
    })?;
    Ok(streams)
}

/// The reading thread's end of a stream.
struct Outlet {
    chunks: Sender<Chunk>,
    answer: Answer<Result<Sent>>,
    digest: Option<StreamDigest>,
    bytes: u64,
}

impl Outlet {
    /// Says how the stream has ended. The main thread may have given up on it; then nobody listens.
    fn answer(self, sent: Result<Sent>) {
        let _ = self.chunks.send(Chunk::End(sent.as_ref().map(drop).map_err(Clone::clone)));
        self.answer.give(sent);
    }
}

/// Passes buffers on to the main thread.
struct Sink {
    /// The stream at hand and those to come.
    outlets: VecDeque<Outlet>,
    spent: Receiver<Vec<u8>>,
    /// The stream is not what COPY writes.
    broken: Option<Error>,
}

impl CopySink for Sink {
    fn take_buffer(&mut self) -> Option<Vec<u8>> {
        self.spent.try_recv().ok()
    }

    fn push(&mut self, buffer: Vec<u8>) -> ControlFlow<()> {
        let Some(outlet) = self.outlets.front_mut() else {
            return ControlFlow::Break(());
        };
        outlet.bytes += buffer.len() as u64;
        if let Some(digest) = &mut outlet.digest
            && let Err(error) = digest.feed(&buffer)
        {
            self.broken = Some(error);
            return ControlFlow::Break(());
        }
        match outlet.chunks.send(Chunk::Data(buffer)) {
            Ok(()) => {
                if outlet.chunks.len() >= ENOUGH_AHEAD {
                    thread::sleep(REST);
                }
                ControlFlow::Continue(())
            }
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn end(&mut self, rows: u64) {
        let Some(mut outlet) = self.outlets.pop_front() else {
            return;
        };
        let bytes = outlet.bytes;
        let digest = outlet.digest.take().map(StreamDigest::finish).transpose();
        outlet.answer(digest.map(|digest| Sent { rows, bytes, digest }));
    }
}
