//! The target's settings about its write-ahead log, side by side, and pgmig's option about it.

use anyhow::Result;
use pgmig_tests::Pair;
use pgmig_tests::data::Script;

use crate::contest::hold_contest;
use crate::parameters::Parameters;
use crate::report::{print_contest, print_heading};
use crate::subject::{Content, Subject};
use crate::tool::{Task, Tool, Variant};

/// The name in `ONLY`, and of the database.
pub const NAME: &str = "wal";

const SUBJECT: Subject =
    Subject { name: NAME, content: Content::Script(Script::StackOverflow, &[]) };

/// What every other line is a share of: the server's default.
const BASELINE: &str = "replica";

/// No WAL for files that the transaction has made.
const MINIMAL: [(&str, &str); 2] = [("wal_level", "minimal"), ("max_wal_senders", "0")];

const UNLOGGED: &str = r#""use_unlogged_tables": true"#;

/// Name, what it is, options of pgmig, settings of the target.
type Line = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const VARIANTS: [Line; 11] = [
    (BASELINE, "wal_level = replica", "", &[("wal_level", "replica")]),
    ("minimal", "wal_level = minimal", "", &MINIMAL),
    ("unlogged", "replica, use_unlogged_tables", UNLOGGED, &[("wal_level", "replica")]),
    ("minimal_unlogged", "minimal, use_unlogged_tables", UNLOGGED, &MINIMAL),
    ("pglz", "replica, wal_compression = pglz", "", &[("wal_compression", "pglz")]),
    ("lz4", "replica, wal_compression = lz4", "", &[("wal_compression", "lz4")]),
    ("wal_1gb", "replica, max_wal_size = 1GB", "", &[("max_wal_size", "1GB")]),
    (
        "wal_256mb",
        "replica, max_wal_size = 256MB",
        "",
        &[("max_wal_size", "256MB"), ("min_wal_size", "80MB")],
    ),
    ("timeout", "replica, checkpoint_timeout = 30s", "", &[("checkpoint_timeout", "30s")]),
    ("asynchronous", "replica, synchronous_commit = off", "", &[("synchronous_commit", "off")]),
    ("no_full_pages", "replica, full_page_writes = off", "", &[("full_page_writes", "off")]),
];

/// Measures them all; false if a copy failed.
pub fn run(pair: &Pair, parameters: &Parameters) -> Result<bool> {
    eprintln!("{NAME}: fill the source");
    let size = SUBJECT.fill(&pair.source, parameters.scale)?;
    let tools: Vec<Tool> = VARIANTS
        .iter()
        .map(|(name, label, options, settings)| {
            Tool::Pgmig(Variant {
                name: (*name).to_owned(),
                label: (*label).to_owned(),
                options: (*options).to_owned(),
                settings: settings.to_vec(),
            })
        })
        .collect();
    let job_count = parameters.job_count;
    let task = Task { pair, database: NAME, job_count, route: None };
    let contestants = hold_contest(task, &tools, parameters.round_count, false);
    print_heading(NAME, size);
    print_contest(&contestants, BASELINE, size, job_count);
    Variant::forget_settings(&pair.target)?;
    pair.source.drop_database(NAME)?;
    pair.target.drop_database(NAME)?;
    Ok(contestants.iter().all(|contestant| contestant.failure.is_none()))
}
