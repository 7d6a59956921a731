//! The keys of both ends of a foreign key in one form, and the set of those referenced.
//!
//! Two keys that are the same here are equal to the server: the same numbers, or the same bytes of text,
//! whatever its collation. Keys that differ may be equal for it nevertheless.

use super::byte_set::{ByteCollector, ByteSet};
use super::deform::{Unreadable, plain_value};
use super::key::KeyKind;
use super::key_set::{Full, KeyCollector, KeySet};

/// Columns of a key at most; others are rare.
pub const MOST_COLUMNS: usize = 8;

/// The types of whole numbers, any two of which the server compares by value.
const INTEGERS: [u32; 3] = [20, 21, 23];

/// The types of text; `varchar` has no operators of its own.
const TEXTS: [u32; 2] = [25, 1043];

/// How values of one type are made to be compared with those of another, or of the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a number of the second kind, which the first is or fits into.
    Number(KeyKind, KeyKind),
    /// As the bytes behind the header.
    Text,
}

impl Form {
    /// For values of type `own` beside those of type `other`, by their OIDs. None for types that are not
    /// known here, and for those that the server does not compare by what is stored.
    pub fn of_types(own: u32, other: u32) -> Option<Self> {
        if TEXTS.contains(&own) && TEXTS.contains(&other) {
            return Some(Form::Text);
        }
        let (own_kind, other_kind) = (KeyKind::of_type(own)?, KeyKind::of_type(other)?);
        if own == other {
            return Some(Form::Number(own_kind, own_kind));
        }
        let are_integers = INTEGERS.contains(&own) && INTEGERS.contains(&other);
        let is_wider = own_kind.bytes() > other_kind.bytes();
        let wider = if is_wider { own_kind } else { other_kind };
        are_integers.then_some(Form::Number(own_kind, wider))
    }
}

/// A key in the form that both ends have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// A column is NULL: the key references nothing, and nothing references it.
    Null,
    /// The columns' numbers side by side.
    Narrow(u128),
    /// Anything else.
    Bytes(&'a [u8]),
}

/// Makes the keys of one end.
#[derive(Debug)]
pub struct KeyMaker {
    columns: Vec<Form>,
    is_narrow: bool,
    buffer: Vec<u8>,
}

impl KeyMaker {
    /// For columns with these forms.
    pub fn new(columns: Vec<Form>) -> Self {
        let is_narrow = bits_of(&columns).is_some();
        KeyMaker { columns, is_narrow, buffer: Vec::new() }
    }

    /// The key of a row by its columns' stored values, None for NULL.
    pub fn make<'a>(&'a mut self, values: &[Option<&'a [u8]>]) -> Result<Key<'a>, Unreadable> {
        if values.len() != self.columns.len() {
            return Err(Unreadable);
        }
        if values.iter().any(Option::is_none) {
            return Ok(Key::Null);
        }
        let columns = self.columns.iter().zip(values.iter().flatten());
        if self.is_narrow {
            let mut key = 0;
            for (form, stored) in columns {
                if let Form::Number(kind, shared) = form {
                    // A single column may have all the bits.
                    key = key << 1 << (shared.bits() - 1) | number_of(*kind, *shared, stored)?;
                }
            }
            return Ok(Key::Narrow(key));
        }
        if let ([Form::Text], [Some(stored)]) = (self.columns.as_slice(), values) {
            return plain_value(stored).map(Key::Bytes).ok_or(Unreadable);
        }
        self.buffer.clear();
        for (form, stored) in columns {
            match form {
                Form::Number(kind, shared) => {
                    let number = number_of(*kind, *shared, stored)?.to_ne_bytes();
                    self.buffer.extend_from_slice(&number);
                }
                Form::Text => {
                    let text = plain_value(stored).ok_or(Unreadable)?;
                    // Or ('a', 'bc') would be ('ab', 'c').
                    self.buffer.extend_from_slice(&text.len().to_ne_bytes());
                    self.buffer.extend_from_slice(text);
                }
            }
        }
        Ok(Key::Bytes(&self.buffer))
    }
}

/// The keys of the referenced end while they are collected.
#[derive(Debug)]
pub enum ReferencedKeys {
    Narrow(KeyCollector),
    Bytes(ByteCollector),
}

impl ReferencedKeys {
    /// For columns with these forms; the set may take `memory` bytes.
    pub fn new(columns: &[Form], memory: usize) -> Self {
        match bits_of(columns) {
            Some(bits) => ReferencedKeys::Narrow(KeyCollector::new(&bits, memory)),
            None => ReferencedKeys::Bytes(ByteCollector::new(memory)),
        }
    }

    /// Adds a key.
    pub fn insert(&mut self, key: Key<'_>) -> Result<(), Full> {
        match (self, key) {
            (_, Key::Null) => Ok(()),
            (ReferencedKeys::Narrow(keys), Key::Narrow(key)) => keys.insert(key),
            (ReferencedKeys::Bytes(keys), Key::Bytes(key)) => keys.insert(key),
            // Of another foreign key.
            (_, Key::Narrow(_) | Key::Bytes(_)) => Err(Full),
        }
    }

    /// The set of all of them.
    pub fn finish(self) -> Result<ReferencedSet, Full> {
        Ok(match self {
            ReferencedKeys::Narrow(keys) => ReferencedSet::Narrow(keys.finish()?),
            ReferencedKeys::Bytes(keys) => ReferencedSet::Bytes(keys.finish()),
        })
    }
}

/// The keys of the referenced end.
#[derive(Debug)]
pub enum ReferencedSet {
    Narrow(KeySet),
    Bytes(ByteSet),
}

impl ReferencedSet {
    /// Whether a row of the referencing end with this key obeys the foreign key, by `match simple`.
    pub fn allows(&self, key: Key<'_>) -> bool {
        match (self, key) {
            (_, Key::Null) => true,
            (ReferencedSet::Narrow(keys), Key::Narrow(key)) => keys.contains(key),
            (ReferencedSet::Bytes(keys), Key::Bytes(key)) => keys.contains(key),
            (_, Key::Narrow(_) | Key::Bytes(_)) => false,
        }
    }
}

/// The bits of each column; None unless they are numbers that fit into one of 128 bits.
fn bits_of(columns: &[Form]) -> Option<Vec<u32>> {
    let bits: Vec<u32> = columns
        .iter()
        .map(|form| match form {
            Form::Number(_, shared) => Some(shared.bits()),
            Form::Text => None,
        })
        .collect::<Option<_>>()?;
    (bits.iter().sum::<u32>() <= 128).then_some(bits)
}

/// A stored value as a number of the kind that both ends share.
fn number_of(kind: KeyKind, shared: KeyKind, stored: &[u8]) -> Result<u128, Unreadable> {
    match stored.len() == usize::from(kind.bytes()) {
        true => {
            let number = kind.normalize(stored).map_err(|_| Unreadable)?;
            Ok(kind.widen(number, shared))
        }
        false => Err(Unreadable),
    }
}
