//! Rows of the catalog out of the server's caches, whoever may read the catalog's tables.

use pgrx::{FromDatum, pg_sys};

/// A cache: one of `SysCacheIdentifier`.
pub(super) type Cache = pg_sys::SysCacheIdentifier::Type;

/// A row of the catalog.
pub(super) struct Row {
    cache: Cache,
    tuple: pg_sys::HeapTuple,
}

impl Row {
    /// The column with this number; None for NULL. The type must be the column's.
    pub(super) fn get<T: FromDatum>(&self, number: u32) -> Option<T> {
        let mut is_null = false;
        // SAFETY: a row of this cache, and a column of its table.
        let value = unsafe {
            pg_sys::SysCacheGetAttr(self.cache as i32, self.tuple, number as i16, &mut is_null)
        };
        // SAFETY: by contract.
        unsafe { T::from_datum(value, is_null) }
    }
}

/// Calls `read` with the row that has this OID in a cache of a single key; None if there is none.
pub(super) fn find<T>(
    cache: Cache,
    oid: pg_sys::Oid,
    read: impl FnOnce(&Row) -> Option<T>,
) -> Option<T> {
    // SAFETY: a look-up.
    let tuple = unsafe { pg_sys::SearchSysCache1(cache as i32, pg_sys::Datum::from(oid)) };
    if tuple.is_null() {
        return None;
    }
    let found = read(&Row { cache, tuple });
    // SAFETY: found above.
    unsafe { pg_sys::ReleaseSysCache(tuple) };
    found
}

/// Whether `holds` is true of all rows that have this OID as the first key of a cache.
pub(super) fn all(cache: Cache, oid: pg_sys::Oid, holds: impl Fn(&Row) -> bool) -> bool {
    let none = pg_sys::Datum::null();
    // SAFETY: a look-up.
    let list = unsafe {
        pg_sys::SearchSysCacheList(cache as i32, 1, pg_sys::Datum::from(oid), none, none)
    };
    // SAFETY: found above; as many members as it says.
    let members = unsafe {
        let count = usize::try_from((*list).n_members).unwrap_or(0);
        (*list).members.as_slice(count)
    };
    let all = members.iter().all(|member| {
        // SAFETY: a member of the list, which holds its row.
        holds(&Row { cache, tuple: unsafe { &raw mut (**member).tuple } })
    });
    // SAFETY: found above.
    unsafe { pg_sys::ReleaseCatCacheList(list) };
    all
}
