//! pgmig's black-box tests: one program, so that they share a pair of clusters; one file per scenario.

mod bad_input;
mod callers;
mod cleanup;
mod clients;
mod cron;
mod encodings;
mod encryption;
mod existing;
mod faults;
mod harness;
mod hostile;
mod lifecycle;
mod memory;
mod objects;
mod progress;
mod ranges;
mod refresh;
mod regression;
mod resources;
mod resume;
mod secrets;
mod shortcuts;
mod torture;
mod types;
mod validation;
mod versions;
