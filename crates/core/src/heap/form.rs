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
use super::toast::{self, POINTER_BYTES, Toast};

/// Rows of at most so many bytes stay as they are, whatever the table's target is:
/// `TOAST_TUPLE_THRESHOLD`.
pub const TOAST_THRESHOLD: usize = 2032;

/// What is counted for a value moved out of line: its pointer needs no padding, as a value with a short header does
/// not, for which `data_bytes` counts that much less.
const MOVED_BYTES: usize = POINTER_BYTES + LONG_HEADER - 1;

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
    pub storage: Storage,
    /// Whether values are compressed in the format of `pglz`, if they are.
    pub is_pglz: bool,
}

/// What may be done with long values of a column: `attstorage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// They stay as they are, and have no short headers either.
    Plain,
    /// They are moved out of line.
    External,
    /// They are compressed, and moved out of line.
    Extended,
    /// They are compressed, and moved out of line only if there is no other way.
    Main,
}

impl Column {
    /// Whether a value may have a short header.
    pub(super) fn is_packable(&self) -> bool {
        self.storage != Storage::Plain
    }
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
    /// afterwards; returns the tuple's own length. Long values go to `toast`, if there is any, unless it is the
    /// server that knows how they are to be stored.
    pub fn form(
        &mut self,
        row: Row<'_>,
        receive: &mut dyn Receive,
        toast: Option<&mut dyn Toast>,
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
            self.shorten(row.bytes, writer.header_bytes(), toast);
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

    /// Makes a row shorter that is too long: its values are compressed or moved out of line, the longest first, until
    /// the data are short enough. What cannot be done here is left to the server, and then nothing is moved.
    ///
    /// The order is that of `heap_toast_insert_or_update` in `access/heap/heaptoast.c`.
    fn shorten(&mut self, row: &[u8], header_bytes: usize, toast: Option<&mut dyn Toast>) {
        self.packed.clear();
        let sizes = self.columns.iter().zip(&self.items);
        let mut sizes: Vec<usize> =
            sizes.map(|(column, item)| stored_bytes(*column, *item)).collect();
        if header_bytes + data_bytes(&self.columns, &sizes) <= TOAST_THRESHOLD {
            return;
        }
        let most = self.target_bytes.saturating_sub(header_bytes);
        let is_movable =
            |column: &Column| matches!(column.storage, Storage::External | Storage::Extended);
        let (mut tried, mut moved) = (vec![false; self.columns.len()], Vec::new());
        let mut is_known = true;
        while data_bytes(&self.columns, &sizes) > most {
            let Some(index) =
                self.longest(&sizes, |index, column| is_movable(column) && !tried[index])
            else {
                break;
            };
            tried[index] = true;
            let column = self.columns[index];
            if column.storage == Storage::Extended {
                is_known &= column.is_pglz;
                if column.is_pglz && self.compress(index, row) {
                    sizes[index] = stored_bytes(column, self.items[index]);
                }
            }
            if sizes[index] > most {
                moved.push(index);
                sizes[index] = MOVED_BYTES;
            }
        }
        while data_bytes(&self.columns, &sizes) > most {
            let Some(index) = self.longest(&sizes, |_, column| is_movable(column)) else {
                // Only these are left.
                let is_main = |_, column: &Column| column.storage == Storage::Main;
                is_known &= self.longest(&sizes, is_main).is_none();
                break;
            };
            moved.push(index);
            sizes[index] = MOVED_BYTES;
        }
        let Some(toast) = toast.filter(|_| is_known) else {
            return;
        };
        for index in moved {
            let pointer = match self.items[index] {
                Item::Null => continue,
                Item::Wire(from, to) => toast::move_plain(&row[from..to], toast),
                Item::Scratch(from, to) => toast::move_stored(&self.scratch[from..to], toast),
                Item::Packed(from, to) => toast::move_stored(&self.packed[from..to], toast),
            };
            let start = self.packed.len();
            self.packed.extend_from_slice(&pointer);
            self.items[index] = Item::Packed(start, self.packed.len());
        }
    }

    /// The column with the longest value of those that are `eligible`, if it is worth the trouble.
    fn longest(&self, sizes: &[usize], eligible: impl Fn(usize, &Column) -> bool) -> Option<usize> {
        let candidates = (0..sizes.len()).filter(|index| {
            sizes[*index] > LEAST_TOASTED && eligible(*index, &self.columns[*index])
        });
        // The first of several.
        candidates.rev().max_by_key(|index| sizes[*index])
    }

    /// Compresses a value, unless that does not make it shorter.
    fn compress(&mut self, index: usize, row: &[u8]) -> bool {
        let plain = match self.items[index] {
            Item::Wire(from, to) => &row[from..to],
            Item::Scratch(from, to) if self.scratch[from] & 3 == 0 => {
                &self.scratch[from + LONG_HEADER..to]
            }
            _ => return false,
        };
        let start = self.packed.len();
        self.packed.resize(start + 2 * LONG_HEADER, 0);
        if !self.compressor.compress(plain, &mut self.packed) {
            self.packed.truncate(start);
            return false;
        }
        let size = self.packed.len() - start;
        let header = [compressed_header(size), plain.len() as u32];
        for (word, place) in header.iter().zip([start, start + LONG_HEADER]) {
            self.packed[place..place + LONG_HEADER].copy_from_slice(&word.to_le_bytes());
        }
        self.items[index] = Item::Packed(start, start + size);
        true
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
