//! The levels of a B-tree, from left to right and from the leaves upwards.

use super::page::{FIRST_BLOCK, FIRST_KEY, Page};
use super::tuple::{
    Key, KeyForm, TID_BYTES, add_posting_list, lowest_of, lowest_pivot, set_downlink,
    turn_into_pivot,
};
use crate::heap::page::{PAGE_BYTES, POINTER_BYTES, PageBytes};

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
pub struct Builder<'a, K, F, W> {
    form: &'a F,
    options: Options,
    levels: Levels<W>,
    /// The key at hand and its tuple, not added yet.
    pending: K,
    tuple: Vec<u8>,
    /// The places of the rows that have it, none if there is no key at hand, and how many a tuple can
    /// take.
    places: Vec<u64>,
    most_places: usize,
    /// What was added last, and before that.
    last: Added<K>,
    before_last: Added<K>,
}

/// A tuple on the leaf at hand.
#[derive(Debug, Default)]
struct Added<K> {
    key: K,
    /// The place of its last row.
    last_place: u64,
    /// Where its posting list begins, if it has one.
    posting_offset: Option<u32>,
}

impl<'a, K: Key, F: KeyForm<K>, W: FnMut(u32, Box<PageBytes>)> Builder<'a, K, F, W> {
    /// Begins an index of keys of this form.
    pub fn new(form: &'a F, options: Options, write: W) -> Self {
        let leaf_limit = PAGE_BYTES * (100 - options.fill_factor) / 100;
        let added = || Added { key: K::default(), last_place: 0, posting_offset: None };
        Builder {
            form,
            options,
            levels: Levels { levels: Vec::new(), leaf_limit, next_block: FIRST_BLOCK, write },
            pending: K::default(),
            tuple: Vec::new(),
            places: Vec::new(),
            most_places: 0,
            last: added(),
            before_last: added(),
        }
    }

    /// Adds a row, which comes after all others in the order of the index.
    pub fn push(&mut self, key: &K) {
        if !self.places.is_empty() {
            if self.places.len() < self.most_places && self.pending.has_key_of(key) {
                self.places.push(key.place());
                return;
            }
            self.add();
        }
        self.form.form(key, self.form.column_count(), &mut self.tuple);
        self.most_places = match self.options.deduplicates {
            true => MOST_POSTING_BYTES.saturating_sub(self.tuple.len()) / TID_BYTES,
            false => 1,
        };
        self.places.clear();
        self.places.push(key.place());
        self.pending.clone_from(key);
    }

    /// Ends the index; None if it has no rows.
    pub fn finish(mut self) -> Option<Root> {
        if !self.places.is_empty() {
            self.add();
        }
        self.levels.finish()
    }

    /// Adds the pending tuple to the leaves.
    fn add(&mut self) {
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
        // Keys are exchanged, not copied, for those that own memory.
        std::mem::swap(&mut self.last, &mut self.before_last);
        std::mem::swap(&mut self.last.key, &mut self.pending);
        self.last.last_place = self.places.last().copied().unwrap_or_default();
        self.last.posting_offset = posting_offset;
    }

    /// The high key of the leaf at hand, whose last item is about to go to the next one: that item in as
    /// few columns as tell it from the one before.
    fn high_key(&self) -> Vec<u8> {
        let mut pivot = Vec::new();
        let (left, right) = (&self.before_last, &self.last);
        let column_count = self.form.column_count();
        let equal = self.form.count_equal(&left.key, &right.key);
        let is_told_by_place = equal == column_count;
        let count = (equal + 1).min(column_count);
        self.form.form(&right.key, count, &mut pivot);
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
