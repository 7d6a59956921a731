//! All live rows of a heap table, page by page.

use pgmig_core::heap::deform::Attribute;
use pgmig_core::heap::page::{PAGE_BYTES, Page, Pointer, Tuple};
use pgrx::pg_sys;
use pgrx::tupdesc::PgTupleDesc;

use super::heap_file::TableFile;

/// Tables of fewer pages the server reads its own way as fast.
pub(super) const FEWEST_BLOCKS: u32 = 128;

/// The table is not as a load leaves it: rows were updated, deleted or are being written. What reads
/// pages by itself leaves such a table to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusual;

/// What is done with a page: its block number, a copy of it, the offset numbers of its live rows.
pub(super) type EachPage<'a> = dyn FnMut(u32, Page<'_>, &[u16]) -> Result<(), Unusual> + 'a;

/// Who else may be at work on a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// Readers, and whoever locks rows.
    Read,
    Write,
}

/// Calls `each` with every page of a heap table.
///
/// A row is live if its inserter has committed and nobody has deleted it; what an aborted transaction
/// left is passed over. The relation must be open, under a lock that keeps away all but `others`.
pub(super) fn for_each_page(
    relation: pg_sys::Relation,
    others: Others,
    each: &mut EachPage<'_>,
) -> Result<(), Unusual> {
    let mut pages = Pages::new(relation);
    let mut live = Vec::new();
    let mut copy = [0; PAGE_BYTES];
    let mut file = match others {
        Others::Read => TableFile::open(relation, pages.block_count),
        Others::Write => None,
    };
    for block in 0..pages.block_count {
        pgrx::check_for_interrupts!();
        let page = file.as_mut().and_then(|file| file.page(block)).map(Page::new);
        let is_clear =
            |page: &Page<'_>| pages.list_live(*page, &mut live, |_, _| Err(Unusual)).is_ok();
        let page = match page.filter(is_clear) {
            Some(page) => page,
            None => {
                pages.read(block, &mut copy, &mut live)?;
                Page::new(&copy)
            }
        };
        each(block, page, &live)?;
    }
    Ok(())
}

/// The number of pages of a relation.
pub(super) fn count_blocks(relation: pg_sys::Relation) -> u32 {
    // SAFETY: the relation is open.
    unsafe { pg_sys::RelationGetNumberOfBlocksInFork(relation, pg_sys::ForkNumber::MAIN_FORKNUM) }
}

/// Whether the relation is an ordinary table in the server's own heap.
pub(super) fn is_heap_table(relation: pg_sys::Relation) -> bool {
    // SAFETY: the relation is open.
    let class = unsafe { &*(*relation).rd_rel };
    class.relkind as u8 == pg_sys::RELKIND_RELATION && class.relam == pg_sys::HEAP_TABLE_AM_OID
}

/// What has to be known of a table's column.
pub(super) struct TableAttribute {
    pub stored: Attribute,
    /// Its type, or the one under its domain.
    pub base: pg_sys::Oid,
    pub is_nullable: bool,
    pub collation: pg_sys::Oid,
}

/// The columns of an open table, dropped ones too.
pub(super) fn attributes_of(table: pg_sys::Relation) -> Vec<TableAttribute> {
    // SAFETY: the relation is open, and stays so while this is used.
    let descriptor = unsafe { PgTupleDesc::from_pg_unchecked((*table).rd_att) };
    (0..descriptor.len())
        .filter_map(|index| descriptor.get(index))
        .map(|attribute| {
            let base = match attribute.attisdropped {
                true => pg_sys::InvalidOid,
                // SAFETY: a look-up.
                false => unsafe { pg_sys::getBaseType(attribute.atttypid) },
            };
            TableAttribute {
                stored: Attribute { length: attribute.attlen, alignment: alignment(attribute) },
                base,
                is_nullable: !attribute.attnotnull,
                collation: attribute.attcollation,
            }
        })
        .collect()
}

struct Pages {
    relation: pg_sys::Relation,
    block_count: u32,
    /// A small ring of buffers, so that a large table does not push everything else out.
    strategy: pg_sys::BufferAccessStrategy,
    /// Transactions before this one are over for everybody.
    horizon: pg_sys::TransactionId,
    /// The last transaction that was found to have committed.
    committed: Option<u32>,
}

impl Pages {
    fn new(relation: pg_sys::Relation) -> Self {
        // SAFETY: allocated in the current memory context; a plain structure.
        let strategy =
            unsafe { pg_sys::GetAccessStrategy(pg_sys::BufferAccessStrategyType::BAS_BULKREAD) };
        // SAFETY: the relation is open.
        let horizon = unsafe { pg_sys::GetOldestNonRemovableTransactionId(relation) };
        Pages { relation, block_count: count_blocks(relation), strategy, horizon, committed: None }
    }

    /// Copies a page and lists its live rows.
    fn read(
        &mut self,
        block: u32,
        copy: &mut [u8; PAGE_BYTES],
        live: &mut Vec<u16>,
    ) -> Result<(), Unusual> {
        // SAFETY: the block exists; raises on a damaged page or a failed read.
        let buffer = unsafe {
            pg_sys::ReadBufferExtended(
                self.relation,
                pg_sys::ForkNumber::MAIN_FORKNUM,
                block,
                pg_sys::ReadBufferMode::RBM_NORMAL,
                self.strategy,
            )
        };
        // SAFETY: pinned just now.
        unsafe { pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32) };
        // SAFETY: pinned and locked.
        let bytes = unsafe { pg_sys::BufferGetPage(buffer) }.cast::<u8>();
        // SAFETY: a page has this size, and the lock keeps writers away.
        unsafe { std::ptr::copy_nonoverlapping(bytes, copy.as_mut_ptr(), PAGE_BYTES) };
        let page = Page::new(copy);
        let (relation, horizon) = (self.relation, self.horizon);
        let verdict = self.list_live(page, live, |tuple, offset| {
            let header = header_of(relation, bytes, tuple, block, offset);
            look_up(header, horizon, buffer)
        });
        // SAFETY: pinned and locked above.
        unsafe { pg_sys::UnlockReleaseBuffer(buffer) };
        verdict
    }

    /// Lists a page's live rows, and asks `is_live` about those of which their headers do not tell.
    fn list_live(
        &mut self,
        page: Page<'_>,
        live: &mut Vec<u16>,
        is_live: impl Fn(Tuple<'_>, u16) -> Result<bool, Unusual>,
    ) -> Result<(), Unusual> {
        live.clear();
        for offset in 1..=page.pointer_count() {
            match page.pointer(offset) {
                Pointer::Unused => {}
                Pointer::Tuple(tuple) if !tuple.is_hot() => {
                    if tuple.is_surely_live() || self.is_live(tuple) || is_live(tuple, offset)? {
                        live.push(offset);
                    }
                }
                Pointer::Tuple(_) | Pointer::Other => return Err(Unusual),
            }
        }
        Ok(())
    }

    /// Whether the tuple was inserted by a committed transaction and is as it was then. Leaves no hint of
    /// that on the page, which would have to be written once more.
    fn is_live(&mut self, tuple: Tuple<'_>) -> bool {
        let Some(inserter) = tuple.open_inserter() else {
            return false;
        };
        // SAFETY: a look at the transaction log.
        let has_committed = self.committed == Some(inserter)
            || unsafe { pg_sys::TransactionIdDidCommit(pg_sys::TransactionId::from(inserter)) };
        if has_committed {
            self.committed = Some(inserter);
        }
        has_committed
    }
}

/// The server's form of a row on a page in memory.
fn header_of(
    relation: pg_sys::Relation,
    page: *mut u8,
    tuple: Tuple<'_>,
    block: u32,
    offset: u16,
) -> pg_sys::HeapTupleData {
    pg_sys::HeapTupleData {
        t_len: tuple.length() as u32,
        t_self: tid(block, offset),
        // SAFETY: the relation is open.
        t_tableOid: unsafe { (*relation).rd_id },
        // SAFETY: the tuple lies within the page.
        t_data: unsafe { page.add(usize::from(tuple.start())) }.cast(),
    }
}

/// Asks the server whether a row is live or dead, which also leaves a hint on its page; the buffer must be
/// pinned and locked.
fn look_up(
    mut row: pg_sys::HeapTupleData,
    horizon: pg_sys::TransactionId,
    buffer: pg_sys::Buffer,
) -> Result<bool, Unusual> {
    // SAFETY: by contract; the buffer holds the row.
    match unsafe { pg_sys::HeapTupleSatisfiesVacuum(&mut row, horizon, buffer) } {
        pg_sys::HTSV_Result::HEAPTUPLE_LIVE => Ok(true),
        pg_sys::HTSV_Result::HEAPTUPLE_DEAD => Ok(false),
        _ => Err(Unusual),
    }
}

/// The server's form of a row's place.
pub(super) fn tid(block: u32, offset: u16) -> pg_sys::ItemPointerData {
    pg_sys::ItemPointerData {
        ip_blkid: pg_sys::BlockIdData { bi_hi: (block >> 16) as u16, bi_lo: block as u16 },
        ip_posid: offset,
    }
}

/// The alignment of a column's values, in bytes.
pub(super) fn alignment(attribute: &pg_sys::FormData_pg_attribute) -> usize {
    match attribute.attalign as u8 {
        pg_sys::TYPALIGN_CHAR => 1,
        pg_sys::TYPALIGN_SHORT => 2,
        pg_sys::TYPALIGN_INT => 4,
        _ => 8,
    }
}

/// Sets a number of the command at work in the views of progress.
pub(super) fn report_progress(parameter: u32, value: i64) {
    // SAFETY: for this session's own entry in the table of activities.
    unsafe { pg_sys::pgstat_progress_update_param(parameter as i32, value) };
}
