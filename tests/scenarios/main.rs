//! pgmig's black-box tests: one program, so that they share a pair of clusters; one file per scenario.

mod bad_input;
mod encodings;
mod existing;
mod harness;
mod lifecycle;
mod memory;
mod objects;
mod ranges;
mod refresh;
mod types;
mod validation;
