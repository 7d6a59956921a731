//! Keys of a few words, sorted: in memory, or in runs on disk as far as they do not fit there.

use pgmig_core::btree::Merge;
use pgmig_core::heap::sort::{Entry, KeyLayout};

use super::keys::{self, Sorter};
use super::temp_file::TempFile;
use crate::pg::heap_pages::Unusual;

/// Entries by which memory grows at first, and of a run that are read together at least.
const FEWEST_ENTRIES: usize = 1 << 13;

/// Takes as much memory as `maintenance_work_mem` says.
pub(super) struct NarrowKeys<'a, const N: usize> {
    layout: &'a KeyLayout,
    /// Those in memory; the only ones if there are no runs.
    entries: Vec<Entry<N>>,
    runs: Vec<Run<N>>,
    /// Entries that may be in memory.
    most: usize,
}

impl<'a, const N: usize> NarrowKeys<'a, N> {
    pub(super) fn new(layout: &'a KeyLayout) -> Self {
        let most = (keys::memory_bytes() / size_of::<Entry<N>>()).max(1);
        NarrowKeys { layout, entries: Vec::new(), runs: Vec::new(), most }
    }
}

impl<const N: usize> Sorter for NarrowKeys<'_, N> {
    type Key = Entry<N>;

    fn make_room(&mut self, row_count: usize) {
        let length = self.entries.len();
        if length > 0 && length + row_count > self.most {
            self.entries.sort_unstable();
            self.runs.push(Run::write(&self.entries));
            self.entries.clear();
        } else if length + row_count > self.entries.capacity() {
            // Twice the memory would be too much where that is most of it.
            let rest = self.most.saturating_sub(length);
            let growth = length.max(FEWEST_ENTRIES).min(rest).max(row_count);
            self.entries.reserve_exact(growth);
        }
    }

    fn push(&mut self, values: &[Option<&[u8]>], place: u64) -> Result<(), Unusual> {
        self.entries.push(self.layout.pack(values, place).map_err(|_| Unusual)?);
        Ok(())
    }

    fn for_each(mut self, each: impl FnMut(&Entry<N>)) -> Result<(), Unusual> {
        self.entries.sort_unstable();
        if self.runs.is_empty() {
            self.entries.iter().for_each(each);
            return Ok(());
        }
        self.runs.push(Run::write(&self.entries));
        self.entries = Vec::new();
        let most = (self.most / self.runs.len()).max(FEWEST_ENTRIES);
        Merge::new(self.runs.len(), |run, entry| self.runs[run].next(entry, most)).for_each(each);
        Ok(())
    }
}

/// Entries in a file, of which some are in memory.
struct Run<const N: usize> {
    file: TempFile,
    /// Entries that have not been read yet.
    rest: usize,
    entries: Vec<Entry<N>>,
    /// The first of these that is not used up.
    at: usize,
}

impl<const N: usize> Run<N> {
    /// Writes entries, to be read from the first one on.
    fn write(entries: &[Entry<N>]) -> Self {
        let mut file = TempFile::create();
        file.write(entries);
        file.rewind();
        Run { file, rest: entries.len(), entries: Vec::new(), at: 0 }
    }

    /// Puts the next entry into `entry`, false if there is none; reads at most `most` together.
    fn next(&mut self, entry: &mut Entry<N>, most: usize) -> bool {
        if self.at == self.entries.len() {
            let count = self.rest.min(most);
            self.entries.clear();
            // SAFETY: numbers without gaps between them.
            unsafe { self.file.read(&mut self.entries, count) };
            self.rest -= count;
            self.at = 0;
        }
        let Some(next) = self.entries.get(self.at) else {
            return false;
        };
        *entry = *next;
        self.at += 1;
        true
    }
}
