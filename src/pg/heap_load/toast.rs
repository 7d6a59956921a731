//! Long values on their way out of line, by whole pages like the rows that they belong to.
//!
//! The server's way is a row at a time: each chunk finds itself a page, is logged by itself, and makes the
//! table grow by a page. Here the chunks fill pages in memory; when many are complete they are written, and only then
//! is the index told of their chunks, which has the server's own code do what it always does.

use pgmig_core::heap::fill::{Inserter, PageFiller, set_block};
use pgmig_core::heap::page::Page;
use pgmig_core::heap::toast::{Toast, ValueId, for_each_chunk};
use pgrx::pg_sys;

use crate::pg::heap_pages;
use crate::pg::page_writer::{File, PAGES_PER_RECORD, PageWriter};
use crate::pg::relation::OpenRelation;
use crate::pg::utility;

/// What is taken to add rows.
const LOCK: pg_sys::LOCKMODE = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;

/// Percent of a page that chunks fill; TOAST tables have no such option.
const FILL_FACTOR: usize = 100;

/// The chunks of a table's long values.
pub(super) struct Chunks {
    relation: OpenRelation,
    /// The first one is valid.
    indexes: Vec<OpenRelation>,
    filler: PageFiller,
    writer: PageWriter,
    /// Value and number of every chunk on pages that have not been written.
    chunks: Vec<(u32, u32)>,
    /// The last value's number.
    last_value: u32,
}

impl Chunks {
    /// For the long values of an open table; None if it has no place for any, or if they are better left to the
    /// server.
    pub(super) fn begin(table: pg_sys::Relation, inserter: Inserter) -> Option<Self> {
        // SAFETY: the table is open.
        let oid = unsafe { (*(*table).rd_rel).reltoastrelid };
        if oid == pg_sys::InvalidOid {
            return None;
        }
        let relation = OpenRelation::open(oid, LOCK);
        let indexes = indexes_of(relation.get());
        // SAFETY: an open index.
        let is_valid = |index: &OpenRelation| unsafe { (*(*index.get()).rd_index).indisvalid };
        if !indexes.first().is_some_and(is_valid) {
            return None;
        }
        let file = match inserter.is_frozen {
            true if super::is_of_new_file(relation.get()) => File::Own,
            true => return None,
            false => File::Shared,
        };
        Some(Chunks {
            // The server may add chunks to these pages, and then they would have to stop saying that.
            filler: PageFiller::new(inserter, FILL_FACTOR, false),
            writer: PageWriter::new(relation.get(), file),
            relation,
            indexes,
            chunks: Vec::new(),
            last_value: 0,
        })
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) {
        self.flush();
    }

    fn flush(&mut self) {
        self.filler.turn();
        self.write();
    }

    /// Writes the pages that are complete, and tells the index.
    fn write(&mut self) {
        let pages = self.filler.take_complete();
        let lengths: Vec<u16> =
            pages.iter().map(|page| Page::new(&page.0).pointer_count()).collect();
        let first = self.writer.append(pages, set_block);
        let places = (first..).zip(lengths).flat_map(|(block, length)| {
            (1..=length).map(move |offset| heap_pages::tid(block, offset))
        });
        let mut written = 0;
        for (place, (value, number)) in places.zip(&self.chunks) {
            for index in &self.indexes {
                insert(self.relation.get(), index.get(), *value, *number, place);
            }
            written += 1;
        }
        self.chunks.drain(..written);
    }

    /// A number that no value of the table has.
    fn new_value(&mut self) -> u32 {
        let Some(index) = self.indexes.first() else {
            pgrx::error!("no index is found for the table's long values");
        };
        // SAFETY: the index is open.
        let (relation, index) = unsafe { (self.relation.get(), (*index.get()).rd_id) };
        // SAFETY: the relation is open; numbers are in the first column.
        let new = || unsafe { pg_sys::GetNewOidWithIndex(relation, index, 1) }.to_u32();
        let mut value = new();
        if value <= self.last_value {
            // The server has begun to count anew: it has to see the values of before.
            self.flush();
            value = new();
        }
        self.last_value = value;
        value
    }
}

impl Toast for Chunks {
    fn store(&mut self, value: &[u8]) -> ValueId {
        let id = self.new_value();
        let mut count = 0;
        for_each_chunk(id, value, |number, tuple| {
            let _fits = self.filler.push(tuple);
            self.chunks.push((id, number));
            if self.filler.complete_count() == PAGES_PER_RECORD {
                self.write();
            }
            count += 1;
        });
        // SAFETY: the relation is open.
        unsafe { pg_sys::pgstat_count_heap_insert(self.relation.get(), count) };
        // SAFETY: as above.
        let relation = unsafe { (*self.relation.get()).rd_id }.to_u32();
        ValueId { value: id, relation }
    }
}

/// The indexes of a relation that want to be told of rows, opened, a valid one first: while one is being rebuilt
/// without locks there are two, and the new one is told once it is ready, after those who do not know of that have
/// been waited for.
fn indexes_of(relation: pg_sys::Relation) -> Vec<OpenRelation> {
    // SAFETY: the relation is open; a list in the current memory context.
    let list = unsafe { pg_sys::RelationGetIndexList(relation) };
    let open = |index| OpenRelation::open(index, LOCK);
    let mut indexes: Vec<_> = utility::oids(list).into_iter().map(open).collect();
    // SAFETY: an open index.
    indexes.retain(|index| unsafe { (*(*index.get()).rd_index).indisready });
    // SAFETY: as above.
    indexes.sort_by_key(|index| unsafe { !(*(*index.get()).rd_index).indisvalid });
    indexes
}

/// Tells an index of a chunk.
fn insert(
    relation: pg_sys::Relation,
    index: pg_sys::Relation,
    value: u32,
    number: u32,
    mut place: pg_sys::ItemPointerData,
) {
    let mut values = [pg_sys::Datum::from(value), pg_sys::Datum::from(number)];
    let mut nulls = [false; 2];
    // SAFETY: both are open, and the index has these columns; raises on failure.
    unsafe {
        pg_sys::index_insert(
            index,
            values.as_mut_ptr(),
            nulls.as_mut_ptr(),
            &mut place,
            relation,
            pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES,
            false,
            std::ptr::null_mut(),
        )
    };
}
