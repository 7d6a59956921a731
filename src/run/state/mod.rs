//! The only SQL on pgmig's own tables.
//!
//! Every function switches to the extension's owner around fixed statements, so that users can
//! neither forge nor read other people's runs. Callers are inside a transaction; coordinator and
//! worker choose its bounds, since a mark must commit together with its effect.
//!
//! Locking: rows only, never a whole table, except in `insert_tables`, which takes turns with other
//! runs for the moment in which it looks for overlaps.

mod cleanup;
mod large_objects;
mod loaded;
mod plan;
mod progress;
mod recopy;
mod record;
mod run;
mod snapshot;
mod task;
mod view;

use pgmig_core::{Error, Result};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use serde::Deserialize;

use crate::pg::owner::AsOwner;
use crate::pg::spi;

pub use cleanup::{CreatedObject, FilledTable};
pub use loaded::UnprovenTable;
pub use progress::Progress;
pub use recopy::DroppedKey;
pub use record::{
    CheckedTable, CopiedTable, Event, FinalState, NewRun, PlanRow, RunKind, RunStatus, Severity,
    ValidationRow,
};
pub use snapshot::{RecordedPart, RecordedSnapshot};

/// Tasks and tables are inserted this many at a time: large enough to hide the call, small enough
/// for the JSON that carries them.
const INSERT_ROWS: usize = 500;

/// A run's number, as `pgmig.runs.run_id` shows it.
pub type RunId = i64;

/// Access to pgmig's tables for this process.
#[derive(Debug, Clone, Copy)]
pub struct State {
    owner: pg_sys::Oid,
}

impl State {
    /// Finds the extension's owner; an error if the extension is not (or no longer) there.
    pub fn open() -> Result<Self> {
        let owner = Spi::get_one::<pg_sys::Oid>(
            "select extowner from pg_catalog.pg_extension where extname = 'pgmig'",
        )
        .ok()
        .flatten()
        .ok_or_else(|| Error::Preflight {
            message: "extension \"pgmig\" does not exist in this database".to_owned(),
            detail: None,
            hint: Some("Create it, and commit before you call it.".to_owned()),
            sqlstate: "42704",
        })?;
        Ok(State { owner })
    }

    fn execute(&self, sql: &str, arguments: &[DatumWithOid<'_>]) -> Result<u64> {
        let _owner = AsOwner::begin(self.owner);
        Spi::connect_mut(|client| {
            let done = client.update(sql, None, arguments).map_err(spi::spi_error)?;
            Ok(u64::try_from(done.len()).unwrap_or(u64::MAX))
        })
    }

    fn query_one<T: pgrx::FromDatum + pgrx::IntoDatum>(
        &self,
        sql: &str,
        arguments: &[DatumWithOid<'_>],
    ) -> Result<Option<T>> {
        let _owner = AsOwner::begin(self.owner);
        Spi::connect_mut(|client| {
            let rows = client.update(sql, Some(1), arguments).map_err(spi::spi_error)?;
            if rows.is_empty() {
                return Ok(None);
            }
            rows.first().get_one::<T>().map_err(spi::spi_error)
        })
    }
}

fn decode<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| {
        Error::Internal(format!("pgmig's own tables hold the unexpected: {error}"))
    })
}
