//! One page of a B-tree in the making.

use crate::heap::page::PAGE_BYTES;

/// The page after the metapage.
pub const FIRST_BLOCK: u32 = 1;

/// Bytes of a page, where a server expects them in memory.
#[repr(C, align(4096))]
#[derive(Clone)]
pub struct PageBytes(pub [u8; PAGE_BYTES]);

/// Offset number of the high key, which is missing on the last page of a level.
pub(super) const HIGH_KEY: u16 = 1;

/// Offset number of the first item after it.
pub(super) const FIRST_KEY: u16 = 2;

/// `P_NONE`: no neighbour.
const NO_BLOCK: u32 = 0;

/// Bytes of a page's header, and of a line pointer.
const HEADER_BYTES: usize = 24;
const POINTER_BYTES: usize = 4;

/// Places in the page's header.
const LOWER: usize = 12;
const UPPER: usize = 14;
const SPECIAL: usize = 16;
const SIZE_AND_VERSION: usize = 18;

/// Version of the page format, since 8.3.
const VERSION: u16 = 4;

/// Where `BTPageOpaqueData` begins, and places in it.
const OPAQUE: usize = PAGE_BYTES - 16;
const PREVIOUS: usize = OPAQUE;
const NEXT: usize = OPAQUE + 4;
const LEVEL: usize = OPAQUE + 8;
const FLAGS: usize = OPAQUE + 12;

/// `BTP_LEAF`, `BTP_ROOT`.
const IS_LEAF: u16 = 1;
const IS_ROOT: u16 = 2;

/// State of a line pointer that points to an item.
const NORMAL: u32 = 1;

/// A page with its items so far.
pub(super) struct Page {
    bytes: Box<PageBytes>,
    pub(super) block: u32,
    /// Offset number of the last item; `HIGH_KEY` while there is none.
    pub(super) last: u16,
}

impl Page {
    /// An empty page with room for the line pointer of a high key.
    pub(super) fn new(block: u32, level: u32) -> Self {
        let mut page = Page { bytes: Box::new(PageBytes([0; PAGE_BYTES])), block, last: HIGH_KEY };
        page.put_u16(LOWER, (HEADER_BYTES + POINTER_BYTES) as u16);
        page.put_u16(UPPER, OPAQUE as u16);
        page.put_u16(SPECIAL, OPAQUE as u16);
        page.put_u16(SIZE_AND_VERSION, PAGE_BYTES as u16 | VERSION);
        page.put_u32(LEVEL, level);
        page.put_u16(FLAGS, if level == 0 { IS_LEAF } else { 0 });
        page
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last == HIGH_KEY
    }

    /// Bytes that an item may take besides its line pointer.
    pub(super) fn free_bytes(&self) -> usize {
        (self.get_u16(UPPER) - self.get_u16(LOWER)).saturating_sub(POINTER_BYTES)
    }

    /// Adds an item, whose size is a multiple of 8 and fits, behind the others.
    pub(super) fn push(&mut self, item: &[u8]) {
        let start = self.get_u16(UPPER) - item.len();
        self.bytes.0[start..start + item.len()].copy_from_slice(item);
        self.put_u16(UPPER, start as u16);
        self.last += 1;
        self.set_pointer(self.last, start, item.len());
        self.put_u16(LOWER, (HEADER_BYTES + POINTER_BYTES * usize::from(self.last)) as u16);
    }

    /// The item with this offset number.
    pub(super) fn item(&self, offset: u16) -> &[u8] {
        let raw = self.get_u32(pointer(offset));
        let (start, length) = ((raw & 0x7fff) as usize, (raw >> 17) as usize);
        &self.bytes.0[start..start + length]
    }

    /// Makes the last item the high key, in the form given: what the next page begins with.
    pub(super) fn turn_last_into_high_key(&mut self, high_key: &[u8]) {
        let end = self.get_u16(UPPER) + self.item(self.last).len();
        let start = end - high_key.len();
        self.bytes.0[start..end].copy_from_slice(high_key);
        self.put_u16(UPPER, start as u16);
        self.set_pointer(HIGH_KEY, start, high_key.len());
        self.put_u32(pointer(self.last), 0);
        self.last -= 1;
        self.put_u16(LOWER, (HEADER_BYTES + POINTER_BYTES * usize::from(self.last)) as u16);
    }

    /// Gives up the line pointer of the high key: the page is the last one of its level.
    pub(super) fn drop_high_key(&mut self) {
        let lower = self.get_u16(LOWER);
        self.bytes.0.copy_within(HEADER_BYTES + POINTER_BYTES..lower, HEADER_BYTES);
        self.put_u16(LOWER, (lower - POINTER_BYTES) as u16);
    }

    /// Makes the page the root.
    pub(super) fn set_root(&mut self) {
        let flags = self.get_u16(FLAGS) as u16;
        self.put_u16(FLAGS, flags | IS_ROOT);
    }

    pub(super) fn set_previous(&mut self, block: u32) {
        self.put_u32(PREVIOUS, block);
    }

    pub(super) fn set_next(&mut self, block: u32) {
        debug_assert_ne!(block, NO_BLOCK);
        self.put_u32(NEXT, block);
    }

    pub(super) fn into_bytes(self) -> Box<PageBytes> {
        self.bytes
    }

    fn set_pointer(&mut self, offset: u16, start: usize, length: usize) {
        self.put_u32(pointer(offset), start as u32 | NORMAL << 15 | (length as u32) << 17);
    }

    fn get_u16(&self, place: usize) -> usize {
        usize::from(u16::from_ne_bytes([self.bytes.0[place], self.bytes.0[place + 1]]))
    }

    fn get_u32(&self, place: usize) -> u32 {
        let bytes = &self.bytes.0[place..place + 4];
        u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn put_u16(&mut self, place: usize, value: u16) {
        self.bytes.0[place..place + 2].copy_from_slice(&value.to_ne_bytes());
    }

    fn put_u32(&mut self, place: usize, value: u32) {
        self.bytes.0[place..place + 4].copy_from_slice(&value.to_ne_bytes());
    }
}

/// Where the line pointer with this offset number is.
fn pointer(offset: u16) -> usize {
    HEADER_BYTES + POINTER_BYTES * usize::from(offset - 1)
}
