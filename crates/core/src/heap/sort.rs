//! Index keys with the places of their rows, in the order of the index.
//!
//! A key is packed into one to three words that compare as the columns do; ties go by place, as in a
//! B-tree. The caller chooses the number of words as a constant: it is the width of what is sorted.

use super::key::{KeyKind, Unfit};

/// Words that a key has at most.
pub const MAX_WORDS: usize = 3;

/// Bits of a word.
const WORD_BITS: u32 = u64::BITS;

/// A column of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyColumn {
    pub kind: KeyKind,
    pub is_descending: bool,
    pub has_nulls_first: bool,
    pub is_nullable: bool,
}

/// How the columns of an index are packed: one after the other, each with a bit that tells NULL from
/// values in front if it is nullable.
#[derive(Debug, Clone)]
pub struct KeyLayout {
    columns: Vec<KeyColumn>,
    word_count: usize,
}

/// A key of N words and the place of its row: block number times 65536 plus offset number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
pub struct Entry<const N: usize> {
    key: [u64; N],
    /// The row's place in the table.
    pub place: u64,
}

impl<const N: usize> Default for Entry<N> {
    fn default() -> Self {
        Entry { key: [0; N], place: 0 }
    }
}

impl<const N: usize> Entry<N> {
    /// Whether both rows have the same key; NULL is the same as NULL.
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl KeyLayout {
    /// Packs the columns, the first one first; None if they do not fit.
    pub fn new(columns: &[KeyColumn]) -> Option<Self> {
        let bits: u32 =
            columns.iter().map(|column| column.kind.bits() + u32::from(column.is_nullable)).sum();
        let word_count = bits.div_ceil(WORD_BITS) as usize;
        (1..=MAX_WORDS)
            .contains(&word_count)
            .then(|| KeyLayout { columns: columns.to_vec(), word_count })
    }

    /// Words of a key, which is the N of its entries.
    pub fn word_count(&self) -> usize {
        self.word_count
    }

    /// The columns in their order.
    pub fn columns(&self) -> &[KeyColumn] {
        &self.columns
    }

    /// Packs stored values, one for each column; None is NULL, of which there must be none in a column that is
    /// not nullable.
    pub fn pack<const N: usize>(
        &self,
        values: &[Option<&[u8]>],
        place: u64,
    ) -> Result<Entry<N>, Unfit> {
        let mut key = [0; N];
        let mut at = 0;
        for (column, value) in self.columns.iter().zip(values) {
            if column.is_nullable {
                let flag = u64::from(value.is_none() != column.has_nulls_first);
                put(&mut key, at, 1, flag);
                at += 1;
            }
            let bits = column.kind.bits();
            if let Some(value) = value {
                let mut number = column.kind.normalize(value)?;
                if column.is_descending {
                    number = !number & (u128::MAX >> (u128::BITS - bits));
                }
                if bits > WORD_BITS {
                    put(&mut key, at, WORD_BITS, (number >> WORD_BITS) as u64);
                    put(&mut key, at + WORD_BITS, bits - WORD_BITS, number as u64);
                } else {
                    put(&mut key, at, bits, number as u64);
                }
            } else if !column.is_nullable {
                return Err(Unfit);
            }
            at += bits;
        }
        Ok(Entry { key, place })
    }

    /// Calls `each` with every column's number and stored value, in the first bytes; None is NULL.
    pub fn unpack<const N: usize>(
        &self,
        entry: &Entry<N>,
        mut each: impl FnMut(usize, Option<[u8; 16]>),
    ) {
        let mut at = 0;
        for (index, column) in self.columns.iter().enumerate() {
            let mut is_null = false;
            if column.is_nullable {
                is_null = (get(&entry.key, at, 1) == 1) != column.has_nulls_first;
                at += 1;
            }
            let bits = column.kind.bits();
            let value = (!is_null).then(|| {
                let mut number = match bits > WORD_BITS {
                    true => {
                        u128::from(get(&entry.key, at, WORD_BITS)) << WORD_BITS
                            | u128::from(get(&entry.key, at + WORD_BITS, bits - WORD_BITS))
                    }
                    false => u128::from(get(&entry.key, at, bits)),
                };
                if column.is_descending {
                    number = !number & (u128::MAX >> (u128::BITS - bits));
                }
                column.kind.restore(number)
            });
            each(index, value);
            at += bits;
        }
    }
}

/// Writes the lowest `width` bits of `value`, at most a word, after the first `at` bits of `words`.
fn put<const N: usize>(words: &mut [u64; N], at: u32, width: u32, value: u64) {
    let (word, room) = ((at / WORD_BITS) as usize, WORD_BITS - at % WORD_BITS);
    if width <= room {
        words[word] |= value << (room - width);
    } else {
        let rest = width - room;
        words[word] |= value >> rest;
        words[word + 1] |= value << (WORD_BITS - rest);
    }
}

/// Reads what `put` wrote.
fn get<const N: usize>(words: &[u64; N], at: u32, width: u32) -> u64 {
    let (word, room) = ((at / WORD_BITS) as usize, WORD_BITS - at % WORD_BITS);
    let mask = u64::MAX >> (WORD_BITS - width);
    if width <= room {
        words[word] >> (room - width) & mask
    } else {
        let rest = width - room;
        (words[word] << rest | words[word + 1] >> (WORD_BITS - rest)) & mask
    }
}
