//! `make bench`: pgmig beside other tools, on the same machine, with the same databases.
//!
//! Progress goes to standard error, the report in Markdown to standard output. `parameters` has the
//! environment variables, `subject` the databases, `tool` the tools; `contest` measures whole copies,
//! `parts` what they consist of, and `targets` says what was reached.

mod contest;
mod cpu;
mod definitions;
mod growth;
mod latency;
mod link;
mod parameters;
mod parts;
mod ranges;
mod relay;
mod report;
mod scaling;
mod subject;
mod targets;
mod timeline;
mod tool;
mod wal;

use std::process::ExitCode;

use anyhow::Result;
use pgmig_tests::locales::Locales;
use pgmig_tests::{ClusterOptions, Installation, Pair};

use crate::contest::hold_contest;
use crate::parameters::Parameters;
use crate::report::{print_contest, print_heading, print_setting, print_timelines};
use crate::subject::{LOCALE, SHAPES, SPOKEN, SUBJECTS};
use crate::targets::Results;
use crate::tool::{TOOL_NAMES, Task, list_tools};

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

/// What is measured only when `ONLY` names it.
const MORE_SECTIONS: [&str; 4] = [wal::NAME, ranges::NAME, growth::NAME, scaling::NAME];

/// The tool that the others are measured by, where it took part.
const BASELINE: &str = "pg_dump";

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
    let subjects = SUBJECTS.iter().map(|subject| subject.name);
    let sections: Vec<&str> = subjects.chain([parts::NAME, latency::NAME]).collect();
    let more: Vec<&str> = SHAPES.iter().map(|subject| subject.name).chain(MORE_SECTIONS).collect();
    let known: Vec<&str> = sections.iter().chain(&more).copied().chain(TOOL_NAMES).collect();
    parameters.check_names(&known)?;
    let tools = list_tools(&parameters)?;
    let named = parameters.named(&more);
    let chosen = match parameters.named(&sections) {
        some if !some.is_empty() => [some, named].concat(),
        _ if !named.is_empty() => named,
        _ => sections,
    };

    let installation = Installation::of_extension()?;
    let is_spoken = chosen.contains(&SPOKEN);
    let locales = is_spoken.then(|| Locales::compile(&installation, LOCALE)).transpose()?;
    let options = |name| {
        let options = ClusterOptions::new(installation.clone(), name).settings(&SETTINGS);
        match &locales {
            Some(locales) => options.locale_path(locales.directory()),
            None => options,
        }
    };
    let pair = Pair::start(options("source"), options("target"))?;
    print_setting(&pair, &parameters, &SETTINGS)?;

    let mut all_succeeded = true;
    let mut results = Results::default();
    for subject in
        SUBJECTS.into_iter().chain(SHAPES).filter(|subject| chosen.contains(&subject.name))
    {
        eprintln!("{}: fill the source", subject.name);
        let size = subject.fill(&pair.source, parameters.scale)?;
        let job_count = parameters.job_count;
        let task = Task { pair: &pair, database: subject.name, job_count, route: None };
        let keeps_copies = size.database_bytes < MOST_KEPT_BYTES;
        let tools: Vec<_> =
            tools.iter().filter(|tool| tool.is_for(subject.name)).cloned().collect();
        let contestants = hold_contest(task, &tools, parameters.round_count, keeps_copies);
        all_succeeded &= contestants.iter().all(|contestant| contestant.failure.is_none());
        results.add_all(subject.name, &contestants);
        print_heading(subject.name, size);
        print_contest(&contestants, BASELINE, size, job_count);
        print_timelines(&contestants);
        pair.source.drop_database(subject.name)?;
        pair.target.drop_database(subject.name)?;
    }
    if chosen.contains(&parts::NAME) {
        results.parts = Some(parts::measure(&pair, &parameters)?);
    }
    if chosen.contains(&latency::NAME) {
        all_succeeded &= latency::run(&installation, &SETTINGS, &tools, &parameters, &mut results)?;
    }
    if chosen.contains(&wal::NAME) {
        all_succeeded &= wal::run(&pair, &parameters)?;
    }
    if chosen.contains(&ranges::NAME) {
        ranges::run(&pair, &parameters, &mut results)?;
    }
    if chosen.contains(&growth::NAME) {
        all_succeeded &= growth::run(&pair, &parameters, &mut results)?;
    }
    if chosen.contains(&scaling::NAME) {
        scaling::run(&pair, &parameters)?;
    }
    results.print();
    Ok(all_succeeded)
}
