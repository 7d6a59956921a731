//! Values of type `jsonb` as they are stored, from what is on the wire: a version and JSON text.
//!
//! Layout: `utils/jsonb.h`, and `convertToJsonb` in `utils/adt/jsonb_util.c`. Keys of an object are
//! unique, the last of equal ones counts, and in order of length and bytes; they come before all values.
//! Numbers and containers begin at multiples of 4 of the whole value, and the padding before them
//! belongs to them.

use super::json::{Arena, Node, Pair};
use super::numeric;

/// The version on the wire.
const VERSION: u8 = 1;

/// Kinds of containers, in their headers.
const SCALAR: u32 = 0x1000_0000;
const OBJECT: u32 = 0x2000_0000;
const ARRAY: u32 = 0x4000_0000;

/// Kinds of values, in their entries.
const STRING_ENTRY: u32 = 0;
const NUMBER_ENTRY: u32 = 0x1000_0000;
const FALSE_ENTRY: u32 = 0x2000_0000;
const TRUE_ENTRY: u32 = 0x3000_0000;
const NULL_ENTRY: u32 = 0x4000_0000;
const CONTAINER_ENTRY: u32 = 0x5000_0000;

/// An entry's kind; its lower bits are a length, or where the value ends.
const KIND: u32 = 0x7000_0000;
const IS_OFFSET: u32 = 0x8000_0000;

/// One entry of so many says where its value ends instead of how long it is.
const OFFSET_STRIDE: usize = 32;

/// Bytes of an entry, of a container's header, of the whole value's header.
const WORD: usize = 4;

/// Appends the stored form of a value on the wire, with a long header; false unless it is beyond
/// doubt, and then something useless may be appended. The text must be valid in the database's encoding.
pub(super) fn push_received(wire: &[u8], arena: &mut Arena, out: &mut Vec<u8>) -> bool {
    let [VERSION, text @ ..] = wire else {
        return false;
    };
    let Some(root) = arena.parse(text) else {
        return false;
    };
    let start = out.len();
    out.extend_from_slice(&[0; WORD]);
    let mut writer = Writer { text, arena, out, start };
    let is_written = match root {
        Node::Array { .. } | Node::Object { .. } => writer.value(root).is_some(),
        scalar => writer.scalar(scalar).is_some(),
    };
    let size = ((out.len() - start) as u32) << 2;
    out[start..start + WORD].copy_from_slice(&size.to_le_bytes());
    is_written
}

/// A value that is being written.
struct Writer<'a> {
    text: &'a [u8],
    arena: &'a mut Arena,
    out: &'a mut Vec<u8>,
    /// Where the whole value begins.
    start: usize,
}

/// The entries of a container that is being written.
struct Entries {
    /// Where the next one goes.
    at: usize,
    count: usize,
    /// Bytes of the values so far.
    bytes: u32,
}

impl Writer<'_> {
    /// Appends a value and returns its entry, with its length; None if a number is beyond what can be
    /// written here.
    fn value(&mut self, node: Node) -> Option<u32> {
        let start = self.out.len();
        let kind = match node {
            Node::Null => return Some(NULL_ENTRY),
            Node::False => return Some(FALSE_ENTRY),
            Node::True => return Some(TRUE_ENTRY),
            Node::String(span) => {
                self.out.extend_from_slice(self.arena.bytes(self.text, span));
                STRING_ENTRY
            }
            Node::Number(span) => {
                self.align();
                let number = self.arena.bytes(self.text, span);
                if number.iter().any(|byte| matches!(byte, b'e' | b'E'))
                    || !numeric::push_decimal(number, self.out)
                {
                    return None;
                }
                NUMBER_ENTRY
            }
            Node::Array { from, count } => {
                self.array(from as usize, count)?;
                CONTAINER_ENTRY
            }
            Node::Object { from, count } => {
                self.object(from as usize, count as usize)?;
                CONTAINER_ENTRY
            }
        };
        Some(kind | (self.out.len() - start) as u32)
    }

    /// A value that is no container, as the only element of an array made for it.
    fn scalar(&mut self, node: Node) -> Option<()> {
        let mut entries = self.begin(ARRAY | SCALAR | 1, 1);
        let entry = self.value(node)?;
        self.put(&mut entries, entry);
        Some(())
    }

    fn array(&mut self, from: usize, count: u32) -> Option<()> {
        let mut entries = self.begin(ARRAY | count, count as usize);
        for index in from..from + count as usize {
            let element = *self.arena.elements.get(index)?;
            let entry = self.value(element)?;
            self.put(&mut entries, entry);
        }
        Some(())
    }

    fn object(&mut self, from: usize, count: usize) -> Option<()> {
        let count = self.order(from, count)?;
        let mut entries = self.begin(OBJECT | count as u32, 2 * count);
        for index in from..from + count {
            let (key, _) = *self.arena.pairs.get(index)?;
            let entry = self.value(Node::String(key))?;
            self.put(&mut entries, entry);
        }
        for index in from..from + count {
            let (_, value) = *self.arena.pairs.get(index)?;
            let entry = self.value(value)?;
            self.put(&mut entries, entry);
        }
        Some(())
    }

    /// Puts pairs in order and the last of those with equal keys first; returns how many remain.
    fn order(&mut self, from: usize, count: usize) -> Option<usize> {
        let mut pairs = std::mem::take(&mut self.arena.pairs);
        let kept = pairs.get_mut(from..from + count).map(|pairs| self.order_pairs(pairs));
        self.arena.pairs = pairs;
        kept
    }

    fn order_pairs(&self, pairs: &mut [Pair]) -> usize {
        let key = |pair: &Pair| {
            let bytes = self.arena.bytes(self.text, pair.0);
            (bytes.len(), bytes)
        };
        // What was sent by a column of this type is in order already.
        if pairs.windows(2).all(|two| key(&two[0]) < key(&two[1])) {
            return pairs.len();
        }
        // Stable: of equal keys the last one comes last, and takes the place of those before.
        pairs.sort_by(|left, right| key(left).cmp(&key(right)));
        let mut kept = 1;
        for index in 1..pairs.len() {
            if key(&pairs[index]) != key(&pairs[kept - 1]) {
                kept += 1;
            }
            pairs[kept - 1] = pairs[index];
        }
        kept
    }

    /// Appends a container's header and makes room for its entries.
    fn begin(&mut self, header: u32, count: usize) -> Entries {
        self.align();
        self.out.extend_from_slice(&header.to_ne_bytes());
        let at = self.out.len();
        self.out.resize(at + count * WORD, 0);
        Entries { at, count: 0, bytes: 0 }
    }

    /// Puts the entry of the value that was appended last.
    fn put(&mut self, entries: &mut Entries, entry: u32) {
        entries.bytes += entry & !(KIND | IS_OFFSET);
        let entry = match entries.count % OFFSET_STRIDE {
            0 => entry & KIND | entries.bytes | IS_OFFSET,
            _ => entry,
        };
        self.out[entries.at..entries.at + WORD].copy_from_slice(&entry.to_ne_bytes());
        entries.at += WORD;
        entries.count += 1;
    }

    fn align(&mut self) {
        let length = self.out.len() - self.start;
        self.out.resize(self.start + length.next_multiple_of(WORD), 0);
    }
}
