//! Index tuples: their form on a page.
//!
//! ```text
//!   tid 6 │ t_info 2 │ null bitmap, if any │ columns, aligned │ posting list, or a pivot's tid
//! ```
//!
//! Format: `access/itup.h`; for pivots and posting lists, whose tid means something else,
//! `access/nbtree.h`.

use crate::heap::key::KeyKind;
use crate::heap::layout::{SHORT_BYTES, long_header, short_header};
use crate::heap::sort::{Entry, KeyLayout};
use crate::heap::wide_key::{Part, WideKey, WideLayout};

/// Bytes of `IndexTupleData`, and of the same with a null bitmap.
const HEADER_BYTES: usize = 8;
const HEADER_WITH_NULLS_BYTES: usize = 16;

/// Where `t_info` is.
const INFO: usize = 6;

/// Bits of `t_info`: the size, that the tid is none, that a column is of variable length.
const SIZE_MASK: u16 = 0x1fff;
const HAS_OTHER_TID: u16 = 0x2000;
const HAS_VARIABLE: u16 = 0x4000;
const HAS_NULLS: u16 = 0x8000;

/// Bits of the offset number where it is not one of a row: `BT_PIVOT_HEAP_TID_ATTR`, `BT_IS_POSTING`.
const HAS_ROW: u16 = 0x1000;
const IS_POSTING: u16 = 0x2000;

/// Where values with a longer header begin.
const VARIABLE_ALIGNMENT: usize = 4;

/// Bytes of a row's place as it is stored.
pub(super) const TID_BYTES: usize = 6;

/// A key of an index and the place of its row.
pub trait Key: Clone + Default {
    /// Block number times 65536 plus offset number.
    fn place(&self) -> u64;
    /// Whether both rows have the same key; NULL is the same as NULL.
    fn has_key_of(&self, other: &Self) -> bool;
}

/// What is known of all keys of an index.
pub trait KeyForm<K> {
    fn column_count(&self) -> usize;
    /// Puts the tuple of a row into `tuple`, with the first `count` columns.
    fn form(&self, key: &K, count: usize, tuple: &mut Vec<u8>);
    /// Columns at the beginning in which two keys are equal; NULL equals NULL.
    fn count_equal(&self, one: &K, other: &K) -> usize;
}

impl<const N: usize> Key for Entry<N> {
    fn place(&self) -> u64 {
        self.place
    }

    fn has_key_of(&self, other: &Self) -> bool {
        self.has_key_of(other)
    }
}

impl<const N: usize> KeyForm<Entry<N>> for KeyLayout {
    fn column_count(&self) -> usize {
        self.columns().len()
    }

    fn form(&self, key: &Entry<N>, count: usize, tuple: &mut Vec<u8>) {
        let mut draft = Draft::begin(tuple, key.place);
        self.unpack(key, |index, value| {
            if index >= count {
                return;
            }
            match value {
                Some(value) => draft.put_narrow(self.columns()[index].kind, &value),
                None => draft.put_null(index),
            }
        });
        draft.finish(count);
    }

    fn count_equal(&self, one: &Entry<N>, other: &Entry<N>) -> usize {
        let count = self.columns().len();
        let mut values = vec![None; count];
        self.unpack(one, |index, value| values[index] = value);
        let mut equal = vec![false; count];
        self.unpack(other, |index, value| equal[index] = value == values[index]);
        equal.iter().take_while(|equal| **equal).count()
    }
}

impl Key for WideKey {
    fn place(&self) -> u64 {
        self.place
    }

    fn has_key_of(&self, other: &Self) -> bool {
        self.has_key_of(other)
    }
}

impl KeyForm<WideKey> for WideLayout {
    fn column_count(&self) -> usize {
        self.columns().len()
    }

    fn form(&self, key: &WideKey, count: usize, tuple: &mut Vec<u8>) {
        let mut draft = Draft::begin(tuple, key.place);
        self.decode(key, |index, part| {
            if index >= count {
                return;
            }
            match part {
                Part::Null => draft.put_null(index),
                Part::Narrow(kind, value) => draft.put_narrow(kind, &value),
                Part::Variable { .. } => draft.put_variable(&part),
            }
        });
        draft.finish(count);
    }

    fn count_equal(&self, one: &WideKey, other: &WideKey) -> usize {
        self.count_equal(one, other)
    }
}

/// A row's tuple in the making.
struct Draft<'t> {
    tuple: &'t mut Vec<u8>,
    /// Columns that are NULL, if any.
    nulls: Option<u32>,
    /// `HAS_VARIABLE`, or none.
    info: u16,
}

impl<'t> Draft<'t> {
    fn begin(tuple: &'t mut Vec<u8>, place: u64) -> Self {
        tuple.clear();
        tuple.extend_from_slice(&tid(place));
        tuple.extend_from_slice(&[0; 2]);
        Draft { tuple, nulls: None, info: 0 }
    }

    fn put_null(&mut self, index: usize) {
        if self.nulls.is_none() {
            let bitmap = [0; HEADER_WITH_NULLS_BYTES - HEADER_BYTES];
            self.tuple.splice(HEADER_BYTES..HEADER_BYTES, bitmap);
        }
        self.nulls = Some(self.nulls.unwrap_or(0) | 1 << index);
    }

    fn put_narrow(&mut self, kind: KeyKind, value: &[u8; 16]) {
        pad(self.tuple, alignment(kind));
        self.tuple.extend_from_slice(&value[..usize::from(kind.bytes())]);
    }

    /// Adds a value of variable length.
    fn put_variable(&mut self, value: &Part) {
        self.info |= HAS_VARIABLE;
        let start = self.tuple.len();
        self.tuple.push(0);
        value.push_variable(self.tuple);
        let length = self.tuple.len() - start - 1;
        if length <= SHORT_BYTES {
            self.tuple[start] = short_header(length);
        } else {
            self.tuple.truncate(start);
            pad(self.tuple, VARIABLE_ALIGNMENT);
            self.tuple.extend_from_slice(&long_header(length));
            value.push_variable(self.tuple);
        }
    }

    /// Completes a tuple of the first `count` columns.
    fn finish(self, count: usize) {
        let tuple = self.tuple;
        pad(tuple, 8);
        let mut info = tuple.len() as u16 | self.info;
        if let Some(nulls) = self.nulls {
            info |= HAS_NULLS;
            let present = !nulls & (u32::MAX >> (32 - count as u32));
            tuple[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&present.to_le_bytes());
        }
        put_u16(tuple, INFO, info);
    }
}

/// Turns a row's tuple into one for several rows with the same key, in the order of their places.
pub(super) fn add_posting_list(tuple: &mut Vec<u8>, places: &[u64]) {
    let key_bytes = tuple.len();
    for place in places {
        tuple.extend_from_slice(&tid(*place));
    }
    pad(tuple, 8);
    set_size(tuple);
    set_other_tid(tuple, key_bytes as u32, places.len() as u16 | IS_POSTING);
}

/// Turns a tuple into a pivot that stands for its first `count` columns, and for the row at `place`
/// if all columns leave it open.
pub(super) fn turn_into_pivot(tuple: &mut Vec<u8>, count: usize, place: Option<u64>) {
    let block = block_of(tuple);
    let Some(place) = place else {
        set_other_tid(tuple, block, count as u16);
        return;
    };
    tuple.extend_from_slice(&[0; 8 - TID_BYTES]);
    tuple.extend_from_slice(&tid(place));
    set_size(tuple);
    set_other_tid(tuple, block, count as u16 | HAS_ROW);
}

/// The pivot below every key, with room for a downlink.
pub(super) fn lowest_pivot() -> Vec<u8> {
    let mut tuple = vec![0; HEADER_BYTES];
    set_size(&mut tuple);
    set_other_tid(&mut tuple, 0, 0);
    tuple
}

/// The lowest pivot with the downlink of another one.
pub(super) fn lowest_of(pivot: &[u8]) -> Vec<u8> {
    let mut tuple = lowest_pivot();
    tuple[..4].copy_from_slice(&pivot[..4]);
    tuple
}

/// Makes a pivot point to a page.
pub(super) fn set_downlink(pivot: &mut [u8], block: u32) {
    put_block(pivot, block);
}

/// The stored form of a place: block number, high half first, and offset number.
fn tid(place: u64) -> [u8; TID_BYTES] {
    let mut tid = [0; TID_BYTES];
    put_block(&mut tid, (place >> 16) as u32);
    put_u16(&mut tid, 4, place as u16);
    tid
}

fn set_other_tid(tuple: &mut [u8], block: u32, offset: u16) {
    let info = u16::from_ne_bytes([tuple[INFO], tuple[INFO + 1]]);
    put_u16(tuple, INFO, info | HAS_OTHER_TID);
    put_block(tuple, block);
    put_u16(tuple, 4, offset);
}

fn set_size(tuple: &mut [u8]) {
    let info = u16::from_ne_bytes([tuple[INFO], tuple[INFO + 1]]);
    let size = tuple.len() as u16;
    put_u16(tuple, INFO, info & !SIZE_MASK | size);
}

fn block_of(tuple: &[u8]) -> u32 {
    let high = u16::from_ne_bytes([tuple[0], tuple[1]]);
    let low = u16::from_ne_bytes([tuple[2], tuple[3]]);
    u32::from(high) << 16 | u32::from(low)
}

fn put_block(tuple: &mut [u8], block: u32) {
    put_u16(tuple, 0, (block >> 16) as u16);
    put_u16(tuple, 2, block as u16);
}

fn put_u16(bytes: &mut [u8], place: usize, value: u16) {
    bytes[place..place + 2].copy_from_slice(&value.to_ne_bytes());
}

fn pad(tuple: &mut Vec<u8>, alignment: usize) {
    tuple.resize(tuple.len().next_multiple_of(alignment), 0);
}

/// Where values of a kind begin: `uuid` anywhere, numbers at multiples of their size.
fn alignment(kind: KeyKind) -> usize {
    match kind {
        KeyKind::Uuid => 1,
        other => usize::from(other.bytes()),
    }
}
