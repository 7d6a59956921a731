//! Sockets: the one place that knows what a connection runs over.
//!
//! A `Socket` is what timeouts and shutdown apply to; a `Stream` is where bytes are read and written:
//! the socket itself, or TLS over it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};

use crate::source::dsn::TcpOptions;

/// Where bytes of the protocol are read and written.
pub(super) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// The address of a server, looked up.
#[derive(Debug, Clone, Hash)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects within `timeout`; None leaves it to the system.
    pub(super) fn open(
        address: &Address,
        timeout: Option<Duration>,
        options: &TcpOptions,
    ) -> io::Result<Socket> {
        match address {
            Address::Unix(path) => UnixStream::connect(path).map(Socket::Unix),
            Address::Tcp(address) => {
                let stream = match timeout {
                    Some(timeout) => TcpStream::connect_timeout(address, timeout)?,
                    None => TcpStream::connect(address)?,
                };
                stream.set_nodelay(true)?;
                set_tcp_options(&stream, options)?;
                Ok(Socket::Tcp(stream))
            }
        }
    }

    /// Lets a read or write fail that makes no progress for `timeout`; None waits for ever.
    pub(super) fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Socket::Unix(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
        }
    }

    /// Limits the next read or write to what is left until `deadline`.
    pub(super) fn limit(&self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(deadline) = deadline else {
            return Ok(());
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.set_timeout(Some(left))
    }

    /// Ends the connection; reads and writes blocked on it return at once.
    pub(super) fn shut_down(&self) {
        // An error means that the socket is not connected any more, which is what is wanted.
        let _ = match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// Applies keepalives and the user timeout.
fn set_tcp_options(stream: &TcpStream, options: &TcpOptions) -> io::Result<()> {
    let socket = SockRef::from(stream);
    if options.keepalives {
        let mut keepalive = TcpKeepalive::new().with_time(options.keepalives_idle);
        if let Some(interval) = options.keepalives_interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(count) = options.keepalives_count {
            keepalive = keepalive.with_retries(count);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    socket.set_tcp_user_timeout(options.user_timeout)
}

/// The stream without TLS.
pub(super) struct PlainStream(pub(super) Arc<Socket>);

impl Read for PlainStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &*self.0 {
            Socket::Tcp(stream) => (&mut &*stream).read(buffer),
            Socket::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }
}

impl Write for PlainStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*self.0 {
            Socket::Tcp(stream) => (&mut &*stream).write(bytes),
            Socket::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::source::dsn::Dsn;

    #[test]
    fn keepalives_and_the_user_timeout_reach_the_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let open = |parameters: &str| {
            let dsn = Dsn::parse(parameters).unwrap();
            match Socket::open(&address, None, dsn.tcp()).unwrap() {
                Socket::Tcp(stream) => socket2::Socket::from(stream),
                Socket::Unix(_) => unreachable!(),
            }
        };
        let seconds = Duration::from_secs;
        let system = open("keepalives=0");
        assert!(!system.keepalive().unwrap());
        assert_eq!(system.tcp_user_timeout().unwrap(), None);

        // Without a word: what firewalls forget is kept alive.
        let socket = open("");
        assert!(socket.keepalive().unwrap());
        assert!(socket.tcp_keepalive_time().unwrap() < seconds(300));
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            system.tcp_keepalive_interval().unwrap()
        );

        let socket = open(
            "keepalives_idle=77 keepalives_interval=7 keepalives_count=5 tcp_user_timeout=9500",
        );
        assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(77));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(7));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 5);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_millis(9500)));
    }
}
