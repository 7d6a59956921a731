//! A source that lies: what a real server says, with one lie in it.
//!
//! A listener hands everything on between pgmig and a server. It counts the server's messages over all
//! connections and changes the one that its plan names. When a lie has made both sides wait for each
//! other, the connection ends after a moment of silence.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::cluster::Cluster;

/// Silence after a lie that ends the connection: nobody has anything to say any more.
const SILENCE: Duration = Duration::from_millis(300);

/// Bytes after which the liar gives up what is endless: pgmig must do so earlier.
pub const ENDLESS: usize = 2 << 30;

/// What is done to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lie {
    /// Its length is said to be another one.
    Length(i32),
    /// Its type is another one.
    Tag(u8),
    /// It is left out.
    Drop,
    /// It comes twice.
    Twice,
    /// It never ends coming.
    Endless,
    /// These bytes come behind it, again and again up to so many.
    Flood(Vec<u8>, usize),
    /// The connection ends in the middle of it.
    Half,
    /// The same with the first one that has this text.
    HalfOf(&'static str),
    /// These bytes come before it.
    Before(Vec<u8>),
    /// A text in its body is replaced by one as long or longer.
    Replace(&'static str, &'static str),
    /// Its body begins with other bytes.
    Start(&'static [u8]),
}

/// One lie, told at a message.
#[derive(Debug)]
struct Plan {
    lie: Lie,
    /// The first message that it can be told at, by number, that is of this type, if one is given.
    number: usize,
    tag: Option<u8>,
    said: AtomicUsize,
    is_told: AtomicBool,
}

/// The listener; it tells one lie at a time.
pub struct Liar {
    port: u16,
    plan: Arc<Mutex<Arc<Plan>>>,
}

impl Liar {
    /// Listens on a free port in front of a cluster's socket.
    pub fn in_front_of(cluster: &Cluster) -> Result<Liar> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let plan = Arc::new(Mutex::new(Arc::new(Plan::new(Lie::Drop, usize::MAX, None))));
        let socket = cluster.directory().join(format!(".s.PGSQL.{}", cluster.port()));
        let shared = Arc::clone(&plan);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let plan = Arc::clone(&shared.lock().unwrap_or_else(PoisonError::into_inner));
                let socket = socket.clone();
                thread::spawn(move || {
                    // What goes wrong here is what the test wants to happen.
                    let _ = serve(client, &socket, &plan);
                });
            }
        });
        Ok(Liar { port, plan })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Plans a lie for the connections to come.
    pub fn plan(&self, lie: Lie, number: usize, tag: Option<u8>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(Plan::new(lie, number, tag));
    }

    /// Whether the lie has been told, and how many messages came before.
    pub fn outcome(&self) -> (bool, usize) {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        (plan.is_told.load(Ordering::SeqCst), plan.said.load(Ordering::SeqCst))
    }
}

impl Plan {
    fn new(lie: Lie, number: usize, tag: Option<u8>) -> Plan {
        Plan { lie, number, tag, said: AtomicUsize::new(0), is_told: AtomicBool::new(false) }
    }

    /// Whether the lie is told at this message.
    fn is_due(&self, tag: u8, body: &[u8]) -> bool {
        let number = self.said.fetch_add(1, Ordering::SeqCst);
        let fits = match &self.lie {
            Lie::Replace(text, _) | Lie::HalfOf(text) => find(body, text.as_bytes()).is_some(),
            _ => true,
        };
        number >= self.number
            && fits
            && self.tag.is_none_or(|wanted| wanted == tag)
            && !self.is_told.swap(true, Ordering::SeqCst)
    }
}

/// Hands on between a client and the server.
fn serve(client: TcpStream, socket: &PathBuf, plan: &Plan) -> Result<()> {
    let server = UnixStream::connect(socket)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let outcome = relay(&server, &client, plan);
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    outcome
}

/// Hands on the server's messages.
fn relay(mut server: &UnixStream, mut client: &TcpStream, plan: &Plan) -> Result<()> {
    loop {
        let mut header = [0; 5];
        server.read_exact(&mut header)?;
        let length = i32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let mut message = header.to_vec();
        message.resize(usize::try_from(length)? + 1, 0);
        server.read_exact(&mut message[5..])?;
        if !plan.is_due(header[0], &message[5..]) {
            client.write_all(&message)?;
            continue;
        }
        match &plan.lie {
            Lie::Length(length) => message[1..5].copy_from_slice(&length.to_be_bytes()),
            Lie::Tag(tag) => message[0] = *tag,
            Lie::Drop => message.clear(),
            Lie::Twice => message.extend_from_within(..),
            Lie::Endless => return flood(client, &message, ENDLESS),
            Lie::Flood(bytes, limit) => {
                client.write_all(&message)?;
                return flood(client, bytes, *limit);
            }
            Lie::Half | Lie::HalfOf(_) => {
                client.write_all(&message[..message.len() / 2])?;
                return Ok(());
            }
            Lie::Before(bytes) => drop(message.splice(..0, bytes.iter().copied())),
            Lie::Replace(from, to) => {
                let at = find(&message, from.as_bytes()).unwrap_or(5);
                message.splice(at..at + from.len(), to.bytes());
                lengthen(&mut message, to.len() - from.len());
            }
            Lie::Start(bytes) => {
                let end = message.len().min(5 + bytes.len());
                message[5..end].copy_from_slice(&bytes[..end - 5]);
            }
        }
        client.write_all(&message)?;
        return relay_until_silence(server, client);
    }
}

/// Says the same again and again, and then no more.
fn flood(mut client: &TcpStream, bytes: &[u8], limit: usize) -> Result<()> {
    let many = bytes.repeat(1 + 65_536 / bytes.len());
    for _ in 0..limit / many.len() {
        client.write_all(&many)?;
    }
    Ok(())
}

/// Adds to the length of a row of one column and of its message.
fn lengthen(message: &mut [u8], added: usize) {
    let added = i32::try_from(added).unwrap_or_default();
    let is_row = message[0] == b'D';
    for at in [1, 7].into_iter().take(if is_row { 2 } else { 1 }) {
        if let Some(field) = message[at..].first_chunk_mut::<4>() {
            *field = (i32::from_be_bytes(*field) + added).to_be_bytes();
        }
    }
}

/// Hands on whatever the server still says, until it says nothing for a while.
fn relay_until_silence(mut server: &UnixStream, mut client: &TcpStream) -> Result<()> {
    server.set_read_timeout(Some(SILENCE))?;
    let mut buffer = [0; 65_536];
    loop {
        match server.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => client.write_all(&buffer[..count])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where a text begins in bytes.
fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}
