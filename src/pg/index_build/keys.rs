//! The keys of a table's rows: found on its pages, sorted by `narrow_keys` or `wide_keys`.

use pgmig_core::btree::Key;
use pgmig_core::heap::deform::{Attribute, Deformer};
use pgmig_core::heap::page::{Pointer, Tuple};
use pgmig_core::heap::sort::{KeyColumn, KeyLayout};
use pgmig_core::heap::wide_key::{WideColumn, WideKind, WideLayout};
use pgrx::pg_sys;
use pgrx::tupdesc::PgTupleDesc;

use super::kinds::{Collations, kind_of};
use crate::pg::heap_pages::{self, Others, Unusual};
use crate::pg::utility;

/// Pages that are read between two reports of progress.
const BLOCKS_PER_REPORT: u32 = 128;

/// Finds the keys of an index in rows.
pub(super) struct KeyReader {
    deformer: Deformer,
    pub(super) layout: Layout,
    /// The kinds and collations of its columns.
    kinds: Vec<(WideKind, pg_sys::Oid)>,
    /// What the index wants of a row that it is to have.
    conditions: Vec<Condition>,
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
    /// None if the index is not of a kind that this can read.
    ///
    /// # Safety
    /// Both relations must be open, and `info` must describe the index.
    pub(super) unsafe fn new(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        info: *mut pg_sys::IndexInfo,
    ) -> Option<Self> {
        // SAFETY: by contract.
        let (info, opened) = unsafe { (&*info, &*index) };
        // SAFETY: as above.
        let descriptor = unsafe { PgTupleDesc::from_pg_unchecked(opened.rd_att) };
        let attributes = heap_pages::attributes_of(table);
        let conditions = conditions_of(info)?;
        let excludes_null = |attribute: usize| {
            conditions.iter().any(|wanted| wanted.attribute == attribute && !wanted.is_null)
        };
        let mut columns = Vec::new();
        let (mut wanted, mut kinds) = (Vec::new(), Vec::new());
        for position in 0..usize::try_from(info.ii_NumIndexAttrs).ok()? {
            let attribute =
                usize::try_from(info.ii_IndexAttrNumbers[position]).ok()?.checked_sub(1)?;
            let definition = attributes.get(attribute)?;
            // SAFETY: there is one for each key column.
            let option = unsafe { *opened.rd_indoption.add(position) } as u32;
            // SAFETY: as above.
            let collation = unsafe { *opened.rd_indcollation.add(position) };
            let kind = kind_of(definition.base, collation)?;
            let storage = descriptor.get(position)?.attstorage as u8;
            let is_text = matches!(kind, WideKind::Text | WideKind::Collated);
            if is_text && storage == pg_sys::TYPSTORAGE_PLAIN {
                // Such texts keep the header that they have in the table.
                return None;
            }
            wanted.push(attribute);
            kinds.push((kind, collation));
            columns.push(WideColumn {
                kind,
                is_descending: option & pg_sys::INDOPTION_DESC != 0,
                has_nulls_first: option & pg_sys::INDOPTION_NULLS_FIRST != 0,
                is_nullable: definition.is_nullable && !excludes_null(attribute),
            });
        }
        let stored: Vec<Attribute> = attributes.iter().map(|attribute| attribute.stored).collect();
        let deformer = Deformer::new(&stored, &wanted)?;
        Some(KeyReader { deformer, layout: Layout::new(&columns)?, kinds, conditions })
    }

    /// The collations of the columns.
    pub(super) fn collations(&self) -> Collations {
        Collations::new(&self.kinds)
    }

    /// Reads the keys of all live rows that the index is to have; returns the number of live rows, also of
    /// those that it is not to have.
    pub(super) fn read(
        &self,
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
                if !self.wants(tuple)? {
                    continue;
                }
                self.deformer.deform(tuple, &mut values).map_err(|_| Unusual)?;
                sorter.push(&values, u64::from(block) << 16 | u64::from(*offset))?;
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Whether the index is to have the row.
    fn wants(&self, tuple: Tuple<'_>) -> Result<bool, Unusual> {
        for condition in &self.conditions {
            if tuple.is_null(condition.attribute).ok_or(Unusual)? != condition.is_null {
                return Ok(false);
            }
        }
        Ok(true)
    }
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
                WideKind::Text | WideKind::Collated => None,
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
