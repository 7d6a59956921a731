//! Validation: rows counted, and hashed if asked for, on both sides at the same time.
//!
//! The source is read under the run's snapshot. Counts are independent of what the copies reported;
//! the source's checksum is the one taken while its rows streamed by, or taken now when nothing was
//! copied. The target is always read again.

pub mod large_objects;

use std::ops::ControlFlow;

use pgmig_core::digest::{Digest, RowHasher};
use pgmig_core::name::quote_ident;
use pgmig_core::options::{OnError, Validation};
use pgmig_core::plan::task::{CheckPart, CheckTable, Format, copy_out_statement};
use pgmig_core::source::wire::Connection;
use pgmig_core::{Error, Result};
use pgrx::prelude::*;

use crate::load::new_digest;
use crate::pg::scan::{self, Encoding};
use crate::pg::thread::Pending;
use crate::pg::{spi, transaction};
use crate::run::state::{CheckedTable, Event, RunKind};
use crate::run::worker::TaskContext;

/// Does a check task: compares its tables and records what was found. With `on_error: continue` a table
/// that cannot be read on the target, such as one that could not be made, is a failed one among others.
pub fn compare(context: &mut TaskContext, task: i32, tables: &[CheckTable]) -> Result<()> {
    let state = context.state;
    let run = context.request.run;
    transaction::run(|| {
        let mut checked = Vec::with_capacity(tables.len());
        for table in tables {
            if context.options.on_error == OnError::Stop {
                checked.push(compare_table(context, table)?);
                continue;
            }
            match transaction::run_nested(|| compare_table(context, table)) {
                Ok(table) => checked.push(table),
                Err(error @ Error::Target(_)) => {
                    let places = table.target.iter().chain(&table.source);
                    let object = places.map(|part| format!("table {}", part.relation)).next();
                    let event = Event::failure(&object.unwrap_or_default(), &error);
                    state.insert_event(run, &event)?;
                    checked.push(failed_check(table, &error));
                }
                Err(error) => return Err(error),
            }
        }
        state.insert_checked(run, &checked)?;
        state.mark_done(run, task, &[])
    })
}

fn failed_check(table: &CheckTable, error: &Error) -> CheckedTable {
    CheckedTable {
        table_id: table.table_id,
        source_rows: None,
        target_rows: None,
        source_checksum: None,
        target_checksum: None,
        status: "failed",
        detail: Some(error.to_string()),
    }
}

/// What one side of a table looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Contents {
    rows: u64,
    digest: Option<Digest>,
}

fn compare_table(context: &mut TaskContext, table: &CheckTable) -> Result<CheckedTable> {
    for part in &table.source {
        context.lock_source(&part.relation)?;
    }
    let incomparable = table.format.incomparable();
    let is_hashed = context.options.validation == Validation::Checksum
        && table.difference.is_none()
        && incomparable.is_none();
    let copied = read_copied(context, table)?;
    let streamed = copied.and_then(|contents| contents.digest);
    let source = begin_source(context, table, is_hashed && streamed.is_none())?;
    let target = read_target(table, is_hashed)?;
    let mut source = source.wait()??;
    if is_hashed && streamed.is_some() {
        source.digest = streamed;
    }
    let difference = table.difference.clone().or_else(|| find_difference(source, target, copied));
    let status = if difference.is_some() { "mismatch" } else { "match" };
    let is_wanted = context.options.validation == Validation::Checksum;
    let counted_only = incomparable.filter(|_| is_wanted).map(|why| format!("counted only: {why}"));
    let checksum =
        |contents: Contents| contents.digest.filter(|_| is_hashed).map(|digest| digest.to_string());
    let count = |parts: &[CheckPart], contents: Contents| {
        (!parts.is_empty()).then(|| i64::try_from(contents.rows).ok()).flatten()
    };
    Ok(CheckedTable {
        table_id: table.table_id,
        source_rows: count(&table.source, source),
        target_rows: count(&table.target, target),
        source_checksum: checksum(source),
        target_checksum: checksum(target),
        status,
        detail: difference.or(counted_only),
    })
}

/// Says in a sentence how the two sides differ, if they do.
fn find_difference(source: Contents, target: Contents, copied: Option<Contents>) -> Option<String> {
    if source.rows != target.rows {
        return Some(match copied {
            Some(copied) if copied.rows != source.rows => format!(
                "the source has {} rows, {} were copied, the target has {}",
                source.rows, copied.rows, target.rows
            ),
            _ => format!("the source has {} rows, the target has {}", source.rows, target.rows),
        });
    }
    (source.digest != target.digest)
        .then(|| "the number of rows is the same, their contents differ".to_owned())
}

/// What the copies of the table reported, added up; None when nothing was copied.
fn read_copied(context: &TaskContext, table: &CheckTable) -> Result<Option<Contents>> {
    if context.request.kind != RunKind::Migrate {
        return Ok(None);
    }
    let copies = context.state.read_copied(context.request.run, table.table_id)?;
    let mut sum: Option<Contents> = None;
    for (rows, checksum) in copies {
        let rows = u64::try_from(rows).unwrap_or(0);
        let digest = checksum.and_then(|hex| Digest::from_hex(rows, &hex));
        sum = Some(match sum {
            None => Contents { rows, digest },
            Some(before) => Contents {
                rows: before.rows + rows,
                digest: before.digest.zip(digest).map(|(left, right)| left + right),
            },
        });
    }
    Ok(sum)
}

/// Has the source counted (or read and hashed) on the session's thread.
fn begin_source(
    context: &mut TaskContext,
    table: &CheckTable,
    is_hashed: bool,
) -> Result<Pending<Result<Contents>>> {
    let (parts, columns, format) =
        (table.source.clone(), table.columns.clone(), table.format.clone());
    context.source.get()?.begin(move |connection| {
        let mut sum = Contents { rows: 0, digest: is_hashed.then(Digest::default) };
        for part in &parts {
            if is_hashed {
                let digest = hash_part(connection, part, &columns, &format)?;
                sum.rows += digest.rows;
                sum.digest = sum.digest.map(|before| before + digest);
            } else {
                sum.rows += count_part(connection, part)?;
            }
        }
        Ok(sum)
    })
}

fn count_part(connection: &mut Connection, part: &CheckPart) -> Result<u64> {
    let rows = connection.query(&part.count_statement())?;
    match rows.first().map(Vec::as_slice) {
        Some([Some(count)]) => {
            count.parse().map_err(|_| Error::Protocol("a count is not a number".to_owned()))
        }
        _ => Err(Error::Protocol("a count returned no row".to_owned())),
    }
}

fn hash_part(
    connection: &mut Connection,
    part: &CheckPart,
    columns: &[String],
    format: &Format,
) -> Result<Digest> {
    let sql = copy_out_statement(&part.relation, columns, part.predicate.as_deref(), format);
    let mut digest = new_digest(format, columns);
    let mut broken = None;
    let mut sink = |buffer: Vec<u8>| match digest.feed(&buffer) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            broken = Some(error);
            ControlFlow::Break(())
        }
    };
    let copied = connection.copy_out(&sql, &mut sink);
    match broken {
        Some(error) => Err(error),
        None => copied.and_then(|_| digest.finish()),
    }
}

/// Counts, or reads and hashes, the target's table.
fn read_target(table: &CheckTable, is_hashed: bool) -> Result<Contents> {
    if !is_hashed {
        let mut rows = 0;
        for part in &table.target {
            let count = Spi::get_one::<i64>(&part.count_statement()).map_err(spi::spi_error)?;
            rows += count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        }
        return Ok(Contents { rows, digest: None });
    }
    let names: Vec<_> = table.columns.iter().map(|column| quote_ident(column)).collect();
    let names = names.join(", ");
    let encoding = match table.format {
        Format::Binary => Encoding::Binary,
        Format::Text { .. } => Encoding::Text,
    };
    let mut hasher = RowHasher::new();
    for part in &table.target {
        let condition = match &part.predicate {
            Some(predicate) => format!(" where {predicate}"),
            None => String::new(),
        };
        let query = format!("select {names} from only {}{condition}", part.relation.quoted());
        scan::for_each_row(&query, encoding, &mut |values| {
            hasher.begin_row();
            for value in values {
                hasher.field(*value);
            }
            hasher.end_row();
            Ok(())
        })?;
    }
    let digest = hasher.digest();
    Ok(Contents { rows: digest.rows, digest: Some(digest) })
}
