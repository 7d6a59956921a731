//! Validation: rows counted, and hashed if asked for, on both sides at the same time.
//!
//! The source is read under the run's snapshot. Counts are independent of what the copies reported;
//! the source's checksum is the one taken while its rows streamed by, or taken now when nothing was
//! copied. The target is always read again.

pub mod large_objects;

use std::collections::HashMap;
use std::ops::ControlFlow;

use pgmig_core::digest::{Digest, RowHasher};
use pgmig_core::name::quote_ident;
use pgmig_core::options::{OnError, Validation};
use pgmig_core::plan::task::{CheckPart, CheckTable, Format, copy_out_statement};
use pgmig_core::source::wire::Connection;
use pgmig_core::{Error, Result};

use crate::load::new_digest;
use crate::pg::scan::{self, Encoding};
use crate::pg::thread::Pending;
use crate::pg::{heap_count, spi, transaction};
use crate::run::state::{CheckedTable, Event, RunKind};
use crate::run::worker::TaskContext;

/// Counts asked for with one query.
const COUNTS_PER_QUERY: usize = 100;

/// Does a check task: compares its tables and records what was found. With `on_error: continue` a table
/// that cannot be read on the target, such as one that could not be made, is a failed one among others.
pub fn compare(context: &mut TaskContext, task: i32, tables: &[CheckTable]) -> Result<()> {
    let state = context.state;
    let run = context.request.run;
    transaction::run(|| {
        let sources = tables.iter().flat_map(|table| &table.source);
        context.lock_source(sources.map(|part| &part.relation))?;
        let copied = read_copied(context, tables)?;
        let is_hashed = |table: &&CheckTable| hashes(context, table);
        let (hashed, counted): (Vec<_>, Vec<_>) = tables.iter().partition(is_hashed);
        let mut checked = Vec::with_capacity(tables.len());
        let source = begin_counts(context, &counted)?;
        let target = count_targets(context, &counted)?;
        for ((table, source), target) in counted.into_iter().zip(source.wait()??).zip(target) {
            checked.push(match target {
                Ok(target) => {
                    let copied = copied.get(&table.table_id).copied();
                    let [source, target] = [source, target].map(Contents::counted);
                    judge(context, table, source, target, copied)
                }
                Err(error) => fail_check(context, table, &error)?,
            });
        }
        for table in hashed {
            let copied = copied.get(&table.table_id).copied();
            if context.options.on_error == OnError::Stop {
                checked.push(compare_hashed(context, table, copied)?);
                continue;
            }
            match transaction::run_nested(|| compare_hashed(context, table, copied)) {
                Ok(table) => checked.push(table),
                Err(error @ Error::Target(_)) => checked.push(fail_check(context, table, &error)?),
                Err(error) => return Err(error),
            }
        }
        state.insert_checked(run, &checked)?;
        state.mark_done(run, task, &[])
    })
}

/// Whether a table's rows are hashed, not only counted.
fn hashes(context: &TaskContext, table: &CheckTable) -> bool {
    context.options.validation == Validation::Checksum
        && table.difference.is_none()
        && table.format.incomparable().is_none()
}

/// Records why a table could not be read on the target.
fn fail_check(context: &TaskContext, table: &CheckTable, error: &Error) -> Result<CheckedTable> {
    let places = table.target.iter().chain(&table.source);
    let object = places.map(|part| format!("table {}", part.relation)).next();
    let event = Event::failure(&object.unwrap_or_default(), error);
    context.state.insert_event(context.request.run, &event)?;
    Ok(failed_check(table, error))
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

impl Contents {
    fn counted(rows: u64) -> Self {
        Contents { rows, digest: None }
    }
}

fn compare_hashed(
    context: &mut TaskContext,
    table: &CheckTable,
    copied: Option<Contents>,
) -> Result<CheckedTable> {
    let streamed = copied.and_then(|contents| contents.digest);
    let source = begin_source(context, table, streamed.is_none())?;
    let target = hash_target(table)?;
    let mut source = source.wait()??;
    if streamed.is_some() {
        source.digest = streamed;
    }
    Ok(judge(context, table, source, target, copied))
}

/// What the two sides of a table, and what was copied of it, come to.
fn judge(
    context: &TaskContext,
    table: &CheckTable,
    source: Contents,
    target: Contents,
    copied: Option<Contents>,
) -> CheckedTable {
    let difference = table.difference.clone().or_else(|| find_difference(source, target, copied));
    let status = if difference.is_some() { "mismatch" } else { "match" };
    let is_wanted = context.options.validation == Validation::Checksum;
    let incomparable = table.format.incomparable().filter(|_| is_wanted);
    let counted_only = incomparable.map(|why| format!("counted only: {why}"));
    let checksum = |contents: Contents| contents.digest.map(|digest| digest.to_string());
    let count = |parts: &[CheckPart], contents: Contents| {
        (!parts.is_empty()).then(|| i64::try_from(contents.rows).ok()).flatten()
    };
    CheckedTable {
        table_id: table.table_id,
        source_rows: count(&table.source, source),
        target_rows: count(&table.target, target),
        source_checksum: checksum(source),
        target_checksum: checksum(target),
        status,
        detail: difference.or(counted_only),
    }
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

/// What the copies of each table reported, added up; nothing where nothing was copied.
fn read_copied(context: &TaskContext, tables: &[CheckTable]) -> Result<HashMap<i32, Contents>> {
    if context.request.kind != RunKind::Migrate {
        return Ok(HashMap::new());
    }
    let ids: Vec<_> = tables.iter().map(|table| table.table_id).collect();
    let mut sums: HashMap<i32, Contents> = HashMap::new();
    for (table_id, rows, checksum) in context.state.read_copied(context.request.run, &ids)? {
        let rows = u64::try_from(rows).unwrap_or(0);
        let digest = checksum.and_then(|hex| Digest::from_hex(rows, &hex));
        sums.entry(table_id)
            .and_modify(|sum| {
                sum.rows += rows;
                sum.digest = sum.digest.zip(digest).map(|(left, right)| left + right);
            })
            .or_insert(Contents { rows, digest });
    }
    Ok(sums)
}

/// Has the source count tables on the session's thread, many with one message.
fn begin_counts(
    context: &mut TaskContext,
    tables: &[&CheckTable],
) -> Result<Pending<Result<Vec<u64>>>> {
    let statements: Vec<Vec<_>> = tables
        .iter()
        .map(|table| table.source.iter().map(CheckPart::count_statement).collect())
        .collect();
    context.source.get()?.begin(move |connection| {
        let mut counts: Vec<u64> = Vec::new();
        let all: Vec<&str> = statements.iter().flatten().map(String::as_str).collect();
        for batch in all.chunks(COUNTS_PER_QUERY) {
            connection.for_each_row(&batch.join("; "), &mut |row| {
                let count = row.first().copied().flatten().and_then(|count| count.parse().ok());
                counts.push(count.ok_or_else(not_a_count)?);
                Ok(())
            })?;
        }
        if counts.len() != all.len() {
            return Err(not_a_count());
        }
        let mut rest = counts.into_iter();
        Ok(statements.iter().map(|parts| rest.by_ref().take(parts.len()).sum()).collect())
    })
}

fn not_a_count() -> Error {
    Error::Protocol("a count returned something else".to_owned())
}

/// Counts tables on the target. With `on_error: continue` one that cannot be counted leaves the others
/// alone.
fn count_targets(context: &TaskContext, tables: &[&CheckTable]) -> Result<Vec<Result<u64>>> {
    if context.options.on_error == OnError::Stop {
        return Ok(count_here(tables)?.into_iter().map(Ok).collect());
    }
    match transaction::run_nested(|| count_here(tables)) {
        Ok(counts) => return Ok(counts.into_iter().map(Ok).collect()),
        Err(Error::Target(_)) => {}
        Err(error) => return Err(error),
    }
    let mut counts = Vec::with_capacity(tables.len());
    for table in tables {
        let count = transaction::run_nested(|| count_here(&[*table]).map(|counts| counts[0]));
        match count {
            Ok(_) | Err(Error::Target(_)) => counts.push(count),
            Err(error) => return Err(error),
        }
    }
    Ok(counts)
}

fn count_here(tables: &[&CheckTable]) -> Result<Vec<u64>> {
    let mut counts = vec![0; tables.len()];
    let mut parts: Vec<_> = (0..)
        .zip(tables)
        .flat_map(|(position, table)| table.target.iter().map(move |part| (position, part)))
        .collect();
    parts.retain(|(position, part)| match part.predicate {
        Some(_) => true,
        None => heap_count::count_rows(&part.relation)
            .inspect(|rows| counts[*position] += rows)
            .is_none(),
    });
    for batch in parts.chunks(COUNTS_PER_QUERY) {
        let queries: Vec<_> = batch
            .iter()
            .map(|(position, part)| {
                format!("select '{position} ' || q.count from ({}) q", part.count_statement())
            })
            .collect();
        spi::for_each_text(&queries.join("\nunion all\n"), &mut |row| {
            let numbers = row.split_once(' ');
            let numbers = numbers.and_then(|(position, count)| {
                Some((position.parse::<usize>().ok()?, count.parse::<u64>().ok()?))
            });
            let (position, count) = numbers.ok_or_else(not_a_count)?;
            counts[position] += count;
            Ok(())
        })?;
    }
    Ok(counts)
}

/// Has the source counted, and read and hashed if `is_hashed`, on the session's thread.
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
        Some([Some(count)]) => count.parse().map_err(|_| not_a_count()),
        _ => Err(not_a_count()),
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

/// Reads and hashes the target's table.
fn hash_target(table: &CheckTable) -> Result<Contents> {
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
