//! A server that says what a test tells it to: in memory for what follows the login, over TCP for the
//! login itself.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::channel::Channel;
use super::connection::Connection;
use super::login::{self, Security};
use super::message::HEADER_BYTES;
use super::socket::{Address, Socket, Stream};
use super::{CancelToken, Server};
use crate::Result;
use crate::source::dsn::Dsn;
use crate::source::dsn::Endpoint;

/// Process id in the greeting.
pub(crate) const PROCESS_ID: i32 = 4711;

/// A message.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

/// An ErrorResponse.
pub(crate) fn error(sqlstate: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0C{sqlstate}\0M{text}\0\0").as_bytes())
}

/// An authentication request.
pub(crate) fn authentication(kind: i32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes(), data].concat())
}

/// A DataRow.
pub(crate) fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = i16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        body.extend(length.to_be_bytes());
        body.extend(value.unwrap_or_default());
    }
    message(b'D', &body)
}

/// A RowDescription; its content is not looked at.
pub(crate) fn columns() -> Vec<u8> {
    message(b'T', &[0, 0])
}

/// A CommandComplete.
pub(crate) fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

/// A ReadyForQuery outside a transaction.
pub(crate) fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// What follows a successful authentication.
pub(crate) fn greeting() -> Vec<u8> {
    let key = [PROCESS_ID.to_be_bytes(), 99_i32.to_be_bytes()].concat();
    [
        authentication(0, b""),
        message(b'S', b"server_version\x0015.1\0"),
        message(b'K', &key),
        ready(),
    ]
    .concat()
}

/// The answer to `identify.sql` of a server that takes everything.
pub(crate) fn identity(version_num: &str, version: &str, pid: i32) -> Vec<u8> {
    identity_in_state(version_num, version, pid, ["f", "f"])
}

/// The same of a server that says whether it is a standby, and whether it is read-only.
pub(crate) fn identity_in_state(
    version_num: &str,
    version: &str,
    pid: i32,
    [is_in_recovery, is_read_only]: [&str; 2],
) -> Vec<u8> {
    let pid = pid.to_string();
    let text = [version_num, version, &pid, is_in_recovery, is_read_only]
        .map(|value| Some(value.as_bytes()));
    [columns(), row(&text), complete("SELECT 1"), ready()].concat()
}

/// A server's bytes in memory; a read gives at most what the next of `pieces` allows, the last repeated.
struct Canned {
    bytes: io::Cursor<Vec<u8>>,
    pieces: Vec<usize>,
}

impl Read for Canned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = if self.pieces.len() > 1 { self.pieces.remove(0) } else { self.pieces[0] };
        let length = piece.min(buffer.len());
        self.bytes.read(&mut buffer[..length])
    }
}

impl Write for Canned {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server's bytes without end, a message at a time.
struct Endless {
    first: Vec<u8>,
    again: Vec<u8>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = match std::mem::take(&mut self.first) {
            first if first.is_empty() => self.again.clone(),
            first => first,
        };
        assert!(bytes.len() <= buffer.len());
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl Write for Endless {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A session whose server says `first` and then `again` for ever.
pub(crate) fn endless(first: Vec<u8>, again: Vec<u8>) -> Connection {
    over(Box::new(Endless { first, again }))
}

/// A session whose server says `bytes` whatever it is sent, in pieces of the given sizes, and then
/// closes the connection.
pub(crate) fn session(bytes: Vec<u8>, pieces: &[usize]) -> Connection {
    over(Box::new(Canned { bytes: io::Cursor::new(bytes), pieces: pieces.to_vec() }))
}

/// Logs in to a server that says `bytes` whatever it is sent.
pub(crate) fn log_in(bytes: Vec<u8>, pieces: &[usize], dsn: &Dsn) -> Result<bool> {
    let mut channel =
        channel(Box::new(Canned { bytes: io::Cursor::new(bytes), pieces: pieces.to_vec() }));
    // As if over TLS, so that every method is within reach.
    let security = Security { is_encrypted: true, end_point: Some(vec![0; 32]) };
    let endpoint = dsn.endpoints().remove(0);
    login::log_in(&mut channel, &security, dsn, &endpoint, "test")
        .map(|greeting| greeting.password_used)
}

/// A channel over a stream.
fn channel(stream: Box<dyn Stream>) -> Channel {
    let (near, _) = UnixStream::pair().unwrap();
    Channel::new(stream, Arc::new(Socket::Unix(near)), None)
}

/// A session over a stream.
fn over(stream: Box<dyn Stream>) -> Connection {
    let channel = channel(stream);
    let cancel = CancelToken {
        address: Address::Unix("/nowhere".into()),
        tcp: Dsn::parse("").unwrap().tcp().clone(),
        tls: None,
        process_id: PROCESS_ID,
        secret_key: 0,
    };
    let endpoint = Endpoint::Tcp { host: "fake".to_owned(), address: None, port: 1 };
    let mut connection = Connection::new(channel, cancel, endpoint, false);
    let server = Server {
        version_num: 150_001,
        version: "PostgreSQL 15.1".to_owned(),
        backend_pid: PROCESS_ID,
        is_in_recovery: false,
        is_read_only: false,
    };
    connection.begin_service(server).unwrap();
    connection
}

/// Listens on a free port, takes one client and answers each of its messages with the next part of the
/// script; then waits until the client leaves. Gives the port, and what the client sent.
pub(crate) fn serve(script: Vec<Vec<u8>>) -> (u16, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut received = vec![read_message(&mut client, HEADER_BYTES - 1)];
        for part in script {
            if client.write_all(&part).is_err() {
                return received;
            }
            match read_message(&mut client, HEADER_BYTES) {
                message if message.is_empty() => return received,
                message => received.push(message),
            }
        }
        received
    });
    (port, server)
}

/// Reads a message of the client, empty when it has left.
fn read_message(client: &mut TcpStream, header_bytes: usize) -> Vec<u8> {
    let mut message = vec![0; header_bytes];
    if client.read_exact(&mut message).is_err() {
        return Vec::new();
    }
    let length = i32::from_be_bytes(*message.last_chunk().unwrap());
    let mut body = vec![0; usize::try_from(length).unwrap() - 4];
    client.read_exact(&mut body).unwrap();
    message.extend(body);
    message
}
