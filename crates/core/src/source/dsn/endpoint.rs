//! One place where the source may be found.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One place where the source may be found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Endpoint {
    /// A host by name, or by an address that spares the lookup.
    Tcp { host: String, address: Option<IpAddr>, port: u16 },
    /// A Unix socket, by its directory.
    Unix { directory: PathBuf, port: u16 },
}

impl Endpoint {
    /// The host as the connection string gives it.
    pub fn host(&self) -> String {
        match self {
            Endpoint::Tcp { host, .. } => host.clone(),
            Endpoint::Unix { directory, .. } => directory.display().to_string(),
        }
    }

    /// The TCP port, or the number in the socket's name.
    pub fn port(&self) -> u16 {
        match self {
            Endpoint::Tcp { port, .. } | Endpoint::Unix { port, .. } => *port,
        }
    }
}

/// `"host", port 5432`, for messages.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\", port {}", self.host(), self.port())
    }
}
