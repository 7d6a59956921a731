//! Keys of any length, sorted: in memory, or in runs on disk as far as they do not fit there.

use pgmig_core::btree::Merge;
use pgmig_core::heap::page::PAGE_BYTES;
use pgmig_core::heap::wide_key::{WideKey, WideLayout};
use pgmig_core::heap::wide_order::Straightener;
use pgmig_core::heap::wide_sort::{self, WideKeys};

use super::keys::{self, Sorter};
use super::kinds::Collations;
use super::temp_file::TempFile;
use crate::pg::heap_pages::Unusual;

/// Bytes of the keys of a page, hardly ever more: they may take a byte or two more than the values, which may
/// weigh several times what they have.
const MOST_PAGE_BYTES: usize = 2 * PAGE_BYTES;
const MOST_WEIGHED_BYTES: usize = 8 * PAGE_BYTES;

/// Bytes that are written together, and of a run that are read together at least.
const FEWEST_BYTES: usize = 1 << 16;

/// Takes as much memory as `maintenance_work_mem` says.
pub(super) struct SortedWideKeys<'a> {
    layout: &'a WideLayout,
    collations: Collations,
    /// Those in memory; the only ones if there are no runs.
    keys: WideKeys,
    runs: Vec<Run>,
    /// Bytes of memory for keys.
    most: usize,
}

impl<'a> SortedWideKeys<'a> {
    pub(super) fn new(layout: &'a WideLayout, collations: Collations) -> Self {
        let most = keys::memory_bytes();
        SortedWideKeys { layout, collations, keys: WideKeys::default(), runs: Vec::new(), most }
    }

    /// Calls `each` with all keys in the order of their bytes.
    fn for_each_sorted(mut self, each: impl FnMut(&WideKey)) {
        if self.runs.is_empty() {
            self.keys.sort();
            self.keys.for_each(each);
            return;
        }
        self.runs.push(Run::write(&mut self.keys));
        self.keys = WideKeys::default();
        let most = (self.most / self.runs.len()).max(FEWEST_BYTES);
        Merge::new(self.runs.len(), |run, key| self.runs[run].next(key, most)).for_each(each);
    }
}

impl Sorter for SortedWideKeys<'_> {
    type Key = WideKey;

    fn make_room(&mut self, row_count: usize) {
        let most_bytes =
            if self.layout.is_collated() { MOST_WEIGHED_BYTES } else { MOST_PAGE_BYTES };
        let needed = most_bytes + row_count * WideKeys::BYTES_PER_KEY;
        if !self.keys.is_empty() && self.keys.memory_bytes() + needed > self.most {
            self.runs.push(Run::write(&mut self.keys));
            self.keys.clear();
        }
    }

    fn push(&mut self, values: &[Option<&[u8]>], place: u64) -> Result<(), Unusual> {
        self.keys.push(self.layout, &mut self.collations, values, place).map_err(|_| Unusual)
    }

    fn for_each(mut self, mut each: impl FnMut(&WideKey)) -> Result<(), Unusual> {
        let layout = self.layout;
        let has_forms = layout.has_forms();
        let (mut previous, mut is_told_by_bytes) = (None, true);
        let mut each = |key: &WideKey| {
            if has_forms {
                let before = previous.get_or_insert_with(|| key.clone());
                is_told_by_bytes &= !layout.differ_in_form(before, key);
                before.clone_from(key);
            }
            each(key);
        };
        if layout.is_collated() {
            let mut collations = std::mem::take(&mut self.collations);
            let mut straightener = Straightener::new(layout, &mut collations);
            self.for_each_sorted(|key| straightener.push(key, &mut each));
            straightener.finish(&mut each).map_err(|_| Unusual)?;
        } else {
            self.for_each_sorted(each);
        }
        if is_told_by_bytes { Ok(()) } else { Err(Unusual) }
    }
}

/// Keys in a file, of which some are in memory.
struct Run {
    file: TempFile,
    /// Bytes that have not been read yet.
    rest: usize,
    bytes: Vec<u8>,
    /// Where in these the keys are that are not used up.
    at: usize,
}

impl Run {
    /// Sorts keys and writes them, to be read from the first one on.
    fn write(keys: &mut WideKeys) -> Self {
        keys.sort();
        let mut file = TempFile::create();
        let (mut bytes, mut rest) = (Vec::with_capacity(2 * FEWEST_BYTES), 0);
        keys.for_each(|key| {
            wide_sort::put_record(key, &mut bytes);
            if bytes.len() >= FEWEST_BYTES {
                file.write(&bytes);
                rest += bytes.len();
                bytes.clear();
            }
        });
        file.write(&bytes);
        file.rewind();
        Run { file, rest: rest + bytes.len(), bytes: Vec::new(), at: 0 }
    }

    /// Puts the next key into `key`, false if there is none; reads at most `most` bytes together, which must
    /// be as many as the longest key takes.
    fn next(&mut self, key: &mut WideKey, most: usize) -> bool {
        let length = wide_sort::read_record(&self.bytes[self.at..], key).or_else(|| {
            self.bytes.drain(..self.at);
            self.at = 0;
            let count = self.rest.min(most.saturating_sub(self.bytes.len()));
            // SAFETY: bytes.
            unsafe { self.file.read(&mut self.bytes, count) };
            self.rest -= count;
            wide_sort::read_record(&self.bytes, key)
        });
        self.at += length.unwrap_or(0);
        length.is_some()
    }
}
