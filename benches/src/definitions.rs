//! What a database of plain tables costs that is made of the statements that pg_dump writes, and of nothing
//! else: the least that a tool can take which makes tables by statements, however it gets at the rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::Child;

use anyhow::{Result, ensure};
use pgmig_tests::run;

use crate::tool::Task;

/// Tables that are made in a transaction, so that commits cost next to nothing.
const TABLES_PER_TRANSACTION: usize = 100;

/// How a statement begins, on a line of its own.
const VERBS: [&str; 2] = ["\nCREATE ", "\nALTER "];

/// What stands before the name of a statement's table.
const BEFORE_TABLE: [&str; 3] = ["\nCREATE TABLE ", "\nALTER TABLE ONLY ", " ON "];

/// Writes a script for each session, with the definitions of its share of the tables.
pub fn prepare(task: Task) -> Result<()> {
    let mut dump = task.program("pg_dump")?;
    dump.args(["--schema-only", "--no-owner", "-d", &task.source_dsn()]);
    let dump = run(&mut dump)?;
    let mut tables = BTreeMap::<&str, Vec<&str>>::new();
    for statement in dump.split_inclusive(";\n") {
        // Comments stand before it.
        let Some(start) = VERBS.iter().filter_map(|verb| statement.find(verb)).min() else {
            continue;
        };
        let statement = &statement[start..];
        if let Some(table) = table_of(statement) {
            tables.entry(table).or_default().push(statement);
        }
    }
    let tables: Vec<_> = tables.into_values().collect();
    ensure!(!tables.is_empty(), "the database has no tables");
    fs::create_dir(task.scratch_dir())?;
    for (number, share) in tables.chunks(tables.len().div_ceil(task.job_count)).enumerate() {
        let mut script = String::new();
        for batch in share.chunks(TABLES_PER_TRANSACTION) {
            write!(script, "begin;\n{}commit;\n", batch.concat().concat())?;
        }
        fs::write(task.scratch_dir().join(number.to_string()), script)?;
    }
    Ok(())
}

/// Runs the scripts, each in a session of its own.
pub fn make(task: Task) -> Result<()> {
    let mut sessions = Vec::new();
    for script in fs::read_dir(task.scratch_dir())? {
        sessions.push(task.psql()?.stdin(File::open(script?.path())?).spawn()?);
    }
    let statuses: Vec<_> = sessions.iter_mut().map(Child::wait).collect::<Result<_, _>>()?;
    ensure!(statuses.iter().all(|status| status.success()), "psql failed");
    Ok(())
}

/// The table that a statement makes or adds to.
fn table_of(statement: &str) -> Option<&str> {
    let mut starts = BEFORE_TABLE.iter().filter(|start| {
        let is_index = start.starts_with(' ') && statement.starts_with("\nCREATE ");
        is_index || statement.starts_with(**start)
    });
    let start = starts.find(|start| statement.contains(**start))?;
    statement.split_once(start)?.1.split_whitespace().next()
}
