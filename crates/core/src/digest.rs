//! The checksum of a table: a hash of its rows as a multiset.
//!
//! A row is encoded canonically and hashed with XXH3-128; the hashes are added, with wrap-around, so
//! that order and division into ranges do not matter and duplicates do not cancel out. The canonical
//! encoding of a row is that of its fields one after the other:
//!
//! * NULL: the length -1, as four bytes, most significant first;
//! * a value of at most `INLINE_BYTES`: its length likewise, then its bytes;
//! * a longer value: its length likewise, then XXH3-128 of its bytes, so that a value of any size is
//!   hashed in bounded memory even where its length is known only at its end.
//!
//! Rows of short values are encoded as COPY's binary format does it, so a row that lies in one buffer is
//! hashed where it lies. Values are those of the stream's format, text values with COPY's escapes undone;
//! both sides of a comparison must use the same format. `RowHasher` takes rows field by field,
//! `StreamDigest` takes COPY's output in any pieces.

mod binary;
mod stream;
mod text;

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

pub use stream::StreamDigest;

/// Longest value that is hashed as part of its row; also the most that is buffered of a row before it is
/// hashed in pieces.
const INLINE_BYTES: usize = 64 * 1024;

/// The length field of a value.
const LENGTH_BYTES: usize = 4;

/// The length that stands for NULL.
const NULL_LENGTH: [u8; LENGTH_BYTES] = (-1_i32).to_be_bytes();

/// Count and hash of rows; the digests of two sets of rows add up to that of both together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    pub rows: u64,
    pub sum: u128,
}

impl Digest {
    /// Rebuilds a digest from its count and the 32 hexadecimal digits that `Display` writes.
    pub fn from_hex(rows: u64, hex: &str) -> Option<Digest> {
        let is_hex = hex.len() == 32 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        let sum = u128::from_str_radix(hex, 16).ok().filter(|_| is_hex)?;
        Some(Digest { rows, sum })
    }

    /// Adds one row by its hash.
    fn add_row(&mut self, hash: u128) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }
}

impl Add for Digest {
    type Output = Digest;

    fn add(self, other: Digest) -> Digest {
        Digest { rows: self.rows + other.rows, sum: self.sum.wrapping_add(other.sum) }
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Digest) {
        *self = *self + other;
    }
}

impl Sum for Digest {
    fn sum<I: Iterator<Item = Digest>>(digests: I) -> Digest {
        digests.fold(Digest::default(), Add::add)
    }
}

/// The hash as 32 hexadecimal digits, without the count.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}

/// Where the value of an open field is.
enum Field {
    /// In the row's buffer, from this position on; its length stands before it.
    Inline(usize),
    /// Hashed on its own, with this many bytes so far.
    Hashed(usize),
}

/// Hashes rows field by field.
pub struct RowHasher {
    digest: Digest,
    /// The row's encoding, as far as it has not gone into `row_hash`.
    row: Vec<u8>,
    row_hash: Box<Xxh3>,
    is_row_hashed: bool,
    field: Field,
    field_hash: Box<Xxh3>,
}

impl Default for RowHasher {
    fn default() -> Self {
        RowHasher::new()
    }
}

impl RowHasher {
    /// A hasher that has seen no row.
    pub fn new() -> RowHasher {
        RowHasher {
            digest: Digest::default(),
            row: Vec::new(),
            row_hash: Box::new(Xxh3::new()),
            is_row_hashed: false,
            field: Field::Inline(0),
            field_hash: Box::new(Xxh3::new()),
        }
    }

    /// Begins a row; what an unfinished one left behind is forgotten.
    pub fn begin_row(&mut self) {
        self.row.clear();
        self.is_row_hashed = false;
    }

    /// Adds the row's next field, None for NULL.
    pub fn field(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.null_field(),
            Some(value) => {
                self.open_field();
                self.append(value);
                self.close_field();
            }
        }
    }

    /// Ends the row and adds it to the digest.
    pub fn end_row(&mut self) {
        let hash = if self.is_row_hashed {
            self.row_hash.update(&self.row);
            self.row_hash.digest128()
        } else {
            xxh3_128(&self.row)
        };
        self.digest.add_row(hash);
    }

    /// The digest of the rows ended so far.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Adds a whole row in its canonical encoding, all values of at most `INLINE_BYTES`.
    fn encoded_row(&mut self, row: &[u8]) {
        self.digest.add_row(xxh3_128(row));
    }

    /// Adds a NULL.
    fn null_field(&mut self) {
        self.make_room();
        self.row.extend_from_slice(&NULL_LENGTH);
    }

    /// Begins a value of unknown length.
    fn open_field(&mut self) {
        self.make_room();
        self.row.extend_from_slice(&[0; LENGTH_BYTES]);
        self.field = Field::Inline(self.row.len());
    }

    /// Adds bytes to the open value.
    fn append(&mut self, bytes: &[u8]) {
        match &mut self.field {
            Field::Hashed(length) => {
                *length += bytes.len();
                self.field_hash.update(bytes);
            }
            Field::Inline(start) => {
                let start = *start;
                if self.row.len() - start + bytes.len() <= INLINE_BYTES {
                    self.row.extend_from_slice(bytes);
                    return;
                }
                self.field_hash.reset();
                self.field_hash.update(&self.row[start..]);
                self.field_hash.update(bytes);
                self.field = Field::Hashed(self.row.len() - start + bytes.len());
                self.row.truncate(start);
            }
        }
    }

    /// Ends the open value.
    fn close_field(&mut self) {
        let (start, length) = match self.field {
            Field::Inline(start) => (start, self.row.len() - start),
            Field::Hashed(length) => {
                let start = self.row.len();
                self.row.extend_from_slice(&self.field_hash.digest128().to_be_bytes());
                (start, length)
            }
        };
        // No value is that long, and one that were would still be told apart by its hash.
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        self.row[start - LENGTH_BYTES..start].copy_from_slice(&length);
    }

    /// Keeps the row's buffer from growing with the number of fields.
    fn make_room(&mut self) {
        if self.row.len() > INLINE_BYTES {
            if !self.is_row_hashed {
                self.row_hash.reset();
                self.is_row_hashed = true;
            }
            self.row_hash.update(&self.row);
            self.row.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as its fields.
    type Row<'a> = &'a [Option<&'a [u8]>];

    /// The digest of rows given as fields.
    fn digest_of(rows: &[Row]) -> Digest {
        let mut hasher = RowHasher::new();
        for row in rows {
            hasher.begin_row();
            row.iter().for_each(|field| hasher.field(*field));
            hasher.end_row();
        }
        hasher.digest()
    }

    #[test]
    fn order_and_division_do_not_matter() {
        let (a, b, c): (Row, Row, Row) = (&[Some(b"a")], &[Some(b"b")], &[Some(b"c")]);
        let whole = digest_of(&[a, b, c]);
        assert_eq!(digest_of(&[c, a, b]), whole);
        assert_eq!(digest_of(&[c]) + digest_of(&[b, a]), whole);
        assert_eq!(
            [digest_of(&[b]), digest_of(&[]), digest_of(&[a, c])].into_iter().sum::<Digest>(),
            whole
        );
    }

    #[test]
    fn duplicates_do_not_cancel_out() {
        let row: Row = &[Some(b"a")];
        let (none, two, four) = (digest_of(&[]), digest_of(&[row; 2]), digest_of(&[row; 4]));
        assert_ne!(two.sum, none.sum);
        assert_ne!(four.sum, two.sum);
    }

    #[test]
    fn different_rows_have_different_hashes() {
        let rows: &[Row] = &[
            &[],
            &[None],
            &[Some(b"")],
            &[None, None],
            &[Some(b""), None],
            &[None, Some(b"")],
            &[Some(b"a"), Some(b"bc")],
            &[Some(b"ab"), Some(b"c")],
            &[Some(b"abc"), Some(b"")],
            &[Some(b"abc")],
            &[Some(b"\xff\xff\xff\xff")],
        ];
        let sums: std::collections::BTreeSet<_> =
            rows.iter().map(|row| digest_of(&[row]).sum).collect();
        assert_eq!(sums.len(), rows.len());
    }

    #[test]
    fn long_values_hash_the_same_in_any_pieces() {
        for length in [INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, 5 * INLINE_BYTES] {
            let value: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let expected = digest_of(&[&[Some(&value), None, Some(b"x")]]);
            for piece in [1000, INLINE_BYTES, 70_000] {
                let mut hasher = RowHasher::new();
                hasher.begin_row();
                hasher.open_field();
                value.chunks(piece).for_each(|piece| hasher.append(piece));
                hasher.close_field();
                hasher.field(None);
                hasher.field(Some(b"x"));
                hasher.end_row();
                assert_eq!(hasher.digest(), expected, "{length} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_wide_row_takes_bounded_memory() {
        let mut hasher = RowHasher::new();
        hasher.begin_row();
        for _ in 0..1600 {
            hasher.field(Some(&[7; 60_000]));
        }
        hasher.end_row();
        assert!(hasher.row.capacity() < 8 * INLINE_BYTES);
    }

    #[test]
    fn a_digest_survives_being_written_down() {
        let digest = digest_of(&[&[Some(b"a")]]);
        assert_eq!(digest.to_string().len(), 32);
        assert_eq!(Digest::from_hex(1, &digest.to_string()), Some(digest));
        assert_eq!(Digest { rows: 1, sum: 5 }.to_string(), "00000000000000000000000000000005");
        assert_eq!(Digest::from_hex(1, "+0000000000000000000000000000005"), None);
        assert_eq!(Digest::from_hex(1, "5"), None);
    }
}
