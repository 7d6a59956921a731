//! Pages: their header, line pointers and tuples.

/// Bytes of a page; the only size that is supported, and the one everybody has.
pub const PAGE_BYTES: usize = 8192;

/// Bytes of a page's header, after which the line pointers come.
pub(crate) const HEADER_BYTES: usize = 24;

/// Bytes of a line pointer.
pub(crate) const POINTER_BYTES: usize = 4;

/// States of a line pointer; the one left out, 2, redirects to another.
const UNUSED: u32 = 0;
const NORMAL: u32 = 1;
const DEAD: u32 = 3;

/// Offsets in a page's header: its place in the log, flags, both ends of the free space, the special
/// space, size and version, the oldest transaction whose rows may be tidied up.
const LOG_PLACE: usize = 0;
pub(crate) const FLAGS: usize = 10;
pub(crate) const LOWER: usize = 12;
pub(crate) const UPPER: usize = 14;
const SPECIAL: usize = 16;
const SIZE_AND_VERSION: usize = 18;
const PRUNABLE: usize = 20;

/// Version of the page format, since 8.3.
const VERSION: u16 = 4;

/// Bytes of a tuple's header up to the null bitmap.
const TUPLE_HEADER_BYTES: usize = 23;

/// Offsets in a tuple's header.
const XMIN: usize = 0;
const INFOMASK2: usize = 18;
const INFOMASK: usize = 20;
const HOFF: usize = 22;

/// Bits of `t_infomask`.
const HAS_NULL: u16 = 0x0001;
const XMIN_COMMITTED: u16 = 0x0100;
const XMIN_INVALID: u16 = 0x0200;
const XMAX_INVALID: u16 = 0x0800;
const WAS_MOVED: u16 = 0xc000;

/// Bits of `t_infomask2`.
const ATTRIBUTE_COUNT: u16 = 0x07ff;
const HOT_UPDATED: u16 = 0x4000;
const HEAP_ONLY: u16 = 0x8000;

/// A page in the making, aligned as servers want it to be for writing.
#[derive(Debug, Clone)]
#[repr(C, align(4096))]
pub struct PageBytes(pub [u8; PAGE_BYTES]);

impl PageBytes {
    /// A page of zeros.
    pub fn zeroed() -> Box<Self> {
        Box::new(PageBytes([0; PAGE_BYTES]))
    }

    /// An empty page with so many bytes of special space at its end.
    pub(crate) fn empty(special_bytes: usize) -> Box<Self> {
        let mut page = Self::zeroed();
        let special = (PAGE_BYTES - special_bytes) as u16;
        page.put_u16(LOWER, HEADER_BYTES as u16);
        page.put_u16(UPPER, special);
        page.put_u16(SPECIAL, special);
        page.put_u16(SIZE_AND_VERSION, PAGE_BYTES as u16 | VERSION);
        page
    }

    /// Says up to where the log has to be on disk before the page may be.
    pub fn set_log_place(&mut self, place: u64) {
        self.put_u32(LOG_PLACE, (place >> 32) as u32);
        self.put_u32(LOG_PLACE + 4, place as u32);
    }

    /// Writes the line pointer with this offset number, counted from 1, to an item in use.
    pub(crate) fn set_pointer(&mut self, offset: u16, start: usize, length: usize) {
        self.put_u32(pointer_place(offset), start as u32 | NORMAL << 15 | (length as u32) << 17);
    }

    pub(crate) fn get_u16(&self, place: usize) -> u16 {
        read_u16(&self.0, place)
    }

    pub(crate) fn get_u32(&self, place: usize) -> u32 {
        read_u32(&self.0, place)
    }

    pub(crate) fn put_u16(&mut self, place: usize, value: u16) {
        self.0[place..place + 2].copy_from_slice(&value.to_ne_bytes());
    }

    pub(crate) fn put_u32(&mut self, place: usize, value: u32) {
        self.0[place..place + 4].copy_from_slice(&value.to_ne_bytes());
    }
}

/// Where the line pointer with this offset number is.
pub(crate) fn pointer_place(offset: u16) -> usize {
    HEADER_BYTES + POINTER_BYTES * usize::from(offset.wrapping_sub(1))
}

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

    /// Whether the log had reached `place` when the page was changed last, hints aside, and no reader will
    /// tidy it up.
    pub fn is_unchanged_since(self, place: u64) -> bool {
        let high = u64::from(read_u32(self.0, LOG_PLACE));
        let changed = high << 32 | u64::from(read_u32(self.0, LOG_PLACE + 4));
        changed <= place && read_u32(self.0, PRUNABLE) == 0
    }

    /// The line pointer with this offset number, counted from 1.
    pub fn pointer(self, offset: u16) -> Pointer<'a> {
        let place = pointer_place(offset);
        if place + POINTER_BYTES > PAGE_BYTES {
            return Pointer::Other;
        }
        let raw = read_u32(self.0, place);
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

    /// The tuple with its header.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
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

    /// The transaction that has inserted the tuple, if what has become of it is all there is to know.
    pub fn open_inserter(self) -> Option<u32> {
        let known = XMIN_COMMITTED | XMIN_INVALID | XMAX_INVALID | WAS_MOVED;
        (self.infomask() & known == XMAX_INVALID).then(|| read_u32(self.bytes, XMIN))
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

    /// Whether the attribute with this index, counted from 0, is NULL; None if it is not stored and has the
    /// default that its column was added with.
    pub fn is_null(self, index: usize) -> Option<bool> {
        let is_stored = index < self.attribute_count();
        is_stored.then(|| self.null_bitmap().is_some_and(|bitmap| is_null_in(bitmap, index)))
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

/// Whether a null bitmap says so of the attribute with this index, counted from 0.
pub(super) fn is_null_in(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 0)
}

fn read_u16(bytes: &[u8], place: usize) -> u16 {
    u16::from_ne_bytes([bytes[place], bytes[place + 1]])
}

fn read_u32(bytes: &[u8], place: usize) -> u32 {
    u32::from_ne_bytes([bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3]])
}
