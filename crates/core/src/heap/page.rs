//! Line pointers and tuples of one page.

/// Bytes of a page; the only size that is supported, and the one everybody has.
pub const PAGE_BYTES: usize = 8192;

/// Bytes of a page's header, after which the line pointers come.
const HEADER_BYTES: usize = 24;

/// Bytes of a line pointer.
const POINTER_BYTES: usize = 4;

/// States of a line pointer; the one left out, 2, redirects to another.
const UNUSED: u32 = 0;
const NORMAL: u32 = 1;
const DEAD: u32 = 3;

/// Bytes of a tuple's header up to the null bitmap.
const TUPLE_HEADER_BYTES: usize = 23;

/// Offset of `pd_lower`, the end of the line pointers, in the page's header.
const LOWER: usize = 12;

/// Offsets in a tuple's header.
const INFOMASK2: usize = 18;
const INFOMASK: usize = 20;
const HOFF: usize = 22;

/// Bits of `t_infomask`.
const HAS_NULL: u16 = 0x0001;
const XMIN_COMMITTED: u16 = 0x0100;
const XMAX_INVALID: u16 = 0x0800;

/// Bits of `t_infomask2`.
const ATTRIBUTE_COUNT: u16 = 0x07ff;
const HOT_UPDATED: u16 = 0x4000;
const HEAP_ONLY: u16 = 0x8000;

/// What a line pointer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointer<'a> {
    /// Nothing that anybody could see: never used, or dead to everyone.
    Unused,
    /// A tuple.
    Tuple(Tuple<'a>),
    /// Something that only updates or damage leave behind.
    Other,
}

/// A page.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a>(&'a [u8; PAGE_BYTES]);

/// A tuple of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    bytes: &'a [u8],
    /// Where it starts on its page.
    start: u16,
}

impl<'a> Page<'a> {
    /// A page over its bytes.
    pub fn new(bytes: &'a [u8; PAGE_BYTES]) -> Self {
        Page(bytes)
    }

    /// The number of line pointers.
    pub fn pointer_count(self) -> u16 {
        let lower = usize::from(read_u16(self.0, LOWER)).min(PAGE_BYTES);
        let count = lower.saturating_sub(HEADER_BYTES) / POINTER_BYTES;
        u16::try_from(count).unwrap_or(0)
    }

    /// The line pointer with this offset number, counted from 1.
    pub fn pointer(self, offset: u16) -> Pointer<'a> {
        let place = HEADER_BYTES + POINTER_BYTES * usize::from(offset.wrapping_sub(1));
        let Some(bytes) = self.0.get(place..place + POINTER_BYTES) else {
            return Pointer::Other;
        };
        let raw = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let (start, state, length) = ((raw & 0x7fff) as u16, raw >> 15 & 3, (raw >> 17) as usize);
        let place = usize::from(start);
        match state {
            UNUSED | DEAD => Pointer::Unused,
            NORMAL => match self.0.get(place..place + length) {
                Some(bytes) if length > TUPLE_HEADER_BYTES => {
                    Pointer::Tuple(Tuple { bytes, start })
                }
                _ => Pointer::Other,
            },
            _ => Pointer::Other,
        }
    }
}

impl<'a> Tuple<'a> {
    /// Offset of the tuple's first byte on its page.
    pub fn start(self) -> u16 {
        self.start
    }

    /// Bytes of the tuple with its header.
    pub fn length(self) -> usize {
        self.bytes.len()
    }

    /// Whether the header alone says that the tuple was inserted by a committed transaction and nobody
    /// has locked, updated or deleted it since.
    pub fn is_surely_live(self) -> bool {
        let wanted = XMIN_COMMITTED | XMAX_INVALID;
        self.infomask() & wanted == wanted
    }

    /// Whether the tuple is part of an update that left the indexes alone.
    pub fn is_hot(self) -> bool {
        read_u16(self.bytes, INFOMASK2) & (HOT_UPDATED | HEAP_ONLY) != 0
    }

    /// The number of attributes that are stored; later ones have the default that their column was
    /// added with.
    pub fn attribute_count(self) -> usize {
        usize::from(read_u16(self.bytes, INFOMASK2) & ATTRIBUTE_COUNT)
    }

    /// The bitmap with a set bit for every attribute that is not NULL; None if none is NULL.
    pub(super) fn null_bitmap(self) -> Option<&'a [u8]> {
        (self.infomask() & HAS_NULL != 0).then(|| &self.bytes[TUPLE_HEADER_BYTES..])
    }

    /// The attributes' bytes; empty if the header makes no sense.
    pub(super) fn data(self) -> &'a [u8] {
        self.bytes.get(usize::from(self.bytes[HOFF])..).unwrap_or_default()
    }

    fn infomask(self) -> u16 {
        read_u16(self.bytes, INFOMASK)
    }
}

fn read_u16(bytes: &[u8], place: usize) -> u16 {
    u16::from_ne_bytes([bytes[place], bytes[place + 1]])
}
