//! `make bench`: pgmig beside other tools, on the same machine, with the same databases.
//!
//! Progress goes to standard error, the report in Markdown to standard output. `parameters` has the
//! environment variables, `subject` the databases, `tool` the tools; `contest` measures whole copies,
//! `parts` what they consist of, and `targets` says what was reached.

mod contest;
mod cpu;
mod parameters;
mod parts;
mod report;
mod subject;
mod targets;
mod timeline;
mod tool;

use std::process::ExitCode;

use anyhow::Result;
use pgmig_tests::{ClusterOptions, Installation, Pair};

use crate::contest::hold_contest;
use crate::parameters::Parameters;
use crate::report::{print_contest, print_setting};
use crate::subject::SUBJECTS;
use crate::targets::Results;
use crate::tool::{TOOL_NAMES, list_tools};

/// Settings of both clusters: a server of this size that is about to take in a lot of data. Durable,
/// since a tool that causes less WAL or fewer flushes shall see it.
const SETTINGS: [(&str, &str); 6] = [
    ("fsync", "on"),
    ("shared_buffers", "1GB"),
    ("maintenance_work_mem", "256MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("max_worker_processes", "16"),
];

/// Copies of databases of fewer bytes are kept until the end.
const MOST_KEPT_BYTES: i64 = 1 << 30;

fn main() -> ExitCode {
    match run_bench() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for; false if a tool failed.
fn run_bench() -> Result<bool> {
    let parameters = Parameters::from_environment()?;
    let known = SUBJECTS.iter().map(|subject| subject.name).chain(TOOL_NAMES);
    let known: Vec<&str> = known.chain([parts::NAME]).collect();
    parameters.check_names(&known)?;
    let tools = list_tools(&parameters)?;
    let chosen = SUBJECTS.iter().map(|subject| subject.name).chain([parts::NAME]).collect();
    let chosen = parameters.select(chosen, |name| *name);

    let installation = Installation::of_extension()?;
    let options = |name| ClusterOptions::new(installation.clone(), name).settings(&SETTINGS);
    let pair = Pair::start(options("source"), options("target"))?;
    print_setting(&pair, &parameters, &SETTINGS)?;

    let mut all_succeeded = true;
    let mut results = Results::default();
    for subject in SUBJECTS.into_iter().filter(|subject| chosen.contains(&subject.name)) {
        eprintln!("{}: fill the source", subject.name);
        let size = subject.fill(&pair.source, parameters.scale)?;
        let contestants = hold_contest(
            &pair,
            subject.name,
            &tools,
            parameters.round_count,
            parameters.job_count,
            size.database_bytes < MOST_KEPT_BYTES,
        );
        all_succeeded &= contestants.iter().all(|contestant| contestant.failure.is_none());
        print_contest(subject, size, &contestants, &parameters, &mut results);
        pair.source.drop_database(subject.name)?;
        pair.target.drop_database(subject.name)?;
    }
    if chosen.contains(&parts::NAME) {
        results.parts = Some(parts::measure(&pair, &parameters)?);
    }
    results.print();
    Ok(all_succeeded)
}
