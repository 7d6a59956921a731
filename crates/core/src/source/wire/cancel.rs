//! Asking the server to cancel what a session is doing, over a connection of its own.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::Duration;

use super::message;
use super::socket::{Address, PlainStream, Socket};
use crate::source::dsn::TcpOptions;
use crate::{Error, Result};

/// Seconds for the request to be taken; a cancel is sent while somebody waits.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What is needed to cancel a session's statement from any thread.
#[derive(Clone)]
pub struct CancelToken {
    pub(super) address: Address,
    pub(super) tcp: TcpOptions,
    pub(super) process_id: i32,
    pub(super) secret_key: i32,
}

impl CancelToken {
    /// Sends the request; Ok says that it was sent, not that anything was cancelled. Blocks for a few
    /// seconds at most.
    pub fn cancel(&self) -> Result<()> {
        self.send().map_err(|error| Error::Connect {
            message: format!("could not send a cancel request to the source: {error}"),
            sqlstate: None,
            hint: None,
        })
    }

    /// Sends the request and waits until the server has taken it.
    fn send(&self) -> io::Result<()> {
        let socket = Socket::open(&self.address, Some(CANCEL_TIMEOUT), &self.tcp)?;
        socket.set_timeout(Some(CANCEL_TIMEOUT))?;
        let mut stream = PlainStream(socket.into());
        stream.write_all(&message::cancel_request(self.process_id, self.secret_key))?;
        // The server answers by closing the connection once it has signalled the session.
        stream.read(&mut [0]).map(drop)
    }
}

/// Shows the server process, not the key.
impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelToken(pid {})", self.process_id)
    }
}
