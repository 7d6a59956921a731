//! A set of keys that is asked once for each row of another table.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// Bytes that a hash table takes for an entry, when it has just grown.
const HASHED_BYTES: usize = 40;

/// Keys: a bitmap if they lie close together, as numbers from a sequence do, else a hash table.
#[derive(Debug)]
pub enum KeySet {
    /// One bit for each number from `first` on.
    Dense { first: u128, bits: Vec<u64> },
    /// Everything else.
    Sparse(HashSet<u128, BuildHasherDefault<MixHasher>>),
}

impl KeySet {
    /// The set of `keys`; None if it would take more than `memory` bytes.
    pub fn new(keys: &[u128], memory: usize) -> Option<Self> {
        let first = keys.iter().min().copied().unwrap_or(0);
        let last = keys.iter().max().copied().unwrap_or(0);
        let word_count = (last - first) / 64 + 1;
        let dense_bytes = word_count.checked_mul(8)?;
        let sparse_bytes = keys.len().checked_mul(HASHED_BYTES)?;
        if let Ok(bytes) = usize::try_from(dense_bytes)
            && bytes <= sparse_bytes.max(64)
            && bytes <= memory
        {
            let mut bits = vec![0_u64; bytes / 8];
            for key in keys {
                let (word, bit) = place(key - first);
                bits[word] |= 1 << bit;
            }
            return Some(KeySet::Dense { first, bits });
        }
        (sparse_bytes <= memory).then(|| KeySet::Sparse(keys.iter().copied().collect()))
    }

    /// Whether the key is in the set.
    pub fn contains(&self, key: u128) -> bool {
        match self {
            KeySet::Dense { first, bits } => key.checked_sub(*first).is_some_and(|distance| {
                distance / 64 < bits.len() as u128 && {
                    let (word, bit) = place(distance);
                    bits[word] >> bit & 1 == 1
                }
            }),
            KeySet::Sparse(keys) => keys.contains(&key),
        }
    }
}

/// Word and bit of a number that is known to have a place.
fn place(distance: u128) -> (usize, u32) {
    ((distance / 64) as usize, (distance % 64) as u32)
}

/// Hashes by two multiplications: keys come from a database, and nothing but time is lost to bad luck.
#[derive(Debug, Default)]
pub struct MixHasher(u64);

impl Hasher for MixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * 0x9e37_79b9_7f4a_7c15_u128;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64);
        self.write_u64((value >> 64) as u64 ^ 0x2545_f491_4f6c_dd1d);
    }
}
