//! Sorted runs of entries, taken together in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::heap::sort::Entry;

/// Runs of which only a part each is in memory.
pub struct Merge<const N: usize, F> {
    runs: Vec<Run<N>>,
    /// The first entry of each run that is not used up.
    heads: BinaryHeap<Reverse<(Entry<N>, usize)>>,
    /// Puts the next entries of a run into an empty vector, none at its end.
    refill: F,
}

struct Run<const N: usize> {
    entries: Vec<Entry<N>>,
    at: usize,
}

impl<const N: usize, F: FnMut(usize, &mut Vec<Entry<N>>)> Merge<N, F> {
    /// Begins with the first entries of `count` runs.
    pub fn new(count: usize, refill: F) -> Self {
        let runs = (0..count).map(|_| Run { entries: Vec::new(), at: 0 }).collect();
        let mut merge = Merge { runs, heads: BinaryHeap::with_capacity(count), refill };
        for run in 0..count {
            let head = merge.advance(run);
            merge.heads.extend(head.map(|entry| Reverse((entry, run))));
        }
        merge
    }

    /// The next entry of one run.
    fn advance(&mut self, run: usize) -> Option<Entry<N>> {
        let at_hand = &mut self.runs[run];
        if at_hand.at == at_hand.entries.len() {
            at_hand.entries.clear();
            at_hand.at = 0;
            (self.refill)(run, &mut at_hand.entries);
        }
        at_hand.at += 1;
        at_hand.entries.get(at_hand.at - 1).copied()
    }
}

impl<const N: usize, F: FnMut(usize, &mut Vec<Entry<N>>)> Iterator for Merge<N, F> {
    type Item = Entry<N>;

    fn next(&mut self) -> Option<Entry<N>> {
        let Reverse((least, run)) = *self.heads.peek()?;
        match self.advance(run) {
            Some(entry) => {
                if let Some(mut head) = self.heads.peek_mut() {
                    *head = Reverse((entry, run));
                }
            }
            None => {
                self.heads.pop();
            }
        }
        Some(least)
    }
}
