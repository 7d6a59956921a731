//! A COPY stream from the source: read on the session's thread, handed over in buffers.

use std::ops::ControlFlow;

use crossbeam_channel::{Receiver, Sender, bounded};
use pgmig_core::digest::{Digest, StreamDigest};
use pgmig_core::source::wire::{Connection, CopySink};
use pgmig_core::{Error, Result};

use crate::pg::copy_in::Chunk;
use crate::pg::thread::{Actor, Pending};

/// Buffers on their way to the main thread: with a quarter of a megabyte each, enough to keep both
/// sides busy and little enough to bound memory.
const BUFFERS_AHEAD: usize = 8;

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

/// Begins a copy; rows are hashed on the way if a digest is given.
pub fn open(
    actor: &Actor<Connection>,
    sql: String,
    digest: Option<StreamDigest>,
) -> Result<Stream> {
    let (chunk_sender, chunks) = bounded(BUFFERS_AHEAD);
    let (spent, spent_receiver) = bounded(BUFFERS_AHEAD);
    let outcome = actor.begin(move |connection| {
        let mut sink = Sink {
            chunks: chunk_sender.clone(),
            spent: spent_receiver,
            digest,
            bytes: 0,
            broken: None,
        };
        let copied = connection.copy_out(&sql, &mut sink);
        let copied = match sink.broken {
            Some(error) => Err(error),
            None => copied.and_then(|rows| {
                let digest = sink.digest.map(StreamDigest::finish).transpose()?;
                Ok(Sent { rows, bytes: sink.bytes, digest })
            }),
        };
        // The main thread may have given up on the stream; then nobody listens.
        let _ = chunk_sender.send(Chunk::End(copied.clone().map(drop)));
        copied
    })?;
    Ok(Stream { chunks, spent, outcome })
}

/// Passes buffers on to the main thread.
struct Sink {
    chunks: Sender<Chunk>,
    spent: Receiver<Vec<u8>>,
    digest: Option<StreamDigest>,
    bytes: u64,
    /// The stream is not what COPY writes.
    broken: Option<Error>,
}

impl CopySink for Sink {
    fn take_buffer(&mut self) -> Option<Vec<u8>> {
        self.spent.try_recv().ok()
    }

    fn push(&mut self, buffer: Vec<u8>) -> ControlFlow<()> {
        self.bytes += buffer.len() as u64;
        if let Some(digest) = &mut self.digest {
            if let Err(error) = digest.feed(&buffer) {
                self.broken = Some(error);
                return ControlFlow::Break(());
            }
        }
        match self.chunks.send(Chunk::Data(buffer)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}
