//! What the source knows about the ranges of its tables: keys, and boundaries of equal parts.
//!
//! Only tables that are large enough to be cut are asked about, one at a time. Queries are run within
//! the run's snapshot; boundaries come out as text, written and read under the same session settings.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::CatalogSession;
use crate::Result;
use crate::error::Error;
use crate::name::{QualifiedName, quote_ident, quote_literal};
use crate::plan::ranges::{
    self, KeyColumn, Limits, Method, PAGE_BYTES, RangeKey, Split, TableFacts, boundary_columns,
    choose_bounds,
};

/// Finds the best key of a table.
const RANGE_KEY: &str = include_str!("range_key.sql");

/// Pages that a sample reads for every range: with a page being of one range, sizes stay within a
/// fifth of each other mostly.
const SAMPLE_PAGES_PER_RANGE: i64 = 32;

/// Pages that a sample reads at least.
const MIN_SAMPLE_PAGES: i64 = 1024;

/// Cuts a table into ranges, asking the source for a key and boundaries where these are needed.
pub fn split_table(
    session: &mut dyn CatalogSession,
    table: &TableFacts,
    limits: &Limits,
) -> Result<Split> {
    let count = ranges::count_ranges(table, limits);
    if count <= 1 {
        return Ok(ranges::keep_whole(table, None));
    }
    let key = match ranges::needs_key(table, limits) {
        true => read_key(session, &table.name)?,
        false => None,
    };
    match (ranges::choose_method(table, key.as_ref(), limits), &key) {
        (Method::Whole { reason }, _) => Ok(ranges::keep_whole(table, reason)),
        (Method::Key, Some(key)) => {
            let boundaries = read_boundaries(session, table, key, ranges::limit_key_ranges(count))?;
            Ok(ranges::cut_by_key(table, key, boundaries))
        }
        (Method::Ctid | Method::Key, _) => Ok(ranges::cut_by_ctid(table, count)),
    }
}

/// Reads the best key of a table, with what is known of how its values are spread.
pub fn read_key(
    session: &mut dyn CatalogSession,
    table: &QualifiedName,
) -> Result<Option<RangeKey>> {
    let query = RANGE_KEY.replace(":'table'", &quote_literal(&table.quoted()));
    Ok(read_rows(session, &query)?.pop())
}

/// Reads the boundaries of `count` equal ranges, from the histogram if it is good enough, else from a
/// sample; there may be fewer than `count - 1`.
pub fn read_boundaries(
    session: &mut dyn CatalogSession,
    table: &TableFacts,
    key: &RangeKey,
    count: i64,
) -> Result<Vec<Vec<String>>> {
    if let Some(boundaries) = key.bounds.as_ref().and_then(|bounds| choose_bounds(bounds, count)) {
        return Ok(boundaries);
    }
    let query = write_sample_query(table, boundary_columns(key), count);
    let rows: Vec<SampleRow> = read_rows(session, &query)?;
    Ok(rows.into_iter().map(|row| row.boundary).collect())
}

/// A row of the sample query.
#[derive(Deserialize)]
struct SampleRow {
    boundary: Vec<String>,
}

/// The query for the boundaries of `count` equal parts of a sample, in the order of the key.
///
/// The sample is one of pages, so its cost is bounded by their number, however large the table is; the
/// seed is fixed, so that the same table gives the same ranges.
fn write_sample_query(table: &TableFacts, columns: &[KeyColumn], count: i64) -> String {
    let names: Vec<String> = columns.iter().map(|column| quote_ident(&column.name)).collect();
    let texts: Vec<String> = names.iter().map(|name| format!("{name}::pg_catalog.text")).collect();
    format!(
        "select s.boundary\n\
         from (\n\
         select pg_catalog.json_build_array({values}) as boundary,\n\
         pg_catalog.row_number() over (order by {names}) as n,\n\
         pg_catalog.count(*) over () as total\n\
         from only {table} tablesample system ({percent}) repeatable (0)\n\
         ) s\n\
         where s.n > 1 and (s.n - 1) * {count} / s.total <> (s.n - 2) * {count} / s.total\n\
         order by s.n",
        values = texts.join(", "),
        names = names.join(", "),
        table = table.name.quoted(),
        percent = sample_percent(table, count),
    )
}

/// How much of a table is read for a sample, in percent with six decimals.
fn sample_percent(table: &TableFacts, count: i64) -> String {
    let wanted_pages = (count * SAMPLE_PAGES_PER_RANGE).max(MIN_SAMPLE_PAGES);
    let pages = (table.main_bytes / PAGE_BYTES).max(1);
    let millionths = (i128::from(wanted_pages) * 100_000_000 / i128::from(pages)).min(100_000_000);
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}

/// Runs a query and decodes its rows.
fn read_rows<T: DeserializeOwned>(session: &mut dyn CatalogSession, query: &str) -> Result<Vec<T>> {
    let mut rows = Vec::new();
    session.query_json(query, &mut |json| {
        let row = serde_json::from_str(json)
            .map_err(|e| Error::Internal(format!("cannot decode a range query's row: {e}")))?;
        rows.push(row);
        Ok(())
    })?;
    Ok(rows)
}
