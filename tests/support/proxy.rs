//! A network between target and source that can be cut, stalled or closed.
//!
//! It listens on a TCP port of this machine and passes everything on to a cluster's Unix socket.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::cluster::{Cluster, SUPERUSER};

/// How often stalled connections look whether bytes may pass again.
const PAUSE: Duration = Duration::from_millis(10);

/// The network; its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stalled: AtomicBool,
    is_closed: AtomicBool,
    /// Connections opened so far.
    opened: AtomicU64,
    /// Connections with numbers below this one pass nothing any more.
    dead_below: AtomicU64,
    connections: Mutex<Vec<(TcpStream, UnixStream)>>,
}

impl Proxy {
    /// Opens a way to a cluster.
    pub fn open(cluster: &Cluster) -> Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let socket = cluster.directory().join(format!(".s.PGSQL.{}", cluster.port()));
        let shared = Arc::new(Shared::default());
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // The server may be down; then its clients are told by a closed connection.
                let _ = state.accept(client, &socket);
            }
        });
        Ok(Proxy { port, shared })
    }

    /// A connection string for the superuser.
    pub fn dsn(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user={SUPERUSER} dbname={database}", self.port)
    }

    /// Cuts the connection with this number, counted round and round; false if there is none.
    pub fn cut_one(&self, number: usize) -> bool {
        let mut connections = self.shared.connections();
        if connections.is_empty() {
            return false;
        }
        let at = number % connections.len();
        end(&connections.swap_remove(at));
        true
    }

    /// Cuts every connection.
    pub fn cut_all(&self) {
        self.shared.connections().drain(..).for_each(|connection| end(&connection));
    }

    /// Lets no byte pass, or lets them pass again; connections stay open.
    pub fn stall(&self, is_stalled: bool) {
        self.shared.is_stalled.store(is_stalled, Ordering::SeqCst);
    }

    /// Lets no byte pass any more on the connections that there are; they stay open, and later ones work.
    pub fn stall_present_ones(&self) {
        self.shared.dead_below.store(self.shared.opened.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Lets nobody in, or lets them in again.
    pub fn close(&self, is_closed: bool) {
        self.shared.is_closed.store(is_closed, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close(true);
        self.cut_all();
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<(TcpStream, UnixStream)>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, client: TcpStream, socket: &PathBuf) -> Result<()> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        client.set_nodelay(true)?;
        let server = UnixStream::connect(socket)?;
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        let connection = (client.try_clone()?, server.try_clone()?);
        self.connections().push(connection);
        let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
        let (this, other) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || {
            this.pump(number, from_client, server.try_clone()?);
            server.shutdown(Shutdown::Both)
        });
        thread::spawn(move || {
            other.pump(number, from_server, client.try_clone()?);
            client.shutdown(Shutdown::Both)
        });
        Ok(())
    }

    fn pump(&self, number: u64, mut from: impl Read, mut to: impl Write) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while self.is_stalled.load(Ordering::SeqCst)
                || number < self.dead_below.load(Ordering::SeqCst)
            {
                thread::sleep(PAUSE);
            }
            if to.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    }
}

fn end((client, server): &(TcpStream, UnixStream)) {
    // Whatever has gone already is as it should be.
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
