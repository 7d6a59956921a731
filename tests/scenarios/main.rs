//! pgmig's black-box tests: one program, so that they share a pair of clusters; one file per scenario.

mod callers;
mod clients;
mod cron;
mod harness;
mod lifecycle;
mod progress;
mod ranges;
mod resources;
mod types;
mod validation;
