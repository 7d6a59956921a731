//! Pages of new rows.

use super::page::{FLAGS, LOWER, PAGE_BYTES, POINTER_BYTES, PageBytes, UPPER, pointer_place};

/// Bytes of a row at most: a page with nothing else on it. `MaxHeapTupleSize`.
pub const MOST_TUPLE_BYTES: usize = PAGE_BYTES - 32;

/// Rows of a page at most: `MaxHeapTuplesPerPage`.
const MOST_ROWS: u16 = 291;

/// Offsets in a tuple's header: who has inserted and deleted it, by which command, and its place.
const XMIN: usize = 0;
const XMAX: usize = 4;
const COMMAND: usize = 8;
const PLACE: usize = 12;
const INFOMASK2: usize = 18;
const INFOMASK: usize = 20;

/// The bits of both masks that say nothing of transactions.
const LASTING: u16 = 0x000f;
const LASTING2: u16 = 0x1fff;

/// Bits of `t_infomask`.
const XMIN_FROZEN: u16 = 0x0300;
const XMAX_INVALID: u16 = 0x0800;

/// `PD_ALL_VISIBLE`: every row of the page is visible to everybody.
const ALL_VISIBLE: u16 = 0x0004;

/// What rows say of who has inserted them.
#[derive(Debug, Clone, Copy)]
pub struct Inserter {
    pub transaction: u32,
    pub command: u32,
    /// The rows are visible to everybody who sees their file.
    pub is_frozen: bool,
}

/// Puts tuples on pages, one after the other.
pub struct PageFiller {
    inserter: Inserter,
    /// `pd_flags` of new pages.
    flags: u16,
    /// Bytes to be left free on each page.
    reserve: usize,
    complete: Vec<Box<PageBytes>>,
    page: Box<PageBytes>,
    row_count: u16,
}

impl PageFiller {
    /// Begins with an empty page; `fill_factor` is the table's, in percent. With `is_all_visible` the pages say
    /// that all their rows are visible to everybody.
    pub fn new(inserter: Inserter, fill_factor: usize, is_all_visible: bool) -> Self {
        let flags = if is_all_visible { ALL_VISIBLE } else { 0 };
        PageFiller {
            inserter,
            flags,
            reserve: PAGE_BYTES * (100 - fill_factor.min(100)) / 100,
            complete: Vec::new(),
            page: Self::empty_page(flags),
            row_count: 0,
        }
    }

    /// Adds a tuple, of which only the columns matter; the rest of its header is written here. False,
    /// and nothing is added, if it is longer than a page can hold.
    #[must_use]
    pub fn push(&mut self, tuple: &[u8]) -> bool {
        if tuple.len() > MOST_TUPLE_BYTES {
            return false;
        }
        let bytes = tuple.len().next_multiple_of(8);
        if !self.has_room(bytes) {
            self.turn();
        }
        let start = usize::from(self.page.get_u16(UPPER)) - bytes;
        self.page.0[start..start + tuple.len()].copy_from_slice(tuple);
        self.page.put_u16(UPPER, start as u16);
        self.row_count += 1;
        self.page.set_pointer(self.row_count, start, tuple.len());
        let lower = pointer_place(self.row_count) + POINTER_BYTES;
        self.page.put_u16(LOWER, lower as u16);
        self.stamp(start);
        true
    }

    /// Pages that are complete and have not been taken.
    pub fn complete_count(&self) -> usize {
        self.complete.len()
    }

    /// Takes the complete pages; their rows do not know yet where they are.
    pub fn take_complete(&mut self) -> Vec<Box<PageBytes>> {
        std::mem::take(&mut self.complete)
    }

    /// Completes the page at hand, if there is anything on it.
    pub fn turn(&mut self) {
        if self.row_count > 0 {
            self.row_count = 0;
            let next = Self::empty_page(self.flags);
            self.complete.push(std::mem::replace(&mut self.page, next));
        }
    }

    fn empty_page(flags: u16) -> Box<PageBytes> {
        let mut page = PageBytes::empty(0);
        page.put_u16(FLAGS, flags);
        page
    }

    fn has_room(&self, bytes: usize) -> bool {
        let free = usize::from(self.page.get_u16(UPPER) - self.page.get_u16(LOWER));
        let is_first = self.row_count == 0;
        is_first || self.row_count < MOST_ROWS && free >= bytes + POINTER_BYTES + self.reserve
    }

    /// Writes what the tuple that starts there says of its transaction.
    fn stamp(&mut self, start: usize) {
        let frozen = if self.inserter.is_frozen { XMIN_FROZEN } else { 0 };
        let page = &mut self.page;
        page.put_u32(start + XMIN, self.inserter.transaction);
        page.put_u32(start + XMAX, 0);
        page.put_u32(start + COMMAND, self.inserter.command);
        let mask = page.get_u16(start + INFOMASK) & LASTING;
        page.put_u16(start + INFOMASK, mask | XMAX_INVALID | frozen);
        let mask = page.get_u16(start + INFOMASK2) & LASTING2;
        page.put_u16(start + INFOMASK2, mask);
    }
}

/// Tells all rows of a page made here where they are.
pub fn set_block(page: &mut PageBytes, block: u32) {
    let end = page.get_u16(LOWER);
    for offset in 1.. {
        let place = pointer_place(offset);
        if place >= usize::from(end) {
            return;
        }
        let start = (page.get_u32(place) & 0x7fff) as usize;
        page.put_u16(start + PLACE, (block >> 16) as u16);
        page.put_u16(start + PLACE + 2, block as u16);
        page.put_u16(start + PLACE + 4, offset);
    }
}
