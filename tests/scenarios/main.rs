//! pgmig's black-box tests: one program, so that they share a pair of clusters; one file per scenario.

mod encodings;
mod harness;
mod lifecycle;
mod memory;
mod ranges;
mod types;
mod validation;
