//! Heap tuples formed straight from the rows of a binary COPY.
//!
//! What a type's receive function would do is done here for types whose stored form is plain to see,
//! and only for values that are beyond doubt: everything else is left to the receive function, and
//! so is every complaint. Layout: `heap_form_tuple` and `heap_fill_tuple` in `access/common/heaptuple.c`.

use super::conversion::{Conversion, Outcome};
use super::deform::Attribute;
use super::json::Arena;
use super::layout::{LONG_HEADER, compressed_header, data_bytes, pad, push_stored, push_wire};
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

/// Rows of at most so many bytes stay as they are, whatever the table's target is:
/// `TOAST_TUPLE_THRESHOLD`.
pub const TOAST_THRESHOLD: usize = 2032;

/// Bytes that a value moved out of line leaves behind.
const POINTER_BYTES: usize = 18;

/// Values of fewer bytes stay as they are when a row is too long.
const LEAST_TOASTED: usize = 24;

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
    /// Stored forms that are made of the row at hand, here or by receive functions.
    scratch: Vec<u8>,
    /// Whether the row at hand has a NULL, and a value of variable length.
    has_null: bool,
    has_variable: bool,
    /// For values that are JSON.
    arena: Arena,
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
            has_null: false,
            has_variable: false,
            arena: Arena::default(),
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
        let bitmap_bytes = if self.has_null { self.columns.len().div_ceil(8) } else { 0 };
        let header_bytes = (HEADER_BYTES + bitmap_bytes).next_multiple_of(MAX_ALIGN);
        // No row is longer than its forms on the wire and in scratch, so most need no closer look.
        if row.len() + self.scratch.len() + header_bytes > TOAST_THRESHOLD {
            self.compress(row, header_bytes);
        }
        let start = tuples.len();
        tuples.resize(start + header_bytes, 0);
        self.write_header(&mut tuples[start..], header_bytes);
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
        (self.has_null, self.has_variable) = (false, false);
        for (index, column) in self.columns.iter().enumerate() {
            let place = match column.field {
                None => None,
                Some(field) => *self.fields.get(field).ok_or(Refusal::Malformed)?,
            };
            let item = match place {
                None if column.field.is_none() => Item::Null,
                // Only unknown types may have a say about NULL, as domains do.
                None if column.conversion != Conversion::Receive => Item::Null,
                None => match receive.receive(index, None) {
                    None => Item::Null,
                    Some(stored) => keep(&mut self.scratch, stored),
                },
                Some((from, to)) => {
                    let value = &row[from..to];
                    let start = self.scratch.len();
                    let outcome = column.conversion.convert(
                        column.attribute,
                        value,
                        &mut self.arena,
                        &mut self.scratch,
                    );
                    match outcome {
                        Outcome::AsSent => Item::Wire(from, to),
                        Outcome::Stored => Item::Scratch(start, self.scratch.len()),
                        Outcome::Doubtful => {
                            self.scratch.truncate(start);
                            match receive.receive(index, Some(value)) {
                                None => Item::Null,
                                Some(stored) => keep(&mut self.scratch, stored),
                            }
                        }
                    }
                }
            };
            if matches!(item, Item::Null) {
                if column.is_not_null {
                    return Err(Refusal::Null(index));
                }
                self.has_null = true;
            } else {
                self.has_variable |= column.attribute.length < 0;
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

    fn write_header(&self, tuple: &mut [u8], header_bytes: usize) {
        let mut infomask = 0;
        if self.has_null {
            infomask |= HAS_NULL;
            for (index, item) in self.items.iter().enumerate() {
                if !matches!(item, Item::Null) {
                    tuple[HEADER_BYTES + index / 8] |= 1 << (index % 8);
                }
            }
        }
        if self.has_variable {
            infomask |= HAS_VARWIDTH;
        }
        let count = u16::try_from(self.columns.len()).unwrap_or(0);
        tuple[INFOMASK2..INFOMASK2 + 2].copy_from_slice(&count.to_ne_bytes());
        tuple[INFOMASK..INFOMASK + 2].copy_from_slice(&infomask.to_ne_bytes());
        tuple[HOFF] = header_bytes as u8;
    }
}

/// Appends a stored form to the scratch space.
fn keep(scratch: &mut Vec<u8>, stored: &[u8]) -> Item {
    let from = scratch.len();
    scratch.extend_from_slice(stored);
    Item::Scratch(from, scratch.len())
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
