//! B-trees of PostgreSQL, built from keys that are in order.
//!
//! ```text
//!   runs of sorted entries ─ `merge` ─ `tuple` ─ `build`: leaves, and the levels above them ─ pages, each once
//! ```
//!
//! The pages are those that `CREATE INDEX` makes, byte for byte: the same fill factors, posting lists for
//! equal keys and shortened high keys. Format and rules: `access/nbtree.h`, `access/nbtree/README`.

mod build;
mod merge;
mod page;
mod tuple;

#[cfg(test)]
mod tests;

pub use build::{Builder, Options, Root};
pub use merge::Merge;
pub use page::FIRST_BLOCK;
pub use tuple::{Key, KeyForm};
