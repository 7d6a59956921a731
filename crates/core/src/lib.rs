//! Everything of pgmig that needs no PostgreSQL server around it.
//!
//! Data flows one way: `source` reads the other server into `model`, `plan` turns a model and
//! `options` into a graph of tasks, `ddl` renders model objects as statements. The extension crate
//! above runs them. Nothing here links against the server, so it is tested and fuzzed on its own.
#![forbid(unsafe_code)]

pub mod btree;
pub mod ddl;
pub mod digest;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod heap;
pub mod model;
pub mod name;
pub mod options;
pub mod plan;
pub mod secret;
pub mod source;
mod token;

pub use error::{Error, Result};
