//! B-tree indexes made faster than by the statements that say so, where that is known to be the same.
//!
//! ```text
//!   CREATE INDEX, ALTER TABLE … ADD of a key ─ `key` ─┬─ large, of columns as `kinds` says ─ `sorted`, `keys`, `evaluate`
//!                                                     ├─ small, of built-in types ─ `small`
//!                                                     └─ any other ─ the server
//! ```
//!
//! The catalog entries are the server's own: `DefineIndex` without a build. Keys that are constraints are
//! made the same way as long as they are small; those of large tables are indexes first.

mod evaluate;
mod key;
mod keys;
mod kinds;
mod narrow_keys;
mod nbtree;
mod small;
mod sorted;
mod temp_file;
mod wide_keys;

use std::ffi::{CStr, c_char, c_void};

use pgrx::pg_sys;
use pgrx::tupdesc::PgTupleDesc;

use super::catch::guard;
use super::heap_pages::{self, FEWEST_BLOCKS};
use super::owner::AsOwner;
use super::relation::{NO_LOCK, OpenRelation};
use super::{spi, utility};

/// OIDs from here on are not of the server's own types.
const FIRST_UNPINNED: u32 = 10_000;

/// Tables of more pages are not likely to have their keys on one.
const MOST_SMALL_BLOCKS: u32 = 32;

/// Runs a statement, `CREATE INDEX`, `ALTER TABLE … ADD` of a key, or any other; the server's ERROR is
/// raised.
///
/// Unlike a statement run by the server, one that is sped up fires no event triggers.
pub fn create(sql: &str) {
    let text = utility::c_string(sql);
    let Some((target, way)) = Target::find(utility::parse_one(&text), &text) else {
        spi::execute(sql);
        return;
    };
    match way {
        Way::Small => target.build_small(),
        Way::Sorted => target.build_sorted(),
    }
}

/// Writes what an index without rows consists of, through the buffer pool. The index must be open and
/// new, and a B-tree.
#[cfg(any(feature = "pg15", feature = "pg16"))]
pub(super) fn fill_empty(index: pg_sys::Relation) {
    small::append(index, &nbtree::metapage(index, None).0);
}

/// How an index is built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By ourselves, from sorted keys.
    Sorted,
    /// By ourselves, on a single page.
    Small,
}

/// A statement that can be sped up, and its table.
struct Target<'a> {
    statement: *mut pg_sys::IndexStmt,
    text: &'a CStr,
    table: pg_sys::Oid,
}

impl<'a> Target<'a> {
    /// None if the statement is better left to the server. Locks the table as the statement does.
    fn find(node: *mut pg_sys::Node, text: &'a CStr) -> Option<(Self, Way)> {
        let index = utility::cast::<pg_sys::IndexStmt>(node, pg_sys::NodeTag::T_IndexStmt);
        let statement = index.or_else(|| key::index_of(node))?;
        // SAFETY: made by the parser, or of its parts.
        let parsed = unsafe { &*statement };
        let is_plain = parsed.indexIncludingParams.is_null()
            && parsed.excludeOpNames.is_null()
            && !parsed.concurrent
            && !parsed.if_not_exists
            && is_btree(parsed.accessMethod);
        if !is_plain {
            return None;
        }
        let lock =
            if parsed.isconstraint { pg_sys::AccessExclusiveLock } else { pg_sys::ShareLock };
        // SAFETY: raises if there is no such table or it is not the current user's.
        let table = unsafe {
            pg_sys::RangeVarGetRelidExtended(
                parsed.relation,
                lock as pg_sys::LOCKMODE,
                0,
                Some(RangeVarCallbackOwnsRelation),
                std::ptr::null_mut(),
            )
        };
        let target = Target { statement, text, table };
        let way = target.choose(OpenRelation::open(table, NO_LOCK).get())?;
        Some((target, way))
    }

    /// How the index of the table, which is open and locked, is built; None if by the server alone.
    fn choose(&self, table: pg_sys::Relation) -> Option<Way> {
        if !heap_pages::is_heap_table(table) {
            return None;
        }
        let blocks = heap_pages::count_blocks(table);
        let is_large = blocks >= FEWEST_BLOCKS;
        // SAFETY: made by the parser, or of its parts.
        let parsed = unsafe { &*self.statement };
        let elements = utility::elements::<pg_sys::IndexElem>(parsed.indexParams);
        // SAFETY: as above.
        let is_computed = |element: &*mut pg_sys::IndexElem| unsafe { !(**element).expr.is_null() };
        if !parsed.whereClause.is_null() || elements.iter().any(is_computed) {
            if !is_large {
                return None;
            }
            // SAFETY: the table is locked, the statement the parser's.
            unsafe { guard(|| transformIndexStmt(self.table, self.statement, self.text.as_ptr())) };
        }
        let columns: Option<Vec<_>> =
            elements.into_iter().map(|element| Column::find(table, element)).collect();
        let columns = columns?;
        if is_large {
            let is_sorted = !parsed.isconstraint && columns.iter().all(Column::has_kind);
            return is_sorted.then_some(Way::Sorted);
        }
        // SAFETY: the relation is open.
        let persistence = unsafe { (*(*table).rd_rel).relpersistence };
        let is_small = blocks <= MOST_SMALL_BLOCKS
            && persistence as u8 == pg_sys::RELPERSISTENCE_PERMANENT
            && columns.iter().all(|column| column.is_built_in() && !column.is_by_pattern)
            && !(parsed.primary && columns.iter().any(|column| column.is_nullable));
        is_small.then_some(Way::Small)
    }

    /// Creates the index and fills its only page, or has the server fill it if it takes more.
    fn build_small(&self) {
        self.open(|table, index, info| {
            if !small::fill(table, index, info) {
                // SAFETY: both are open and locked.
                unsafe { pg_sys::index_build(table, index, info, false, false) };
            }
        });
    }

    /// Creates the index and fills it from sorted keys.
    fn build_sorted(&self) {
        // SAFETY: inside a transaction; functions in expressions may look at tables.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
        self.open(|table, index, info| sorted::fill(self.table, table, index, info));
        // SAFETY: pushed above.
        unsafe { pg_sys::PopActiveSnapshot() };
    }

    /// Creates the index without filling it, and has that done while it and its table are open.
    fn open(&self, fill: impl FnOnce(pg_sys::Relation, pg_sys::Relation, *mut pg_sys::IndexInfo)) {
        // SAFETY: made by the parser; parse analysis is for expressions and conditions only, and has seen them.
        unsafe { (*self.statement).transformed = true };
        let index = self.define();
        // Locked by the definition.
        let table = OpenRelation::open(self.table, NO_LOCK);
        let index = OpenRelation::open(index, NO_LOCK);
        // SAFETY: the table is open.
        let owner = unsafe { (*(*table.get()).rd_rel).relowner };
        let as_owner = AsOwner::begin_restricted(owner);
        // SAFETY: the index is open; calls functions of its expressions that have constant arguments.
        let info = unsafe { pg_sys::BuildIndexInfo(index.get()) };
        drop(as_owner);
        fill(table.get(), index.get(), info);
    }

    /// Makes the catalog entries of the index.
    #[cfg(feature = "pg15")]
    fn define(&self) -> pg_sys::Oid {
        let none = pg_sys::InvalidOid;
        // SAFETY: the table is locked, the statement the parser's.
        unsafe {
            pg_sys::DefineIndex(
                self.table,
                self.statement,
                none,
                none,
                none,
                self.is_key(),
                true,
                true,
                true,
                true,
            )
        }
        .objectId
    }

    /// Makes the catalog entries of the index.
    #[cfg(not(feature = "pg15"))]
    fn define(&self) -> pg_sys::Oid {
        let none = pg_sys::InvalidOid;
        // SAFETY: the table is locked, the statement the parser's.
        unsafe {
            pg_sys::DefineIndex(
                self.table,
                self.statement,
                none,
                none,
                none,
                -1,
                self.is_key(),
                true,
                true,
                true,
                true,
            )
        }
        .objectId
    }

    /// Whether the index belongs to a key, as if added by `ALTER TABLE`.
    fn is_key(&self) -> bool {
        // SAFETY: made by the parser, or of its parts.
        unsafe { (*self.statement).isconstraint }
    }
}

unsafe extern "C-unwind" {
    // By its C name: the bindings wrap it in a Rust function, which cannot be passed on.
    fn RangeVarCallbackOwnsRelation(
        relation: *const pg_sys::RangeVar,
        table: pg_sys::Oid,
        old_table: pg_sys::Oid,
        argument: *mut c_void,
    );
    fn transformIndexStmt(
        table: pg_sys::Oid,
        statement: *mut pg_sys::IndexStmt,
        text: *const c_char,
    ) -> *mut pg_sys::IndexStmt;
}

/// Whether an access method's name, or none, stands for a B-tree.
fn is_btree(name: *const std::ffi::c_char) -> bool {
    // SAFETY: a text made by the parser.
    name.is_null() || unsafe { CStr::from_ptr(name) } == c"btree"
}

/// A column that an index is to have, with its type's own operator class or the one for patterns.
struct Column {
    /// Its type, or the one under its domain.
    base: pg_sys::Oid,
    /// By which the index sorts it, if its type has any.
    collation: pg_sys::Oid,
    is_by_pattern: bool,
    is_nullable: bool,
}

impl Column {
    /// None if the element is anything else. Expressions must have been analyzed.
    fn find(table: pg_sys::Relation, element: *mut pg_sys::IndexElem) -> Option<Self> {
        // SAFETY: made by the parser, or of its parts.
        let element = unsafe { &*element };
        let is_by_pattern = match utility::only_element::<pg_sys::String>(element.opclass) {
            // SAFETY: as above.
            Some(name) => is_pattern_class(unsafe { CStr::from_ptr((*name).sval) }),
            None => false,
        };
        if !element.opclass.is_null() && !is_by_pattern {
            return None;
        }
        let (data_type, own_collation, is_nullable) = match element.expr.is_null() {
            // SAFETY: an expression that has been analyzed.
            false => unsafe {
                (pg_sys::exprType(element.expr), pg_sys::exprCollation(element.expr), true)
            },
            true => Self::of_table(table, element.name)?,
        };
        // SAFETY: a look-up.
        let base = unsafe { pg_sys::getBaseType(data_type) };
        let collation = match element.collation.is_null() {
            true => own_collation,
            // SAFETY: a name made by the parser; raises as the server does if there is none such.
            false => unsafe { pg_sys::get_collation_oid(element.collation, false) },
        };
        Some(Column { base, collation, is_by_pattern, is_nullable })
    }

    /// Type and collation of a table's column, and whether it may be NULL; None if there is none of this name.
    fn of_table(
        table: pg_sys::Relation,
        name: *const c_char,
    ) -> Option<(pg_sys::Oid, pg_sys::Oid, bool)> {
        if name.is_null() {
            return None;
        }
        // SAFETY: a look-up by name in an open table; a column that is missing has number 0.
        let number = unsafe { pg_sys::get_attnum((*table).rd_id, name) };
        let position = usize::try_from(number).ok()?.checked_sub(1)?;
        // SAFETY: the table is open.
        let descriptor = unsafe { PgTupleDesc::from_pg_unchecked((*table).rd_att) };
        let attribute = descriptor.get(position)?;
        Some((attribute.atttypid, attribute.attcollation, !attribute.attnotnull))
    }

    /// Whether the index can be built from sorted keys, as far as the column is concerned.
    fn has_kind(&self) -> bool {
        let family = match self.is_by_pattern {
            true => pg_sys::TEXT_PATTERN_BTREE_FAM_OID,
            // SAFETY: look-ups; no class has no family.
            false => unsafe {
                let class = pg_sys::GetDefaultOpClass(self.base, pg_sys::BTREE_AM_OID);
                if class == pg_sys::InvalidOid { class } else { pg_sys::get_opclass_family(class) }
            },
        };
        kinds::kind_of(self.base, family, self.collation).is_some()
    }

    /// Whether comparing values runs no code but the server's, so that it matters not on whose behalf.
    fn is_built_in(&self) -> bool {
        self.base.to_u32() < FIRST_UNPINNED
    }
}

/// Whether an operator class of the server's own is for patterns of texts, which compare by their bytes.
fn is_pattern_class(name: &CStr) -> bool {
    [c"text_pattern_ops", c"varchar_pattern_ops"].contains(&name)
}
