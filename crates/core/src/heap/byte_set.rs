//! A set of byte strings that is asked once for each row of another table.

use xxhash_rust::xxh3::xxh3_64;

use super::key_set::Full;

/// Bytes of a string's length in front of it.
const LENGTH_BYTES: usize = 2;

/// Bits of a slot that say where its string is; the others are some of its hash.
const PLACE_BITS: u32 = 40;
const PLACE: u64 = (1 << PLACE_BITS) - 1;

/// Slots for each string, half of which and more stay empty.
const SLOTS_PER_STRING: usize = 2;

/// Byte strings that are collected.
#[derive(Debug)]
pub struct ByteCollector {
    strings: Strings,
    count: usize,
    memory: usize,
}

impl ByteCollector {
    /// The set may take `memory` bytes.
    pub fn new(memory: usize) -> Self {
        ByteCollector { strings: Strings(Vec::new()), count: 0, memory }
    }

    /// Adds a string, which may have been added before and takes its room again.
    pub fn insert(&mut self, string: &[u8]) -> Result<(), Full> {
        let length = u16::try_from(string.len()).map_err(|_| Full)?;
        self.count += 1;
        let bytes = &mut self.strings.0;
        let length_of_all = bytes.len() + LENGTH_BYTES + string.len();
        let slot_bytes = count_slots(self.count) * size_of::<u64>();
        if length_of_all + slot_bytes > self.memory || length_of_all as u64 >= PLACE {
            return Err(Full);
        }
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(string);
        Ok(())
    }

    /// The set of all of them.
    pub fn finish(self) -> ByteSet {
        let slots = vec![0; count_slots(self.count)];
        let mut set = ByteSet { slots, strings: self.strings };
        let mut place = 0;
        while let Some(string) = set.strings.get(place) {
            let hash = xxh3_64(string);
            let next = place + LENGTH_BYTES + string.len();
            if let Err(empty) = set.find(hash, string) {
                set.slots[empty] = mark_of(hash) | (place as u64 + 1);
            }
            place = next;
        }
        set
    }
}

/// Byte strings.
#[derive(Debug)]
pub struct ByteSet {
    strings: Strings,
    /// Where a string is, plus one, and part of its hash; 0 if empty. A power of two of them.
    slots: Vec<u64>,
}

impl ByteSet {
    /// Whether the string is in the set, byte for byte.
    pub fn contains(&self, string: &[u8]) -> bool {
        self.find(xxh3_64(string), string).is_ok()
    }

    /// The slot of a string with this hash, or the empty one where it would be.
    fn find(&self, hash: u64, string: &[u8]) -> Result<usize, usize> {
        let (mark, last) = (mark_of(hash), self.slots.len() - 1);
        let mut slot = hash as usize & last;
        loop {
            let content = self.slots[slot];
            if content == 0 {
                return Err(slot);
            }
            let place = (content & PLACE) as usize;
            if content & !PLACE == mark && self.strings.get(place - 1) == Some(string) {
                return Ok(slot);
            }
            slot = (slot + 1) & last;
        }
    }
}

/// Byte strings one after another, each behind its length.
#[derive(Debug)]
struct Strings(Vec<u8>);

impl Strings {
    /// The string that starts there; None behind the last.
    fn get(&self, place: usize) -> Option<&[u8]> {
        let rest = self.0.get(place..)?;
        let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        rest.get(..usize::from(u16::from_ne_bytes(*length)))
    }
}

/// The slots for so many strings: there are always empty ones.
fn count_slots(count: usize) -> usize {
    (count * SLOTS_PER_STRING).max(2).next_power_of_two()
}

/// The part of a hash that is kept in a slot.
fn mark_of(hash: u64) -> u64 {
    hash & !PLACE
}
