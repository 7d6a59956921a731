//! What rows begin with where a table's first columns are numbers, times and the like.
//!
//! Up to the first NULL every value has its place, on the wire and in the tuple, which is the same in
//! all rows: nothing has to be found, nothing padded.

use super::conversion::Conversion;
use super::form::Column;
use super::rows::{Field, Row};

/// The first columns of a table, up to one of another kind.
#[derive(Debug)]
pub(super) struct Prefix(Vec<Place>);

/// Where a value is on the wire, and in the data of a tuple.
#[derive(Debug)]
struct Place {
    wire: usize,
    data: usize,
    length: usize,
    /// What tells whether the value is in doubt, if it may be.
    conversion: Option<Conversion>,
}

impl Prefix {
    /// For the columns of a table.
    pub(super) fn new(columns: &[Column]) -> Self {
        let (mut places, mut wire, mut data) = (Vec::new(), 2, 0_usize);
        for (index, column) in columns.iter().enumerate() {
            let attribute = column.attribute;
            let length = match (usize::try_from(attribute.length), column.conversion) {
                (Ok(length @ (1 | 2 | 4 | 8)), conversion) if conversion.is_number() => length,
                (Ok(length), Conversion::Bool | Conversion::Uuid) => length,
                _ => break,
            };
            if column.field != Some(index) {
                break;
            }
            // Each value comes after its length.
            wire += 4;
            data = data.next_multiple_of(attribute.alignment);
            let is_certain = matches!(column.conversion, Conversion::Number | Conversion::Uuid);
            let conversion = (!is_certain).then_some(column.conversion);
            places.push(Place { wire, data, length, conversion });
            (wire, data) = (wire + length, data + length);
        }
        Prefix(places)
    }

    /// The number of first columns that have values in a row of which none is in doubt.
    pub(super) fn count(&self, row: Row<'_>) -> usize {
        let fits = |(place, field): &(&Place, &Field)| {
            field.place() == Some((place.wire, place.wire + place.length))
                && place.conversion.as_ref().is_none_or(|conversion| {
                    conversion.is_certain(&row.bytes[place.wire..place.wire + place.length])
                })
        };
        self.0.iter().zip(row.fields).take_while(fits).count()
    }

    /// Bytes that so many first columns have in a tuple, counted from the end of the header.
    pub(super) fn bytes(&self, count: usize) -> usize {
        self.0[..count].last().map_or(0, |place| place.data + place.length)
    }

    /// Writes the values of so many first columns into zeros.
    pub(super) fn put(&self, count: usize, row: &[u8], data: &mut [u8]) {
        for place in &self.0[..count] {
            let value = &row[place.wire..place.wire + place.length];
            let data = &mut data[place.data..place.data + place.length];
            match (value, place.length) {
                (&[a, b, c, d, e, f, g, h], 8) => {
                    let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                    data.copy_from_slice(&number.to_ne_bytes());
                }
                (&[a, b, c, d], 4) => {
                    data.copy_from_slice(&u32::from_be_bytes([a, b, c, d]).to_ne_bytes());
                }
                (&[a, b], 2) => data.copy_from_slice(&u16::from_be_bytes([a, b]).to_ne_bytes()),
                _ => data.copy_from_slice(value),
            }
        }
    }
}
