//! A set of narrow keys that is asked once for each row of another table.
//!
//! Keys are those of `reference`: the columns' numbers side by side, the first in the highest bits. They
//! lie close together, as numbers from a sequence do, or they do not; which of the two is seen from a
//! batch of them.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// Bytes that a hash table takes for an entry, when it has just grown.
const HASHED_BYTES: usize = 40;

/// Keys that are put into the set together.
const KEYS_PER_BATCH: usize = 1 << 16;

/// The part of the memory that a bitmap may take in any case: it is asked faster than a hash table.
const PART_FOR_BITMAP: usize = 8;

/// The keys are too many for the memory allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Keys that are collected, of one column or more.
#[derive(Debug)]
pub struct KeyCollector {
    set: KeySet,
    /// Those that are not in the set yet.
    batch: Vec<u128>,
    batch_length: usize,
    /// How many keys there were before them.
    count: usize,
    memory: usize,
}

impl KeyCollector {
    /// For columns of so many bits, 128 together at most; the set may take `memory` bytes.
    pub fn new(bits_of_columns: &[u32], memory: usize) -> Self {
        let mut shift = bits_of_columns.iter().sum();
        let columns = bits_of_columns
            .iter()
            .map(|bits| {
                shift -= bits;
                let mask = u128::MAX >> (128 - bits);
                Column { shift, mask, first: 0, span: 0 }
            })
            .collect();
        let batch_length = KEYS_PER_BATCH.min(memory / 4 / size_of::<u128>()).max(1);
        let set = KeySet { columns, members: Members::Dense(Vec::new()) };
        KeyCollector { set, batch: Vec::new(), batch_length, count: 0, memory }
    }

    /// Adds a key, which may have been added before.
    pub fn insert(&mut self, key: u128) -> Result<(), Full> {
        self.batch.push(key);
        match self.batch.len() < self.batch_length {
            true => Ok(()),
            false => self.absorb(),
        }
    }

    /// The set of all of them.
    pub fn finish(mut self) -> Result<KeySet, Full> {
        self.absorb()?;
        Ok(self.set)
    }

    /// Puts the batch into the set.
    fn absorb(&mut self) -> Result<(), Full> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let known_count = self.count;
        self.count += self.batch.len();
        let sparse_bytes = self.count.saturating_mul(HASHED_BYTES);
        if let Members::Dense(words) = &self.set.members {
            let limit = sparse_bytes.max(self.memory / PART_FOR_BITMAP).min(self.memory);
            let is_first = known_count == 0;
            match cover(&self.set.columns, is_first, &self.batch, limit) {
                Some(columns) if columns == self.set.columns && !is_first => {}
                Some(columns) => self.set = self.set.rebuilt(columns),
                None if sparse_bytes > self.memory => return Err(Full),
                None => {
                    let mut members = Hashed::default();
                    for_each_key(&self.set.columns, words, |key| {
                        members.insert(key);
                    });
                    self.set.members = Members::Sparse(members);
                }
            }
        } else if sparse_bytes > self.memory {
            return Err(Full);
        }
        match &mut self.set.members {
            Members::Dense(words) => {
                for key in self.batch.drain(..) {
                    set_bit(&self.set.columns, words, key);
                }
            }
            Members::Sparse(keys) => keys.extend(self.batch.drain(..)),
        }
        Ok(())
    }
}

/// Keys.
#[derive(Debug)]
pub struct KeySet {
    columns: Vec<Column>,
    members: Members,
}

#[derive(Debug)]
enum Members {
    /// One bit for each key that the columns' ranges allow; no word at all if there are no keys.
    Dense(Vec<u64>),
    /// Keys as they are.
    Sparse(Hashed),
}

type Hashed = HashSet<u128, BuildHasherDefault<MixHasher>>;

impl KeySet {
    /// Whether the key is in the set.
    pub fn contains(&self, key: u128) -> bool {
        match &self.members {
            Members::Dense(words) => index_of(&self.columns, key).is_some_and(|index| {
                words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
            }),
            Members::Sparse(keys) => keys.contains(&key),
        }
    }

    /// A bitmap of the same keys for wider ranges.
    fn rebuilt(&self, columns: Vec<Column>) -> Self {
        // Known to be few enough: the ranges were found to fit.
        let bit_count = count_bits(&columns).unwrap_or(0);
        let mut wider = vec![0; bit_count.div_ceil(64)];
        if let Members::Dense(words) = &self.members {
            for_each_key(&self.columns, words, |key| set_bit(&columns, &mut wider, key));
        }
        KeySet { columns, members: Members::Dense(wider) }
    }

    #[cfg(test)]
    pub(super) fn is_dense(&self) -> bool {
        matches!(self.members, Members::Dense(_))
    }
}

/// Where a column's number is in a key, and the range of those that have a place in the bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Column {
    shift: u32,
    mask: u128,
    first: u128,
    /// From the first number to the last.
    span: u128,
}

impl Column {
    fn number(self, key: u128) -> u128 {
        (key >> self.shift) & self.mask
    }
}

/// The columns with ranges for the keys too, and some more if there were others before: numbers of a
/// sequence go on. None if a bitmap for them would take more than `limit` bytes.
fn cover(columns: &[Column], is_first: bool, keys: &[u128], limit: usize) -> Option<Vec<Column>> {
    let fits = |columns: &Vec<Column>| count_bits(columns).is_some_and(|bits| bits / 8 <= limit);
    let exact: Vec<Column> = columns.iter().map(|column| widen(*column, is_first, keys)).collect();
    let generous: Vec<Column> = columns
        .iter()
        .zip(&exact)
        .map(|(old, new)| {
            if is_first || old == new {
                return *new;
            }
            let last = new.first + new.span;
            let span = new.span.max(old.span.saturating_mul(2)).min(new.mask);
            let first = if new.first < old.first { last.saturating_sub(span) } else { new.first };
            Column { first, span: span.min(new.mask - first), ..*new }
        })
        .collect();
    [generous, exact].into_iter().find(fits)
}

/// The column with a range for these keys too.
fn widen(column: Column, is_first: bool, keys: &[u128]) -> Column {
    let known = (!is_first).then_some([column.first, column.first + column.span]);
    let numbers = keys.iter().map(|key| column.number(*key)).chain(known.into_iter().flatten());
    let (first, last) =
        numbers.fold((u128::MAX, 0), |(first, last), number| (first.min(number), last.max(number)));
    Column { first, span: last - first, ..column }
}

/// How many keys the ranges allow; None if that is no number of bits in memory.
fn count_bits(columns: &[Column]) -> Option<usize> {
    columns.iter().try_fold(1_usize, |bits, column| {
        let extent = usize::try_from(column.span).ok()?.checked_add(1)?;
        bits.checked_mul(extent)
    })
}

/// The bit of a key in a bitmap; None if it is beyond a column's range.
fn index_of(columns: &[Column], key: u128) -> Option<usize> {
    let mut index = 0;
    for column in columns {
        let distance = column.number(key).checked_sub(column.first)?;
        if distance > column.span {
            return None;
        }
        // No more than the number of bits, which fits.
        index = index * (column.span as usize + 1) + distance as usize;
    }
    Some(index)
}

/// Calls `each` with all keys of a bitmap.
fn for_each_key(columns: &[Column], words: &[u64], mut each: impl FnMut(u128)) {
    for (word_index, word) in words.iter().enumerate() {
        let mut rest = *word;
        while rest != 0 {
            let mut index = word_index * 64 + rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let mut key = 0;
            for column in columns.iter().rev() {
                let extent = column.span as usize + 1;
                key |= (column.first + (index % extent) as u128) << column.shift;
                index /= extent;
            }
            each(key);
        }
    }
}

/// Sets the bit of a key that has one.
fn set_bit(columns: &[Column], words: &mut [u64], key: u128) {
    if let Some(index) = index_of(columns, key) {
        words[index / 64] |= 1 << (index % 64);
    }
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
