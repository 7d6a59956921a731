//! Whether rows of the target are pgmig's own: written by a transaction that is recorded as a run's.
//!
//! Rows keep the id of the transaction that wrote them, also when they are frozen, so this needs neither
//! counters nor the history of the table.

use pgmig_core::name::{QualifiedName, quote_literal};
use pgmig_core::{Error, Result};
use pgrx::prelude::*;

use super::coordinator::Run;
use super::state::UnprovenTable;
use crate::pg::{spi, transaction};

/// Rows of a relation, and how many of them none of these transactions has written.
pub(super) fn count(relation: &QualifiedName, written: &[i64]) -> Result<(i64, i64)> {
    let query = format!(
        "select array[pg_catalog.count(*), pg_catalog.count(*) filter (
             where xmin::pg_catalog.text::pg_catalog.int8 <> all ($1))]
         from only {}",
        relation.quoted()
    );
    let counts = Spi::get_one_with_args::<Vec<i64>>(&query, &[written.to_vec().into()])
        .map_err(spi::spi_error)?;
    match counts.as_deref() {
        Some([rows, others]) => Ok((*rows, *others)),
        _ => Err(Error::Internal("a count returned no row".to_owned())),
    }
}

/// Refuses to go on if rows that somebody else has written are in tables that are about to be emptied.
/// What an earlier run has left there was looked at when this one was planned.
pub(super) fn check<'a>(run: &Run, tables: impl Iterator<Item = &'a QualifiedName>) -> Result<()> {
    if run.options.overwrite {
        return Ok(());
    }
    let mut written = None;
    for table in tables {
        let name = quote_literal(&table.quoted());
        let oid = Spi::get_one::<i64>(&format!(
            "select pg_catalog.to_regclass({name})::pg_catalog.oid::pg_catalog.int8"
        ))
        .map_err(spi::spi_error)?;
        let Some(oid) = oid else {
            continue;
        };
        let query = format!("select exists (select from only {} limit 1)", table.quoted());
        if Spi::get_one::<bool>(&query).map_err(spi::spi_error)? != Some(true) {
            continue;
        }
        let (written, unchanged) = match &mut written {
            Some(known) => known,
            none => none.insert((run.state.read_all_written()?, run.state.read_unchanged()?)),
        };
        if unchanged.iter().any(|(table, rows)| i64::from(*table) == oid && rows.is_none()) {
            continue;
        }
        let counted = transaction::run_nested(|| count(table, written));
        // A table access method of another kind does not tell.
        if counted.is_ok_and(|(_, others)| others > 0) {
            return Err(refuse(table));
        }
    }
    Ok(())
}

fn refuse(table: &QualifiedName) -> Error {
    Error::Preflight {
        message: "rows that no run has copied are in tables that are to be filled".to_owned(),
        detail: Some(format!("The first of them: table \"{table}\".")),
        hint: Some(
            "Move them away, or resume the run with option \"overwrite\", which replaces them."
                .to_owned(),
        ),
        sqlstate: "55000",
    }
}

/// Recognizes, at the run's good end, what it has copied where change counters do not prove it: crash
/// recovery resets them. The next run would have to ask for `overwrite` otherwise.
pub(super) fn recognize(run: &Run) -> Result<()> {
    let tables = transaction::run(|| run.state.read_unproven(run.id))?;
    if tables.is_empty() {
        return Ok(());
    }
    let written = transaction::run(|| run.state.read_written(run.id))?;
    for table in &tables {
        // The counters in `table` were read before: whoever writes from here on moves them.
        transaction::run(|| {
            if is_own(table, &written)? { run.state.insert_proven(run.id, table) } else { Ok(()) }
        })?;
    }
    Ok(())
}

fn is_own(table: &UnprovenTable, written: &[i64]) -> Result<bool> {
    let mut sum = 0;
    for part in &table.parts {
        let name = QualifiedName::new(&part.schema, &part.name);
        match transaction::run_nested(|| count(&name, written)) {
            Ok((rows, 0)) => sum += rows,
            _ => return Ok(false),
        }
    }
    Ok(sum == table.rows)
}
