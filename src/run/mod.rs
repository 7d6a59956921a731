//! A run from its first statement to its last: the table of contents of pgmig.

pub mod state;
