//! Keys as `ALTER TABLE` adds them, read as the definitions of their indexes.

use std::ffi::CStr;

use pgrx::{PgBox, pg_sys};

use crate::pg::utility;

/// The index of a primary key or unique constraint that the statement adds by columns; None if it does
/// anything else. What `transformIndexConstraint` of the server makes of it.
pub(super) fn index_of(node: *mut pg_sys::Node) -> Option<*mut pg_sys::IndexStmt> {
    let alter = utility::cast::<pg_sys::AlterTableStmt>(node, pg_sys::NodeTag::T_AlterTableStmt)?;
    // SAFETY: made by the parser.
    let alter = unsafe { &*alter };
    let command = utility::only_element::<pg_sys::AlterTableCmd>(alter.cmds)?;
    // SAFETY: as above.
    let command = unsafe { &*command };
    if alter.missing_ok || command.subtype != pg_sys::AlterTableType::AT_AddConstraint {
        return None;
    }
    let added = utility::cast::<pg_sys::Constraint>(command.def, pg_sys::NodeTag::T_Constraint)?;
    // SAFETY: as above.
    let added = unsafe { &*added };
    let is_primary = added.contype == pg_sys::ConstrType::CONSTR_PRIMARY;
    let is_plain = (is_primary || added.contype == pg_sys::ConstrType::CONSTR_UNIQUE)
        && !added.conname.is_null()
        && !added.keys.is_null()
        && added.indexname.is_null()
        && added.including.is_null()
        && !has_period(added);
    if !is_plain {
        return None;
    }
    let mut elements = std::ptr::null_mut();
    for name in utility::elements::<pg_sys::String>(added.keys) {
        // SAFETY: a zero-initialized node in the current memory context.
        let mut element =
            unsafe { PgBox::<pg_sys::IndexElem>::alloc_node(pg_sys::NodeTag::T_IndexElem) };
        // SAFETY: a name made by the parser, which lives as long as the statement.
        element.name = unsafe { (*name).sval };
        // SAFETY: a null list is the empty list.
        elements = unsafe { pg_sys::lappend(elements, element.into_pg().cast()) };
    }
    // SAFETY: as above.
    let mut index = unsafe { PgBox::<pg_sys::IndexStmt>::alloc_node(pg_sys::NodeTag::T_IndexStmt) };
    index.relation = alter.relation;
    index.idxname = added.conname;
    index.accessMethod = BTREE.as_ptr().cast_mut();
    index.tableSpace = added.indexspace;
    index.options = added.options;
    index.indexParams = elements;
    index.unique = true;
    index.nulls_not_distinct = added.nulls_not_distinct;
    index.primary = is_primary;
    index.isconstraint = true;
    index.deferrable = added.deferrable;
    index.initdeferred = added.initdeferred;
    Some(index.into_pg())
}

/// The access method of every key, which `CREATE INDEX` may leave out.
const BTREE: &CStr = c"btree";

#[cfg(not(feature = "pg18"))]
fn has_period(_added: &pg_sys::Constraint) -> bool {
    false
}

/// Whether the last column is compared for overlaps: such a key has an index of another kind.
#[cfg(feature = "pg18")]
fn has_period(added: &pg_sys::Constraint) -> bool {
    added.without_overlaps
}
