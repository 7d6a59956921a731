//! Copy tasks: rows of the source into tables of the target, and the values of sequences.
//!
//! The rows of a task, and the record that they were copied, are one transaction.

pub mod configuration;
pub mod large_objects;
pub mod stream;

use std::cell::OnceCell;
use std::collections::VecDeque;

use pgmig_core::digest::StreamDigest;
use pgmig_core::error::{Remedy, TargetError};
use pgmig_core::name::{QualifiedName, quote_literal};
use pgmig_core::options::{OnError, Validation};
use pgmig_core::plan::task::{Format, Load, QualifiedNamePair};
use pgmig_core::{Error, Result};
use pgrx::prelude::*;
use pgrx::spi::OwnedPreparedStatement;

use crate::pg::copy_in::{CopyIn, Insertion, copy_in};
use crate::pg::{catch, spi, transaction};
use crate::run::state::{CopiedTable, Event};
use crate::run::worker::TaskContext;

/// Sequences read from the source with one statement.
const SEQUENCES_PER_QUERY: usize = 200;

/// Loads whose rows are asked for with one message.
const STREAMS_AHEAD: usize = 100;

/// Rows of this length on average are inserted one by one: a thousand of them are more than a worker
/// should hold in memory, and what each costs by itself no longer counts.
const LONG_ROW_BYTES: i64 = 8 * 1024;

/// Tables of fewer bytes are not worth a new file.
const SMALL_TABLE_BYTES: i64 = 64 * 1024;

/// SQLSTATE of what does not fit into a buffer of a gigabyte.
const PROGRAM_LIMIT_EXCEEDED: &str = "54000";

/// How the server complains when a single value does not.
const ALLOCATION_TOO_LARGE: &str = "invalid memory alloc request size";

/// Class of the SQLSTATEs of violated constraints.
const INTEGRITY_VIOLATION: &str = "23";

/// Does a copy task. With `on_error: continue` a table of a group that cannot be copied leaves the
/// others alone.
///
/// Of a task that was done before in part, only the other tables are copied; returns what could not be.
pub fn copy(context: &mut TaskContext, task: i32, loads: &[Load]) -> Result<Option<Error>> {
    let state = context.state;
    let run = context.request.run;
    // In a transaction of its own: nobody is to wait for a lock on pgmig's tables while rows are copied.
    let there = transaction::run(|| state.read_copied_tables(run, task))?;
    let due: Vec<&Load> = loads.iter().filter(|load| !there.contains(&load.table_id)).collect();
    transaction::run(|| {
        context.lock_source(due.iter().map(|load| &load.source))?;
        let mut streams = Streams::default();
        let mut copied: Vec<CopiedTable> = Vec::new();
        let mut failed = None;
        for (position, load) in due.iter().enumerate() {
            // What is not truncated first cannot be done again in part.
            let is_alone = loads.len() == 1 || !load.truncate;
            let stops = is_alone || context.options.on_error == OnError::Stop;
            let mut copy = || copy_first(context, &due[position..], &mut streams);
            if stops {
                add_copied(&mut copied, copy()?);
                continue;
            }
            match transaction::run_nested(copy) {
                Ok(load) => add_copied(&mut copied, load),
                Err(error @ Error::Target(_)) if error.remedy() == Remedy::None => {
                    let object = format!("table {}", load.target);
                    state.insert_event(run, &Event::failure(&object, &error))?;
                    failed.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match failed {
            None => state.mark_done(run, task, &copied)?,
            Some(_) => state.mark_some_copied(run, task, &copied)?,
        }
        Ok(failed)
    })
}

/// Adds what a load copied to the sum of its table, whose loads follow each other.
fn add_copied(copied: &mut Vec<CopiedTable>, load: CopiedTable) {
    match copied.last_mut().filter(|table| table.table_id == load.table_id) {
        None => copied.push(load),
        Some(table) => {
            table.rows += load.rows;
            table.bytes += load.bytes;
            table.digest = table.digest.zip(load.digest).map(|(left, right)| left + right);
        }
    }
}

/// Streams that were asked for and not read yet, in the order of their loads.
#[derive(Default)]
struct Streams {
    queue: VecDeque<stream::Stream>,
}

impl Streams {
    /// The stream of the first of `loads`; those of the others are asked for along with it, so that the
    /// source sends one table while another is written.
    fn next(&mut self, context: &mut TaskContext, loads: &[&Load]) -> Result<stream::Stream> {
        if self.queue.is_empty() {
            let is_hashed = context.options.validation == Validation::Checksum;
            let copies = loads.iter().take(STREAMS_AHEAD).map(|load| stream::Copy {
                sql: load.copy_out_statement(),
                digest: is_hashed.then(|| new_digest(&load.format, &load.columns)),
            });
            self.queue = stream::open_all(context.source.get()?, copies.collect())?;
        }
        let next = self.queue.pop_front();
        next.ok_or_else(|| Error::Internal("a load without a stream".to_owned()))
    }
}

/// Copies the rows of the first of `loads`, whose tables are locked on the source.
fn copy_first(
    context: &mut TaskContext,
    loads: &[&Load],
    streams: &mut Streams,
) -> Result<CopiedTable> {
    let Some(load) = loads.first() else {
        return Err(Error::Internal("no load to copy".to_owned()));
    };
    let copied = catch::catch(|| {
        let stream = streams.next(context, loads)?;
        copy_rows(context, load, stream)
    });
    copied.map_err(|error| {
        // A failed copy does not wait for what the source still has to say, which may take for ever.
        context.source.abort();
        streams.queue.clear();
        let error = match is_too_long(&error) {
            true => name_longest_row(context, load, error),
            false => error,
        };
        name_load(error, load)
    })
}

fn copy_rows(
    context: &mut TaskContext,
    load: &Load,
    stream: stream::Stream,
) -> Result<CopiedTable> {
    let table = find_table(&load.target)?;
    // A new file costs more than a small table's rows, so an empty one is filled as it is. Its rows are
    // not frozen then: only who has made the file may do that.
    let truncates = load.truncate && !(table.is_empty && load.bytes < SMALL_TABLE_BYTES);
    if truncates {
        spi::execute(&format!("truncate only {}", load.target.quoted()));
        transaction::increment_command_counter();
    }
    let target = CopyIn {
        table: table.oid,
        columns: &load.columns,
        is_binary: load.format == Format::Binary,
        freeze: truncates,
        insertion: match load.bytes / load.rows.max(1) < LONG_ROW_BYTES {
            true => Insertion::Buffered,
            false => Insertion::Single,
        },
    };
    let written =
        copy_in(&target, stream.chunks, stream.spent).inspect_err(|_| context.source.abort())?;
    let sent = stream.outcome.wait()??;
    if written != sent.rows {
        return Err(Error::Protocol(format!(
            "the source counts {} rows, and {written} have come",
            sent.rows
        )));
    }
    Ok(CopiedTable {
        table_id: load.table_id,
        rows: i64::try_from(sent.rows).unwrap_or(i64::MAX),
        bytes: i64::try_from(sent.bytes).unwrap_or(i64::MAX),
        digest: sent.digest,
        is_unlogged: table.is_unlogged,
    })
}

/// A digest for a stream in this format.
pub fn new_digest(format: &Format, columns: &[String]) -> StreamDigest {
    match format {
        Format::Binary => StreamDigest::binary(),
        Format::Text { .. } => StreamDigest::text(columns.len()),
    }
}

/// A table of the target.
struct FoundTable {
    oid: pg_sys::Oid,
    /// Whether it or a partition of it is unlogged.
    is_unlogged: bool,
    /// Whether there is nothing in its file, not even dead rows.
    is_empty: bool,
}

/// Finds a table of the target by name.
fn find_table(name: &QualifiedName) -> Result<FoundTable> {
    thread_local! {
        /// Planned once per worker: there may be thousands of tables.
        static FIND: OnceCell<OwnedPreparedStatement> = const { OnceCell::new() };
    }
    let found = Spi::connect(|client| {
        FIND.with(|find| {
            if find.get().is_none() {
                let types = [PgBuiltInOids::TEXTOID.oid(), PgBuiltInOids::TEXTOID.oid()];
                let query = include_str!("find_table.sql");
                let statement = client.prepare(query, &types).map_err(spi::spi_error)?.keep();
                find.get_or_init(|| statement);
            }
            let Some(statement) = find.get() else {
                return Ok(None);
            };
            let arguments = [name.schema.as_str().into(), name.name.as_str().into()];
            let rows = client.select(statement, Some(1), &arguments).map_err(spi::spi_error)?;
            if rows.is_empty() {
                return Ok(None);
            }
            let row = rows.first().get_three::<pg_sys::Oid, bool, bool>();
            row.map(Some).map_err(spi::spi_error)
        })
    })?;
    match found {
        Some((Some(oid), Some(is_unlogged), Some(is_empty))) => {
            Ok(FoundTable { oid, is_unlogged, is_empty })
        }
        _ => Err(Error::Target(Box::new(TargetError {
            sqlstate: "42P01".to_owned(),
            message: "table does not exist on the target".to_owned(),
            ..TargetError::default()
        }))),
    }
}

/// Whether one of the servers could not hold a row, or its form in a COPY, in memory.
fn is_too_long(error: &Error) -> bool {
    let message = match error {
        Error::Remote(remote) => &remote.message,
        Error::Target(target) => &target.message,
        _ => return false,
    };
    error.sqlstate() == PROGRAM_LIMIT_EXCEEDED || message.starts_with(ALLOCATION_TOO_LARGE)
}

/// Adds to an error where the longest row of the load's table is, if that can be found out.
fn name_longest_row(context: &mut TaskContext, load: &Load, error: Error) -> Error {
    let Ok(Some((place, bytes))) = find_longest_row(context, load) else {
        return error;
    };
    let longest = format!(
        "The table's longest row on the source has {bytes} bytes and ctid {place}; a row that COPY \
         can send has less than 1 GB in all."
    );
    match error {
        Error::Remote(mut remote) => {
            remote.hint = Some(longest);
            Error::Remote(remote)
        }
        Error::Target(mut target) => {
            target.hint = Some(longest);
            Error::Target(target)
        }
        other => other,
    }
}

/// The ctid of the longest row, and its bytes.
fn find_longest_row(context: &mut TaskContext, load: &Load) -> Result<Option<(String, String)>> {
    let table = quote_literal(&load.source.quoted());
    let query = include_str!("longest_row.sql").replace("{table}", &table);
    context.source.get()?.call(move |connection| {
        let statements = connection.query(&query)?;
        let Some(Some(statement)) = statements.into_iter().flatten().next() else {
            return Ok(None);
        };
        let mut rows = connection.query(&statement)?;
        Ok(match rows.pop().as_deref() {
            Some([Some(place), Some(bytes)]) => Some((place.clone(), bytes.clone())),
            _ => None,
        })
    })
}

/// Adds schema, table and range to an error about data.
fn name_load(error: Error, load: &Load) -> Error {
    let range = load.predicate.as_ref().map(|range| format!(", rows where {range}"));
    let place = format!("table \"{}\"{}", load.target, range.unwrap_or_default());
    match error {
        Error::Target(mut target) => {
            target.context = place;
            // The details of violated constraints show rows.
            if target.sqlstate.starts_with(INTEGRITY_VIOLATION) {
                target.detail = None;
            }
            Error::Target(target)
        }
        Error::Remote(mut remote) => {
            remote.context = place;
            Error::Remote(remote)
        }
        Error::Lost(what) => Error::Lost(format!("{place}: {what}")),
        other => other,
    }
}

/// Sets sequences to the values that the source has now: they are not transactional there either.
pub fn set_sequences(
    context: &mut TaskContext,
    task: i32,
    sequences: &[QualifiedNamePair],
) -> Result<()> {
    let state = context.state;
    let run = context.request.run;
    transaction::run(|| {
        apply_sequences(context, sequences)?;
        state.mark_done(run, task, &[])
    })
}

/// The same within the transaction at hand.
fn apply_sequences(context: &mut TaskContext, sequences: &[QualifiedNamePair]) -> Result<()> {
    for chunk in sequences.chunks(SEQUENCES_PER_QUERY) {
        let query = chunk
            .iter()
            .map(|pair| format!("select last_value, is_called from {}", pair.source.quoted()))
            .collect::<Vec<_>>()
            .join("\nunion all\n");
        let rows = context.source.get()?.call(move |connection| connection.query(&query))?;
        if rows.len() != chunk.len() {
            return Err(Error::Protocol("not one row per sequence".to_owned()));
        }
        for (pair, row) in chunk.iter().zip(rows) {
            let [Some(last_value), Some(is_called)] = row.as_slice() else {
                return Err(Error::Protocol(format!("sequence \"{}\" has no value", pair.source)));
            };
            // One whose table could not be made is not there, which is known by now.
            let find = match context.options.on_error {
                OnError::Stop => "",
                OnError::Continue => "pg_catalog.to_regclass",
            };
            spi::execute(&format!(
                "select pg_catalog.setval({find}({}), {}, {})",
                quote_literal(&pair.target.quoted()),
                quote_literal(last_value),
                quote_literal(is_called)
            ));
        }
    }
    Ok(())
}
