//! A server that says what a test tells it to: in memory for what follows the login, over TCP for the
//! login itself.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::channel::Channel;
use super::connection::Connection;
use super::message::HEADER_BYTES;
use super::socket::{Address, Socket};
use super::{CancelToken, Server};
use crate::source::dsn::Dsn;

/// Process id in the greeting.
pub(in crate::source) const PROCESS_ID: i32 = 4711;

/// A message.
pub(in crate::source) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

/// An ErrorResponse.
pub(in crate::source) fn error(sqlstate: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0C{sqlstate}\0M{text}\0\0").as_bytes())
}

/// An authentication request.
pub(in crate::source) fn authentication(kind: i32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes(), data].concat())
}

/// A DataRow.
pub(in crate::source) fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = i16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        body.extend(length.to_be_bytes());
        body.extend(value.unwrap_or_default());
    }
    message(b'D', &body)
}

/// A RowDescription; its content is not looked at.
pub(in crate::source) fn columns() -> Vec<u8> {
    message(b'T', &[0, 0])
}

/// A CommandComplete.
pub(in crate::source) fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

/// A ReadyForQuery outside a transaction.
pub(in crate::source) fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// What follows a successful authentication.
pub(in crate::source) fn greeting() -> Vec<u8> {
    let key = [PROCESS_ID.to_be_bytes(), 99_i32.to_be_bytes()].concat();
    [
        authentication(0, b""),
        message(b'S', b"server_version\x0015.1\0"),
        message(b'K', &key),
        ready(),
    ]
    .concat()
}

/// The answer to `identify.sql`.
pub(in crate::source) fn identity(version_num: &str, version: &str, pid: i32) -> Vec<u8> {
    let pid = pid.to_string();
    let text = [version_num, version, &pid, "f", "f"].map(|value| Some(value.as_bytes()));
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

/// A session whose server says `bytes` whatever it is sent, in pieces of the given sizes, and then
/// closes the connection.
pub(in crate::source) fn session(bytes: Vec<u8>, pieces: &[usize]) -> Connection {
    let canned = Canned { bytes: io::Cursor::new(bytes), pieces: pieces.to_vec() };
    let (near, _) = UnixStream::pair().unwrap();
    let channel = Channel::new(Box::new(canned), Arc::new(Socket::Unix(near)), None);
    let cancel = CancelToken {
        address: Address::Unix("/nowhere".into()),
        tcp: Dsn::parse("").unwrap().tcp().clone(),
        tls: None,
        process_id: PROCESS_ID,
        secret_key: 0,
    };
    let mut connection = Connection::new(channel, cancel, false);
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
pub(in crate::source) fn serve(script: Vec<Vec<u8>>) -> (u16, JoinHandle<Vec<Vec<u8>>>) {
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
