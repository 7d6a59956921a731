//! Heap tuples formed straight from the rows of a binary COPY.
//!
//! What a type's receive function would do is done here for types whose stored form is plain to see,
//! and only for values that are beyond doubt: everything else is left to the receive function, and
//! so is every complaint. Layout: `heap_form_tuple` and `heap_fill_tuple` in `access/common/heaptuple.c`.

use super::deform::Attribute;
use super::pglz::Compressor;

/// Bytes of a tuple's header up to the null bitmap.
const HEADER_BYTES: usize = 23;

/// Alignment of tuples and of their data.
const MAX_ALIGN: usize = 8;

/// Offsets in a tuple's header.
const INFOMASK2: usize = 18;
const INFOMASK: usize = 20;
const HOFF: usize = 22;

/// Bits of `t_infomask`.
const HAS_NULL: u16 = 0x0001;
const HAS_VARWIDTH: u16 = 0x0002;

/// Bytes of the header of a value of variable length, and the most that fit behind a short one.
const LONG_HEADER: usize = 4;
const SHORT_BYTES: usize = 126;

/// Rows of at most so many bytes stay as they are, whatever the table's target is:
/// `TOAST_TUPLE_THRESHOLD`.
pub const TOAST_THRESHOLD: usize = 2032;

/// Bytes that a value moved out of line leaves behind.
const POINTER_BYTES: usize = 18;

/// Values of fewer bytes stay as they are when a row is too long.
const LEAST_TOASTED: usize = 24;

/// Dates and timestamps beyond these the receive functions refuse, except for the infinities; see
/// `datatype/timestamp.h`.
const FIRST_DATE: i32 = -2_451_545;
const END_DATE: i32 = 2_147_483_494 - 2_451_545;
const FIRST_TIMESTAMP: i64 = -211_813_488_000_000_000;
const END_TIMESTAMP: i64 = 9_223_371_331_200_000_000;
const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// How values of a column become what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// Numbers, which travel with the highest byte first.
    Number,
    Bool,
    Uuid,
    Date,
    Time,
    Timestamp,
    Bytea,
    /// Text of a database in UTF-8, of at most so many characters if there is a limit.
    Text {
        most_characters: Option<usize>,
    },
    /// Text padded to a number of characters.
    PaddedText {
        characters: usize,
    },
    /// By the type's receive function only.
    Receive,
}

impl Conversion {
    /// The conversion for a type of `catalog/pg_type.dat` by its OID, with the column's modifier, in a
    /// database whose encoding is UTF-8 or not.
    pub fn of_type(oid: u32, modifier: i32, is_utf8: bool) -> Self {
        // The modifier of texts counts a header of four bytes.
        let characters = usize::try_from(modifier - 4).ok();
        match (oid, is_utf8) {
            (16, _) => Conversion::Bool,
            (20 | 21 | 23 | 26 | 700 | 701 | 790, _) => Conversion::Number,
            (17, _) => Conversion::Bytea,
            (25, true) => Conversion::Text { most_characters: None },
            (1043, true) => Conversion::Text { most_characters: characters },
            (1042, true) => match characters {
                Some(characters) => Conversion::PaddedText { characters },
                None => Conversion::Text { most_characters: None },
            },
            (1082, _) => Conversion::Date,
            // With a modifier they are rounded.
            (1083, _) if modifier < 0 => Conversion::Time,
            (1114 | 1184, _) if modifier < 0 => Conversion::Timestamp,
            (2950, _) => Conversion::Uuid,
            _ => Conversion::Receive,
        }
    }

    /// Whether the wire's value is beyond doubt.
    fn takes(self, attribute: Attribute, value: &[u8]) -> bool {
        let has_length = || usize::try_from(attribute.length) == Ok(value.len());
        match self {
            Conversion::Number | Conversion::Uuid => has_length(),
            Conversion::Bool => matches!(value, [0 | 1]),
            Conversion::Date => <[u8; 4]>::try_from(value).is_ok_and(|bytes| {
                let date = i32::from_be_bytes(bytes);
                (FIRST_DATE..END_DATE).contains(&date) || matches!(date, i32::MIN | i32::MAX)
            }),
            Conversion::Time => <[u8; 8]>::try_from(value)
                .is_ok_and(|bytes| (0..=MICROSECONDS_PER_DAY).contains(&i64::from_be_bytes(bytes))),
            Conversion::Timestamp => <[u8; 8]>::try_from(value).is_ok_and(|bytes| {
                let moment = i64::from_be_bytes(bytes);
                (FIRST_TIMESTAMP..END_TIMESTAMP).contains(&moment)
                    || matches!(moment, i64::MIN | i64::MAX)
            }),
            Conversion::Bytea => true,
            Conversion::Text { most_characters } => {
                // No text has more characters than bytes.
                most_characters.is_none_or(|most| value.len() <= most) && is_text(value)
            }
            // The same number of bytes and characters: nothing but ASCII.
            Conversion::PaddedText { characters } => {
                value.len() == characters && value.is_ascii() && is_text(value)
            }
            Conversion::Receive => false,
        }
    }
}

/// Whether bytes are UTF-8 without zero bytes, as the server stores text.
fn is_text(value: &[u8]) -> bool {
    memchr::memchr(0, value).is_none() && std::str::from_utf8(value).is_ok()
}

/// How a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub attribute: Attribute,
    /// The column's place in the stream; None for a column that is dropped or generated: NULL for now.
    pub field: Option<usize>,
    pub conversion: Conversion,
    pub is_not_null: bool,
    /// Whether a value may have a short header: `attstorage` is not plain.
    pub is_packable: bool,
    /// Whether long values are to be compressed here, in the format of `pglz`.
    pub is_compressed: bool,
}

/// A value as it is stored: NULL, or the bytes of a value of fixed length, or those of a value of
/// variable length with its header.
pub type Stored<'a> = Option<&'a [u8]>;

/// The receive functions of a table's columns.
pub trait Receive {
    /// The stored form of column `index`'s value on the wire, None for NULL.
    fn receive(&mut self, index: usize, value: Option<&[u8]>) -> Stored<'_>;
}

/// Why a row cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The column with this index is NULL and must not be.
    Null(usize),
    /// The stream does not have the table's columns.
    Malformed,
}

/// A value on its way into a tuple.
#[derive(Debug, Clone, Copy)]
enum Item {
    Null,
    /// The wire's bytes between these places of the row, of which nothing is doubted.
    Wire(usize, usize),
    /// Bytes between these places of the scratch space, as they are stored.
    Scratch(usize, usize),
    /// The same of the space for compressed values.
    Packed(usize, usize),
}

/// Forms tuples of one table.
pub struct TupleFormer {
    columns: Vec<Column>,
    field_count: usize,
    /// Bytes to which rows are to be shortened that are too long.
    target_bytes: usize,
    fields: Vec<Option<(usize, usize)>>,
    items: Vec<Item>,
    /// What receive functions have made of the row at hand.
    scratch: Vec<u8>,
    /// The row's compressed values.
    packed: Vec<u8>,
    compressor: Compressor,
}

impl TupleFormer {
    /// For a table of these columns, dropped ones too, and the `toast_tuple_target` of the table.
    pub fn new(columns: Vec<Column>, target_bytes: usize) -> Self {
        let field_count = columns.iter().filter(|column| column.field.is_some()).count();
        TupleFormer {
            target_bytes,
            fields: vec![None; field_count],
            items: Vec::with_capacity(columns.len()),
            field_count,
            columns,
            scratch: Vec::new(),
            packed: Vec::new(),
            compressor: Compressor::default(),
        }
    }

    /// Appends the tuple of a row to `tuples`, whose length is a multiple of 8 and is so again
    /// afterwards; returns the tuple's own length.
    pub fn form(
        &mut self,
        row: &[u8],
        receive: &mut dyn Receive,
        tuples: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        self.split(row)?;
        self.convert(row, receive)?;
        let has_null = self.items.iter().any(|item| matches!(item, Item::Null));
        let bitmap_bytes = if has_null { self.columns.len().div_ceil(8) } else { 0 };
        let header_bytes = (HEADER_BYTES + bitmap_bytes).next_multiple_of(MAX_ALIGN);
        // No row is longer than its forms on the wire and in scratch, so most need no closer look.
        if row.len() + self.scratch.len() + header_bytes > TOAST_THRESHOLD {
            self.compress(row, header_bytes);
        }
        let start = tuples.len();
        tuples.resize(start + header_bytes, 0);
        self.write_header(&mut tuples[start..], has_null, header_bytes);
        for (column, item) in self.columns.iter().zip(&self.items) {
            match *item {
                Item::Null => {}
                Item::Wire(from, to) => push_wire(tuples, *column, &row[from..to]),
                Item::Scratch(from, to) => push_stored(tuples, *column, &self.scratch[from..to]),
                Item::Packed(from, to) => push_stored(tuples, *column, &self.packed[from..to]),
            }
        }
        let length = tuples.len() - start;
        pad(tuples, MAX_ALIGN);
        Ok(length)
    }

    /// Finds the fields of a row.
    fn split(&mut self, row: &[u8]) -> Result<(), Refusal> {
        let mut at = 2;
        for field in &mut self.fields {
            let bytes = row.get(at..at + 4).ok_or(Refusal::Malformed)?;
            let length = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            at += 4;
            *field = match usize::try_from(length) {
                Ok(length) => {
                    let place = (at, at + length);
                    at += length;
                    Some(place)
                }
                Err(_) => None,
            };
        }
        let count = row.get(..2).map(|count| usize::from(u16::from_be_bytes([count[0], count[1]])));
        match count == Some(self.field_count) && at == row.len() {
            true => Ok(()),
            false => Err(Refusal::Malformed),
        }
    }

    /// Turns fields into items, by receive functions where it must be.
    fn convert(&mut self, row: &[u8], receive: &mut dyn Receive) -> Result<(), Refusal> {
        self.items.clear();
        self.scratch.clear();
        for (index, column) in self.columns.iter().enumerate() {
            let place = match column.field {
                None => {
                    self.items.push(Item::Null);
                    continue;
                }
                Some(field) => *self.fields.get(field).ok_or(Refusal::Malformed)?,
            };
            let value = place.map(|(from, to)| &row[from..to]);
            let item = match (place, value) {
                (Some((from, to)), Some(value))
                    if column.conversion.takes(column.attribute, value) =>
                {
                    Item::Wire(from, to)
                }
                (None, None) if column.conversion != Conversion::Receive => Item::Null,
                _ => match receive.receive(index, value) {
                    None => Item::Null,
                    Some(stored) => {
                        let from = self.scratch.len();
                        self.scratch.extend_from_slice(stored);
                        Item::Scratch(from, self.scratch.len())
                    }
                },
            };
            if column.is_not_null && matches!(item, Item::Null) {
                return Err(Refusal::Null(index));
            }
            self.items.push(item);
        }
        Ok(())
    }

    /// Compresses values of a row that is too long, the longest first, until the data are short enough
    /// or nothing is left to compress. What is still too long then, the server moves out of line.
    fn compress(&mut self, row: &[u8], header_bytes: usize) {
        self.packed.clear();
        let sizes = self.columns.iter().zip(&self.items);
        let mut sizes: Vec<usize> =
            sizes.map(|(column, item)| stored_bytes(*column, *item)).collect();
        if header_bytes + data_bytes(&self.columns, &sizes) <= TOAST_THRESHOLD {
            return;
        }
        let most = self.target_bytes.saturating_sub(header_bytes);
        let mut tried = vec![false; self.columns.len()];
        while data_bytes(&self.columns, &sizes) > most {
            let candidates = (0..sizes.len()).filter(|index| {
                self.columns[*index].is_compressed
                    && !tried[*index]
                    && sizes[*index] > LEAST_TOASTED
            });
            let Some(index) = candidates.max_by_key(|index| sizes[*index]) else {
                return;
            };
            tried[index] = true;
            let plain = match self.items[index] {
                Item::Wire(from, to) => &row[from..to],
                Item::Scratch(from, to) if self.scratch[from] & 3 == 0 => {
                    &self.scratch[from + LONG_HEADER..to]
                }
                _ => continue,
            };
            let start = self.packed.len();
            self.packed.resize(start + 2 * LONG_HEADER, 0);
            if self.compressor.compress(plain, &mut self.packed) {
                let size = self.packed.len() - start;
                let header = [compressed_header(size), plain.len() as u32];
                for (word, place) in header.iter().zip([start, start + LONG_HEADER]) {
                    self.packed[place..place + LONG_HEADER].copy_from_slice(&word.to_le_bytes());
                }
                self.items[index] = Item::Packed(start, start + size);
                sizes[index] = size;
            } else {
                self.packed.truncate(start);
            }
            if sizes[index] > most {
                sizes[index] = POINTER_BYTES;
            }
        }
    }

    fn write_header(&self, tuple: &mut [u8], has_null: bool, header_bytes: usize) {
        let mut infomask = 0;
        if has_null {
            infomask |= HAS_NULL;
            for (index, item) in self.items.iter().enumerate() {
                if !matches!(item, Item::Null) {
                    tuple[HEADER_BYTES + index / 8] |= 1 << (index % 8);
                }
            }
        }
        let has_variable = self
            .columns
            .iter()
            .zip(&self.items)
            .any(|(column, item)| column.attribute.length < 0 && !matches!(item, Item::Null));
        if has_variable {
            infomask |= HAS_VARWIDTH;
        }
        let count = u16::try_from(self.columns.len()).unwrap_or(0);
        tuple[INFOMASK2..INFOMASK2 + 2].copy_from_slice(&count.to_ne_bytes());
        tuple[INFOMASK..INFOMASK + 2].copy_from_slice(&infomask.to_ne_bytes());
        tuple[HOFF] = header_bytes as u8;
    }
}

/// Bytes of a value with its header, padding aside.
fn stored_bytes(column: Column, item: Item) -> usize {
    match item {
        Item::Null => 0,
        Item::Scratch(from, to) | Item::Packed(from, to) => to - from,
        Item::Wire(from, to) if column.attribute.length < 0 => to - from + LONG_HEADER,
        Item::Wire(from, to) => to - from,
    }
}

/// Bytes of a row's values with as much padding as they can need.
fn data_bytes(columns: &[Column], sizes: &[usize]) -> usize {
    columns.iter().zip(sizes).fold(0, |bytes, (column, size)| {
        let is_short = column.attribute.length == -1 && *size <= SHORT_BYTES + LONG_HEADER;
        match (*size, is_short) {
            (0, _) => bytes,
            (size, true) if column.is_packable => bytes + size - (LONG_HEADER - 1).min(size),
            (size, _) => bytes.next_multiple_of(column.attribute.alignment) + size,
        }
    })
}

/// Appends a value in its form on the wire.
fn push_wire(tuples: &mut Vec<u8>, column: Column, value: &[u8]) {
    match column.conversion {
        Conversion::Bytea | Conversion::Text { .. } | Conversion::PaddedText { .. } => {
            if column.is_packable && value.len() <= SHORT_BYTES {
                tuples.push(short_header(value.len()));
            } else {
                pad(tuples, column.attribute.alignment);
                let header = ((value.len() + LONG_HEADER) as u32) << 2;
                tuples.extend_from_slice(&header.to_le_bytes());
            }
            tuples.extend_from_slice(value);
        }
        Conversion::Bool | Conversion::Uuid => tuples.extend_from_slice(value),
        _ => {
            pad(tuples, column.attribute.alignment);
            match *value {
                [a, b] => tuples.extend_from_slice(&u16::from_be_bytes([a, b]).to_ne_bytes()),
                [a, b, c, d] => {
                    tuples.extend_from_slice(&u32::from_be_bytes([a, b, c, d]).to_ne_bytes());
                }
                [a, b, c, d, e, f, g, h] => tuples
                    .extend_from_slice(&u64::from_be_bytes([a, b, c, d, e, f, g, h]).to_ne_bytes()),
                _ => tuples.extend(value.iter().rev()),
            }
        }
    }
}

/// Appends a value in its stored form.
fn push_stored(tuples: &mut Vec<u8>, column: Column, stored: &[u8]) {
    if column.attribute.length != -1 {
        pad(tuples, column.attribute.alignment);
        tuples.extend_from_slice(stored);
        return;
    }
    let first = stored.first().copied().unwrap_or(0);
    let is_plain = first & 3 == 0;
    if first & 1 == 1 {
        tuples.extend_from_slice(stored);
    } else if column.is_packable && is_plain && stored.len() <= SHORT_BYTES + LONG_HEADER {
        tuples.push(short_header(stored.len() - LONG_HEADER.min(stored.len())));
        tuples.extend_from_slice(stored.get(LONG_HEADER..).unwrap_or_default());
    } else {
        pad(tuples, column.attribute.alignment);
        tuples.extend_from_slice(stored);
    }
}

/// The header of a value of at most 126 bytes.
fn short_header(bytes: usize) -> u8 {
    ((bytes + 1) << 1 | 1) as u8
}

/// The first word of a compressed value of `size` bytes with both words of its header; the other one
/// is its original length, with the two highest bits zero for `pglz`.
fn compressed_header(size: usize) -> u32 {
    (size as u32) << 2 | 2
}

fn pad(tuples: &mut Vec<u8>, alignment: usize) {
    tuples.resize(tuples.len().next_multiple_of(alignment), 0);
}
