//! Tables, with TOAST tables that are ready without a wait for the disk.
//!
//! `CREATE TABLE` of a table with long columns makes a TOAST table and the index of that, which before
//! PostgreSQL 17 the builder of indexes writes past the buffer pool and synchronizes at once, empty as it
//! is: a millisecond and more for every table. Here the server defines the table, then the TOAST table and
//! its index are defined like those of `catalog/toasting.c`, the index without a build, and its only page
//! goes through the buffer pool and into the log. In the catalog that differs by `relpages` of the
//! index, which the first VACUUM sets.

use super::spi;

/// Runs a `CREATE TABLE`, or any other statement; the server's ERROR is raised. Returns whether the TOAST
/// table is ours: never, since servers from 17 on leave the file to the next checkpoint.
#[cfg(not(any(feature = "pg15", feature = "pg16")))]
pub fn create(sql: &str) -> bool {
    spi::execute(sql);
    false
}

/// Runs a `CREATE TABLE`, or any other statement; the server's ERROR is raised. Returns whether it was done
/// without the server's own statement.
///
/// Left to the server is everything but a table by itself, without parents, partitions or sequences, that
/// is permanent. So are all statements that somebody else wants to see: a table says more about what is
/// going on than the indexes that `index_build` makes unseen.
#[cfg(any(feature = "pg15", feature = "pg16"))]
pub fn create(sql: &str) -> bool {
    use super::utility;

    // What a statement allocates is gone with it, as it is with SPI: a task has hundreds of them.
    let mut context = pgrx::PgMemoryContexts::new("pgmig table");
    let text = utility::c_string(sql);
    // SAFETY: the context was made above and outlives the call, which returns nothing of it.
    let is_made = unsafe {
        context.switch_to(|_| {
            if toast::is_watched() {
                return false;
            }
            let analyzed = toast::analyze(utility::parse_one(&text), &text);
            analyzed.inspect(|statement| toast::define(*statement, &text)).is_some()
        })
    };
    drop(context);
    if !is_made {
        spi::execute(sql);
    }
    is_made
}

#[cfg(any(feature = "pg15", feature = "pg16"))]
mod toast {
    use std::ffi::{CStr, CString, c_char};
    use std::ptr;

    use pgrx::{PgBox, pg_sys};

    use crate::pg::catch::guard;
    use crate::pg::relation::{NO_LOCK, OpenRelation};
    use crate::pg::{heap_pages, index_build, transaction, utility};

    /// Of OIDs that are chosen by the server, and of what a TOAST table does not have.
    const NONE: pg_sys::Oid = pg_sys::InvalidOid;

    /// Columns of every TOAST table and their types.
    const COLUMNS: [(&CStr, pg_sys::Oid); 3] = [
        (c"chunk_id", pg_sys::OIDOID),
        (c"chunk_seq", pg_sys::INT4OID),
        (c"chunk_data", pg_sys::BYTEAOID),
    ];

    /// How many of them, from the first, are in the index.
    const KEY_COLUMNS: usize = 2;

    /// `EVT_DDLCommandStart` and `EVT_DDLCommandEnd` of `utils/evtcache.h`.
    const EVENTS: [i32; 2] = [0, 1];

    /// `EventTriggerCacheItem` of the same: an event trigger that is not disabled.
    #[repr(C)]
    struct EventTrigger {
        function: pg_sys::Oid,
        enabled: c_char,
        tags: *mut pg_sys::Bitmapset,
    }

    unsafe extern "C-unwind" {
        fn transformCreateStmt(
            statement: *mut pg_sys::CreateStmt,
            text: *const c_char,
        ) -> *mut pg_sys::List;
        fn EventCacheLookup(event: i32) -> *mut pg_sys::List;
        fn NewRelationCreateToastTable(table: pg_sys::Oid, options: pg_sys::Datum);
    }

    /// Whether event triggers fire in this session, or extensions look at statements.
    pub(super) fn is_watched() -> bool {
        // SAFETY: plain globals of this process.
        let (hook, role) = unsafe { (pg_sys::ProcessUtility_hook, pg_sys::SessionReplicationRole) };
        let silent = match u32::try_from(role) {
            Ok(pg_sys::SESSION_REPLICATION_ROLE_REPLICA) => pg_sys::TRIGGER_FIRES_ON_ORIGIN,
            _ => pg_sys::TRIGGER_FIRES_ON_REPLICA,
        };
        let fires = |event| {
            // SAFETY: a look-up in a cache; a list of its entries.
            let triggers = unsafe { guard(|| EventCacheLookup(event)) };
            let mut triggers = utility::elements::<EventTrigger>(triggers).into_iter();
            // SAFETY: an entry of the cache, which nothing has changed since.
            triggers.any(|trigger| unsafe { (*trigger).enabled } as u8 != silent)
        };
        hook.is_some() || EVENTS.into_iter().any(fires)
    }

    /// The statement after parse analysis, if it makes a permanent table and does nothing else. The tree that is
    /// passed is used up.
    pub(super) fn analyze(node: *mut pg_sys::Node, text: &CStr) -> Option<*mut pg_sys::CreateStmt> {
        let statement = utility::cast::<pg_sys::CreateStmt>(node, pg_sys::NodeTag::T_CreateStmt)?;
        // SAFETY: made by the parser.
        let parsed = unsafe { &*statement };
        let is_alone = parsed.inhRelations.is_null()
            && parsed.partbound.is_null()
            && parsed.partspec.is_null()
            && parsed.ofTypename.is_null()
            && !parsed.if_not_exists;
        if !is_alone {
            return None;
        }
        // SAFETY: as above.
        let list = unsafe { guard(|| transformCreateStmt(statement, text.as_ptr())) };
        let only = utility::only_element::<pg_sys::Node>(list)?;
        let statement = utility::cast::<pg_sys::CreateStmt>(only, pg_sys::NodeTag::T_CreateStmt)?;
        // SAFETY: made by parse analysis, which knows by now what the table's schema makes of it.
        let persistence = unsafe { (*(*statement).relation).relpersistence };
        (persistence as u8 == pg_sys::RELPERSISTENCE_PERMANENT).then_some(statement)
    }

    /// Makes the table, and its TOAST table if it needs one.
    pub(super) fn define(statement: *mut pg_sys::CreateStmt, text: &CStr) {
        // SAFETY: inside a transaction; as for every statement that is run.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
        // SAFETY: a statement after parse analysis.
        let table = unsafe {
            let kind = pg_sys::RELKIND_RELATION as c_char;
            pg_sys::DefineRelation(statement, kind, NONE, ptr::null_mut(), text.as_ptr()).objectId
        };
        transaction::increment_command_counter();
        // SAFETY: as above.
        let options = read_options(unsafe { (*statement).options });
        add_toast_table(table, options);
        // SAFETY: pushed above.
        unsafe { pg_sys::PopActiveSnapshot() };
    }

    /// Those of `WITH (…)` that are for the TOAST table, checked.
    fn read_options(options: *mut pg_sys::List) -> pg_sys::Datum {
        let name_space = c"toast".as_ptr();
        let mut known = [name_space.cast_mut(), ptr::null_mut()];
        let none = pg_sys::Datum::null();
        // SAFETY: a list made by the parser and a null-terminated one of names.
        unsafe {
            let options = pg_sys::transformRelOptions(
                none,
                options,
                name_space,
                known.as_mut_ptr(),
                true,
                false,
            );
            pg_sys::heap_reloptions(pg_sys::RELKIND_TOASTVALUE as c_char, options, true);
            options
        }
    }

    fn add_toast_table(oid: pg_sys::Oid, options: pg_sys::Datum) {
        // The creation holds this lock already.
        let table = OpenRelation::open(oid, pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE);
        if !heap_pages::is_heap_table(table.get()) {
            drop(table);
            // SAFETY: the table was just made.
            unsafe { guard(|| NewRelationCreateToastTable(oid, options)) };
            return;
        }
        // SAFETY: the table is open.
        if !unsafe { pg_sys::table_relation_needs_toast_table(table.get()) } {
            return;
        }
        let toast = define_toast_table(table.get(), options);
        // Without this the TOAST table would not be there for its index.
        transaction::increment_command_counter();
        define_index(table.get(), toast);
        drop(table);
        link(oid, toast);
        transaction::increment_command_counter();
    }

    /// The catalog entries and the empty file of the TOAST table.
    fn define_toast_table(table: pg_sys::Relation, options: pg_sys::Datum) -> pg_sys::Oid {
        // SAFETY: the table is open.
        let (oid, class) = unsafe { ((*table).rd_id, &*(*table).rd_rel) };
        let name = toast_name(oid, "");
        // SAFETY: a descriptor of as many columns.
        let descriptor = unsafe { pg_sys::CreateTemplateTupleDesc(COLUMNS.len() as i32) };
        for (number, (name, data_type)) in (1..).zip(COLUMNS) {
            // SAFETY: a column of the descriptor; it must not be moved out of line itself.
            unsafe {
                let name = name.as_ptr();
                pg_sys::TupleDescInitEntry(descriptor, number, name, data_type, -1, 0);
                let attribute = (*descriptor).attrs.as_mut_ptr().add(number as usize - 1);
                (*attribute).attstorage = pg_sys::TYPSTORAGE_PLAIN as c_char;
            }
        }
        let (is_shared, is_mapped) = (false, false);
        let (uses_default_privileges, is_system_allowed, is_internal) = (false, true, true);
        let (oid, row_type, of_type, rewritten) = (NONE, NONE, NONE, NONE);
        // SAFETY: the table is open, the descriptor made above.
        unsafe {
            pg_sys::heap_create_with_catalog(
                name.as_ptr(),
                pg_sys::Oid::from_u32(pg_sys::PG_TOAST_NAMESPACE),
                class.reltablespace,
                oid,
                row_type,
                of_type,
                class.relowner,
                pg_sys::table_relation_toast_am(table),
                descriptor,
                ptr::null_mut(),
                pg_sys::RELKIND_TOASTVALUE as c_char,
                class.relpersistence,
                is_shared,
                is_mapped,
                pg_sys::OnCommitAction::ONCOMMIT_NOOP,
                options,
                uses_default_privileges,
                is_system_allowed,
                is_internal,
                rewritten,
                ptr::null_mut(),
            )
        }
    }

    /// The index over a TOAST table without rows.
    fn define_index(table: pg_sys::Relation, toast: pg_sys::Oid) {
        // SAFETY: the table is open.
        let (oid, tablespace) = unsafe { ((*table).rd_id, (*(*table).rd_rel).reltablespace) };
        let name = toast_name(oid, "_index");
        let toast = OpenRelation::open(toast, pg_sys::ShareLock as pg_sys::LOCKMODE);
        // SAFETY: a zero-initialized node in the current memory context.
        let mut info =
            unsafe { PgBox::<pg_sys::IndexInfo>::alloc_node(pg_sys::NodeTag::T_IndexInfo) };
        info.ii_NumIndexAttrs = KEY_COLUMNS as i32;
        info.ii_NumIndexKeyAttrs = KEY_COLUMNS as i32;
        info.ii_Unique = true;
        info.ii_ReadyForInserts = true;
        info.ii_Am = pg_sys::BTREE_AM_OID;
        // SAFETY: a plain global of this process.
        info.ii_Context = unsafe { pg_sys::CurrentMemoryContext };
        let mut names = ptr::null_mut();
        for (position, (name, _)) in COLUMNS.iter().enumerate().take(KEY_COLUMNS) {
            info.ii_IndexAttrNumbers[position] = position as i16 + 1;
            // SAFETY: a null list is the empty list; the names are constants, which are not written to.
            names = unsafe { pg_sys::lappend(names, name.as_ptr().cast_mut().cast()) };
        }
        let mut collations = [NONE; KEY_COLUMNS];
        let mut classes = [pg_sys::OID_BTREE_OPS_OID, pg_sys::INT4_BTREE_OPS_OID];
        let mut options = [0_i16; KEY_COLUMNS];
        let flags = pg_sys::INDEX_CREATE_IS_PRIMARY | pg_sys::INDEX_CREATE_SKIP_BUILD;
        let (oid, parent, parent_constraint, file) = (NONE, NONE, NONE, NONE);
        let constraint_flags = 0;
        let (is_system_allowed, is_internal) = (true, true);
        // SAFETY: the table is open and locked; arrays of as many elements as key columns.
        let index = unsafe {
            pg_sys::index_create(
                toast.get(),
                name.as_ptr(),
                oid,
                parent,
                parent_constraint,
                file,
                info.into_pg(),
                names,
                pg_sys::BTREE_AM_OID,
                tablespace,
                collations.as_mut_ptr(),
                classes.as_mut_ptr(),
                options.as_mut_ptr(),
                pg_sys::Datum::null(),
                flags as pg_sys::bits16,
                constraint_flags,
                is_system_allowed,
                is_internal,
                ptr::null_mut(),
            )
        };
        // Locked by the definition.
        index_build::fill_empty(OpenRelation::open(index, NO_LOCK).get());
    }

    /// Lets the table know of its TOAST table, which goes with it.
    fn link(table: pg_sys::Oid, toast: pg_sys::Oid) {
        let lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
        // SAFETY: a table of every database.
        let classes = unsafe { pg_sys::table_open(pg_sys::RelationRelationId, lock) };
        let none = pg_sys::Datum::null();
        let cache = pg_sys::SysCacheIdentifier::RELOID as i32;
        // SAFETY: a copy of the table's row, or null.
        let row = unsafe { pg_sys::SearchSysCacheCopy(cache, table.into(), none, none, none) };
        if row.is_null() {
            pgrx::error!("cache lookup failed for relation {}", table.to_u32());
        }
        // SAFETY: a row of pg_class, a copy of our own.
        unsafe {
            let class = pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_class>();
            (*class).reltoastrelid = toast;
            pg_sys::CatalogTupleUpdate(classes, &raw mut (*row).t_self, row);
            pg_sys::heap_freetuple(row);
            // Not held to the end of the transaction: it makes many tables.
            pg_sys::table_close(classes, lock);
        }
        let address = |oid| pg_sys::ObjectAddress {
            classId: pg_sys::RelationRelationId,
            objectId: oid,
            objectSubId: 0,
        };
        let kind = pg_sys::DependencyType::DEPENDENCY_INTERNAL;
        // SAFETY: two addresses of relations that exist.
        unsafe { pg_sys::recordDependencyOn(&address(toast), &address(table), kind) };
    }

    fn toast_name(table: pg_sys::Oid, suffix: &str) -> CString {
        utility::c_string(&format!("pg_toast_{}{suffix}", table.to_u32()))
    }
}
