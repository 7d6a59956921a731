//! Validation: rows counted, and hashed if asked for, on both sides at the same time.
//!
//! The source is read under the run's snapshot. Counts are independent of what the copies reported;
//! the source's checksum is the one taken while its rows streamed by, or taken now when nothing was
//! copied. The target is always read again.

use std::ops::ControlFlow;

use pgmig_core::digest::{Digest, RowHasher};
use pgmig_core::name::quote_ident;
use pgmig_core::options::Validation;
use pgmig_core::plan::task::{CheckTable, Format, copy_out_statement, count_statement};
use pgmig_core::{Error, Result};
use pgrx::prelude::*;

use crate::load::new_digest;
use crate::pg::scan::{self, Encoding};
use crate::pg::thread::Pending;
use crate::pg::{spi, transaction};
use crate::run::state::{CheckedTable, RunKind};
use crate::run::worker::TaskContext;

/// Does a check task: compares its tables and records what was found.
pub fn compare(context: &mut TaskContext, task: i32, tables: &[CheckTable]) -> Result<()> {
    let state = context.state;
    let run = context.request.run;
    transaction::run(|| {
        let mut checked = Vec::with_capacity(tables.len());
        for table in tables {
            checked.push(compare_table(context, table)?);
        }
        state.insert_checked(run, &checked)?;
        state.mark_done(run, task, &[])
    })
}

/// What one side of a table looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Contents {
    rows: u64,
    digest: Option<Digest>,
}

fn compare_table(context: &mut TaskContext, table: &CheckTable) -> Result<CheckedTable> {
    context.source.lock(&table.source)?;
    let is_hashed = context.options.validation == Validation::Checksum;
    let copied = read_copied(context, table)?;
    let has_streamed_digest = copied.is_some_and(|contents| contents.digest.is_some());
    let source = begin_source(context, table, is_hashed && !has_streamed_digest)?;
    let target = read_target(context, table, is_hashed)?;
    let mut source = source.wait()??;
    if let Some(copied) = copied
        && is_hashed
    {
        source.digest = copied.digest;
    }
    let detail = find_difference(source, target, copied);
    Ok(CheckedTable {
        table_id: table.table_id,
        source_rows: i64::try_from(source.rows).ok(),
        target_rows: i64::try_from(target.rows).ok(),
        source_checksum: source.digest.map(|digest| digest.to_string()),
        target_checksum: target.digest.map(|digest| digest.to_string()),
        status: if detail.is_some() { "mismatch" } else { "match" },
        detail,
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
    let predicate = table.predicate.clone();
    let actor = context.source.get()?;
    if is_hashed {
        let sql =
            copy_out_statement(&table.source, &table.columns, predicate.as_deref(), &table.format);
        let mut digest = new_digest(&table.format, &table.columns);
        return actor.begin(move |connection| {
            let mut broken = None;
            let mut sink = |buffer: Vec<u8>| match digest.feed(&buffer) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    broken = Some(error);
                    ControlFlow::Break(())
                }
            };
            let rows = connection.copy_out(&sql, &mut sink);
            if let Some(error) = broken {
                return Err(error);
            }
            Ok(Contents { rows: rows?, digest: Some(digest.finish()?) })
        });
    }
    let sql = count_statement(&table.source, predicate.as_deref());
    actor.begin(move |connection| {
        let rows = connection.query(&sql)?;
        match rows.first().map(Vec::as_slice) {
            Some([Some(count)]) => count
                .parse()
                .map(|rows| Contents { rows, digest: None })
                .map_err(|_| Error::Protocol("a count is not a number".to_owned())),
            _ => Err(Error::Protocol("a count returned no row".to_owned())),
        }
    })
}

/// Counts, or reads and hashes, the target's table.
fn read_target(context: &TaskContext, table: &CheckTable, is_hashed: bool) -> Result<Contents> {
    // After a copy the target holds only the rows asked for; otherwise the condition applies to both.
    let predicate = match context.request.kind {
        RunKind::Migrate => None,
        _ => table.predicate.as_deref(),
    };
    if !is_hashed {
        let sql = count_statement(&table.target, predicate);
        let count = Spi::get_one::<i64>(&sql).map_err(spi::spi_error)?.unwrap_or(0);
        return Ok(Contents { rows: u64::try_from(count).unwrap_or(0), digest: None });
    }
    let names: Vec<_> = table.columns.iter().map(|column| quote_ident(column)).collect();
    let condition = predicate.map(|predicate| format!(" where {predicate}")).unwrap_or_default();
    let query =
        format!("select {} from only {}{condition}", names.join(", "), table.target.quoted());
    let encoding = match table.format {
        Format::Binary => Encoding::Binary,
        Format::Text { .. } => Encoding::Text,
    };
    let mut hasher = RowHasher::new();
    scan::for_each_row(&query, encoding, &mut |values| {
        hasher.begin_row();
        for value in values {
            hasher.field(*value);
        }
        hasher.end_row();
        Ok(())
    })?;
    let digest = hasher.digest();
    Ok(Contents { rows: digest.rows, digest: Some(digest) })
}
