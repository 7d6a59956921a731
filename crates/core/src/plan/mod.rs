//! A catalog and options to a graph of tasks. Pure.
//!
//! `select` and `choice` say what is wanted, `existing` what the target has already, `ranges`
//! and `format` how rows travel; `build` puts it all into tasks, `graph` says which is next.

pub mod adapt;
pub mod build;
pub mod choice;
pub mod configuration;
pub mod data_table;
pub mod existing;
pub mod format;
pub mod graph;
pub mod large_objects;
pub mod order;
pub mod pattern;
pub mod placement;
pub mod ranges;
pub mod rename;
pub mod roles;
pub mod select;
mod select_items;
pub mod task;
pub mod validation;
pub mod version;

/// Something the user should know about the plan; becomes an event of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub object: String,
    pub message: String,
}
