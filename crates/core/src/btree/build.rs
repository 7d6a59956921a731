//! The levels of a B-tree, from left to right and from the leaves upwards.

use super::page::{FIRST_BLOCK, FIRST_KEY, Page};
use super::tuple::{
    TID_BYTES, TupleFormer, add_posting_list, lowest_of, lowest_pivot, set_downlink,
    turn_into_pivot,
};
use crate::heap::page::{PAGE_BYTES, POINTER_BYTES, PageBytes};
use crate::heap::sort::{Entry, KeyLayout};

/// `BTREE_NONLEAF_FILLFACTOR`, in percent.
const INNER_FILL_FACTOR: usize = 70;

/// Bytes of a tuple with a posting list at most: a tenth of a page with its line pointer.
const MOST_POSTING_BYTES: usize = (PAGE_BYTES / 10 / 8 * 8 - POINTER_BYTES) / 8 * 8;

/// Bytes that stay free on a leaf for its high key to tell rows of equal keys apart.
const HIGH_KEY_RESERVE: usize = 8;

/// How an index is to be built.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How full leaves get, in percent: the index's `fillfactor`.
    pub fill_factor: usize,
    /// Whether rows with equal keys share a tuple.
    pub deduplicates: bool,
}

/// Where an index begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    pub block: u32,
    pub level: u32,
}

/// Builds an index; each page goes to `write` once, with its block number, when it is complete. The
/// metapage is the caller's business.
pub struct Builder<'a, const N: usize, W> {
    former: TupleFormer<'a>,
    options: Options,
    levels: Levels<W>,
    /// The key at hand and its tuple, not added yet.
    pending: Option<Entry<N>>,
    tuple: Vec<u8>,
    /// The places of the rows that have it, and how many a tuple can take.
    places: Vec<u64>,
    most_places: usize,
    /// What was added last, and before that.
    last: Option<Added<N>>,
    before_last: Option<Added<N>>,
}

/// A tuple on the leaf at hand.
#[derive(Debug, Clone, Copy)]
struct Added<const N: usize> {
    entry: Entry<N>,
    /// The place of its last row.
    last_place: u64,
    /// Where its posting list begins, if it has one.
    posting_offset: Option<u32>,
}

impl<'a, const N: usize, W: FnMut(u32, Box<PageBytes>)> Builder<'a, N, W> {
    /// Begins an index of keys with this layout.
    pub fn new(layout: &'a KeyLayout, options: Options, write: W) -> Self {
        let leaf_limit = PAGE_BYTES * (100 - options.fill_factor) / 100;
        Builder {
            former: TupleFormer::new(layout),
            options,
            levels: Levels { levels: Vec::new(), leaf_limit, next_block: FIRST_BLOCK, write },
            pending: None,
            tuple: Vec::new(),
            places: Vec::new(),
            most_places: 0,
            last: None,
            before_last: None,
        }
    }

    /// Adds a row, which comes after all others in the order of the index.
    pub fn push(&mut self, entry: &Entry<N>) {
        if let Some(pending) = self.pending {
            if self.places.len() < self.most_places && pending.has_key_of(entry) {
                self.places.push(entry.place);
                return;
            }
            self.add(&pending);
        }
        self.former.form(entry, None, &mut self.tuple);
        self.most_places = match self.options.deduplicates {
            true => (MOST_POSTING_BYTES - self.tuple.len()) / TID_BYTES,
            false => 1,
        };
        self.places.clear();
        self.places.push(entry.place);
        self.pending = Some(*entry);
    }

    /// Ends the index; None if it has no rows.
    pub fn finish(mut self) -> Option<Root> {
        if let Some(pending) = self.pending.take() {
            self.add(&pending);
        }
        self.levels.finish()
    }

    /// Adds the pending tuple to the leaves.
    fn add(&mut self, entry: &Entry<N>) {
        let key_bytes = self.tuple.len();
        let mut posting_offset = None;
        if self.places.len() > 1 {
            add_posting_list(&mut self.tuple, &self.places);
            posting_offset = Some(key_bytes as u32);
        }
        if self.levels.is_full(0, self.tuple.len()) {
            let high_key = self.high_key();
            self.levels.turn(0, high_key);
        }
        self.levels.push(0, &self.tuple, self.tuple.len() - key_bytes);
        let last_place = self.places.last().copied().unwrap_or(entry.place);
        self.before_last = self.last.replace(Added { entry: *entry, last_place, posting_offset });
    }

    /// The high key of the leaf at hand, whose last item is about to go to the next one: that item in as
    /// few columns as tell it from the one before.
    fn high_key(&self) -> Vec<u8> {
        let mut pivot = Vec::new();
        let (Some(left), Some(right)) = (&self.before_last, &self.last) else {
            return pivot;
        };
        let equal = self.former.count_equal(&left.entry, &right.entry);
        let is_told_by_place = equal == self.former.column_count();
        let count = (equal + 1).min(self.former.column_count());
        self.former.form(&right.entry, Some(count), &mut pivot);
        if let Some(offset) = right.posting_offset {
            set_downlink(&mut pivot, offset);
        }
        turn_into_pivot(&mut pivot, count, is_told_by_place.then_some(left.last_place));
        pivot
    }
}

/// The pages at hand, one for each level, the leaf first.
struct Levels<W> {
    levels: Vec<Level>,
    leaf_limit: usize,
    next_block: u32,
    write: W,
}

struct Level {
    page: Page,
    /// What the parent will find the page at hand by.
    low_key: Vec<u8>,
    /// Bytes of the last item that its pivot will not have.
    last_extra: usize,
}

impl<W: FnMut(u32, Box<PageBytes>)> Levels<W> {
    /// Whether an item of this size goes to another page of the level, because it does not fit or the
    /// page is as full as it should get.
    fn is_full(&self, level: usize, bytes: usize) -> bool {
        let Some(at_hand) = self.levels.get(level) else {
            return false;
        };
        let (reserve, limit) = match level {
            0 => (HIGH_KEY_RESERVE, self.leaf_limit),
            _ => (0, PAGE_BYTES * (100 - INNER_FILL_FACTOR) / 100),
        };
        let free = at_hand.page.free_bytes();
        free < bytes + reserve || free + at_hand.last_extra < limit && at_hand.page.last > FIRST_KEY
    }

    /// Adds an item that fits; `extra` of its bytes are a posting list.
    fn push(&mut self, level: usize, item: &[u8], extra: usize) {
        if level == self.levels.len() {
            let page = Page::new(self.take_block(), level as u32);
            self.levels.push(Level { page, low_key: lowest_pivot(), last_extra: 0 });
        }
        let at_hand = &mut self.levels[level];
        at_hand.last_extra = extra;
        if level > 0 && at_hand.page.is_empty() {
            // Nothing is to the left of an inner page's first item.
            at_hand.page.push(&lowest_of(item));
        } else {
            at_hand.page.push(item);
        }
    }

    /// Completes the page at hand and begins the next one with its last item, whose pivot is its high key.
    fn turn(&mut self, level: usize, high_key: Vec<u8>) {
        let mut next = Page::new(self.take_block(), level as u32);
        let at_hand = &mut self.levels[level];
        let last = at_hand.page.item(at_hand.page.last);
        if level > 0 {
            next.push(&lowest_of(last));
        } else {
            next.push(last);
        }
        next.set_previous(at_hand.page.block);
        at_hand.page.turn_last_into_high_key(&high_key);
        at_hand.page.set_next(next.block);
        let complete = std::mem::replace(&mut at_hand.page, next);
        let low_key = std::mem::replace(&mut at_hand.low_key, high_key);
        self.push_downlink(level + 1, low_key, complete.block);
        (self.write)(complete.block, complete.into_bytes());
    }

    /// Adds a page to the level above its own.
    fn push_downlink(&mut self, level: usize, mut pivot: Vec<u8>, block: u32) {
        set_downlink(&mut pivot, block);
        if self.is_full(level, pivot.len()) {
            let at_hand = &self.levels[level].page;
            let high_key = at_hand.item(at_hand.last).to_vec();
            self.turn(level, high_key);
        }
        self.push(level, &pivot, 0);
    }

    /// Completes the last page of each level; the highest one's is the root.
    fn finish(mut self) -> Option<Root> {
        let mut root = None;
        let mut level = 0;
        while level < self.levels.len() {
            let block = self.levels[level].page.block;
            if level + 1 == self.levels.len() {
                self.levels[level].page.set_root();
                root = Some(Root { block, level: level as u32 });
            } else {
                let low_key = std::mem::take(&mut self.levels[level].low_key);
                self.push_downlink(level + 1, low_key, block);
            }
            let spent = Page::new(block, level as u32);
            let mut page = std::mem::replace(&mut self.levels[level].page, spent);
            page.drop_high_key();
            (self.write)(block, page.into_bytes());
            level += 1;
        }
        root
    }

    fn take_block(&mut self) -> u32 {
        self.next_block += 1;
        self.next_block - 1
    }
}
