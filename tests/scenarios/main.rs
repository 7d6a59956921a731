//! pgmig's black-box tests: one program, so that they share a pair of clusters; one file per scenario.

mod harness;
mod lifecycle;
mod objects;
mod ranges;
mod types;
mod validation;
