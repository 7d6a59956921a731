//! A catalog and options to a graph of tasks. Pure.

pub mod pattern;
pub mod ranges;
pub mod select;
pub mod task;
