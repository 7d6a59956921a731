//! A catalog and options to a graph of tasks. Pure.

pub mod order;
pub mod task;
