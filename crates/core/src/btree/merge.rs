//! Sorted runs of entries, taken together in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// Runs of which only a part each is in memory.
pub struct Merge<T, F> {
    /// The first entry of each run that is not used up.
    heads: BinaryHeap<Reverse<(T, usize)>>,
    /// Puts the next entry of a run in the place of the one before; false at the run's end.
    advance: F,
}

impl<T: Ord + Default, F: FnMut(usize, &mut T) -> bool> Merge<T, F> {
    /// Begins with the first entries of `count` runs.
    pub fn new(count: usize, mut advance: F) -> Self {
        let mut heads = BinaryHeap::with_capacity(count);
        for run in 0..count {
            let mut head = T::default();
            if advance(run, &mut head) {
                heads.push(Reverse((head, run)));
            }
        }
        Merge { heads, advance }
    }

    /// Calls `each` with all entries in their order.
    pub fn for_each(mut self, mut each: impl FnMut(&T)) {
        while let Some(mut least) = self.heads.peek_mut() {
            let Reverse((entry, run)) = &mut *least;
            each(entry);
            if !(self.advance)(*run, entry) {
                PeekMut::pop(least);
            }
        }
    }
}
