//! One end of a foreign key: its table, or a partitioned table's leaves, and the columns.

use pgmig_core::heap::deform::{Attribute, Deformer};
use pgmig_core::heap::page::Pointer;
use pgmig_core::heap::reference::{Form, Key, KeyMaker, MOST_COLUMNS, ReferencedKeys};
use pgrx::pg_sys;

use crate::pg::heap_pages::{self, Others, TableAttribute, Unusual};
use crate::pg::relation::{self, NO_LOCK, OpenRelation};

/// The lock that the server takes on both ends.
const LOCK: pg_sys::LOCKMODE = pg_sys::ShareRowExclusiveLock as pg_sys::LOCKMODE;

/// How many referenced pages are read for one of the referencing table: if there are more, the server
/// looks fewer rows up in the index of the referenced key than there are to be read.
const REFERENCED_PAGES_PER_PAGE: u32 = 32;

/// Referenced pages that are read in any case.
const FEW_REFERENCED_PAGES: u32 = 64;

/// An end, open and locked against writers.
pub(super) struct End {
    relation: OpenRelation,
    /// Names of the key's columns, the parser's.
    columns: Vec<*mut pg_sys::String>,
}

impl End {
    /// Raises the server's ERROR if there is no such table.
    pub(super) fn open(table: *mut pg_sys::RangeVar, columns: Vec<*mut pg_sys::String>) -> Self {
        End { relation: OpenRelation::open_named(table, LOCK), columns }
    }

    /// Whether every row's key is NULL in part or one of the other's; None if that is not found out.
    pub(super) fn references(&self, other: &End) -> Option<bool> {
        let (tables, other_tables) = (self.tables()?, other.tables()?);
        let (first, other_first) = (tables.first()?, other_tables.first()?);
        let forms = first.forms_beside(other_first)?;
        let other_forms = other_first.forms_beside(first)?;
        let (blocks, other_blocks) = (count_blocks(&tables), count_blocks(&other_tables));
        if other_blocks > blocks.saturating_mul(REFERENCED_PAGES_PER_PAGE).max(FEW_REFERENCED_PAGES)
        {
            return None;
        }
        // SAFETY: a setting in kilobytes.
        let memory = usize::try_from(unsafe { pg_sys::maintenance_work_mem }).ok()? * 1024;
        let mut keys = ReferencedKeys::new(&other_forms, memory / 2);
        for table in &other_tables {
            let add = &mut |key: Key<'_>| keys.insert(key).map_err(|_| Unusual);
            table.for_each_key(other_first, &other_forms, add).ok()?;
        }
        let keys = keys.finish().ok()?;
        for table in &tables {
            let check = &mut |key: Key<'_>| keys.allows(key).then_some(()).ok_or(Unusual);
            table.for_each_key(first, &forms, check).ok()?;
        }
        Some(true)
    }

    /// The tables that have the rows; None if one is not a table in the server's own heap, or has no such
    /// columns. A table that others inherit from is alone, as it is for the server.
    fn tables(&self) -> Option<Vec<Table>> {
        if self.columns.len() > MOST_COLUMNS {
            return None;
        }
        let own = self.relation.get();
        // SAFETY: open.
        let (oid, kind) = unsafe { ((*own).rd_id, (*(*own).rd_rel).relkind) };
        if kind as u8 != pg_sys::RELKIND_PARTITIONED_TABLE {
            return Some(vec![Table::new(OpenRelation::open(oid, NO_LOCK), &self.columns)?]);
        }
        let mut tables = Vec::new();
        for oid in relation::lock_family(oid, LOCK) {
            let relation = OpenRelation::open(oid, NO_LOCK);
            // SAFETY: open.
            let kind = unsafe { (*(*relation.get()).rd_rel).relkind };
            if kind as u8 != pg_sys::RELKIND_PARTITIONED_TABLE {
                tables.push(Table::new(relation, &self.columns)?);
            }
        }
        Some(tables)
    }
}

/// A table with rows, and the key's columns in it.
struct Table {
    relation: OpenRelation,
    deformer: Deformer,
    columns: Vec<Column>,
}

/// What has to be the same in all partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Column {
    base: pg_sys::Oid,
    collation: pg_sys::Oid,
}

impl Table {
    fn new(relation: OpenRelation, names: &[*mut pg_sys::String]) -> Option<Self> {
        if !heap_pages::is_heap_table(relation.get()) {
            return None;
        }
        let attributes = heap_pages::attributes_of(relation.get());
        // SAFETY: open.
        let oid = unsafe { (*relation.get()).rd_id };
        let mut wanted = Vec::new();
        let mut columns = Vec::new();
        for name in names {
            // SAFETY: the name is the parser's.
            let number = unsafe { pg_sys::get_attnum(oid, (**name).sval) };
            let index = usize::try_from(number).ok()?.checked_sub(1)?;
            let TableAttribute { base, collation, .. } = *attributes.get(index)?;
            wanted.push(index);
            columns.push(Column { base, collation });
        }
        let stored: Vec<Attribute> = attributes.iter().map(|attribute| attribute.stored).collect();
        Some(Table { relation, deformer: Deformer::new(&stored, &wanted)?, columns })
    }

    /// How this table's keys are compared with those of the other end.
    fn forms_beside(&self, other: &Table) -> Option<Vec<Form>> {
        let pairs = self.columns.iter().zip(&other.columns);
        pairs
            .map(|(own, other)| {
                let form = Form::of_types(own.base.to_u32(), other.base.to_u32())?;
                // Texts whose bytes differ are often equal otherwise, which the server has to find out.
                let is_of_use =
                    form != Form::Text || (own.is_deterministic() && other.is_deterministic());
                is_of_use.then_some(form)
            })
            .collect()
    }

    /// Calls `each` with the keys of all rows. The columns must be like those of `first`, which `forms` are
    /// of.
    fn for_each_key(
        &self,
        first: &Table,
        forms: &[Form],
        each: &mut dyn FnMut(Key<'_>) -> Result<(), Unusual>,
    ) -> Result<(), Unusual> {
        if self.columns != first.columns {
            return Err(Unusual);
        }
        let mut maker = KeyMaker::new(forms.to_vec());
        let count = forms.len();
        heap_pages::for_each_page(self.relation.get(), Others::Read, &mut |_, page, live| {
            let mut values = [None; MOST_COLUMNS];
            for offset in live {
                let Pointer::Tuple(tuple) = page.pointer(*offset) else {
                    return Err(Unusual);
                };
                self.deformer.deform(tuple, &mut values[..count]).map_err(|_| Unusual)?;
                each(maker.make(&values[..count]).map_err(|_| Unusual)?)?;
            }
            Ok(())
        })
    }
}

impl Column {
    /// Whether its texts are equal only if their bytes are.
    fn is_deterministic(self) -> bool {
        // SAFETY: a look-up of a collation that the column depends on.
        self.collation != pg_sys::InvalidOid
            && unsafe { pg_sys::get_collation_isdeterministic(self.collation) }
    }
}

fn count_blocks(tables: &[Table]) -> u32 {
    tables
        .iter()
        .map(|table| heap_pages::count_blocks(table.relation.get()))
        .fold(0, u32::saturating_add)
}
