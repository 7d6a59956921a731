//! What the server's B-tree code says of an index.

use pgmig_core::btree::{Options, Root};
use pgmig_core::heap::page::PageBytes;
use pgrx::pg_sys;

use crate::pg::catch::guard;

/// `BTREE_DEFAULT_FILLFACTOR`, in percent.
const DEFAULT_FILL_FACTOR: usize = 90;

/// `P_NONE`: there is no root yet.
const NO_BLOCK: u32 = 0;

/// `BTOptions` of `access/nbtree.h`: what `WITH (…)` of an index has set.
#[repr(C)]
struct StoredOptions {
    length: i32,
    fill_factor: i32,
    vacuum_cleanup_index_scale_factor: f64,
    deduplicate_items: bool,
}

unsafe extern "C-unwind" {
    fn _bt_allequalimage(index: pg_sys::Relation, debug_message: bool) -> bool;
    fn _bt_initmetapage(page: pg_sys::Page, root: u32, level: u32, all_equal_image: bool);
    fn btbuild(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        info: *mut pg_sys::IndexInfo,
    ) -> *mut pg_sys::IndexBuildResult;
}

/// How the server would build an open index: whether equal keys share a tuple depends on its types and
/// on whether it is unique.
pub(super) fn options_of(index: pg_sys::Relation, is_unique: bool) -> Options {
    // SAFETY: the index is open.
    let stored = unsafe { (*index).rd_options }.cast::<StoredOptions>();
    // SAFETY: null, or the options of a B-tree.
    let (fill_factor, is_wanted) = match unsafe { stored.as_ref() } {
        Some(stored) => (
            usize::try_from(stored.fill_factor).unwrap_or(DEFAULT_FILL_FACTOR),
            stored.deduplicate_items,
        ),
        None => (DEFAULT_FILL_FACTOR, true),
    };
    Options { fill_factor, deduplicates: is_wanted && !is_unique && is_equal_by_image(index) }
}

/// The first page of an index; without a root it is empty.
pub(super) fn metapage(index: pg_sys::Relation, root: Option<Root>) -> Box<PageBytes> {
    let mut page = PageBytes::zeroed();
    let root = root.unwrap_or(Root { block: NO_BLOCK, level: 0 });
    let bytes = page.0.as_mut_ptr().cast();
    let is_equal = is_equal_by_image(index);
    // SAFETY: a page of memory.
    unsafe { guard(|| _bt_initmetapage(bytes, root.block, root.level, is_equal)) };
    page
}

/// The server's own builder.
///
/// # Safety
/// As a call by `index_build`.
pub(super) unsafe fn build(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: by contract.
    unsafe { guard(|| btbuild(table, index, info)) }
}

/// Whether keys are equal exactly if their bytes are.
fn is_equal_by_image(index: pg_sys::Relation) -> bool {
    // SAFETY: the index is open.
    unsafe { guard(|| _bt_allequalimage(index, false)) }
}
