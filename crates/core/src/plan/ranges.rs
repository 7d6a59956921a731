//! How a table is cut into ranges, each copied and committed by itself.
//!
//! In come what is known of the table and the limits of the run; out comes a condition for every range.
//! Every row meets exactly one of them: neighbours share their boundary, `<` on one side and `>=` on
//! the other, in a total order of the source's own; the first range has no lower and the last one no
//! upper end; and a key column is never null. Should boundaries ever come in another order than that of
//! the operators, no row would be lost, but some copied twice, which the key on the target refuses.
//!
//! Ranges are meant to be of equal bytes. They are cut at equal counts of pages or rows, since the bytes
//! of single rows cannot be known without reading them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::Deserialize;

use crate::name::{QualifiedName, quote_ident, quote_literal, quote_qualified};
use crate::options::{ChunkBy, Options};

/// Bytes of a page. On a server built with another size ranges get uneven, never wrong.
pub const PAGE_BYTES: i64 = 8192;

/// Bytes of a row where nothing is known: what a table of a few numbers and short texts has.
const GUESSED_ROW_BYTES: i64 = 100;

/// The smallest range that is cut by bytes: a second of copying, far above the cost of a task.
const MIN_RANGE_BYTES: i64 = 64 << 20;

/// The largest range: what is lost when a worker dies, and the most that one job lags behind.
const MAX_RANGE_BYTES: i64 = 256 << 20;

/// Ranges per job, were the whole database cut up: enough to keep all jobs busy to the end.
const RANGES_PER_JOB: i64 = 4;

/// Rows above which a table is cut up if the user does not say.
const LONG_TABLE_ROWS: i64 = 1_000_000;

/// Whole tables are at most such a part of what a job has to copy.
const SHARES_PER_JOB: i64 = 2;

/// Bytes from which it is cut up as well: rows may be few and long.
const LONG_TABLE_BYTES: i64 = 2 * MIN_RANGE_BYTES;

/// Bytes from which a table is cut up whatever else there is.
const LARGE_TABLE_BYTES: i64 = 1 << 30;

/// Ranges of one table at most; a plan has to stay readable.
const MAX_RANGES: i64 = 10_000;

/// Ranges by key at most: boundaries come from a sample, which finer ones would need larger.
const MAX_KEY_RANGES: i64 = 2_048;

/// Correlation of key and position from which a range by key reads the table nearly in its order.
/// Below, each row of a range may cost the source a page of its own.
const MIN_CORRELATION: f32 = 0.8;

/// The first version with TID range scans; before, every ctid range is a scan of the whole table.
const CTID_RANGE_VERSION: u32 = 140_000;

/// What is known of a table with rows.
#[derive(Debug, Clone)]
pub struct TableFacts {
    pub name: QualifiedName,
    /// Rows, by `estimate_rows`.
    pub rows: i64,
    /// Bytes of the main fork.
    pub main_bytes: i64,
    /// Bytes with TOAST, without indexes.
    pub total_bytes: i64,
    /// Whether its access method is heap, whose rows have stable places.
    pub is_heap: bool,
}

/// What the run asks of every table's ranges.
#[derive(Debug, Clone)]
pub struct Limits {
    pub source_version: u32,
    /// Bytes of all that the run copies.
    pub database_bytes: i64,
    /// Whether the jobs would have about as much to do each if no table were cut.
    pub is_even: bool,
    pub jobs: i64,
    /// Rows above which a table is cut, if the user wants to say.
    pub partition_threshold: Option<i64>,
    /// Rows per range, if the user wants to say.
    pub chunk_size: Option<i64>,
    pub chunk_by: ChunkBy,
}

/// A unique, immediate btree index on columns that are not null, in the type's default order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RangeKey {
    pub columns: Vec<KeyColumn>,
    /// Correlation of the first column with the rows' positions; None: not analyzed.
    pub correlation: Option<f32>,
    /// Boundaries that hold the same number of rows between them, of the first column; None: not known
    /// or not good enough.
    pub bounds: Option<Vec<String>>,
}

/// A column of a key, with what it takes to write a comparison.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct KeyColumn {
    pub name: String,
    /// The type that the key's operators compare.
    pub type_schema: String,
    pub type_name: String,
    /// Quoted and qualified; None where the type has none or its default applies.
    pub collation: Option<String>,
    /// The operators as SQL: `<`, or `operator(s.<)` where it is not the system's.
    pub less: String,
    pub greater_equal: String,
}

/// How a table was cut.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// Not at all, for a reason if the table is large.
    Whole { reason: Option<&'static str> },
    /// By physical position.
    Ctid,
    /// By a key.
    Key,
}

/// A table's ranges, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    pub method: Method,
    pub ranges: Vec<Range>,
}

/// One range.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// Condition on the source's rows; None: all rows.
    pub predicate: Option<String>,
    /// Rows expected.
    pub rows: i64,
    /// Bytes expected, TOAST included.
    pub bytes: i64,
}

impl Limits {
    /// The limits that the options set; `table_bytes` are the sizes of all tables to copy.
    pub fn new(options: &Options, source_version: u32, table_bytes: &[i64], jobs: u32) -> Limits {
        let database_bytes =
            table_bytes.iter().fold(0, |sum: i64, bytes| sum.saturating_add(*bytes));
        let jobs = i64::from(jobs);
        Limits {
            source_version,
            database_bytes,
            is_even: are_even(table_bytes, database_bytes / jobs.max(1), jobs),
            jobs,
            partition_threshold: options.partition_threshold.map(saturate),
            chunk_size: options.chunk_size.map(saturate),
            chunk_by: options.chunk_by,
        }
    }
}

/// Whether whole tables, the largest first and each to the job that has least, leave no job with a tenth more than its
/// share of the bytes.
fn are_even(table_bytes: &[i64], share: i64, jobs: i64) -> bool {
    let mut sizes = table_bytes.to_vec();
    sizes.sort_unstable_by_key(|bytes| Reverse(*bytes));
    let mut loads: BinaryHeap<Reverse<i64>> = (0..jobs.max(1)).map(|_| Reverse(0)).collect();
    let mut most: i64 = 0;
    for bytes in &sizes {
        if let Some(mut least) = loads.peek_mut() {
            least.0 = least.0.saturating_add(*bytes);
            most = most.max(least.0);
        }
    }
    most <= share.saturating_add(share / 10)
}

/// A count of rows as a bigint holds it.
fn saturate(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Rows of a table from `reltuples`, `relpages` and its real size, as the planner extrapolates them.
pub fn estimate_rows(row_estimate: f64, page_count: i64, main_bytes: i64) -> i64 {
    if row_estimate <= 0.0 || page_count <= 0 {
        return main_bytes / GUESSED_ROW_BYTES;
    }
    // Truncation is what is wanted here; a float too large becomes the largest integer.
    let rows_known = row_estimate as i64;
    let pages_now = i128::from(main_bytes / PAGE_BYTES);
    let rows_now = i128::from(rows_known) * pages_now / i128::from(page_count);
    i64::try_from(rows_now).unwrap_or(i64::MAX)
}

/// How many ranges a table should have; 1: it stays whole.
pub fn count_ranges(table: &TableFacts, limits: &Limits) -> i64 {
    let is_long = is_long(table, limits);
    if !is_long && table.total_bytes <= LARGE_TABLE_BYTES {
        return 1;
    }
    if let Some(rows_per_range) = limits.chunk_size {
        return div_up(table.rows, rows_per_range).clamp(1, MAX_RANGES);
    }
    let jobs = limits.jobs.max(1);
    let range_bytes =
        (limits.database_bytes / (jobs * RANGES_PER_JOB)).clamp(MIN_RANGE_BYTES, MAX_RANGE_BYTES);
    let by_bytes = div_up(table.total_bytes, range_bytes);
    // A long table of short rows may not have the bytes for a range per job.
    let threshold = limits.partition_threshold.unwrap_or(LONG_TABLE_ROWS);
    let by_rows = div_up(table.rows, threshold).min(jobs);
    let at_least = if is_long { 2 } else { 1 };
    by_bytes.max(by_rows).clamp(at_least, MAX_RANGES)
}

/// Whether a table has so many rows that it is cut.
///
/// One that stays whole is cheaper on both sides: the source reads it in a few buffers instead of all that
/// it has, and on the target its file belongs to one worker, which freezes the rows. So it is cut only
/// if it would keep one worker busy while others have nothing left to do: not if whole tables come out even.
fn is_long(table: &TableFacts, limits: &Limits) -> bool {
    let share = limits.database_bytes / limits.jobs.max(1) / SHARES_PER_JOB;
    match (limits.partition_threshold, limits.chunk_size) {
        (Some(rows), _) => table.rows > rows,
        (None, Some(_)) => table.rows > LONG_TABLE_ROWS,
        (None, None) => {
            let is_long = table.rows > LONG_TABLE_ROWS || table.total_bytes > LONG_TABLE_BYTES;
            is_long && table.total_bytes > share && !limits.is_even
        }
    }
}

/// Whether ranges of a table can be cut by position at a fair price.
fn allows_ctid(table: &TableFacts, limits: &Limits) -> bool {
    table.is_heap && limits.source_version >= CTID_RANGE_VERSION
}

/// Whether the key makes a difference to `choose_method`, so that it is worth reading.
pub fn needs_key(table: &TableFacts, limits: &Limits) -> bool {
    match limits.chunk_by {
        ChunkBy::Auto => !allows_ctid(table, limits),
        ChunkBy::Pk => true,
        ChunkBy::Ctid | ChunkBy::None => false,
    }
}

/// Chooses what a table that is large enough is cut by.
///
/// `auto` is what costs the source least: ctid ranges read every page once and in order, whatever the
/// key. Without them a key is as good if the rows lie in its order; if they do not, every range would
/// fetch pages at random, and a single scan of the whole table is cheaper.
pub fn choose_method(table: &TableFacts, key: Option<&RangeKey>, limits: &Limits) -> Method {
    let whole = |reason| Method::Whole { reason: Some(reason) };
    let is_in_order = |key: &RangeKey| key.correlation.is_some_and(|c| c.abs() >= MIN_CORRELATION);
    let allows_ctid = allows_ctid(table, limits);
    match (limits.chunk_by, key) {
        (ChunkBy::None, _) => whole("option \"chunk_by\" is \"none\""),
        (ChunkBy::Pk, Some(_)) => Method::Key,
        (ChunkBy::Auto | ChunkBy::Ctid | ChunkBy::Pk, _) if allows_ctid => Method::Ctid,
        (ChunkBy::Auto, Some(key)) if is_in_order(key) => Method::Key,
        (ChunkBy::Auto, Some(_)) => {
            whole("no ctid ranges on the source, and rows are not known to lie in key order")
        }
        _ if table.is_heap => whole("no ctid ranges before PostgreSQL 14, and no usable key"),
        _ => whole("no ctid ranges with this access method, and no usable key"),
    }
}

/// How many ranges are cut by key where `count` are wanted.
pub fn limit_key_ranges(count: i64) -> i64 {
    count.min(MAX_KEY_RANGES)
}

/// A table in one range.
pub fn keep_whole(table: &TableFacts, reason: Option<&'static str>) -> Split {
    Split { method: Method::Whole { reason }, ranges: share_out(table, vec![None]) }
}

/// Cuts a table by its pages into `count` ranges, or as many as it has pages.
pub fn cut_by_ctid(table: &TableFacts, count: i64) -> Split {
    let pages = (table.main_bytes / PAGE_BYTES).max(1);
    let count = count.clamp(1, pages);
    let boundary = |i: i64| {
        let page = i128::from(i) * i128::from(pages) / i128::from(count);
        (0 < i && i < count).then(|| format!("'({page},0)'::pg_catalog.tid"))
    };
    let predicates = (0..count)
        .map(|i| {
            let lower = boundary(i).map(|tid| format!("ctid >= {tid}"));
            let upper = boundary(i + 1).map(|tid| format!("ctid < {tid}"));
            join_conditions(lower, upper)
        })
        .collect();
    Split { method: Method::Ctid, ranges: share_out(table, predicates) }
}

/// Cuts a table at boundaries, in the order of the key.
///
/// A boundary has values for the first column or columns of the key, as many as the others. Repeated
/// boundaries are dropped; equal ones that are written differently make empty ranges.
pub fn cut_by_key(table: &TableFacts, key: &RangeKey, mut boundaries: Vec<Vec<String>>) -> Split {
    boundaries.dedup();
    let predicates = (0..=boundaries.len())
        .map(|i| {
            let lower = i.checked_sub(1).and_then(|below| boundaries.get(below));
            let lower = lower.map(|values| compare(&key.columns, Side::From, values));
            let upper = boundaries.get(i).map(|values| compare(&key.columns, Side::Below, values));
            join_conditions(lower, upper)
        })
        .collect();
    Split { method: Method::Key, ranges: share_out(table, predicates) }
}

/// Chooses `count - 1` boundaries among the bounds of equal buckets; None if the buckets are too few
/// to make ranges of about the same size.
pub fn choose_bounds(bounds: &[String], count: i64) -> Option<Vec<Vec<String>>> {
    let count = usize::try_from(count).ok()?;
    let buckets = bounds.len().saturating_sub(1);
    if count == 0 || buckets < 2 * count {
        return None;
    }
    Some((1..count).map(|i| vec![bounds[i * buckets / count].clone()]).collect())
}

/// The columns of a key that boundaries can be made of: all, or the first one where operators are not
/// the system's, since a comparison of rows finds them by name only.
pub fn boundary_columns(key: &RangeKey) -> &[KeyColumn] {
    let is_system = |column: &KeyColumn| column.less == "<" && column.greater_equal == ">=";
    match key.columns.iter().all(is_system) {
        true => &key.columns,
        false => &key.columns[..key.columns.len().min(1)],
    }
}

/// A condition that can be ANDed with others, whatever comments it ends in.
pub fn enclose_condition(condition: &str) -> String {
    format!("({condition}\n)")
}

/// The side of a boundary.
#[derive(Clone, Copy)]
enum Side {
    Below,
    From,
}

/// The condition that a row's key lies on one side of a boundary.
fn compare(columns: &[KeyColumn], side: Side, values: &[String]) -> String {
    let columns = &columns[..values.len().min(columns.len())];
    let names: Vec<String> = columns.iter().map(|column| quote_ident(&column.name)).collect();
    let literals: Vec<String> =
        columns.iter().zip(values).map(|(column, value)| column.literal(value)).collect();
    match columns {
        [column] => format!("{} {} {}", names.concat(), column.operator(side), literals.concat()),
        _ => {
            let operator = match side {
                Side::Below => "<",
                Side::From => ">=",
            };
            format!("({}) {operator} ({})", names.join(", "), literals.join(", "))
        }
    }
}

impl KeyColumn {
    /// The operator for one side of a boundary, as SQL.
    fn operator(&self, side: Side) -> &str {
        match side {
            Side::Below => &self.less,
            Side::From => &self.greater_equal,
        }
    }

    /// A value as a literal of the column's type and collation.
    fn literal(&self, value: &str) -> String {
        let cast_to = quote_qualified(&self.type_schema, &self.type_name);
        let literal = format!("{}::{cast_to}", quote_literal(value).trim_start());
        match &self.collation {
            Some(collation) => format!("{literal} collate {collation}"),
            None => literal,
        }
    }
}

/// Conditions ANDed; each must be in parentheses or without a weaker operator at its top.
pub(super) fn join_conditions(lower: Option<String>, upper: Option<String>) -> Option<String> {
    match (lower, upper) {
        (Some(lower), Some(upper)) => Some(format!("{lower} and {upper}")),
        (lower, upper) => lower.or(upper),
    }
}

/// Shares a table's rows and bytes out among its ranges; nothing is lost to rounding.
fn share_out(table: &TableFacts, predicates: Vec<Option<String>>) -> Vec<Range> {
    let count = i64::try_from(predicates.len()).unwrap_or(i64::MAX).max(1);
    let share = |total: i64, i: i64| {
        let up_to = |i: i64| i128::from(total.max(0)) * i128::from(i) / i128::from(count);
        i64::try_from(up_to(i + 1) - up_to(i)).unwrap_or(i64::MAX)
    };
    (0..)
        .zip(predicates)
        .map(|(i, predicate)| Range {
            predicate,
            rows: share(table.rows, i),
            bytes: share(table.total_bytes, i),
        })
        .collect()
}

/// The quotient rounded up, for a positive divisor.
fn div_up(dividend: i64, divisor: i64) -> i64 {
    let divisor = divisor.max(1);
    dividend / divisor + i64::from(dividend % divisor > 0)
}

#[cfg(test)]
mod tests;
