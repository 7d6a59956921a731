//! What the planner knows of a table's columns, written as ANALYZE writes it.
//!
//! Form: `catalog/pg_statistic.h`; which operators and collations go with what, `commands/analyze.c`.

use std::ffi::{CStr, CString};

use pgrx::tupdesc::PgTupleDesc;
use pgrx::{IntoDatum, pg_sys};

use super::heap_pages;
use super::relation::OpenRelation;
use super::utility;

/// Kinds of statistics that a column can have, and attributes of `pg_statistic`.
const SLOTS: usize = 5;
const ATTRIBUTES: usize = 31;

/// Where in a row of `pg_statistic` the first of its slots' kinds, operators, collations, numbers and values are.
const KINDS: usize = 6;
const OPERATORS: usize = KINDS + SLOTS;
const COLLATIONS: usize = OPERATORS + SLOTS;
const NUMBERS: usize = COLLATIONS + SLOTS;
const VALUES: usize = NUMBERS + SLOTS;

/// What `pg_stats` says of a column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnStatistics {
    /// NULLs among all rows, from 0 to 1.
    pub null_share: f32,
    /// Bytes of a value on average.
    pub width: i32,
    /// Distinct values; a negative number is their share of the rows.
    pub distinct: f32,
    /// Arrays as text: most common values, and their shares.
    pub common_values: Option<(String, String)>,
    /// An array as text: bounds of a histogram of all other values.
    pub bounds: Option<String>,
    /// Of the order of values and of rows.
    pub correlation: Option<f32>,
    /// Arrays as text, for columns of arrays and of texts to be searched: most common elements, and their shares with
    /// what `pg_stats` puts behind them.
    pub common_elements: Option<(String, String)>,
    /// An array as text: bounds of a histogram of the numbers of elements.
    pub element_counts: Option<String>,
}

/// A column of a table by its number, or of an index the expression that is stored there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnPlace {
    pub index: Option<pg_sys::Oid>,
    pub number: i16,
}

/// Sets what is known of a table and of its columns in place of what was known before. `rows` is for tables of which the number is not known yet.
///
/// Locks the table as ANALYZE does. Raises on values that the columns' types do not take.
pub fn set(table: pg_sys::Oid, rows: f64, columns: &[(ColumnPlace, &ColumnStatistics)]) {
    let lock = pg_sys::ShareUpdateExclusiveLock as pg_sys::LOCKMODE;
    let table = OpenRelation::open(table, lock);
    // SAFETY: the relation is open.
    let (oid, class) = unsafe { ((*table.get()).rd_id, &*(*table.get()).rd_rel) };
    let lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
    let catalog = OpenRelation::open(pg_sys::StatisticRelationId, lock);
    // SAFETY: all columns of a table that is locked.
    unsafe { pg_sys::RemoveStatistics(oid, 0) };
    let is_inherited = class.relkind as u8 == pg_sys::RELKIND_PARTITIONED_TABLE;
    for (place, statistics) in columns {
        let column = match place.index {
            None => Column::of_table(table.get(), place.number),
            Some(index) => Column::of_index(index, place.number),
        };
        if let Some(column) = column {
            Row::new(&column, is_inherited, statistics).insert(catalog.get());
        }
    }
    describe(table.get(), rows, is_inherited);
}

/// What statistics are about.
struct Column {
    relation: pg_sys::Oid,
    number: i16,
    value_type: pg_sys::Oid,
    collation: pg_sys::Oid,
}

impl Column {
    /// None if there is no such column.
    fn of_table(table: pg_sys::Relation, number: i16) -> Option<Self> {
        // SAFETY: the relation is open, and stays so while this is used.
        let (relation, descriptor) =
            unsafe { ((*table).rd_id, PgTupleDesc::from_pg_unchecked((*table).rd_att)) };
        let attribute = descriptor.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        let (value_type, collation) = (attribute.atttypid, attribute.attcollation);
        Some(Column { relation, number, value_type, collation })
    }

    /// An expression of an index, of which nothing is known after this. The type is the expression's, which the index
    /// may store in another form, and the collation the index's, as ANALYZE has it.
    fn of_index(index: pg_sys::Oid, number: i16) -> Option<Self> {
        let index = OpenRelation::open(index, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        let position = usize::try_from(number).ok()?.checked_sub(1)?;
        // SAFETY: the index is open.
        let form = unsafe { &*(*index.get()).rd_index };
        let count = usize::try_from(form.indnatts).ok()?;
        // SAFETY: an index has this many columns.
        let keys = unsafe { form.indkey.values.as_slice(count) };
        if keys.get(position) != Some(&0) {
            return None;
        }
        let before = keys[..position].iter().filter(|key| **key == 0).count();
        // SAFETY: the index is open; a copy in the current memory context.
        let expressions = unsafe { pg_sys::RelationGetIndexExpressions(index.get()) };
        let expressions = utility::elements::<pg_sys::Node>(expressions);
        let expression: *const pg_sys::Node = *expressions.get(before)?;
        // SAFETY: the index's expression and, as it has this column, its collation.
        let (value_type, own, stored) = unsafe {
            let stored = *(*index.get()).rd_indcollation.add(position);
            (pg_sys::exprType(expression), pg_sys::exprCollation(expression), stored)
        };
        let collation = if stored == pg_sys::InvalidOid { own } else { stored };
        // SAFETY: the index is open.
        let relation = unsafe { (*index.get()).rd_id };
        // SAFETY: one column of an index of a table that is locked.
        unsafe { pg_sys::RemoveStatistics(relation, number) };
        Some(Column { relation, number, value_type, collation })
    }

    /// The type of the elements of its values, the operator by which they are equal and their collation; None if
    /// ANALYZE does not look at elements.
    fn elements(&self) -> Option<(pg_sys::Oid, pg_sys::Oid, pg_sys::Oid)> {
        if self.value_type == pg_sys::TSVECTOROID {
            let operator = pg_sys::Oid::from(pg_sys::TextEqualOperator);
            return Some((pg_sys::TEXTOID, operator, pg_sys::DEFAULT_COLLATION_OID));
        }
        // SAFETY: a look-up; no type for what is no array.
        let element = unsafe { pg_sys::get_base_element_type(self.value_type) };
        if element == pg_sys::InvalidOid {
            return None;
        }
        // SAFETY: a look-up; the entry lives as long as the process.
        let entry =
            unsafe { &*pg_sys::lookup_type_cache(element, pg_sys::TYPECACHE_EQ_OPR as i32) };
        let has_operator = entry.eq_opr != pg_sys::InvalidOid;
        has_operator.then_some((entry.type_id, entry.eq_opr, self.collation))
    }
}

/// A row of `pg_statistic`.
struct Row {
    values: [pg_sys::Datum; ATTRIBUTES],
    nulls: [bool; ATTRIBUTES],
    slots: usize,
}

impl Row {
    fn new(column: &Column, is_inherited: bool, statistics: &ColumnStatistics) -> Self {
        let operators = (pg_sys::TYPECACHE_EQ_OPR | pg_sys::TYPECACHE_LT_OPR) as i32;
        // SAFETY: a look-up; the entry lives as long as the process.
        let entry = unsafe { &*pg_sys::lookup_type_cache(column.value_type, operators) };
        let mut row = Row {
            values: [pg_sys::Datum::from(0_usize); ATTRIBUTES],
            nulls: [false; ATTRIBUTES],
            slots: 0,
        };
        row.nulls[NUMBERS..].fill(true);
        let first = [
            column.relation.into_datum(),
            column.number.into_datum(),
            is_inherited.into_datum(),
            statistics.null_share.into_datum(),
            statistics.width.into_datum(),
            statistics.distinct.into_datum(),
        ];
        for (value, datum) in row.values.iter_mut().zip(first) {
            // None of them is NULL.
            *value = datum.unwrap_or(*value);
        }
        let (value_type, collation) = (column.value_type, column.collation);
        let has = |operator: pg_sys::Oid| operator != pg_sys::InvalidOid;
        if let Some((values, shares)) = &statistics.common_values
            && has(entry.eq_opr)
        {
            let shares = Some(read_array(shares, pg_sys::FLOAT4OID));
            let values = Some(read_array(values, value_type));
            let kind = pg_sys::STATISTIC_KIND_MCV;
            row.add(kind, entry.eq_opr, collation, shares, values);
        }
        if let Some(bounds) = &statistics.bounds
            && has(entry.lt_opr)
        {
            let bounds = Some(read_array(bounds, value_type));
            row.add(pg_sys::STATISTIC_KIND_HISTOGRAM, entry.lt_opr, collation, None, bounds);
        }
        if let Some(correlation) = statistics.correlation
            && has(entry.lt_opr)
        {
            let numbers = vec![correlation].into_datum();
            row.add(pg_sys::STATISTIC_KIND_CORRELATION, entry.lt_opr, collation, numbers, None);
        }
        if let Some((element, operator, collation)) = column.elements() {
            if let Some((values, shares)) = &statistics.common_elements {
                let shares = Some(read_array(shares, pg_sys::FLOAT4OID));
                let values = Some(read_array(values, element));
                row.add(pg_sys::STATISTIC_KIND_MCELEM, operator, collation, shares, values);
            }
            if let Some(counts) = &statistics.element_counts {
                let counts = Some(read_array(counts, pg_sys::FLOAT4OID));
                row.add(pg_sys::STATISTIC_KIND_DECHIST, operator, collation, counts, None);
            }
        }
        row
    }

    /// Fills the next slot.
    fn add(
        &mut self,
        kind: u32,
        operator: pg_sys::Oid,
        collation: pg_sys::Oid,
        numbers: Option<pg_sys::Datum>,
        values: Option<pg_sys::Datum>,
    ) {
        let slot = self.slots;
        self.slots += 1;
        self.values[KINDS + slot] = pg_sys::Datum::from(kind as i16);
        self.values[OPERATORS + slot] = pg_sys::Datum::from(operator);
        self.values[COLLATIONS + slot] = pg_sys::Datum::from(collation);
        for (place, datum) in [(NUMBERS + slot, numbers), (VALUES + slot, values)] {
            if let Some(datum) = datum {
                self.values[place] = datum;
                self.nulls[place] = false;
            }
        }
    }

    fn insert(&mut self, catalog: pg_sys::Relation) {
        // SAFETY: the catalog is open, with as many attributes.
        let tuple = unsafe {
            pg_sys::heap_form_tuple(
                (*catalog).rd_att,
                self.values.as_mut_ptr(),
                self.nulls.as_mut_ptr(),
            )
        };
        // SAFETY: the catalog is locked for writing.
        unsafe { pg_sys::CatalogTupleInsert(catalog, tuple) };
        // SAFETY: formed above.
        unsafe { pg_sys::heap_freetuple(tuple) };
    }
}

/// Reads an array from its text.
fn read_array(text: &str, element: pg_sys::Oid) -> pg_sys::Datum {
    let Ok(text) = CString::new(text) else {
        pgrx::error!("an array contains a zero byte");
    };
    // SAFETY: the arguments that the function takes; raises on a wrong text.
    unsafe {
        pg_sys::OidFunctionCall3Coll(
            pg_sys::Oid::from(pg_sys::F_ARRAY_IN),
            pg_sys::InvalidOid,
            pg_sys::Datum::from(CStr::as_ptr(&text)),
            pg_sys::Datum::from(element),
            pg_sys::Datum::from(-1_i32),
        )
    }
}

/// Sets pages and rows of the table, and tells autovacuum that it need not analyze it.
fn describe(table: pg_sys::Relation, rows: f64, is_inherited: bool) {
    // SAFETY: the relation is open.
    let class = unsafe { &*(*table).rd_rel };
    let (mut pages, mut visible) = (0, 0);
    if !is_inherited {
        pages = heap_pages::count_blocks(table);
        // SAFETY: the relation is open and has storage; null for what is not asked.
        unsafe { pg_sys::visibilitymap_count(table, &mut visible, std::ptr::null_mut()) };
    }
    // An index that was built counts exactly.
    let is_counted = !is_inherited && class.relpages as u32 == pages && class.reltuples >= 0.0;
    let rows = if is_counted && pages > 0 { f64::from(class.reltuples) } else { rows };
    update(table, if is_inherited { u32::MAX } else { pages }, rows, visible, class.relhasindex);
    report(table, rows as i64);
}

#[cfg(not(feature = "pg18"))]
fn update(table: pg_sys::Relation, pages: u32, rows: f64, visible: u32, has_index: bool) {
    let none = std::ptr::null_mut();
    // SAFETY: the relation is open and locked as ANALYZE locks it; nothing is said of transactions.
    unsafe {
        pg_sys::vac_update_relstats(
            table,
            pages,
            rows,
            visible,
            has_index,
            pg_sys::InvalidTransactionId,
            pg_sys::MultiXactId::from(0),
            none,
            none,
            false,
        )
    };
}

#[cfg(feature = "pg18")]
fn update(table: pg_sys::Relation, pages: u32, rows: f64, visible: u32, has_index: bool) {
    let none = std::ptr::null_mut();
    // SAFETY: the relation is open and locked as ANALYZE locks it; nothing is said of transactions.
    unsafe {
        pg_sys::vac_update_relstats(
            table,
            pages,
            rows,
            visible,
            0,
            has_index,
            pg_sys::InvalidTransactionId,
            pg_sys::MultiXactId::from(0),
            none,
            none,
            false,
        )
    };
}

#[cfg(not(feature = "pg18"))]
fn report(table: pg_sys::Relation, rows: i64) {
    // SAFETY: the relation is open.
    unsafe { pg_sys::pgstat_report_analyze(table, rows, 0, true) };
}

#[cfg(feature = "pg18")]
fn report(table: pg_sys::Relation, rows: i64) {
    // SAFETY: a look at the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    // SAFETY: the relation is open.
    unsafe { pg_sys::pgstat_report_analyze(table, rows, 0, true, now) };
}
