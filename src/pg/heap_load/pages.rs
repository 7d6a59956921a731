//! The rows of long loads, written by whole pages.
//!
//! `heap_multi_insert` writes each page of a growing table twice, once as zeros and once out of the
//! buffer pool. Here pages are filled in memory, logged and added to the file with their rows.

use std::ffi::c_int;

use pgmig_core::heap::fill::{Inserter, MOST_TUPLE_BYTES, PageFiller, set_block};
use pgmig_core::heap::form::TOAST_THRESHOLD;
use pgmig_core::heap::toast::{Toast, has_external};
use pgrx::pg_sys;

use super::batch::Batch;
use super::toast::Chunks;
use crate::pg::catch::guard;
use crate::pg::heap_pages;
use crate::pg::page_writer::{File, PAGES_PER_RECORD, PageWriter, needs_log};

/// `HEAP_DEFAULT_FILLFACTOR`, in percent.
const DEFAULT_FILL_FACTOR: c_int = 100;

/// Where a page of the visibility map has its bits: behind the header, two for each page of the table.
const MAP_HEADER_BYTES: usize = 24;
const BLOCKS_PER_MAP_PAGE: u32 = (pg_sys::BLCKSZ - MAP_HEADER_BYTES as u32) * 4;

/// All rows of the page are visible to everybody, and frozen.
const ALL_VISIBLE_AND_FROZEN: u8 = 3;

unsafe extern "C-unwind" {
    fn heap_toast_insert_or_update(
        relation: pg_sys::Relation,
        new: pg_sys::HeapTuple,
        old: pg_sys::HeapTuple,
        options: c_int,
    ) -> pg_sys::HeapTuple;
    fn CheckForSerializableConflictIn(
        relation: pg_sys::Relation,
        place: pg_sys::ItemPointer,
        block: pg_sys::BlockNumber,
    );
}

/// Pages that are being filled.
pub(super) struct Pages {
    relation: pg_sys::Relation,
    filler: PageFiller,
    writer: PageWriter,
    /// The first page written here, if the rows are frozen.
    first_frozen: Option<u32>,
    /// Where long values go.
    chunks: Option<Chunks>,
}

impl Pages {
    /// For rows that come after those of a batch inserted by the server; `freeze` as for that. With `moves_values`
    /// their long values go to `toast` if it takes any. None if the server's log has to show each row by itself, for
    /// logical decoding.
    pub(super) fn begin(
        relation: pg_sys::Relation,
        batch: &Batch,
        freeze: bool,
        moves_values: bool,
    ) -> Option<Self> {
        // SAFETY: a setting.
        if unsafe { pg_sys::wal_level } >= pg_sys::WalLevel::WAL_LEVEL_LOGICAL as c_int {
            return None;
        }
        if !freeze {
            // What is on disk before its transaction is known there could become another one's after a
            // crash.
            // SAFETY: the end of what this transaction has logged, the batch at least.
            unsafe { pg_sys::XLogFlush(pg_sys::XactLastRecEnd) };
        }
        let inserter = Inserter {
            // SAFETY: inside a transaction.
            transaction: unsafe { pg_sys::GetCurrentTransactionId() }.into_inner(),
            command: batch.command,
            is_frozen: freeze,
        };
        let file = if freeze { File::Own } else { File::Shared };
        Some(Pages {
            relation,
            filler: PageFiller::new(inserter, fill_factor(relation), freeze),
            writer: PageWriter::new(relation, file),
            first_frozen: freeze.then(|| heap_pages::count_blocks(relation)),
            chunks: moves_values.then(|| Chunks::begin(relation, inserter)).flatten(),
        })
    }

    /// Where long values go.
    pub(super) fn toast(&mut self) -> Option<&mut dyn Toast> {
        self.chunks.as_mut().map(|chunks| chunks as &mut dyn Toast)
    }

    /// Takes the tuples of a batch, whose long values are moved out of line unless `toast` has got them; those that
    /// are elsewhere otherwise are another table's.
    pub(super) fn insert(&mut self, batch: &mut Batch) {
        // SAFETY: the relation is open; raises if a serializable transaction has read too much.
        unsafe {
            guard(|| {
                let (place, block) = (std::ptr::null_mut(), pg_sys::InvalidBlockNumber);
                CheckForSerializableConflictIn(self.relation, place, block)
            })
        };
        for index in 0..batch.lengths.len() {
            let (start, length) = batch.lengths[index];
            let tuple = &batch.bytes[start..start + length];
            let is_moved = has_external(tuple);
            let is_done = is_moved && self.chunks.is_some();
            let is_pushed = if !is_done && (is_moved || length > TOAST_THRESHOLD) {
                self.push_toasted(batch, index)
            } else {
                self.filler.push(tuple)
            };
            if !is_pushed {
                pgrx::ereport!(
                    ERROR,
                    pgrx::PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                    format!("row is too big: maximum size {MOST_TUPLE_BYTES}")
                );
            }
            if self.filler.complete_count() == PAGES_PER_RECORD {
                self.write();
            }
        }
        // SAFETY: the relation is open.
        unsafe { pg_sys::pgstat_count_heap_insert(self.relation, batch.lengths.len() as i64) };
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) {
        self.filler.turn();
        self.write();
        if let Some(chunks) = self.chunks {
            chunks.finish();
        }
        if let Some(first) = self.first_frozen {
            mark_frozen(self.relation, first, heap_pages::count_blocks(self.relation));
        }
    }

    fn write(&mut self) {
        self.writer.append(self.filler.take_complete(), set_block);
    }

    fn push_toasted(&mut self, batch: &mut Batch, index: usize) -> bool {
        let options = batch.options;
        let header = batch.header(index);
        // SAFETY: the relation is open, the tuple formed for it; in the context of the batch.
        let toasted = unsafe {
            let old = std::ptr::null_mut();
            guard(|| heap_toast_insert_or_update(self.relation, header, old, options))
        };
        // SAFETY: the same tuple, or a new one, with its length.
        let bytes = unsafe {
            std::slice::from_raw_parts((*toasted).t_data.cast::<u8>(), (*toasted).t_len as usize)
        };
        self.filler.push(bytes)
    }
}

/// The table's `fillfactor`.
fn fill_factor(relation: pg_sys::Relation) -> usize {
    // SAFETY: the relation is open; an ordinary table has options of this kind, or none.
    let options = unsafe { (*relation).rd_options.cast::<pg_sys::StdRdOptions>().as_ref() };
    let percent = options.map_or(DEFAULT_FILL_FACTOR, |options| options.fillfactor);
    usize::try_from(percent).unwrap_or(0)
}

/// Sets the bits of pages in the visibility map; nobody else may be at work on the table.
fn mark_frozen(relation: pg_sys::Relation, first: u32, end: u32) {
    let mut block = first;
    while block < end {
        let next = (block / BLOCKS_PER_MAP_PAGE + 1) * BLOCKS_PER_MAP_PAGE;
        let next = next.min(end);
        mark_map_page(relation, block, next);
        block = next;
    }
}

/// The same for pages that have their bits on one page of the map.
fn mark_map_page(relation: pg_sys::Relation, first: u32, end: u32) {
    let mut buffer = 0;
    // SAFETY: the relation is open; makes the map as long as it has to be.
    unsafe { pg_sys::visibilitymap_pin(relation, first, &mut buffer) };
    let is_logged = needs_log(relation);
    // SAFETY: pinned above; between the sections nothing can raise but a failure to write the log, which
    // must end the server's process as in the server's own code.
    unsafe {
        pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_EXCLUSIVE as c_int);
        pg_sys::CritSectionCount += 1;
        let bits = pg_sys::BufferGetPage(buffer).cast::<u8>().add(MAP_HEADER_BYTES);
        for block in first..end {
            let place = block % BLOCKS_PER_MAP_PAGE;
            *bits.add(place as usize / 4) |= ALL_VISIBLE_AND_FROZEN << (place % 4 * 2);
        }
        pg_sys::MarkBufferDirty(buffer);
        if is_logged {
            // A page of the map keeps nothing of what a page's header says of free space.
            pg_sys::log_newpage_buffer(buffer, false);
        }
        pg_sys::CritSectionCount -= 1;
    }
    // SAFETY: pinned and locked above.
    unsafe { pg_sys::UnlockReleaseBuffer(buffer) };
}
