//! The keys of a table's rows: found on its pages, sorted by `narrow_keys` or `wide_keys`.

use pgmig_core::btree::Key;
use pgmig_core::heap::deform::{Attribute, Deformer};
use pgmig_core::heap::page::{Pointer, Tuple};
use pgmig_core::heap::sort::{KeyColumn, KeyLayout};
use pgmig_core::heap::wide_key::{WideColumn, WideKind, WideLayout};
use pgrx::pg_sys;
use pgrx::tupdesc::PgTupleDesc;

use super::evaluate::Evaluator;
use super::kinds::{Collations, kind_of};
use crate::pg::heap_pages::{self, Others, Unusual};
use crate::pg::utility;

/// Pages that are read between two reports of progress.
const BLOCKS_PER_REPORT: u32 = 128;

/// Finds the keys of an index in rows.
pub(super) struct KeyReader {
    way: Way,
    /// The kinds and collations of its columns.
    kinds: Vec<(WideKind, pg_sys::Oid)>,
}

/// How the columns of the index come out of a row.
enum Way {
    /// As they are, of rows of which the index wants no more than that.
    Read(Deformer, Vec<Condition>),
    Evaluate(Evaluator),
}

/// In which form the keys are sorted.
pub(super) enum Layout {
    Narrow(KeyLayout),
    Wide(WideLayout),
}

/// An attribute, counted from 0, and whether it must be NULL or must not.
#[derive(Clone, Copy)]
struct Condition {
    attribute: usize,
    is_null: bool,
}

/// Keys that are read one after the other, then given back in order.
pub(super) trait Sorter {
    type Key: Key;

    /// Makes room for the keys of a page with so many rows.
    fn make_room(&mut self, row_count: usize);

    /// Takes the key of a row that lies behind all others.
    fn push(&mut self, values: &[Option<&[u8]>], place: u64) -> Result<(), Unusual>;

    /// Calls `each` with all keys in their order, or with some if that cannot be found.
    fn for_each(self, each: impl FnMut(&Self::Key)) -> Result<(), Unusual>;
}

impl KeyReader {
    /// Also the form of the keys; None if the index is not of a kind that this can read.
    ///
    /// # Safety
    /// Both relations must be open, and `info` must describe the index.
    pub(super) unsafe fn new(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        info: *mut pg_sys::IndexInfo,
    ) -> Option<(Self, Layout)> {
        // SAFETY: by contract.
        let (info_of_index, opened) = unsafe { (&*info, &*index) };
        // SAFETY: as above.
        let descriptor = unsafe { PgTupleDesc::from_pg_unchecked(opened.rd_att) };
        let attributes = heap_pages::attributes_of(table);
        let conditions = conditions_of(info_of_index);
        let excludes_null = |attribute: usize| {
            conditions.iter().flatten().any(|of| of.attribute == attribute && !of.is_null)
        };
        let (mut columns, mut kinds, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        let column_count = usize::try_from(info_of_index.ii_NumIndexAttrs).ok()?;
        for position in 0..column_count {
            // SAFETY: there is one of each for each key column.
            let (option, collation, family) = unsafe {
                (
                    *opened.rd_indoption.add(position) as u32,
                    *opened.rd_indcollation.add(position),
                    *opened.rd_opfamily.add(position),
                )
            };
            let number = usize::try_from(info_of_index.ii_IndexAttrNumbers[position]).ok()?;
            let definition = number.checked_sub(1).map(|attribute| attributes.get(attribute));
            let result = descriptor.get(position)?;
            let (base, is_nullable) = match definition {
                Some(definition) => {
                    let definition = definition?;
                    (definition.base, definition.is_nullable && !excludes_null(number - 1))
                }
                // SAFETY: a look-up.
                None => (unsafe { pg_sys::getBaseType(result.atttypid) }, true),
            };
            let kind = kind_of(base, family, collation)?;
            let is_narrow = matches!(kind, WideKind::Narrow(_));
            if !is_narrow && result.attstorage as u8 == pg_sys::TYPSTORAGE_PLAIN {
                // Such values keep the header that they have in the table.
                return None;
            }
            wanted.extend(number.checked_sub(1));
            kinds.push((kind, collation));
            columns.push(WideColumn {
                kind,
                is_descending: option & pg_sys::INDOPTION_DESC != 0,
                has_nulls_first: option & pg_sys::INDOPTION_NULLS_FIRST != 0,
                is_nullable,
            });
        }
        let way = match conditions {
            Some(conditions) if wanted.len() == column_count => {
                let stored: Vec<Attribute> =
                    attributes.iter().map(|attribute| attribute.stored).collect();
                Way::Read(Deformer::new(&stored, &wanted)?, conditions)
            }
            // SAFETY: by contract.
            _ => Way::Evaluate(unsafe { Evaluator::new(table, index, info) }),
        };
        Some((KeyReader { way, kinds }, Layout::new(&columns)?))
    }

    /// The collations of the columns.
    pub(super) fn collations(&self) -> Collations {
        Collations::new(&self.kinds)
    }

    /// Reads the keys of all live rows that the index is to have; returns the number of live rows, also of
    /// those that it is not to have.
    pub(super) fn read(
        &mut self,
        table: pg_sys::Relation,
        sorter: &mut impl Sorter,
    ) -> Result<u64, Unusual> {
        let mut rows = 0;
        let blocks = i64::from(heap_pages::count_blocks(table));
        heap_pages::report_progress(pg_sys::PROGRESS_SCAN_BLOCKS_TOTAL, blocks);
        heap_pages::for_each_page(table, Others::Read, &mut |block, page, live| {
            if block % BLOCKS_PER_REPORT == 0 {
                heap_pages::report_progress(pg_sys::PROGRESS_SCAN_BLOCKS_DONE, i64::from(block));
            }
            sorter.make_room(live.len());
            rows += live.len() as u64;
            let mut values = vec![None; self.kinds.len()];
            for offset in live {
                let Pointer::Tuple(tuple) = page.pointer(*offset) else {
                    return Err(Unusual);
                };
                let place = u64::from(block) << 16 | u64::from(*offset);
                match &mut self.way {
                    Way::Read(deformer, conditions) => {
                        if holds(conditions, tuple)? {
                            deformer.deform(tuple, &mut values).map_err(|_| Unusual)?;
                            sorter.push(&values, place)?;
                        }
                    }
                    Way::Evaluate(evaluator) => {
                        evaluator.evaluate(tuple, (block, *offset), |values| {
                            sorter.push(values, place)
                        })?;
                    }
                }
            }
            Ok(())
        })?;
        Ok(rows)
    }
}

/// Whether a row is as the conditions want it.
fn holds(conditions: &[Condition], tuple: Tuple<'_>) -> Result<bool, Unusual> {
    for condition in conditions {
        if tuple.is_null(condition.attribute).ok_or(Unusual)? != condition.is_null {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Layout {
    /// Narrow if it can be.
    fn new(columns: &[WideColumn]) -> Option<Self> {
        let narrow: Option<Vec<KeyColumn>> = columns
            .iter()
            .map(|column| match column.kind {
                WideKind::Narrow(kind) => Some(KeyColumn {
                    kind,
                    is_descending: column.is_descending,
                    has_nulls_first: column.has_nulls_first,
                    is_nullable: column.is_nullable,
                }),
                _ => None,
            })
            .collect();
        match narrow.and_then(|columns| KeyLayout::new(&columns)) {
            Some(layout) => Some(Layout::Narrow(layout)),
            None => WideLayout::new(columns).map(Layout::Wide),
        }
    }
}

/// The conditions of an index of a part of its table; None if there are others than of being NULL.
fn conditions_of(info: &pg_sys::IndexInfo) -> Option<Vec<Condition>> {
    utility::elements::<pg_sys::Node>(info.ii_Predicate)
        .into_iter()
        .map(|node| {
            let test = utility::cast::<pg_sys::NullTest>(node, pg_sys::NodeTag::T_NullTest)?;
            // SAFETY: checked just now.
            let test = unsafe { &*test };
            let column = utility::cast::<pg_sys::Var>(test.arg.cast(), pg_sys::NodeTag::T_Var)?;
            // SAFETY: checked just now.
            let attribute = usize::try_from(unsafe { (*column).varattno }).ok()?.checked_sub(1)?;
            let is_null = test.nulltesttype == pg_sys::NullTestType::IS_NULL;
            (!test.argisrow).then_some(Condition { attribute, is_null })
        })
        .collect()
}

/// Bytes of memory for keys.
pub(super) fn memory_bytes() -> usize {
    // SAFETY: a setting, in kilobytes.
    let kilobytes = unsafe { pg_sys::maintenance_work_mem };
    usize::try_from(kilobytes).unwrap_or(0) * 1024
}
