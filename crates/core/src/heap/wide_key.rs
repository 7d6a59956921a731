//! Index keys with texts, as bytes that compare as the columns do.
//!
//! ```text
//!   a flag that tells NULL from values, if nullable │ number, highest byte first
//!                                                   │ text, a zero
//!                                                   │ text without blanks at its end, a zero, their number
//!                                                   │ bytes, a one behind each zero, two zeros
//!                                                   │ numeric, see `numeric_key`
//!                                                   │ weights, a zero, text, a zero
//!                                                                           … and the next column
//! ```
//!
//! What sorts in descending order has its bits inverted, but for the flag. No key is the beginning of
//! another one, as each column tells where it ends: where two keys differ, they do so before either ends.
//! Texts compare by their bytes, as under the collation `C`, or first by what they weigh under another
//! one, and `wide_order` does the rest. Values that differ in their last two bytes alone, their form, are equal to the
//! server: blanks at the end of a `char(n)`, decimals of a `numeric` beyond those that it has.

use std::cmp::Ordering;

use super::deform::plain_value;
use super::key::{KeyKind, Unfit};
use super::numeric_key::{self, SCALE_BYTES};
use super::wide_order::{Collate, LEVEL_END};

/// Bytes of a text at most: longer ones the server compresses in an index, if that pays
/// (`TOAST_INDEX_TARGET`, which counts a header of 4).
const MOST_TEXT_BYTES: usize = 8160 / 16 - 4;

/// Bytes of a key at most, weights aside, so that with a header, paddings and room for the row's place, its tuple is
/// surely shorter than a third of a page (`BTMaxItemSize`).
const MOST_KEY_BYTES: usize = 2300;

/// Bytes of a key at most, with its weights.
const MOST_WEIGHED_BYTES: usize = 1 << 15;

/// What a column of a wide key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WideKind {
    Narrow(KeyKind),
    /// `text` and `varchar`, that sort by their bytes.
    Text,
    /// The same with a collation that has rules of its own.
    Collated,
    /// `char(n)`, that sorts by its bytes.
    Padded,
    /// `bytea`.
    Bytes,
    Numeric,
}

impl WideKind {
    /// Bytes at the end of a value that make no difference to the server.
    fn form_bytes(self) -> usize {
        match self {
            WideKind::Padded => BLANK_COUNT_BYTES,
            WideKind::Numeric => SCALE_BYTES,
            WideKind::Narrow(_) | WideKind::Text | WideKind::Collated | WideKind::Bytes => 0,
        }
    }
}

/// What follows a zero among bytes, and what ends them.
const BEHIND_ZERO: u8 = 1;
const END_OF_BYTES: [u8; 2] = [0; 2];

/// Bytes of the number of blanks.
const BLANK_COUNT_BYTES: usize = 2;

/// A column of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WideColumn {
    pub kind: WideKind,
    pub is_descending: bool,
    pub has_nulls_first: bool,
    pub is_nullable: bool,
}

/// The columns of an index, first to last.
#[derive(Debug, Clone)]
pub struct WideLayout {
    columns: Vec<WideColumn>,
}

/// A key and the place of its row: block number times 65536 plus offset number.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WideKey {
    pub(super) bytes: Vec<u8>,
    pub place: u64,
}

impl Clone for WideKey {
    fn clone(&self) -> Self {
        WideKey { bytes: self.bytes.clone(), place: self.place }
    }

    /// Without taking memory anew.
    fn clone_from(&mut self, other: &Self) {
        self.set(&other.bytes, other.place);
    }
}

impl WideKey {
    /// Whether both rows have the same key; NULL is the same as NULL.
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }

    pub(super) fn set(&mut self, bytes: &[u8], place: u64) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.place = place;
    }
}

/// A column's part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'k> {
    Null,
    /// The stored form, in the first bytes.
    Narrow(KeyKind, [u8; 16]),
    /// A value of variable length: its part of the key without what ends a text or bytes, whose bits are inverted by
    /// exclusive or with the mask.
    Variable {
        kind: WideKind,
        key: &'k [u8],
        mask: u8,
    },
}

impl Part<'_> {
    /// Appends the stored form of a value of variable length, without its header.
    pub fn push_variable(&self, into: &mut Vec<u8>) {
        let Part::Variable { kind, key, mask } = *self else {
            return;
        };
        match kind {
            WideKind::Narrow(_) => {}
            WideKind::Text | WideKind::Collated => push_inverted(key, mask, into),
            WideKind::Padded => {
                let (text, count) = key.split_at(key.len() - BLANK_COUNT_BYTES);
                push_inverted(&text[..text.len() - 1], mask, into);
                let blanks = u16::from_be_bytes([count[0] ^ mask, count[1] ^ mask]);
                into.resize(into.len() + usize::from(blanks), BLANK);
            }
            WideKind::Bytes => {
                let mut is_behind_zero = false;
                for byte in key.iter().map(|byte| byte ^ mask) {
                    if !is_behind_zero {
                        into.push(byte);
                    }
                    is_behind_zero = !is_behind_zero && byte == 0;
                }
            }
            WideKind::Numeric => numeric_key::push_stored(key, mask, into),
        }
    }
}

const BLANK: u8 = b' ';

fn push_inverted(bytes: &[u8], mask: u8, into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(bytes);
    if mask != 0 {
        into[start..].iter_mut().for_each(|byte| *byte ^= mask);
    }
}

impl WideLayout {
    /// None if there are more columns than an index can have, or none.
    pub fn new(columns: &[WideColumn]) -> Option<Self> {
        /// `INDEX_MAX_KEYS`.
        const MOST_COLUMNS: usize = 32;
        let is_usual = (1..=MOST_COLUMNS).contains(&columns.len());
        is_usual.then(|| WideLayout { columns: columns.to_vec() })
    }

    /// The columns in their order.
    pub fn columns(&self) -> &[WideColumn] {
        &self.columns
    }

    /// Whether there is a column with a collation that has rules of its own.
    pub fn is_collated(&self) -> bool {
        self.columns.iter().any(|column| column.kind == WideKind::Collated)
    }

    /// Appends the key of stored values, one for each column; None is NULL.
    pub(super) fn encode(
        &self,
        values: &[Option<&[u8]>],
        collate: &mut impl Collate,
        into: &mut Vec<u8>,
    ) -> Result<usize, Unfit> {
        let start = into.len();
        let (mut weight_bytes, mut blanks) = (0, 0);
        for (index, (column, value)) in self.columns.iter().zip(values).enumerate() {
            if column.is_nullable {
                into.push(u8::from(value.is_none() != column.has_nulls_first));
            }
            let Some(value) = value else {
                // Without a flag it could not be told from values.
                if column.is_nullable { continue } else { return Err(Unfit) }
            };
            let from = into.len();
            match column.kind {
                WideKind::Narrow(kind) => {
                    let number = kind.normalize(value)?.to_be_bytes();
                    into.extend_from_slice(&number[number.len() - usize::from(kind.bytes())..]);
                }
                WideKind::Text => {
                    into.extend_from_slice(text_of(value)?);
                    into.push(0);
                }
                WideKind::Padded => {
                    let text = text_of(value)?;
                    let end = text.iter().rposition(|byte| *byte != BLANK).map_or(0, |at| at + 1);
                    into.extend_from_slice(&text[..end]);
                    into.push(0);
                    // A text is much shorter than that.
                    into.extend(((text.len() - end) as u16).to_be_bytes());
                    blanks += text.len() - end;
                }
                WideKind::Bytes => {
                    for byte in short_value(value)? {
                        into.push(*byte);
                        if *byte == 0 {
                            into.push(BEHIND_ZERO);
                        }
                    }
                    into.extend(END_OF_BYTES);
                }
                WideKind::Numeric => numeric_key::push_key(short_value(value)?, into)?,
                WideKind::Collated => {
                    let text = text_of(value)?;
                    if !collate.weigh(index, text, into) {
                        return Err(Unfit);
                    }
                    into.push(0);
                    weight_bytes += into.len() - from;
                    into.extend_from_slice(text);
                    into.push(0);
                }
            }
            if column.is_descending {
                into[from..].iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
        let length = into.len() - start;
        let stored_bytes = length - weight_bytes + blanks;
        let is_unfit = stored_bytes > MOST_KEY_BYTES || length > MOST_WEIGHED_BYTES;
        if is_unfit { Err(Unfit) } else { Ok(length) }
    }

    /// Bytes of a key up to where the first level of weights ends in the first column that has any: what comes
    /// behind it may be out of order.
    pub(super) fn certain_bytes(&self, key: &WideKey) -> usize {
        let mut at = 0;
        for column in &self.columns {
            let rest = &key.bytes[at..];
            if column.kind == WideKind::Collated {
                return at + column.first_level_bytes(rest);
            }
            at += column.split(rest).1;
        }
        at
    }

    /// Calls `each` with every column's number and part of the key.
    pub fn decode<'k>(&self, key: &'k WideKey, mut each: impl FnMut(usize, Part<'k>)) {
        let mut rest = &key.bytes[..];
        for (index, column) in self.columns.iter().enumerate() {
            let (part, length) = column.split(rest);
            each(index, part);
            rest = &rest[length..];
        }
    }

    /// Whether there is a column of which equal values may have several forms.
    pub fn has_forms(&self) -> bool {
        self.columns.iter().any(|column| column.kind.form_bytes() > 0)
    }

    /// Whether two keys differ in the form of a value before they differ in anything else: then their bytes do
    /// not tell their order.
    pub fn differ_in_form(&self, one: &WideKey, other: &WideKey) -> bool {
        let equal = count_common(&one.bytes, &other.bytes);
        let mut at = 0;
        for column in &self.columns {
            if at > equal || at == one.bytes.len() {
                return false;
            }
            let is_null = column.is_null(&one.bytes[at..]);
            at += column.split(&one.bytes[at..]).1;
            if !is_null && (at - column.kind.form_bytes()..at).contains(&equal) {
                return true;
            }
        }
        false
    }

    /// Columns at the beginning in which two keys are equal; NULL equals NULL.
    pub fn count_equal(&self, one: &WideKey, other: &WideKey) -> usize {
        let equal = count_common(&one.bytes, &other.bytes);
        let mut at = 0;
        self.columns
            .iter()
            .take_while(|column| {
                at += column.split(&one.bytes[at..]).1;
                at <= equal
            })
            .count()
    }
}

impl WideColumn {
    /// Bytes of the flag, if there is one, and of the weights in what a key has left; a column without weights
    /// has none.
    fn weight_bytes(&self, rest: &[u8]) -> usize {
        let flag = usize::from(self.is_nullable);
        if self.is_null(rest) || self.kind != WideKind::Collated {
            return flag;
        }
        flag + self.end_of_text(&rest[flag..]) + 1
    }

    /// The same for the weights of the first level only.
    fn first_level_bytes(&self, rest: &[u8]) -> usize {
        let (flag, bytes) = (usize::from(self.is_nullable), self.weight_bytes(rest));
        let end = memchr::memchr(LEVEL_END ^ self.mask(), &rest[flag..bytes]);
        end.map_or(bytes, |end| flag + end + 1)
    }

    fn is_null(&self, rest: &[u8]) -> bool {
        self.is_nullable && (rest[0] == 1) != self.has_nulls_first
    }

    /// What the bits of values are inverted by.
    fn mask(&self) -> u8 {
        if self.is_descending { u8::MAX } else { 0 }
    }

    /// Where the zero is that ends a text.
    fn end_of_text(&self, bytes: &[u8]) -> usize {
        memchr::memchr(self.mask(), bytes).unwrap_or(bytes.len())
    }

    /// The column's part of what a key has left, and how many bytes it takes.
    fn split<'k>(&self, rest: &'k [u8]) -> (Part<'k>, usize) {
        let start = self.weight_bytes(rest);
        if self.is_null(rest) {
            return (Part::Null, start);
        }
        let (rest, mask) = (&rest[start..], self.mask());
        let (key_bytes, end_bytes) = match self.kind {
            WideKind::Narrow(kind) => {
                let length = usize::from(kind.bytes());
                let mut number = [0; 16];
                let from = number.len() - length;
                number[from..].copy_from_slice(&rest[..length]);
                number[from..].iter_mut().for_each(|byte| *byte ^= mask);
                let stored = kind.restore(u128::from_be_bytes(number));
                return (Part::Narrow(kind, stored), start + length);
            }
            WideKind::Text | WideKind::Collated => (self.end_of_text(rest), 1),
            WideKind::Padded => (self.end_of_text(rest) + 1 + BLANK_COUNT_BYTES, 0),
            WideKind::Bytes => {
                let mut end = self.end_of_text(rest);
                while rest.get(end + 1) == Some(&(BEHIND_ZERO ^ mask)) {
                    end += 2;
                    end += self.end_of_text(&rest[end..]);
                }
                (end, END_OF_BYTES.len())
            }
            WideKind::Numeric => (numeric_key::length_of(rest, mask), 0),
        };
        let part = Part::Variable { kind: self.kind, key: &rest[..key_bytes], mask };
        (part, start + key_bytes + end_bytes)
    }
}

/// A value of variable length that an index holds as it is.
fn short_value(stored: &[u8]) -> Result<&[u8], Unfit> {
    let value = plain_value(stored).ok_or(Unfit)?;
    if value.len() <= MOST_TEXT_BYTES { Ok(value) } else { Err(Unfit) }
}

/// The same of a text.
fn text_of(stored: &[u8]) -> Result<&[u8], Unfit> {
    let text = short_value(stored)?;
    if memchr::memchr(0, text).is_none() { Ok(text) } else { Err(Unfit) }
}

/// Bytes at the beginning that are the same.
pub(super) fn count_common(one: &[u8], other: &[u8]) -> usize {
    let most = one.len().min(other.len());
    match one[..most].cmp(&other[..most]) {
        Ordering::Equal => most,
        _ => one.iter().zip(other).take_while(|(one, other)| one == other).count(),
    }
}
