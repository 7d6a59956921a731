//! Heap tuples formed straight from the rows of a binary COPY.
//!
//! What a type's receive function would do is done here for types whose stored form is plain to see,
//! and only for values that are beyond doubt: everything else is left to the receive function, and
//! so is every complaint. Layout: `heap_form_tuple` and `heap_fill_tuple` in `access/common/heaptuple.c`.

use super::conversion::{Conversion, Outcome};
use super::deform::Attribute;
use super::json::Arena;
use super::layout::{LONG_HEADER, Writer, compressed_header, data_bytes};
use super::pglz::Compressor;
use super::prefix::Prefix;
use super::rows::Row;

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
    prefix: Prefix,
    field_count: usize,
    /// Bytes to which rows are to be shortened that are too long.
    target_bytes: usize,
    /// All values of a long row.
    items: Vec<Item>,
    /// Stored forms that are made of the row at hand, here or by receive functions.
    scratch: Vec<u8>,
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
            items: Vec::with_capacity(columns.len()),
            field_count,
            prefix: Prefix::new(&columns),
            columns,
            scratch: Vec::new(),
            arena: Arena::default(),
            packed: Vec::new(),
            compressor: Compressor::default(),
        }
    }

    /// Appends the tuple of a row to `tuples`, whose length is a multiple of 8 and is so again
    /// afterwards; returns the tuple's own length.
    pub fn form(
        &mut self,
        row: Row<'_>,
        receive: &mut dyn Receive,
        tuples: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        if row.fields.len() != self.field_count {
            return Err(Refusal::Malformed);
        }
        let has_null = row.has_null || self.field_count < self.columns.len();
        let mut writer = Writer::new(tuples, self.columns.len(), has_null, row.bytes.len());
        // No row is longer than on the wire, but for what conversions make of it, which the server
        // compresses.
        let is_long = writer.header_bytes() + row.bytes.len() > TOAST_THRESHOLD;
        let first = if is_long { 0 } else { self.prefix.count(row) };
        self.prefix.put(first, row.bytes, writer.begin(first, self.prefix.bytes(first)));
        self.items.clear();
        self.scratch.clear();
        for index in first..self.columns.len() {
            let item = self.convert(index, row, receive)?;
            match is_long {
                true => self.items.push(item),
                false => self.put(index, item, row, &mut writer),
            }
        }
        if is_long {
            self.compress(row.bytes, writer.header_bytes());
            for (index, item) in self.items.iter().enumerate() {
                self.put(index, *item, row, &mut writer);
            }
        }
        Ok(writer.finish(self.columns.len()))
    }

    /// Turns the field of a column into an item, by the receive function where it must be.
    #[inline]
    fn convert(
        &mut self,
        index: usize,
        row: Row<'_>,
        receive: &mut dyn Receive,
    ) -> Result<Item, Refusal> {
        let column = &self.columns[index];
        let place = column.field.and_then(|field| row.fields[field].place());
        let start = self.scratch.len();
        let stored = match place {
            // Only unknown types may have a say about NULL, as domains do.
            None if column.field.is_some() && column.conversion == Conversion::Receive => {
                receive.receive(index, None)
            }
            None => None,
            Some((from, to)) => {
                let value = &row.bytes[from..to];
                let (arena, scratch) = (&mut self.arena, &mut self.scratch);
                match column.conversion.convert(column.attribute, value, arena, scratch) {
                    Outcome::AsSent => return Ok(Item::Wire(from, to)),
                    Outcome::Stored => return Ok(Item::Scratch(start, self.scratch.len())),
                    Outcome::Doubtful => self.scratch.truncate(start),
                }
                receive.receive(index, Some(value))
            }
        };
        match stored {
            None if place.is_some() => Err(Refusal::Malformed),
            None if column.is_not_null => Err(Refusal::Null(index)),
            None => Ok(Item::Null),
            Some(stored) => {
                self.scratch.extend_from_slice(stored);
                Ok(Item::Scratch(start, self.scratch.len()))
            }
        }
    }

    /// Writes the value of a column.
    #[inline]
    fn put(&self, index: usize, item: Item, row: Row<'_>, writer: &mut Writer<'_>) {
        let column = &self.columns[index];
        match item {
            Item::Null => {}
            Item::Wire(from, to) => writer.put_wire(index, column, &row.bytes[from..to]),
            Item::Scratch(from, to) => writer.put_stored(index, column, &self.scratch[from..to]),
            Item::Packed(from, to) => writer.put_stored(index, column, &self.packed[from..to]),
        }
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
