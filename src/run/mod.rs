//! A run from its first statement to its last: the table of contents of pgmig.
//!
//! ```text
//!   caller ── launch ──> coordinator ── pool ──> worker 1 … n
//!                        survey  read both databases, take the snapshot
//!                        plan    (pgmig_core::plan) what is to be done, in which order
//!                        dispatch  hand tasks to workers until none is left
//!   worker: statements | load | check, each with its completion mark in one transaction
//! ```
//!
//! `state` has the only SQL on pgmig's own tables.

mod backoff;
pub mod cleanup;
pub mod coordinator;
mod dispatch;
pub mod launch;
mod own_rows;
mod pool;
mod resume;
pub mod settings;
pub mod source_spec;
mod source_wait;
pub mod state;
mod statements;
mod statistics;
mod survey;
pub mod worker;
