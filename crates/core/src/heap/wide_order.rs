//! The order of keys with texts of a collation that has rules of its own.
//!
//! Such keys are sorted by what their texts weigh, as bytes. Texts that differ in no more than accents, case
//! and punctuation have the same weights on the first level: their order is seen to here, and the
//! order of all keys is checked, each with the one before it.

use std::cmp::Ordering;

use super::wide_key::{Part, WideKey, WideKind, WideLayout};

/// Keys and their bytes that are kept to be put in order, at most.
const MOST_KEYS: usize = 10_000;
const MOST_BYTES: usize = 4 << 20;

/// What ends a level of weights.
pub const LEVEL_END: u8 = 1;

/// The collations of an index's columns.
pub trait Collate {
    /// Appends the weights of a text of a column, bytes of which none is zero. Up to the first level's end, no
    /// text with lesser ones comes after one with greater ones; behind it hardly any does. False if
    /// there are none for it.
    fn weigh(&mut self, column: usize, text: &[u8], into: &mut Vec<u8>) -> bool;

    /// How texts of a column compare: equal only if they are the same.
    fn compare(&mut self, column: usize, one: &[u8], other: &[u8]) -> Ordering;
}

/// Passes keys on in their order, which they have but for texts that weigh the same.
pub struct Straightener<'a, C> {
    layout: &'a WideLayout,
    collate: &'a mut C,
    /// Keys that are the same up to the end of the first level in the first column with a collation.
    group: Vec<WideKey>,
    count: usize,
    bytes: usize,
    /// The last key that has been passed on.
    last: Option<WideKey>,
    is_straight: bool,
}

/// Texts of greater weight come before others of less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crooked;

impl<'a, C: Collate> Straightener<'a, C> {
    pub fn new(layout: &'a WideLayout, collate: &'a mut C) -> Self {
        let group = Vec::new();
        Straightener { layout, collate, group, count: 0, bytes: 0, last: None, is_straight: true }
    }

    /// Takes the next key; calls `each` with those that are known to come before it.
    pub fn push(&mut self, key: &WideKey, each: &mut impl FnMut(&WideKey)) {
        let is_new = self.count > 0 && {
            let first = &self.group[0].bytes;
            let certain = self.layout.certain_bytes(&self.group[0]);
            key.bytes.get(..certain) != Some(&first[..certain])
        };
        if is_new || self.count == MOST_KEYS || self.bytes > MOST_BYTES {
            self.flush(each);
        }
        match self.group.get_mut(self.count) {
            Some(place) => place.clone_from(key),
            None => self.group.push(key.clone()),
        }
        self.count += 1;
        self.bytes += key.bytes.len();
    }

    /// Calls `each` with the last keys.
    pub fn finish(mut self, each: &mut impl FnMut(&WideKey)) -> Result<(), Crooked> {
        self.flush(each);
        if self.is_straight { Ok(()) } else { Err(Crooked) }
    }

    fn flush(&mut self, each: &mut impl FnMut(&WideKey)) {
        if self.is_straight && !self.is_in_order() {
            self.put_in_order();
            self.is_straight = self.is_in_order();
        }
        if self.is_straight {
            self.group[..self.count].iter().for_each(each);
            if let Some(key) = self.group[..self.count].last_mut() {
                std::mem::swap(self.last.get_or_insert_default(), key);
            }
        }
        (self.count, self.bytes) = (0, 0);
    }

    /// Whether each key of the group comes after the one before it.
    fn is_in_order(&mut self) -> bool {
        let mut before = self.last.as_ref();
        for key in &self.group[..self.count] {
            if before.is_some_and(|before| compare(self.layout, self.collate, before, key).is_gt())
            {
                return false;
            }
            before = Some(key);
        }
        true
    }

    /// Sorts the group; whatever the collation says, this comes to an end.
    fn put_in_order(&mut self) {
        for end in 1..self.count {
            let (sorted, rest) = self.group.split_at(end);
            let place = sorted
                .partition_point(|key| compare(self.layout, self.collate, key, &rest[0]).is_lt());
            self.group[place..=end].rotate_right(1);
        }
    }
}

/// How two keys compare by the collations of their columns.
fn compare(
    layout: &WideLayout,
    collate: &mut impl Collate,
    one: &WideKey,
    other: &WideKey,
) -> Ordering {
    let index = layout.count_equal(one, other);
    let Some(column) = layout.columns().get(index) else {
        return one.place.cmp(&other.place);
    };
    if column.kind != WideKind::Collated {
        return one.bytes.cmp(&other.bytes);
    }
    let (mut text, mut mask) = ([None, None], 0);
    for (key, text) in [one, other].into_iter().zip(&mut text) {
        layout.decode(key, |position, part| {
            if let (true, Part::Variable { key, mask: inverted, .. }) = (position == index, part) {
                *text = Some(key);
                mask = inverted;
            }
        });
    }
    match text {
        [Some(one), Some(other)] if mask == 0 => collate.compare(index, one, other),
        [Some(one), Some(other)] => {
            let plain = |text: &[u8]| text.iter().map(|byte| byte ^ mask).collect::<Vec<u8>>();
            collate.compare(index, &plain(other), &plain(one))
        }
        // NULL is told from texts by a flag.
        _ => one.bytes.cmp(&other.bytes),
    }
}

/// Columns without collations.
#[cfg(test)]
pub(crate) struct ByBytes;

#[cfg(test)]
impl Collate for ByBytes {
    fn weigh(&mut self, _: usize, _: &[u8], _: &mut Vec<u8>) -> bool {
        false
    }

    fn compare(&mut self, _: usize, one: &[u8], other: &[u8]) -> Ordering {
        one.cmp(other)
    }
}
