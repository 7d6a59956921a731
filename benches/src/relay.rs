//! A way to a server that takes time: a TCP relay that holds every byte back for half of a round trip.
//!
//! For kernels without netem. What it cannot do is what a kernel does on a long way: open its windows
//! slowly, and send again what was lost. It counts how often the client had to wait for the server.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Chunks under way in one direction at most: 64 MB, more than any delay here lets pile up.
const MAX_UNDER_WAY: usize = 1024;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A relay on 127.0.0.1; it ends with this process.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    turn_count: Arc<AtomicU64>,
}

/// Bytes and the moment at which they arrive.
type Chunk = (Instant, Vec<u8>);

/// One direction of a connection.
struct Direction {
    from: TcpStream,
    to: TcpStream,
    half: Duration,
    /// Before this nothing of it can have arrived.
    not_before: Instant,
    is_of_client: bool,
    /// Whether the client was the last to say something.
    was_client: Arc<AtomicBool>,
    turn_count: Arc<AtomicU64>,
}

impl Relay {
    /// Opens a way to `server` on which a round trip takes `round_trip`.
    ///
    /// Threads, and with them all connections, belong to the network namespace of the caller.
    pub fn open(server: SocketAddr, round_trip: Duration) -> Result<Relay> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let turn_count = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&turn_count);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client whose server is gone finds its connection closed.
                let _ = connect(client, server, round_trip, &count);
            }
        });
        Ok(Relay { port, turn_count })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How often clients have waited for the server so far, the opening of connections included.
    pub fn turn_count(&self) -> u64 {
        self.turn_count.load(Ordering::Relaxed)
    }
}

fn connect(
    client: TcpStream,
    server: SocketAddr,
    round_trip: Duration,
    turn_count: &Arc<AtomicU64>,
) -> Result<()> {
    let half = round_trip / 2;
    let opened = Instant::now();
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    turn_count.fetch_add(1, Ordering::Relaxed);
    let was_client = Arc::new(AtomicBool::new(false));
    for is_of_client in [true, false] {
        let (from, to) = if is_of_client { (&client, &server) } else { (&server, &client) };
        let direction = Direction {
            from: from.try_clone()?,
            to: to.try_clone()?,
            half,
            // The client's system has opened the connection at once, without the round trip it takes.
            not_before: opened + round_trip + half,
            is_of_client,
            was_client: Arc::clone(&was_client),
            turn_count: Arc::clone(turn_count),
        };
        direction.start();
    }
    Ok(())
}

impl Direction {
    fn start(self) {
        let (sender, receiver) = sync_channel(MAX_UNDER_WAY);
        let (from, to) = (self.from.try_clone(), self.to.try_clone());
        thread::spawn(move || self.read(&sender));
        thread::spawn(move || {
            let (Ok(from), Ok(to)) = (from, to) else { return };
            deliver(&receiver, &to);
            // Either way the other side has to learn of the end.
            let _ = to.shutdown(Shutdown::Write);
            let _ = from.shutdown(Shutdown::Read);
        });
    }

    fn read(mut self, sender: &SyncSender<Chunk>) {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = self.from.read(&mut buffer) {
            let was_client = self.was_client.swap(self.is_of_client, Ordering::Relaxed);
            if self.is_of_client && !was_client {
                self.turn_count.fetch_add(1, Ordering::Relaxed);
            }
            let arrival = (Instant::now() + self.half).max(self.not_before);
            if sender.send((arrival, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    }
}

/// Writes chunks when their time has come, until there are no more.
fn deliver(receiver: &Receiver<Chunk>, mut to: &TcpStream) {
    while let Ok((arrival, bytes)) = receiver.recv() {
        thread::sleep(arrival.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_takes_two_round_trips_on_a_new_connection_and_one_on_an_old_one() -> Result<()> {
        let server = TcpListener::bind(("127.0.0.1", 0))?;
        let address = server.local_addr()?;
        thread::spawn(move || {
            let Ok((mut client, _)) = server.accept() else { return };
            let mut byte = [0];
            while let Ok(1) = client.read(&mut byte) {
                let _ = client.write_all(&byte);
            }
        });
        let round_trip = Duration::from_millis(40);
        let relay = Relay::open(address, round_trip)?;
        let mut client = TcpStream::connect(("127.0.0.1", relay.port()))?;
        for expected in [2, 1, 1] {
            let begun = Instant::now();
            client.write_all(b"?")?;
            client.read_exact(&mut [0])?;
            assert!(begun.elapsed() >= round_trip * expected, "{:?}", begun.elapsed());
        }
        assert_eq!(relay.turn_count(), 4);
        Ok(())
    }
}
