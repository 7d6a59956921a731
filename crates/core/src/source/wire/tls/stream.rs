//! The stream inside TLS, with one read of the socket at a time, so that a deadline holds for each.

use std::io::{self, Read, Write};
use std::time::Instant;

use rustls::ClientConnection;

use super::super::socket::{PlainStream, Socket};
use super::describe;

/// A stream whose bytes are encrypted on their way through the socket.
pub(in crate::source::wire) struct TlsStream {
    connection: ClientConnection,
    plain: PlainStream,
}

impl TlsStream {
    /// The stream of a connection that has shaken hands.
    pub(super) fn new(connection: ClientConnection, plain: PlainStream) -> TlsStream {
        TlsStream { connection, plain }
    }
}

/// Shakes hands, until `deadline` at most however slowly bytes come.
pub(super) fn shake_hands(
    connection: &mut ClientConnection,
    plain: &mut PlainStream,
    socket: &Socket,
    deadline: Option<Instant>,
) -> io::Result<()> {
    loop {
        socket.limit(deadline)?;
        write_pending(connection, plain)?;
        if !connection.is_handshaking() {
            return Ok(());
        }
        if read_once(connection, plain)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Writes what the connection has to send.
fn write_pending(connection: &mut ClientConnection, plain: &mut PlainStream) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(plain)?;
    }
    Ok(())
}

/// Reads the socket once and decrypts what is complete; returns the number of bytes read.
fn read_once(connection: &mut ClientConnection, plain: &mut PlainStream) -> io::Result<usize> {
    let count = connection.read_tls(plain)?;
    if let Err(error) = connection.process_new_packets() {
        // The server is told why, if it still listens.
        let _ = write_pending(connection, plain);
        return Err(io::Error::new(io::ErrorKind::InvalidData, describe(&error)));
    }
    Ok(count)
}

/// Gives `Interrupted` when the socket was read and nothing is complete yet.
impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.connection.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The end without a farewell is for the layer above to judge, as on a plain socket.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            outcome => return outcome,
        }
        read_once(&mut self.connection, &mut self.plain)?;
        // Answers to what the protocol itself asks, such as new keys.
        write_pending(&mut self.connection, &mut self.plain)?;
        match self.connection.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::Interrupted.into())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            outcome => outcome,
        }
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.connection.writer().write(bytes)?;
        write_pending(&mut self.connection, &mut self.plain)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        write_pending(&mut self.connection, &mut self.plain)
    }
}
