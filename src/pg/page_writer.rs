//! Whole pages written past the buffer pool, as the server's own builders of indexes do.
//!
//! The pages go into the write-ahead log, many to a record, then to the file. The checkpointer is asked to
//! bring the file to disk; only if a checkpoint has begun meanwhile, which may have looked at the
//! file too early, the file is brought to disk at once.

use pgmig_core::btree::PageBytes;
use pgrx::pg_sys;

/// Pages that are logged together: the most that a record can have.
const PAGES_PER_RECORD: usize = 32;

/// The main fork, where a relation's content is.
const MAIN: pg_sys::ForkNumber::Type = pg_sys::ForkNumber::MAIN_FORKNUM;

/// Writes pages to the file of an open relation which the current transaction has created, so that
/// nobody sees them before it has committed.
pub(super) struct PageWriter {
    relation: pg_sys::Relation,
    /// Whether the pages go into the log; else the commit brings the file to disk.
    is_logged: bool,
    /// Where replay would have begun when this was made.
    redo: pg_sys::XLogRecPtr,
    /// Pages that the file has.
    block_count: u32,
    /// The last segment of the file that the checkpointer knows of.
    registered: Option<u32>,
    pages: Vec<(u32, Box<PageBytes>)>,
}

impl PageWriter {
    /// A writer for a file without content.
    pub(super) fn new(relation: pg_sys::Relation) -> Self {
        // SAFETY: the relation is open.
        let is_permanent = unsafe { (*(*relation).rd_rel).relpersistence } as u8
            == pg_sys::RELPERSISTENCE_PERMANENT;
        // SAFETY: a setting, and a read of shared memory.
        let (level, redo) = unsafe { (pg_sys::wal_level, pg_sys::GetRedoRecPtr()) };
        PageWriter {
            relation,
            is_logged: is_permanent && level >= pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32,
            redo,
            block_count: 0,
            registered: None,
            pages: Vec::with_capacity(PAGES_PER_RECORD),
        }
    }

    /// Takes a page, which nobody writes a second time.
    pub(super) fn write(&mut self, block: u32, page: Box<PageBytes>) {
        self.pages.push((block, page));
        if self.pages.len() == PAGES_PER_RECORD {
            self.flush();
        }
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) {
        self.flush();
        // SAFETY: as in `new`. What was logged before this point, a checkpoint that has not begun yet will
        // find registered.
        let is_late = self.is_logged && unsafe { pg_sys::GetRedoRecPtr() } != self.redo;
        if is_late {
            // SAFETY: the file is there.
            unsafe { pg_sys::smgrimmedsync(self.file(), MAIN) };
        }
    }

    fn flush(&mut self) {
        pgrx::check_for_interrupts!();
        if self.is_logged && !self.pages.is_empty() {
            self.log();
        }
        let mut pages = std::mem::take(&mut self.pages);
        for (block, page) in &mut pages {
            while self.block_count < *block {
                let mut empty = Box::new(PageBytes([0; pg_sys::BLCKSZ as usize]));
                self.put(self.block_count, &mut empty);
            }
            // SAFETY: a page of memory; does nothing without checksums.
            unsafe { pg_sys::PageSetChecksumInplace(page.0.as_mut_ptr().cast(), *block) };
            self.put(*block, page);
        }
        pages.clear();
        self.pages = pages;
    }

    /// Puts the pages into the log, which leaves the place there on each.
    fn log(&mut self) {
        let mut blocks: Vec<u32> = self.pages.iter().map(|(block, _)| *block).collect();
        let mut pages: Vec<*mut u8> =
            self.pages.iter_mut().map(|(_, page)| page.0.as_mut_ptr()).collect();
        // SAFETY: as many blocks as pages, all of the standard layout.
        unsafe {
            pg_sys::log_newpages(
                &mut self.locator(),
                MAIN,
                pages.len() as i32,
                blocks.as_mut_ptr(),
                pages.as_mut_ptr().cast(),
                true,
            )
        };
    }

    /// Writes one page behind the others or over a page written as empty.
    fn put(&mut self, block: u32, page: &mut PageBytes) {
        let bytes = page.0.as_mut_ptr().cast();
        let segment = block / pg_sys::RELSEG_SIZE;
        let is_known = self.registered.is_some_and(|registered| segment <= registered);
        self.registered = self.registered.max(Some(segment));
        let file = self.file();
        // The last argument says not to register the write.
        if block == self.block_count {
            // SAFETY: the next page of a file that nobody else writes.
            unsafe { pg_sys::smgrextend(file, MAIN, block, bytes, is_known) };
            self.block_count += 1;
        } else {
            // SAFETY: the page is there.
            unsafe { pg_sys::smgrwrite(file, MAIN, block, bytes, is_known) };
        }
    }

    /// The relation's file, looked up anew, as an invalidation may have closed it.
    fn file(&self) -> pg_sys::SMgrRelation {
        // SAFETY: the relation is open.
        unsafe { pg_sys::smgropen(self.locator(), (*self.relation).rd_backend) }
    }

    #[cfg(feature = "pg15")]
    fn locator(&self) -> pg_sys::RelFileNode {
        // SAFETY: the relation is open.
        unsafe { (*self.relation).rd_node }
    }

    #[cfg(not(feature = "pg15"))]
    fn locator(&self) -> pg_sys::RelFileLocator {
        // SAFETY: the relation is open.
        unsafe { (*self.relation).rd_locator }
    }
}
