//! Whole pages written past the buffer pool, as the server's own builders of indexes do.
//!
//! The pages go into the write-ahead log, many to a record, then to the file. No checkpoint can begin
//! between the two, so that each either finds the pages in the file or their record after its start;
//! bringing the file to disk is left to the checkpointer.

use pgmig_core::heap::page::PageBytes;
use pgrx::pg_sys;

/// Pages that are logged together: the most that a record can have.
pub(super) const PAGES_PER_RECORD: usize = 32;

/// The main fork, where a relation's content is.
const MAIN: pg_sys::ForkNumber::Type = pg_sys::ForkNumber::MAIN_FORKNUM;

/// What the server takes to add pages to a relation.
const EXTENSION_LOCK: pg_sys::LOCKMODE = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;

/// `InvalidSubTransactionId`.
const NO_SUBTRANSACTION: pg_sys::SubTransactionId = 0;

/// Who may look at a relation's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    /// Nobody else before the current transaction, which has made it, has committed.
    Own,
    /// Everybody. Pages are only added. They refer to a place that the log has already reached on disk, and
    /// not to their own, which could lie behind the log's end after a crash. The transaction must be
    /// known to the log on disk.
    Shared,
}

/// Writes pages to the file of an open relation.
pub(super) struct PageWriter {
    relation: pg_sys::Relation,
    file: File,
    /// Whether the pages go into the log; else the commit brings the file to disk, or a crash empties it.
    is_logged: bool,
    /// Pages that a file of our own has.
    block_count: u32,
    /// Pages to be written at their places.
    pages: Vec<(u32, Box<PageBytes>)>,
}

impl PageWriter {
    pub(super) fn new(relation: pg_sys::Relation, file: File) -> Self {
        PageWriter {
            relation,
            file,
            is_logged: needs_log(relation),
            block_count: super::heap_pages::count_blocks(relation),
            pages: Vec::with_capacity(PAGES_PER_RECORD),
        }
    }

    /// Takes a page with its place in a file of our own, which is given to no other page.
    pub(super) fn write(&mut self, block: u32, page: Box<PageBytes>) {
        self.pages.push((block, page));
        if self.pages.len() == PAGES_PER_RECORD {
            self.flush();
        }
    }

    /// Writes what `write` has taken.
    pub(super) fn flush(&mut self) {
        pgrx::check_for_interrupts!();
        let mut pages = std::mem::take(&mut self.pages);
        self.put(&mut pages);
        pages.clear();
        self.pages = pages;
    }

    /// Adds pages at the file's end, after `place` has told each where that is; returns where the first one is.
    pub(super) fn append(
        &mut self,
        pages: Vec<Box<PageBytes>>,
        place: fn(&mut PageBytes, u32),
    ) -> u32 {
        pgrx::check_for_interrupts!();
        if self.file == File::Shared {
            // SAFETY: the relation is open; an error releases the lock.
            unsafe { pg_sys::LockRelationForExtension(self.relation, EXTENSION_LOCK) };
        }
        // The server's own code may have added some.
        let first = super::heap_pages::count_blocks(self.relation);
        self.block_count = first;
        let mut pages: Vec<(u32, Box<PageBytes>)> = (self.block_count..).zip(pages).collect();
        for (block, page) in &mut pages {
            place(page, *block);
        }
        self.put(&mut pages);
        if self.file == File::Shared {
            // SAFETY: locked above.
            unsafe { pg_sys::UnlockRelationForExtension(self.relation, EXTENSION_LOCK) };
        }
        first
    }

    /// Logs and writes pages, of which there are no more than fit into a record.
    fn put(&mut self, pages: &mut [(u32, Box<PageBytes>)]) {
        let _delay = CheckpointDelay::begin();
        if self.is_logged && !pages.is_empty() {
            self.log(pages);
        }
        // SAFETY: a read of shared memory; null for what is not asked.
        let on_disk = unsafe { pg_sys::GetFlushRecPtr(std::ptr::null_mut()) };
        let segments: Vec<u32> = pages.iter().map(|(block, _)| segment_of(*block)).collect();
        for (index, (block, page)) in pages.iter_mut().enumerate() {
            while self.block_count < *block {
                self.put_page(self.block_count, &mut PageBytes::zeroed(), Disk::Checkpointer);
            }
            if self.file == File::Shared && self.is_logged {
                page.set_log_place(on_disk);
            }
            // SAFETY: a page of memory; does nothing without checksums.
            unsafe { pg_sys::PageSetChecksumInplace(page.0.as_mut_ptr().cast(), *block) };
            // A checkpoint that is under way may bring a segment to disk and forget it at any time, so it is told
            // of each with the last page there.
            let is_last = !segments[index + 1..].contains(&segments[index]);
            self.put_page(*block, page, if is_last { Disk::Checkpointer } else { Disk::Later });
        }
    }

    /// Puts pages into the log, which leaves the place there on each.
    fn log(&self, pages: &mut [(u32, Box<PageBytes>)]) {
        let mut blocks: Vec<u32> = pages.iter().map(|(block, _)| *block).collect();
        let mut bytes: Vec<*mut u8> =
            pages.iter_mut().map(|(_, page)| page.0.as_mut_ptr()).collect();
        // SAFETY: as many blocks as pages, all of the standard layout.
        unsafe {
            pg_sys::log_newpages(
                &mut self.locator(),
                MAIN,
                bytes.len() as i32,
                blocks.as_mut_ptr(),
                bytes.as_mut_ptr().cast(),
                true,
            )
        };
        // SAFETY: asks the log's writer to write what has been logged up to here.
        unsafe { pg_sys::XLogSetAsyncXactLSN(pg_sys::XactLastRecEnd) };
    }

    /// Writes one page behind the others or over one that was written as empty.
    fn put_page(&mut self, block: u32, page: &mut PageBytes, disk: Disk) {
        let bytes = page.0.as_mut_ptr().cast();
        let is_known = disk == Disk::Later;
        let file = self.open_file();
        // The last argument says not to have the checkpointer bring the segment to disk.
        if block == self.block_count {
            // SAFETY: the next page of a file that nobody else adds to.
            unsafe { pg_sys::smgrextend(file, MAIN, block, bytes, is_known) };
            self.block_count += 1;
        } else {
            // SAFETY: the page is there.
            unsafe { pg_sys::smgrwrite(file, MAIN, block, bytes, is_known) };
        }
    }

    /// The relation's file, looked up anew, as an invalidation may have closed it.
    fn open_file(&self) -> pg_sys::SMgrRelation {
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

/// Who sees to it that the segment of a page that was written gets to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    /// The checkpointer, who is told with this page.
    Checkpointer,
    /// The same, who is told with another page of the segment, before the next checkpoint can begin.
    Later,
}

/// The segment of a file that a block is in.
fn segment_of(block: u32) -> u32 {
    block / pg_sys::RELSEG_SIZE
}

/// Keeps checkpoints from beginning until this is dropped.
struct CheckpointDelay;

impl CheckpointDelay {
    fn begin() -> Self {
        // SAFETY: this process's own entry.
        unsafe { (*pg_sys::MyProc).delayChkptFlags |= pg_sys::DELAY_CHKPT_START as i32 };
        CheckpointDelay
    }
}

impl Drop for CheckpointDelay {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { (*pg_sys::MyProc).delayChkptFlags &= !(pg_sys::DELAY_CHKPT_START as i32) };
    }
}

/// Whether changes of an open relation go into the log: `RelationNeedsWAL`.
pub(super) fn needs_log(relation: pg_sys::Relation) -> bool {
    // SAFETY: the relation is open.
    let (persistence, created) =
        unsafe { ((*(*relation).rd_rel).relpersistence, (*relation).rd_createSubid) };
    let is_new = created != NO_SUBTRANSACTION || first_file_made_by(relation) != NO_SUBTRANSACTION;
    // SAFETY: a setting.
    let keeps_all = unsafe { pg_sys::wal_level } >= pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32;
    persistence as u8 == pg_sys::RELPERSISTENCE_PERMANENT && (keeps_all || !is_new)
}

#[cfg(feature = "pg15")]
fn first_file_made_by(relation: pg_sys::Relation) -> pg_sys::SubTransactionId {
    // SAFETY: the relation is open.
    unsafe { (*relation).rd_firstRelfilenodeSubid }
}

#[cfg(not(feature = "pg15"))]
fn first_file_made_by(relation: pg_sys::Relation) -> pg_sys::SubTransactionId {
    // SAFETY: the relation is open.
    unsafe { (*relation).rd_firstRelfilelocatorSubid }
}
