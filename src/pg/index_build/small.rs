//! B-trees of small tables: one leaf page, made here and written through the buffer pool.
//!
//! The server's builder writes the pages of an index past the buffer pool and waits until they are on
//! disk, which for thousands of small tables takes longer than everything else about their indexes. Here
//! the server sorts the index tuples as ever, and checks that they are unique; then the metapage and the
//! root go into buffers and into the write-ahead log, and reach the disk with the next checkpoint. What
//! does not fit into one page is left to the builder.
//!
//! The layout of the pages: `access/nbtree.h`, `access/nbtree/README`.

use std::ffi::c_void;

use pgmig_core::btree::{FIRST_BLOCK, Root};
use pgmig_core::heap::page::PAGE_BYTES;
use pgrx::pg_sys;

use super::nbtree;
use crate::pg::page_writer::needs_log;

/// Bytes of what a B-tree keeps at the end of each page, `BTPageOpaqueData`.
const SPECIAL_BYTES: usize = 16;

/// Where in it the flags are.
const FLAGS_OFFSET: usize = 12;

/// `BTP_LEAF | BTP_ROOT`: the only page with tuples.
const ROOT_FLAGS: u16 = 1 << 0 | 1 << 1;

/// `BTMaxItemSize`: the builder complains of longer ones.
const MOST_TUPLE_BYTES: usize =
    align_down((PAGE_BYTES - align(24 + 3 * 4) - SPECIAL_BYTES) / 3) - align(6);

/// The part of `t_info` of an index tuple that is its size.
const SIZE_MASK: u16 = 0x1fff;

const fn align_down(size: usize) -> usize {
    size / 8 * 8
}

const fn align(size: usize) -> usize {
    align_down(size + 7)
}

/// Fills an index that was just defined and is still without a file's content; false if it takes more
/// than a page or the table has rows that were deleted, and then nothing was written.
///
/// Raises on rows that are not unique. The table must be permanent, and both must be open.
pub(super) fn fill(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) -> bool {
    let mut sort = Sort::begin(table, index, info);
    sort.read_table(table, info);
    // SAFETY: by contract.
    let is_usual = sort.is_usual && !unsafe { (*info).ii_BrokenHotChain };
    let root = if is_usual { sort.into_page() } else { None };
    let Some(root) = root else {
        return false;
    };
    let block = (!root.is_empty()).then_some(Root { block: FIRST_BLOCK, level: 0 });
    append(index, &nbtree::metapage(index, block).0);
    if block.is_some() {
        append(index, &root.bytes);
    }
    true
}

/// The server's sort of index tuples.
struct Sort {
    state: *mut pg_sys::Tuplesortstate,
    index: pg_sys::Relation,
    /// Whether every row read is live.
    is_usual: bool,
}

impl Sort {
    fn begin(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        info: *mut pg_sys::IndexInfo,
    ) -> Self {
        // SAFETY: by contract of `fill`; freed by `into_page`, or with the memory context.
        let state = unsafe {
            pg_sys::tuplesort_begin_index_btree(
                table,
                index,
                (*info).ii_Unique,
                (*info).ii_NullsNotDistinct,
                pg_sys::maintenance_work_mem,
                std::ptr::null_mut(),
                0,
            )
        };
        Sort { state, index, is_usual: true }
    }

    /// Takes in the index tuples of all rows.
    fn read_table(&mut self, table: pg_sys::Relation, info: *mut pg_sys::IndexInfo) {
        // SAFETY: the table is open; every table access method has this function.
        let Some(scan) = (unsafe { (*(*table).rd_tableam).index_build_range_scan }) else {
            self.is_usual = false;
            return;
        };
        let state = std::ptr::from_mut(self).cast();
        // SAFETY: all of the table, from its first block to its last.
        unsafe {
            scan(
                table,
                self.index,
                info,
                false,
                false,
                false,
                0,
                pg_sys::InvalidBlockNumber,
                Some(put),
                state,
                std::ptr::null_mut(),
            )
        };
    }

    /// The root page; None if it cannot hold all tuples.
    fn into_page(self) -> Option<Page> {
        let mut page = Page::new();
        page.init_leaf();
        // SAFETY: begun above; raises on duplicates in a unique index.
        unsafe { pg_sys::tuplesort_performsort(self.state) };
        let mut fits = true;
        while fits {
            // SAFETY: performed above; null at the end.
            let tuple = unsafe { pg_sys::tuplesort_getindextuple(self.state, true) };
            if tuple.is_null() {
                break;
            }
            fits = page.add(tuple);
        }
        // SAFETY: not used after this.
        unsafe { pg_sys::tuplesort_end(self.state) };
        fits.then_some(page)
    }
}

/// Takes one row of the scan: see `IndexBuildCallback` in `access/tableam.h`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn put(
    index: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    nulls: *mut bool,
    is_alive: bool,
    state: *mut c_void,
) {
    // SAFETY: what `read_table` has passed to the scan.
    let sort = unsafe { &mut *state.cast::<Sort>() };
    if !is_alive {
        sort.is_usual = false;
        return;
    }
    // SAFETY: the server's values for this index.
    unsafe { pg_sys::tuplesort_putindextuplevalues(sort.state, index, tid, values, nulls) };
}

/// A page in the making.
#[repr(align(8))]
struct Page {
    bytes: [u8; PAGE_BYTES],
    /// Tuples so far.
    count: u16,
}

impl Page {
    fn new() -> Self {
        Page { bytes: [0; PAGE_BYTES], count: 0 }
    }

    fn as_page(&mut self) -> pg_sys::Page {
        self.bytes.as_mut_ptr().cast()
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Makes it a leaf without neighbours.
    fn init_leaf(&mut self) {
        // SAFETY: a page of memory, aligned.
        unsafe { pg_sys::PageInit(self.as_page(), PAGE_BYTES, SPECIAL_BYTES) };
        // Neighbours, level and cycle are zero.
        let flags = PAGE_BYTES - SPECIAL_BYTES + FLAGS_OFFSET;
        self.bytes[flags..flags + 2].copy_from_slice(&ROOT_FLAGS.to_ne_bytes());
    }

    /// Adds a tuple behind the others; false if it is too long.
    fn add(&mut self, tuple: pg_sys::IndexTuple) -> bool {
        // SAFETY: a tuple of the sort.
        let size = usize::from(unsafe { (*tuple).t_info } & SIZE_MASK);
        if align(size) > MOST_TUPLE_BYTES {
            return false;
        }
        // The rightmost page of a level has no high key, so its tuples begin at the first offset.
        // SAFETY: the tuple has this size; the page was initialized.
        let offset = unsafe {
            pg_sys::PageAddItemExtended(self.as_page(), tuple.cast(), size, self.count + 1, 0)
        };
        self.count = offset;
        offset != 0
    }
}

/// Writes a page behind those that the index has.
pub(super) fn append(index: pg_sys::Relation, page: &[u8; PAGE_BYTES]) {
    // SAFETY: the index is new, so nobody else extends it.
    let buffer = unsafe {
        pg_sys::ReadBufferExtended(
            index,
            pg_sys::ForkNumber::MAIN_FORKNUM,
            pg_sys::InvalidBlockNumber,
            pg_sys::ReadBufferMode::RBM_NORMAL,
            std::ptr::null_mut(),
        )
    };
    let is_logged = needs_log(index);
    // SAFETY: pinned above.
    unsafe { pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_EXCLUSIVE as i32) };
    // SAFETY: a page of a pinned and locked buffer; between the sections nothing can raise but a
    // failure to write the log, which must end the server's process as in the server's own code.
    unsafe {
        pg_sys::CritSectionCount += 1;
        let target: *mut u8 = pg_sys::BufferGetPage(buffer).cast();
        std::ptr::copy_nonoverlapping(page.as_ptr(), target, PAGE_BYTES);
        pg_sys::MarkBufferDirty(buffer);
        // With wal_level = minimal the file of a new relation is synchronized at the commit instead.
        if is_logged {
            pg_sys::log_newpage_buffer(buffer, true);
        }
        pg_sys::CritSectionCount -= 1;
    }
    // SAFETY: pinned and locked above.
    unsafe { pg_sys::UnlockReleaseBuffer(buffer) };
}
