//! One page of a B-tree in the making.

use crate::heap::page::{
    HEADER_BYTES, LOWER, PAGE_BYTES, POINTER_BYTES, PageBytes, UPPER, pointer_place,
};

/// The page after the metapage.
pub const FIRST_BLOCK: u32 = 1;

/// Offset number of the high key, which is missing on the last page of a level.
pub(super) const HIGH_KEY: u16 = 1;

/// Offset number of the first item after it.
pub(super) const FIRST_KEY: u16 = 2;

/// `P_NONE`: no neighbour.
const NO_BLOCK: u32 = 0;

/// Where `BTPageOpaqueData` begins, and places in it.
const SPECIAL_BYTES: usize = 16;
const OPAQUE: usize = PAGE_BYTES - SPECIAL_BYTES;
const PREVIOUS: usize = OPAQUE;
const NEXT: usize = OPAQUE + 4;
const LEVEL: usize = OPAQUE + 8;
const FLAGS: usize = OPAQUE + 12;

/// `BTP_LEAF`, `BTP_ROOT`.
const IS_LEAF: u16 = 1;
const IS_ROOT: u16 = 2;

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
        let mut bytes = PageBytes::empty(SPECIAL_BYTES);
        bytes.put_u16(LOWER, (HEADER_BYTES + POINTER_BYTES) as u16);
        bytes.put_u32(LEVEL, level);
        bytes.put_u16(FLAGS, if level == 0 { IS_LEAF } else { 0 });
        Page { bytes, block, last: HIGH_KEY }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last == HIGH_KEY
    }

    /// Bytes that an item may take besides its line pointer.
    pub(super) fn free_bytes(&self) -> usize {
        (self.end(UPPER) - self.end(LOWER)).saturating_sub(POINTER_BYTES)
    }

    /// Adds an item, whose size is a multiple of 8 and fits, behind the others.
    pub(super) fn push(&mut self, item: &[u8]) {
        let start = self.end(UPPER) - item.len();
        self.bytes.0[start..start + item.len()].copy_from_slice(item);
        self.bytes.put_u16(UPPER, start as u16);
        self.last += 1;
        self.bytes.set_pointer(self.last, start, item.len());
        self.bytes.put_u16(LOWER, (HEADER_BYTES + POINTER_BYTES * usize::from(self.last)) as u16);
    }

    /// The item with this offset number.
    pub(super) fn item(&self, offset: u16) -> &[u8] {
        let raw = self.bytes.get_u32(pointer_place(offset));
        let (start, length) = ((raw & 0x7fff) as usize, (raw >> 17) as usize);
        &self.bytes.0[start..start + length]
    }

    /// Makes the last item the high key, in the form given: what the next page begins with.
    pub(super) fn turn_last_into_high_key(&mut self, high_key: &[u8]) {
        let end = self.end(UPPER) + self.item(self.last).len();
        let start = end - high_key.len();
        self.bytes.0[start..end].copy_from_slice(high_key);
        self.bytes.put_u16(UPPER, start as u16);
        self.bytes.set_pointer(HIGH_KEY, start, high_key.len());
        self.bytes.put_u32(pointer_place(self.last), 0);
        self.last -= 1;
        self.bytes.put_u16(LOWER, (HEADER_BYTES + POINTER_BYTES * usize::from(self.last)) as u16);
    }

    /// Gives up the line pointer of the high key: the page is the last one of its level.
    pub(super) fn drop_high_key(&mut self) {
        let lower = self.end(LOWER);
        self.bytes.0.copy_within(HEADER_BYTES + POINTER_BYTES..lower, HEADER_BYTES);
        self.bytes.put_u16(LOWER, (lower - POINTER_BYTES) as u16);
    }

    /// Makes the page the root.
    pub(super) fn set_root(&mut self) {
        let flags = self.bytes.get_u16(FLAGS);
        self.bytes.put_u16(FLAGS, flags | IS_ROOT);
    }

    pub(super) fn set_previous(&mut self, block: u32) {
        self.bytes.put_u32(PREVIOUS, block);
    }

    pub(super) fn set_next(&mut self, block: u32) {
        debug_assert_ne!(block, NO_BLOCK);
        self.bytes.put_u32(NEXT, block);
    }

    pub(super) fn into_bytes(self) -> Box<PageBytes> {
        self.bytes
    }

    /// A place in the page that its header gives.
    fn end(&self, which: usize) -> usize {
        usize::from(self.bytes.get_u16(which))
    }
}
