//! Rows of tables counted without a query and without leaving traces.
//!
//! `count(*)` notes on every page it reads that the transaction which inserted the rows has committed,
//! so that a table that was loaded in ranges is written once more. Here the pages are only read. Of small
//! tables, the plan takes longer than the rows.

use pgmig_core::name::QualifiedName;
use pgrx::pg_sys;

use super::heap_pages::{self, Others};
use super::relation::OpenRelation;
use super::utility::c_string;

/// Counts the rows of one table, its own only, that committed transactions have left; None if a query has
/// to: for other kinds of tables, those with rows that were updated or are being written,
/// and those whose rows the current user may not see all. Raises if there is no such table.
pub fn count_rows(table: &QualifiedName) -> Option<u64> {
    let (schema, name) = (c_string(&table.schema), c_string(&table.name));
    let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
    // SAFETY: both texts live until the table is open.
    let named =
        unsafe { pg_sys::makeRangeVar(schema.as_ptr().cast_mut(), name.as_ptr().cast_mut(), -1) };
    let relation = OpenRelation::open_named(named, lock);
    if !heap_pages::is_heap_table(relation.get()) || !sees_all_rows(relation.get()) {
        return None;
    }
    let mut rows = 0;
    heap_pages::for_each_page(relation.get(), Others::Write, &mut |_, _, live| {
        rows += live.len() as u64;
        Ok(())
    })
    .ok()?;
    Some(rows)
}

/// Whether the current user may read the table and no policy hides rows.
fn sees_all_rows(relation: pg_sys::Relation) -> bool {
    // SAFETY: the relation is open.
    let (oid, class) = unsafe { ((*relation).rd_id, &*(*relation).rd_rel) };
    // SAFETY: a look-up.
    let allowed = unsafe {
        pg_sys::pg_class_aclcheck(oid, pg_sys::GetUserId(), pg_sys::ACL_SELECT as pg_sys::AclMode)
    };
    allowed == pg_sys::AclResult::ACLCHECK_OK && !class.relrowsecurity
}
