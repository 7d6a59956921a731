//! Rows of an extension's configuration tables.
//!
//! The target's own rows are left alone, and with them the whole extension, unless `overwrite` says
//! that they go: a job of pg_cron may be the one that started this run.

use pgmig_core::Result;
use pgmig_core::plan::task::{Load, QualifiedNamePair};
use pgrx::prelude::*;

use super::{Streams, apply_sequences, copy_first};
use crate::pg::{spi, transaction};
use crate::run::state::{Event, Severity};
use crate::run::worker::TaskContext;

/// Does the task of one extension.
pub fn copy(
    context: &mut TaskContext,
    task: i32,
    loads: &[Load],
    sequences: &[QualifiedNamePair],
) -> Result<()> {
    let (run, state) = (context.request.run, context.state);
    transaction::run(|| {
        let taken = loads.iter().find_map(|load| match has_rows(load) {
            Ok(false) => None,
            Ok(true) => Some(Ok(load)),
            Err(error) => Some(Err(error)),
        });
        let taken = taken.transpose()?;
        if let Some(load) = taken.filter(|_| !context.options.overwrite) {
            let message = "has rows of its own on the target, so the extension's configuration was \
                           not copied; option \"overwrite\" replaces it";
            let object = Some(format!("table {}", load.target));
            state.insert_event(run, &Event::new(Severity::Warning, object, message))?;
            return state.mark_done(run, task, &[]);
        }
        // Tables that refer to others come after them.
        for load in loads.iter().rev().filter(|_| taken.is_some()) {
            spi::execute(&format!("delete {}", user_rows(load)));
        }
        context.lock_source(loads.iter().map(|load| &load.source))?;
        let loads: Vec<&Load> = loads.iter().collect();
        let mut streams = Streams::default();
        for position in 0..loads.len() {
            copy_first(context, &loads[position..], &mut streams)?;
            transaction::increment_command_counter();
        }
        apply_sequences(context, sequences)?;
        state.mark_done(run, task, &[])
    })
}

/// Whether the target has rows that would be the user's.
fn has_rows(load: &Load) -> Result<bool> {
    let query = format!("select exists (select {})", user_rows(load));
    Ok(Spi::get_one::<bool>(&query).map_err(spi::spi_error)?.unwrap_or(false))
}

/// The end of a statement about the user's rows on the target.
fn user_rows(load: &Load) -> String {
    let condition = load.predicate.as_ref().map(|p| format!(" where {p}")).unwrap_or_default();
    format!("from only {}{condition}", load.target.quoted())
}
