//! A few columns of a tuple, without the rest.

use super::page::{Tuple, is_null_in};

/// How an attribute is stored: `pg_attribute`'s `attlen` and `attalign`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Bytes of a value, -1 for a variable length with a header, -2 for a text that ends with zero.
    pub length: i16,
    /// 1, 2, 4 or 8.
    pub alignment: usize,
}

/// Finds wanted columns in tuples of one table.
#[derive(Debug, Clone)]
pub struct Deformer {
    /// The table's attributes up to the last one wanted.
    attributes: Vec<Attribute>,
    /// Indexes of the wanted attributes with their places in the caller's order, ascending.
    wanted: Vec<(usize, usize)>,
    /// Where the wanted attributes are in a tuple without NULLs, if that is always the same.
    places: Option<Vec<usize>>,
}

/// The tuple is not as the table's definition says it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl Deformer {
    /// For the columns with these indexes, counted from 0, of a table with these attributes; None
    /// if one of them is a text that ends with zero.
    pub fn new(attributes: &[Attribute], wanted: &[usize]) -> Option<Self> {
        let last = *wanted.iter().max()?;
        let attributes = attributes.get(..=last)?.to_vec();
        if wanted.iter().any(|index| matches!(attributes[*index].length, -2 | 0)) {
            return None;
        }
        let mut ordered: Vec<(usize, usize)> =
            wanted.iter().enumerate().map(|(position, index)| (*index, position)).collect();
        ordered.sort_unstable();
        let places = attributes.iter().all(|attribute| attribute.length > 0).then(|| {
            let mut place = 0;
            let all: Vec<usize> = attributes
                .iter()
                .map(|attribute| {
                    let start = align(place, attribute.alignment);
                    place = start + length_of(*attribute);
                    start
                })
                .collect();
            ordered.iter().map(|(index, _)| all[*index]).collect()
        });
        Some(Deformer { attributes, wanted: ordered, places })
    }

    /// Puts the bytes of the wanted columns of `tuple` into `values`, None for NULL, in the order in
    /// which they were asked for; those of variable length with their headers.
    pub fn deform<'a>(
        &self,
        tuple: Tuple<'a>,
        values: &mut [Option<&'a [u8]>],
    ) -> Result<(), Unreadable> {
        if tuple.attribute_count() < self.attributes.len() {
            return Err(Unreadable);
        }
        let data = tuple.data();
        match (tuple.null_bitmap(), &self.places) {
            (None, Some(places)) => {
                for ((index, position), place) in self.wanted.iter().zip(places) {
                    let end = place + length_of(self.attributes[*index]);
                    values[*position] = Some(data.get(*place..end).ok_or(Unreadable)?);
                }
                Ok(())
            }
            (bitmap, _) => self.walk(data, bitmap.unwrap_or_default(), values),
        }
    }

    /// The same by looking at every attribute up to the last one wanted.
    fn walk<'a>(
        &self,
        data: &'a [u8],
        bitmap: &[u8],
        values: &mut [Option<&'a [u8]>],
    ) -> Result<(), Unreadable> {
        let mut wanted = self.wanted.iter().peekable();
        let mut place = 0;
        for (index, attribute) in self.attributes.iter().enumerate() {
            let value = match is_null_in(bitmap, index) {
                true => None,
                false => {
                    let (start, end) = locate(data, place, *attribute)?;
                    place = end;
                    Some(data.get(start..end).ok_or(Unreadable)?)
                }
            };
            while let Some((_, position)) = wanted.next_if(|(wanted, _)| *wanted == index) {
                values[*position] = value;
            }
        }
        Ok(())
    }
}

/// Start and end of an attribute that comes after `place` bytes of others.
fn locate(data: &[u8], place: usize, attribute: Attribute) -> Result<(usize, usize), Unreadable> {
    match attribute.length {
        -1 => {
            // A short header is not aligned, and no padding is ever what a short header would be.
            let is_short = data.get(place).is_some_and(|byte| *byte != 0);
            let start = if is_short { place } else { align(place, attribute.alignment) };
            Ok((start, start + varlena_length(data.get(start..).ok_or(Unreadable)?)?))
        }
        -2 => {
            let text = data.get(place..).ok_or(Unreadable)?;
            let end = memchr::memchr(0, text).ok_or(Unreadable)?;
            Ok((place, place + end + 1))
        }
        _ => {
            let start = align(place, attribute.alignment);
            Ok((start, start + length_of(attribute)))
        }
    }
}

/// Bytes of a value of variable length with its header, by the little-endian form of `varatt.h`.
fn varlena_length(bytes: &[u8]) -> Result<usize, Unreadable> {
    let first = *bytes.first().ok_or(Unreadable)?;
    if first == 1 {
        // A pointer out of line: what it points to is told by the tag.
        return match bytes.get(1) {
            Some(18) => Ok(2 + 16),
            _ => Err(Unreadable),
        };
    }
    if first & 1 == 1 {
        return Ok(usize::from(first >> 1));
    }
    let header = bytes.get(..4).ok_or(Unreadable)?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) >> 2;
    usize::try_from(length).map_err(|_| Unreadable)
}

/// What a value of variable length holds; None if it is compressed or out of line.
pub fn plain_value(stored: &[u8]) -> Option<&[u8]> {
    let first = *stored.first()?;
    match first & 3 {
        _ if first == 1 => None,
        1 | 3 => stored.get(1..),
        0 => stored.get(4..),
        _ => None,
    }
}

fn length_of(attribute: Attribute) -> usize {
    usize::try_from(attribute.length).unwrap_or(0)
}

fn align(place: usize, alignment: usize) -> usize {
    place.next_multiple_of(alignment)
}
