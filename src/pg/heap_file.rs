//! Pages of a table read from its files, many at once and past the buffer pool.
//!
//! Who has locked out a table's writers finds all its rows there once the pool's changed pages have been
//! written. What may still be changed are hints, which may come or not; locks on rows and what readers
//! tidy up, both of which the page's header tells of; so that a page of which one half is older than
//! the other is recognized, and read from the pool instead.

use std::fs::File;
use std::os::unix::fs::FileExt;

use pgmig_core::heap::page::{PAGE_BYTES, Page, PageBytes};
use pgrx::{IntoDatum, pg_sys};

/// Pages that are read at once; files have a multiple of it.
const PAGES_PER_READ: u32 = 32;

/// Tables smaller than this part of the buffer pool are not worth a look at all of it.
const PART_OF_POOL: u32 = 64;

/// The files of a table.
pub(super) struct TableFile {
    /// Of the first file, relative to the data directory, as the server's processes are.
    path: String,
    /// The file read last, with its number.
    open: Option<(u32, File)>,
    block_count: u32,
    /// The end of the log when the pool was written.
    written_at: u64,
    /// The pages read last, and the place of the first.
    pages: Vec<PageBytes>,
    first: u32,
}

impl TableFile {
    /// None for tables that are to be read from the pool. The relation must be open under a lock that keeps
    /// writers out and VACUUM.
    pub fn open(relation: pg_sys::Relation, block_count: u32) -> Option<Self> {
        // SAFETY: the relation is open.
        let (oid, class) = unsafe { ((*relation).rd_id, &*(*relation).rd_rel) };
        // SAFETY: set when the server started.
        let pool = u32::try_from(unsafe { pg_sys::NBuffers }).unwrap_or(0);
        // The log tells nothing of other tables' pages.
        let is_permanent = class.relpersistence as u8 == pg_sys::RELPERSISTENCE_PERMANENT;
        if !is_permanent || block_count < pool / PART_OF_POOL {
            return None;
        }
        // SAFETY: the function looks the relation up, and returns its path as text.
        let path = unsafe {
            pgrx::direct_function_call::<String>(pg_sys::pg_relation_filepath, &[oid.into_datum()])
        }?;
        // SAFETY: a read of shared memory.
        let written_at = unsafe { pg_sys::GetXLogInsertRecPtr() };
        // SAFETY: the relation is open and locked.
        unsafe { pg_sys::FlushRelationBuffers(relation) };
        let pages = vec![PageBytes([0; PAGE_BYTES]); PAGES_PER_READ as usize];
        Some(TableFile { path, open: None, block_count, written_at, pages, first: u32::MAX })
    }

    /// A page, unless it is one that has to be read from the pool.
    pub fn page(&mut self, block: u32) -> Option<&[u8; PAGE_BYTES]> {
        let first = block - block % PAGES_PER_READ;
        if first != self.first {
            self.first = u32::MAX;
            self.read(first)?;
            self.first = first;
        }
        let bytes = &mut self.pages[(block - first) as usize].0;
        let is_whole =
            is_verified(bytes, block) && Page::new(bytes).is_unchanged_since(self.written_at);
        is_whole.then_some(bytes)
    }

    /// Reads pages from `first` on; None if that fails, which the server will explain.
    fn read(&mut self, first: u32) -> Option<()> {
        let (number, place) = (first / pg_sys::RELSEG_SIZE, first % pg_sys::RELSEG_SIZE);
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            let path = match number {
                0 => self.path.clone(),
                number => format!("{}.{number}", self.path),
            };
            self.open = Some((number, File::open(path).ok()?));
        }
        let (_, file) = self.open.as_ref()?;
        let count = PAGES_PER_READ.min(self.block_count - first) as usize;
        let pages = &mut self.pages[..count];
        // SAFETY: pages are bytes, without anything between them.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(pages.as_mut_ptr().cast::<u8>(), size_of_val(pages))
        };
        file.read_exact_at(bytes, u64::from(place) * PAGE_BYTES as u64).ok()
    }
}

/// Whether header and checksum of a page are right.
#[cfg(not(feature = "pg18"))]
fn is_verified(page: &mut [u8; PAGE_BYTES], block: u32) -> bool {
    // SAFETY: a page in memory; nothing is reported.
    unsafe { pg_sys::PageIsVerifiedExtended(page.as_mut_ptr().cast(), block, 0) }
}

#[cfg(feature = "pg18")]
fn is_verified(page: &mut [u8; PAGE_BYTES], block: u32) -> bool {
    let mut has_failed = false;
    // SAFETY: a page in memory; nothing is reported.
    unsafe { pg_sys::PageIsVerified(page.as_mut_ptr().cast(), block, 0, &mut has_failed) }
}

#[cfg(any(test, feature = "pg_test"))]
#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use super::*;
    use crate::pg::heap_pages;
    use crate::pg::relation::OpenRelation;
    use crate::pg::spi;

    /// A table of some hundred pages, more than are read from the pool.
    fn make_table(kind: &str, name: &str) -> OpenRelation {
        spi::execute(&format!(
            "create {kind} table {name} as select g as id, repeat('v', 400) as v from generate_series(0, 9999) g"
        ));
        let oid = Spi::get_one::<pg_sys::Oid>(&format!("select '{name}'::regclass::oid"));
        let oid = oid.expect("the query runs").expect("the table is there");
        OpenRelation::open(oid, pg_sys::ShareRowExclusiveLock as pg_sys::LOCKMODE)
    }

    fn open(relation: &OpenRelation) -> TableFile {
        let blocks = heap_pages::count_blocks(relation.get());
        TableFile::open(relation.get(), blocks).expect("the table is read from its file")
    }

    #[pg_test]
    fn all_pages_of_a_table_are_in_its_file() {
        let relation = make_table("", "filed");
        let mut file = open(&relation);
        let mut rows = 0;
        for block in 0..file.block_count {
            let page = file.page(block).expect("the page is as it was written");
            rows += u32::from(Page::new(page).pointer_count());
        }
        assert_eq!(rows, 10_000);
    }

    #[pg_test]
    fn pages_that_are_changed_meanwhile_are_left_to_the_pool() {
        let relation = make_table("", "changing");
        let mut file = open(&relation);
        spi::execute("select from changing where id = 0 for update");
        // SAFETY: the relation is open and locked.
        unsafe { pg_sys::FlushRelationBuffers(relation.get()) };
        assert!(file.page(0).is_none());
        assert!(file.page(1).is_some());
        // Whoever begins later has nothing to fear from that.
        assert!(open(&relation).page(0).is_some());
    }

    #[pg_test]
    fn pages_that_readers_may_tidy_up_are_left_to_the_pool() {
        let relation = make_table("", "untidy");
        spi::execute("delete from untidy where id = 0");
        let mut file = open(&relation);
        assert!(file.page(0).is_none());
        assert!(file.page(1).is_some());
    }

    #[pg_test]
    fn tables_without_a_log_and_small_ones_are_read_from_the_pool() {
        let relation = make_table("unlogged", "not_logged");
        let blocks = heap_pages::count_blocks(relation.get());
        assert!(TableFile::open(relation.get(), blocks).is_none());
        let relation = make_table("", "cut");
        assert!(TableFile::open(relation.get(), 1).is_none());
    }
}
