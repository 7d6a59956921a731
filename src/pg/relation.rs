//! Relations that are open.

use pgrx::pg_sys;

use super::catch::guard;
use super::utility;

/// For what is locked already, or stays locked.
pub(super) const NO_LOCK: pg_sys::LOCKMODE = pg_sys::NoLock as pg_sys::LOCKMODE;

/// A table or index that is open until this is dropped; its lock is held to the transaction's end.
pub(super) struct OpenRelation(pg_sys::Relation);

impl OpenRelation {
    /// Raises if there is no such relation. `lock` may be `NO_LOCK` for one that is locked.
    pub(super) fn open(oid: pg_sys::Oid, lock: pg_sys::LOCKMODE) -> Self {
        // SAFETY: raises if the relation is gone.
        OpenRelation(unsafe { pg_sys::relation_open(oid, lock) })
    }

    /// Raises if there is no such table; the name must be the parser's.
    pub(super) fn open_named(table: *mut pg_sys::RangeVar, lock: pg_sys::LOCKMODE) -> Self {
        // SAFETY: by contract; raises if there is no such table.
        OpenRelation(unsafe { pg_sys::table_openrv(table, lock) })
    }

    /// The server's entry; it lives as long as this.
    pub(super) fn get(&self) -> pg_sys::Relation {
        self.0
    }
}

/// Locks a table with all that inherit from it, partitions too, at any depth, and lists them.
pub(super) fn lock_family(table: pg_sys::Oid, lock: pg_sys::LOCKMODE) -> Vec<pg_sys::Oid> {
    // SAFETY: raises if a lock is not to be had; a list in the current memory context.
    let list = unsafe { guard(|| find_all_inheritors(table, lock, std::ptr::null_mut())) };
    utility::oids(list)
}

unsafe extern "C-unwind" {
    fn find_all_inheritors(
        table: pg_sys::Oid,
        lock: pg_sys::LOCKMODE,
        parent_counts: *mut *mut pg_sys::List,
    ) -> *mut pg_sys::List;
}

impl Drop for OpenRelation {
    fn drop(&mut self) {
        // SAFETY: opened by `open`; the lock stays.
        unsafe { pg_sys::relation_close(self.0, NO_LOCK) };
    }
}
