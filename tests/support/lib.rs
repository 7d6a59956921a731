//! What black-box tests, the demo and the benchmarks share: real clusters and what to do with them.
//!
//! An `Installation` is a set of PostgreSQL programs, a `Cluster` a running server made from it, a
//! `Pair` the source and the target of a migration, `Databases` two databases of a pair. `compare`
//! tells what differs between two databases without any help of pgmig's. Nothing here links the
//! extension: it is met as a user meets it, through SQL.

pub mod aftermath;
mod build;
pub mod cluster;
pub mod compare;
pub mod data;
mod dialect;
pub mod failure;
pub mod gate;
pub mod installation;
pub mod liar;
pub mod lines;
pub mod locales;
pub mod memory;
pub mod pair;
pub mod poll;
mod process;
pub mod proxy;
mod watchdog;

pub use cluster::{Cluster, ClusterOptions, StopMode};
pub use failure::expect_error;
pub use gate::{AWAITS_LOCK, GATED, Gate, await_small, start_gated};
pub use installation::Installation;
pub use pair::{Databases, Pair, guarded_source};
pub use poll::eventually;
pub use process::run;
pub use proxy::Proxy;
