//! Messages over a stream: framing, bounded buffering, and what may arrive at any time.
//!
//! Comes in: bytes of the server. Goes out: one message at a time, or raw bytes for the bulk path.
//! What must hold: a message is buffered only up to the limit in force; notices and notifications are
//! skipped unread; once an error has left the position in the stream unknown, the channel is closed.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroize;

use super::message::{self, HEADER_BYTES};
use super::silence::{self, Silence};
use super::socket::{Socket, Stream};
use crate::{Error, Result};

/// Bytes asked of the socket at a time for control messages.
const READ_BYTES: usize = 32 * 1024;

/// Longest message buffered during login, when the other side may be anything: a real answer is far
/// shorter, and text of another protocol read as a length is far longer.
pub(super) const LOGIN_MESSAGE_BYTES: usize = 64 * 1024;

/// Longest message buffered afterwards: the largest function body or JSON row, with room to spare.
pub(super) const MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Notices and reports taken one after another: sessions ask for no notices, so that any number like
/// this says that no answer will ever come.
const MAX_ASIDES: u32 = 100_000;

/// Session parameters remembered; PostgreSQL 18 reports 15, and a server could send any number.
const MAX_PARAMETERS: usize = 64;

/// Ends a connection from another thread, so that a blocked read returns.
#[derive(Debug, Clone)]
pub struct ShutdownHandle(Arc<Socket>);

impl ShutdownHandle {
    /// Shuts the socket down; the connection's next or current call fails with `Error::Lost`.
    pub fn shut_down(&self) {
        self.0.shut_down();
    }
}

/// A message whose body lies in the channel's buffer until the next one is read.
pub(super) struct Message {
    pub(super) tag: u8,
    body: Range<usize>,
}

/// A stream cut into messages.
pub(super) struct Channel {
    stream: Box<dyn Stream>,
    socket: Arc<Socket>,
    /// Bytes read and not yet consumed are `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// When the login must have ended.
    deadline: Option<Instant>,
    /// Longest message buffered.
    limit: usize,
    /// Values of ParameterStatus.
    parameters: BTreeMap<String, String>,
    /// Why the channel cannot be used any more.
    closed: Option<String>,
    /// What is done about a server that says nothing.
    silence: Option<Silence>,
}

impl Channel {
    /// A channel in its login phase, which must be over at `deadline`; the stream runs over `socket`.
    pub(super) fn new(
        stream: Box<dyn Stream>,
        socket: Arc<Socket>,
        deadline: Option<Instant>,
    ) -> Channel {
        Channel {
            stream,
            socket,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            deadline,
            limit: LOGIN_MESSAGE_BYTES,
            parameters: BTreeMap::new(),
            closed: None,
            silence: None,
        }
    }

    /// Ends the login phase: no deadline any more, messages of ordinary size.
    pub(super) fn end_login(&mut self) -> Result<()> {
        self.deadline = None;
        self.limit = MESSAGE_BYTES;
        self.socket.set_timeout(None).map_err(|error| self.lose(&error))
    }

    /// Has the server watched from now on while it says nothing; after the login.
    pub(super) fn watch(&mut self, silence: Silence) -> Result<()> {
        self.silence = Some(silence);
        self.socket.set_timeout(Some(silence::INTERVAL)).map_err(|error| self.lose(&error))
    }

    /// A handle that ends this connection from another thread.
    pub(super) fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle(Arc::clone(&self.socket))
    }

    /// The last value the server reported for a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Whether the channel cannot be used any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Shuts the connection down for good; later calls fail with `why`.
    pub(super) fn close(&mut self, why: &str) {
        if self.closed.is_none() {
            self.closed = Some(why.to_owned());
            self.socket.shut_down();
        }
    }

    /// Closes the channel because the server did `what` against the protocol.
    pub(super) fn violate(&mut self, what: impl Into<String>) -> Error {
        let what = what.into();
        self.close(&what);
        Error::Protocol(what)
    }

    /// Closes the channel because of an error of the socket.
    fn lose(&mut self, error: &io::Error) -> Error {
        let why = match error {
            _ if is_timeout(error) && self.silence.is_some() => {
                "the network has stopped passing bytes".to_owned()
            }
            _ if is_timeout(error) => "no answer within the time allowed".to_owned(),
            _ => error.to_string(),
        };
        self.close(&why);
        Error::Lost(why)
    }

    /// Fails if the channel cannot be used any more.
    fn check_open(&self) -> Result<()> {
        match &self.closed {
            Some(why) => Err(Error::Lost(why.clone())),
            None => Ok(()),
        }
    }

    /// Limits the next socket call to what is left of the login's time.
    fn apply_deadline(&mut self) -> Result<()> {
        self.socket.limit(self.deadline).map_err(|error| self.lose(&error))
    }

    /// Sends bytes that are one or more whole messages.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.check_open()?;
        self.apply_deadline()?;
        self.stream
            .write_all(bytes)
            .and_then(|()| self.stream.flush())
            .map_err(|error| self.lose(&error))
    }

    /// Reads the next message other than notices, notifications and parameter reports.
    pub(super) fn receive(&mut self) -> Result<Message> {
        let (tag, length) = self.await_message()?;
        self.take_message(tag, length)
    }

    /// The type of the message that `receive` would return next.
    pub(super) fn next_tag(&mut self) -> Result<u8> {
        self.await_message().map(|(tag, _)| tag)
    }

    /// Deals with messages that may come at any time, up to the header of one that may not.
    fn await_message(&mut self) -> Result<(u8, usize)> {
        for _ in 0..MAX_ASIDES {
            match self.peek_header()? {
                (b'N' | b'A', length) => self.skip(HEADER_BYTES + length)?,
                (b'S', length) => {
                    let message = self.take_message(b'S', length)?;
                    self.remember_parameter(&message)?;
                }
                header => return Ok(header),
            }
        }
        Err(self.violate("notices without end"))
    }

    /// The body of `message`, which must be the last one received.
    pub(super) fn body(&self, message: &Message) -> &[u8] {
        &self.buffer[message.body.clone()]
    }

    /// Reads the header of the next message and leaves it in the buffer.
    fn peek_header(&mut self) -> Result<(u8, usize)> {
        self.buffer_at_least(HEADER_BYTES)?;
        match message::parse_header(&self.buffer[self.start..self.end]) {
            Some(header) => Ok(header),
            None => Err(self.violate("a message has an impossible length")),
        }
    }

    /// Takes a message whose header has been peeked at off the buffer.
    fn take_message(&mut self, tag: u8, length: usize) -> Result<Message> {
        if length > self.limit {
            let tag = char::from(tag).escape_default();
            return Err(self.violate(format!("a message of type \"{tag}\" has {length} bytes")));
        }
        self.buffer_at_least(HEADER_BYTES + length)?;
        let body = self.start + HEADER_BYTES..self.start + HEADER_BYTES + length;
        self.start = body.end;
        Ok(Message { tag, body })
    }

    /// Records a ParameterStatus.
    fn remember_parameter(&mut self, message: &Message) -> Result<()> {
        let Some((name, value)) = message::parse_parameter(self.body(message)) else {
            return Err(self.violate("a parameter report cannot be read"));
        };
        if self.parameters.len() < MAX_PARAMETERS || self.parameters.contains_key(&name) {
            self.parameters.insert(name, value);
        }
        Ok(())
    }

    /// Reads until at least `wanted` bytes are buffered, growing the buffer no faster than data comes.
    fn buffer_at_least(&mut self, wanted: usize) -> Result<()> {
        self.check_open()?;
        if self.end - self.start >= wanted {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if wanted <= READ_BYTES && self.end <= READ_BYTES && self.buffer.len() > READ_BYTES {
            self.resize_buffer(READ_BYTES);
        }
        while self.end < wanted {
            if self.end == self.buffer.len() {
                self.resize_buffer((2 * self.end).min(wanted).max(READ_BYTES));
            }
            self.end += self.read_socket(None)?;
        }
        Ok(())
    }

    /// Wipes what the buffer holds beside bytes that have not been consumed yet.
    pub(super) fn wipe_read(&mut self) {
        self.buffer[..self.start].zeroize();
        self.buffer[self.end..].zeroize();
    }

    /// Makes the buffer larger or smaller and leaves no copy of it behind.
    fn resize_buffer(&mut self, length: usize) {
        let mut buffer = vec![0; length];
        buffer[..self.end].copy_from_slice(&self.buffer[..self.end]);
        std::mem::swap(&mut self.buffer, &mut buffer);
        buffer.zeroize();
    }

    /// Skips `count` bytes without keeping them.
    fn skip(&mut self, mut count: usize) -> Result<()> {
        loop {
            let buffered = (self.end - self.start).min(count);
            self.start += buffered;
            count -= buffered;
            if count == 0 {
                return Ok(());
            }
            self.buffer_at_least(1)?;
        }
    }

    /// Reads raw bytes into `target`, buffered ones first; at least one byte.
    pub(super) fn read_raw(&mut self, target: &mut [u8]) -> Result<usize> {
        self.check_open()?;
        let buffered = (self.end - self.start).min(target.len());
        if buffered == 0 {
            return self.read_socket(Some(target));
        }
        target[..buffered].copy_from_slice(&self.buffer[self.start..self.start + buffered]);
        self.start += buffered;
        Ok(buffered)
    }

    /// Puts bytes back that `read_raw` gave and that belong to messages.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        let mut restored = Vec::with_capacity(READ_BYTES.max(bytes.len()));
        restored.extend_from_slice(bytes);
        restored.extend_from_slice(&self.buffer[self.start..self.end]);
        self.start = 0;
        self.end = restored.len();
        restored.resize(READ_BYTES.max(self.end), 0);
        std::mem::replace(&mut self.buffer, restored).zeroize();
    }

    /// One read of the stream, into `target` or else behind the buffered bytes.
    fn read_socket(&mut self, target: Option<&mut [u8]>) -> Result<usize> {
        let target = target.unwrap_or(&mut self.buffer[self.end..]);
        let result = loop {
            // Each try has what is left, so that bytes that trickle in do not stretch the login.
            if let Err(error) = self.socket.limit(self.deadline) {
                break Err(error);
            }
            match self.stream.read(target) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {
                    if !self.silence.as_mut().is_some_and(Silence::goes_on) {
                        break Err(error);
                    }
                }
                result => break result,
            }
        };
        match result {
            Ok(0) => {
                let why = "the server closed the connection";
                self.close(why);
                Err(Error::Lost(why.to_owned()))
            }
            Ok(count) => {
                if let Some(silence) = &mut self.silence {
                    silence.break_off();
                }
                Ok(count)
            }
            Err(error) => Err(self.lose(&error)),
        }
    }

    /// The text of an error in the form before protocol 3, which a server that cannot start a process
    /// for us still sends; to be called before the first message is received.
    pub(super) fn receive_old_error(&mut self) -> Result<Option<String>> {
        self.buffer_at_least(HEADER_BYTES)?;
        let bytes = &self.buffer[self.start..self.end];
        let is_old = bytes[0] == b'E'
            && message::parse_header(bytes).is_none_or(|(_, length)| length > LOGIN_MESSAGE_BYTES);
        if !is_old {
            return Ok(None);
        }
        let text = bytes[1..].split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(Some(message::clean(String::from_utf8_lossy(text).trim())))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Says goodbye, so that the server does not log a lost client.
impl Drop for Channel {
    fn drop(&mut self) {
        if !self.is_closed() {
            // Nobody is left to be told of an error.
            let _ = self.send(&message::terminate());
            self.socket.shut_down();
        }
        // The last messages may have held secrets.
        self.buffer.zeroize();
    }
}
