//! Asking the server to cancel what a session is doing, over a connection of its own.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message;
use super::socket::{Address, PlainStream, Socket, Stream};
use super::tls::{self, TlsConnector};
use crate::source::dsn::TcpOptions;
use crate::{Error, Result};

/// Seconds for the request to be taken; a cancel is sent while somebody waits.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What is needed to cancel a session's statement from any thread.
#[derive(Clone)]
pub struct CancelToken {
    pub(super) address: Address,
    pub(super) tcp: TcpOptions,
    /// How the session is encrypted, if it is: its key is not for others to see.
    pub(super) tls: Option<TlsConnector>,
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
        let deadline = Instant::now() + CANCEL_TIMEOUT;
        let socket = Arc::new(Socket::open(&self.address, Some(CANCEL_TIMEOUT), &self.tcp)?);
        let mut stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(PlainStream(Arc::clone(&socket))),
            Some(tls) => match tls.start(&socket, Some(deadline)) {
                Ok(encrypted) => Box::new(encrypted.stream),
                Err(tls::Failure::Refused) => {
                    return Err(io::Error::other("the server does not support TLS any more"));
                }
                Err(tls::Failure::Broken(why)) => return Err(io::Error::other(why)),
            },
        };
        socket.limit(Some(deadline))?;
        stream.write_all(&message::cancel_request(self.process_id, self.secret_key))?;
        // The server answers by closing the connection once it has signalled the session.
        match stream.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

/// Shows the server process, not the key.
impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelToken(pid {})", self.process_id)
    }
}
