//! Many wide keys in the order of the index.
//!
//! The keys lie one behind the other; what is sorted are numbers of their next 8 bytes, after what all of
//! them begin with. Keys that are the same that far are sorted by the 8 bytes after these, and so on. Ties
//! go by place, as in a B-tree: the keys come in that order, and the sort keeps it.

use super::key::Unfit;
use super::wide_key::{WideKey, WideLayout, count_common};
use super::wide_order::Collate;

/// Bytes that are sorted by together.
const HEAD_BYTES: usize = size_of::<u64>();

/// So few keys are compared as they are.
const FEW: usize = 16;

/// Keys whose bytes are fetched from memory together.
const FETCHED: usize = 32;

/// Bytes of a key's place and length in a run.
const RECORD_HEADER_BYTES: usize = 10;

/// A key, and where it is.
#[derive(Debug, Clone, Copy)]
struct Item {
    /// The bytes that are sorted by, as a number.
    head: u64,
    start: usize,
    /// The row's place, which has 48 bits, times 65536, plus the key's length.
    place_and_length: u64,
}

impl Item {
    fn length(self) -> usize {
        usize::from(self.place_and_length as u16)
    }

    fn place(self) -> u64 {
        self.place_and_length >> 16
    }

    /// The key's bytes after the first `depth`.
    fn rest(self, bytes: &[u8], depth: usize) -> &[u8] {
        &bytes[self.start + depth..self.start + self.length()]
    }

    /// The 8 bytes after the first `depth`, with zeros for those that are missing.
    fn head_at(self, bytes: &[u8], depth: usize) -> u64 {
        let rest = self.rest(bytes, depth);
        if let Some(head) = rest.first_chunk::<HEAD_BYTES>() {
            return u64::from_be_bytes(*head);
        }
        let mut head = [0; HEAD_BYTES];
        head[..rest.len()].copy_from_slice(rest);
        u64::from_be_bytes(head)
    }
}

/// Keys in memory.
#[derive(Debug, Default)]
pub struct WideKeys {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

impl WideKeys {
    /// Bytes of memory for each key besides its own, with what sorting takes.
    pub const BYTES_PER_KEY: usize = size_of::<Item>() * 3 / 2;

    /// Adds the key of a row that lies behind those of all others.
    pub fn push(
        &mut self,
        layout: &WideLayout,
        collate: &mut impl Collate,
        values: &[Option<&[u8]>],
        place: u64,
    ) -> Result<(), Unfit> {
        let start = self.bytes.len();
        let length = layout.encode(values, collate, &mut self.bytes)?;
        let place_and_length = place << 16 | length as u64;
        self.items.push(Item { head: 0, start, place_and_length });
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Forgets all keys, not their memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// Bytes of memory in use, and for sorting.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.items.len() * Self::BYTES_PER_KEY
    }

    /// Puts the keys in order.
    pub fn sort(&mut self) {
        sort(&self.bytes, &mut self.items, 0);
    }

    /// Calls `each` with every key in their order.
    pub fn for_each(&self, mut each: impl FnMut(&WideKey)) {
        let mut key = WideKey::default();
        for items in self.items.chunks(FETCHED) {
            // The keys are anywhere in memory: waits for them overlap if nothing comes between.
            let fetched = items.iter().fold(0, |sum, item| sum ^ self.bytes[item.start]);
            std::hint::black_box(fetched);
            for item in items {
                key.set(item.rest(&self.bytes, 0), item.place());
                each(&key);
            }
        }
    }
}

/// Sorts keys that are the same in their first `depth` bytes.
fn sort(bytes: &[u8], items: &mut [Item], depth: usize) {
    if items.len() <= FEW {
        items.sort_by(|one, other| one.rest(bytes, depth).cmp(other.rest(bytes, depth)));
        return;
    }
    let first = items[0];
    let mut common = first.rest(bytes, depth);
    for item in &items[1..] {
        common = &common[..count_common(common, item.rest(bytes, depth))];
        if common.is_empty() {
            break;
        }
    }
    let depth = depth + common.len();
    if depth == first.length() {
        // None begins with another one, so all are the same.
        return;
    }
    for item in &mut *items {
        item.head = item.head_at(bytes, depth);
    }
    items.sort_by_key(|item| item.head);
    let next = depth + HEAD_BYTES;
    for same in items.chunk_by_mut(|one, other| one.head == other.head) {
        // Where one of them ends they all do.
        if same.len() > 1 && same[0].length() > next {
            sort(bytes, same, next);
        }
    }
}

/// Appends a key in the form that runs have.
pub fn put_record(key: &WideKey, into: &mut Vec<u8>) {
    into.extend_from_slice(&key.place.to_ne_bytes());
    into.extend_from_slice(&(key.bytes.len() as u16).to_ne_bytes());
    into.extend_from_slice(&key.bytes);
}

/// Reads a key into `key`, and returns its bytes in the run; None if not all of them are there.
pub fn read_record(bytes: &[u8], key: &mut WideKey) -> Option<usize> {
    let (place, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::from(u16::from_ne_bytes(*length));
    key.set(rest.get(..length)?, u64::from_ne_bytes(*place));
    Some(RECORD_HEADER_BYTES + length)
}
