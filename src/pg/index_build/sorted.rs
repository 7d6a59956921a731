//! Large B-trees of numbers and texts, built without the server's general sort.
//!
//! `CREATE INDEX` reads a table in the order of its pages, makes an index tuple of each row, and sorts
//! these, which takes most of the time. Here the keys are read from the pages, sorted as plain integers
//! or bytes, and made into the pages of the index, which are the ones that the server would make.
//!
//! ```text
//!   index_build ─ our ambuild ─ `keys`: pages of the table ─ `narrow_keys`, `wide_keys`: sorted runs
//!                               `pgmig_core::btree`: pages of the index ─ `page_writer`
//! ```
//!
//! The scan sees what a scan under the lock of `CREATE INDEX` sees, or gives up: a table that somebody
//! has updated or is writing to is left to the server's builder. So are texts whose order by weight is not
//! the one that their collation says, which is found out only while the pages are written.

use std::ffi::CStr;
use std::sync::OnceLock;

use pgmig_core::btree::{Builder, Key, KeyForm};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};

use super::keys::{KeyReader, Layout, Sorter};
use super::narrow_keys::NarrowKeys;
use super::nbtree;
use super::wide_keys::SortedWideKeys;
use crate::pg::heap_pages::Unusual;
use crate::pg::page_writer::{File, PageWriter};

/// Block number of the metapage, which is written last.
const METAPAGE: u32 = 0;

/// Fills an index that was just defined. Both relations are open and locked.
pub(super) fn fill(
    oid: pg_sys::Oid,
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) {
    // SAFETY: for this session's own entry in the table of activities.
    unsafe {
        pg_sys::pgstat_progress_start_command(
            pg_sys::ProgressCommandType::PROGRESS_COMMAND_CREATE_INDEX,
            oid,
        )
    };
    let builder = BuilderInPlace::put(index);
    // SAFETY: by contract; the server calls our builder, and does all that comes with it.
    unsafe { pg_sys::index_build(table, index, info, false, false) };
    drop(builder);
    // SAFETY: started above.
    unsafe { pg_sys::pgstat_progress_end_command() };
}

/// Puts our builder in the place of the B-tree's for one open index; its own is put back when this is
/// dropped, however that comes about.
struct BuilderInPlace {
    index: pg_sys::Relation,
    original: *mut pg_sys::IndexAmRoutine,
}

/// The server's table of B-tree functions with our builder in it; never written to.
struct Routine(pg_sys::IndexAmRoutine);

// SAFETY: plain numbers and addresses of functions.
unsafe impl Send for Routine {}
// SAFETY: as above.
unsafe impl Sync for Routine {}

impl BuilderInPlace {
    fn put(index: pg_sys::Relation) -> Self {
        static ROUTINE: OnceLock<Routine> = OnceLock::new();
        // SAFETY: the index is open.
        let original = unsafe { (*index).rd_indam };
        // SAFETY: the index is a B-tree, whose routine is the same for all of them.
        let mut routine = unsafe { *original };
        routine.ambuild = Some(build);
        let routine = ROUTINE.get_or_init(|| Routine(routine));
        // SAFETY: the index is open; the routine lives as long as the process, and nobody writes to it.
        unsafe { (*index).rd_indam = (&raw const routine.0).cast_mut() };
        BuilderInPlace { index, original }
    }
}

impl Drop for BuilderInPlace {
    fn drop(&mut self) {
        // SAFETY: the index is closed only after this, or by the abort that follows.
        unsafe { (*self.index).rd_indam = self.original };
    }
}

/// Our `ambuild`: see `access/amapi.h`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn build(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: the server passes open relations and the index's description.
    let reader = unsafe { KeyReader::new(table, index, info) };
    let built = reader.ok_or(Unusual).and_then(|(mut reader, layout)| {
        // SAFETY: as above.
        let work = unsafe { Work::new(table, index, info) };
        let reader = &mut reader;
        match &layout {
            Layout::Narrow(layout) => match layout.word_count() {
                1 => work.build(layout, reader, NarrowKeys::<1>::new(layout)),
                2 => work.build(layout, reader, NarrowKeys::<2>::new(layout)),
                _ => work.build(layout, reader, NarrowKeys::<3>::new(layout)),
            },
            Layout::Wide(layout) => {
                let keys = SortedWideKeys::new(layout, reader.collations());
                work.build(layout, reader, keys)
            }
        }
    });
    let Ok(rows) = built else {
        // SAFETY: the index is open.
        pgrx::debug1!("index \"{}\" is left to the server's builder", unsafe { name_of(index) });
        // SAFETY: nothing has been written, or not for long.
        return unsafe { nbtree::build(table, index, info) };
    };
    let size = size_of::<pg_sys::IndexBuildResult>();
    // SAFETY: the server frees it.
    let result = unsafe { pg_sys::palloc0(size) }.cast::<pg_sys::IndexBuildResult>();
    // SAFETY: just allocated.
    unsafe {
        (*result).heap_tuples = rows.of_table as f64;
        (*result).index_tuples = rows.of_index as f64;
    }
    result
}

/// Rows that a table has, and of these, the index.
struct Rows {
    of_table: u64,
    of_index: u64,
}

/// An index to be built.
struct Work {
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    is_unique: bool,
    /// Whether keys with NULL are equal if the others of their columns are.
    compares_nulls: bool,
}

impl Work {
    /// # Safety
    /// Both relations must be open, and `info` must describe the index.
    unsafe fn new(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        info: *mut pg_sys::IndexInfo,
    ) -> Self {
        // SAFETY: by contract.
        let info = unsafe { &*info };
        let (is_unique, compares_nulls) = (info.ii_Unique, info.ii_NullsNotDistinct);
        Work { table, index, is_unique, compares_nulls }
    }

    /// Builds the index. If that is to be left to the server, nothing stays written; keys that should be
    /// unique and are not are raised.
    fn build<S: Sorter>(
        &self,
        form: &impl KeyForm<S::Key>,
        reader: &mut KeyReader,
        mut keys: S,
    ) -> Result<Rows, Unusual> {
        let of_table = reader.read(self.table, &mut keys)?;
        let mut writer = PageWriter::new(self.index, File::Own);
        let options = nbtree::options_of(self.index, self.is_unique);
        let mut builder = Builder::new(form, options, |block, page| {
            writer.write(block, page);
        });
        let mut of_index = 0;
        let mut previous = S::Key::default();
        let done = keys.for_each(|key| {
            if self.is_unique {
                if of_index > 0 && previous.has_key_of(key) {
                    self.refuse(form, key);
                }
                previous.clone_from(key);
            }
            of_index += 1;
            builder.push(key);
        });
        if let Err(unusual) = done {
            // SAFETY: the index is open, and its file the current transaction's.
            unsafe { pg_sys::RelationTruncate(self.index, 0) };
            return Err(unusual);
        }
        let root = builder.finish();
        writer.write(METAPAGE, nbtree::metapage(self.index, root));
        writer.flush();
        Ok(Rows { of_table, of_index })
    }

    /// Raises that there are two rows with this key, unless NULLs make them differ; in the words of the
    /// server.
    fn refuse<K>(&self, form: &impl KeyForm<K>, key: &K) {
        let mut tuple = Vec::new();
        form.form(key, form.column_count(), &mut tuple);
        // SAFETY: as long as the tuple, and aligned as one must be.
        let copy = unsafe { pg_sys::palloc(tuple.len()) }.cast::<u8>();
        // SAFETY: just allocated.
        unsafe { std::ptr::copy_nonoverlapping(tuple.as_ptr(), copy, tuple.len()) };
        let mut values = vec![pg_sys::Datum::null(); form.column_count()];
        let mut nulls = vec![false; form.column_count()];
        // SAFETY: the index is open; a tuple of it, and room for its columns.
        unsafe {
            pg_sys::index_deform_tuple(
                copy.cast(),
                (*self.index).rd_att,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            )
        };
        if nulls.contains(&true) && !self.compares_nulls {
            // SAFETY: allocated above; nothing refers to it any more.
            unsafe { pg_sys::pfree(copy.cast()) };
            return;
        }
        // SAFETY: the index is open; as many values as it has columns. Null if the user may not see them.
        let key = unsafe {
            pg_sys::BuildIndexValueDescription(self.index, values.as_mut_ptr(), nulls.as_mut_ptr())
        };
        let detail = if key.is_null() {
            "Duplicate keys exist.".to_owned()
        } else {
            // SAFETY: a text of the server.
            format!("Key {} is duplicated.", unsafe { CStr::from_ptr(key) }.to_string_lossy())
        };
        // SAFETY: the index is open.
        let name = unsafe { name_of(self.index) };
        let message = format!("could not create unique index \"{name}\"");
        ErrorReport::new(PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION, message, "pgmig")
            .set_detail(detail)
            .report(PgLogLevel::ERROR);
    }
}

/// # Safety
/// The relation must be open.
unsafe fn name_of(relation: pg_sys::Relation) -> String {
    // SAFETY: by contract; a name ends with a zero.
    unsafe { CStr::from_ptr((*(*relation).rd_rel).relname.data.as_ptr()) }
        .to_string_lossy()
        .into_owned()
}
