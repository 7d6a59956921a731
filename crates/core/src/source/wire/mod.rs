//! The wire client: PostgreSQL's protocol 3.0 over blocking sockets, for control and for bulk data.
//!
//! `socket` opens the byte stream, `tls` encrypts it, `channel` cuts it into messages, `login` authenticates, `connect`
//! tries the hosts in turn, `connection` runs statements, `json` catalog
//! queries, `copy_out` carries the bulk data. Every call
//! may block until the server answers: use them on a thread of their own and end a blocked one with
//! `ShutdownHandle`. What must hold: memory stays bounded whatever the server sends, and after an
//! error that leaves the position in the stream unknown the connection refuses further use.
//! Follows "Frontend/Backend Protocol" in PostgreSQL's documentation.

mod cancel;
mod channel;
mod connect;
mod connection;
mod copy_out;
#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(test), allow(dead_code, reason = "fuzz targets need a part of it"))]
pub(crate) mod fake;
mod json;
mod login;
mod message;
mod scram;
mod silence;
mod socket;
mod tls;

pub use cancel::CancelToken;
pub use channel::ShutdownHandle;
pub use connection::{Connection, Server, TransactionStatus};
pub use copy_out::{BUFFER_BYTES, CopySink};
pub use silence::IsAtWork;
