//! The keys of a table's rows, sorted: in memory, or in runs on disk as far as they do not fit there.

use std::ffi::c_int;

use pgmig_core::btree::Merge;
use pgmig_core::heap::deform::{Attribute, Deformer};
use pgmig_core::heap::page::{Pointer, Tuple};
use pgmig_core::heap::sort::{Entry, KeyColumn, KeyLayout};
use pgrx::pg_sys;

use crate::pg::heap_pages::{self, Others, Unusual};
use crate::pg::utility;

/// Pages that are read between two reports of progress.
const BLOCKS_PER_REPORT: u32 = 128;

/// Entries by which memory grows at first, and of a run that are read together at least.
const FEWEST_ENTRIES: usize = 1 << 13;

/// Finds the keys of an index in rows.
pub(super) struct KeyReader {
    deformer: Deformer,
    pub(super) layout: KeyLayout,
    /// What the index wants of a row that it is to have.
    conditions: Vec<Condition>,
}

/// An attribute, counted from 0, and whether it must be NULL or must not.
#[derive(Clone, Copy)]
struct Condition {
    attribute: usize,
    is_null: bool,
}

impl KeyReader {
    /// None if the index is not of a kind that this can read.
    ///
    /// # Safety
    /// Both relations must be open, and `info` must describe the index.
    pub(super) unsafe fn new(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        info: *mut pg_sys::IndexInfo,
    ) -> Option<Self> {
        // SAFETY: by contract.
        let (info, options) = unsafe { (&*info, (*index).rd_indoption) };
        let attributes = heap_pages::attributes_of(table);
        let conditions = conditions_of(info)?;
        let excludes_null = |attribute: usize| {
            conditions.iter().any(|wanted| wanted.attribute == attribute && !wanted.is_null)
        };
        let mut columns = Vec::new();
        let mut wanted = Vec::new();
        for position in 0..usize::try_from(info.ii_NumIndexAttrs).ok()? {
            let attribute =
                usize::try_from(info.ii_IndexAttrNumbers[position]).ok()?.checked_sub(1)?;
            let definition = attributes.get(attribute)?;
            // SAFETY: there is one for each key column.
            let option = unsafe { *options.add(position) } as u32;
            wanted.push(attribute);
            columns.push(KeyColumn {
                kind: definition.kind?,
                is_descending: option & pg_sys::INDOPTION_DESC != 0,
                has_nulls_first: option & pg_sys::INDOPTION_NULLS_FIRST != 0,
                is_nullable: definition.is_nullable && !excludes_null(attribute),
            });
        }
        let stored: Vec<Attribute> = attributes.iter().map(|attribute| attribute.stored).collect();
        let deformer = Deformer::new(&stored, &wanted)?;
        Some(KeyReader { deformer, layout: KeyLayout::new(&columns)?, conditions })
    }

    /// Whether the index is to have the row.
    fn wants(&self, tuple: Tuple<'_>) -> Result<bool, Unusual> {
        for condition in &self.conditions {
            if tuple.is_null(condition.attribute).ok_or(Unusual)? != condition.is_null {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The conditions of an index of a part of its table; None if there are others than of being NULL.
fn conditions_of(info: &pg_sys::IndexInfo) -> Option<Vec<Condition>> {
    utility::elements::<pg_sys::Node>(info.ii_Predicate)
        .into_iter()
        .map(|node| {
            let test = utility::cast::<pg_sys::NullTest>(node, pg_sys::NodeTag::T_NullTest)?;
            // SAFETY: checked just now.
            let test = unsafe { &*test };
            let column = utility::cast::<pg_sys::Var>(test.arg.cast(), pg_sys::NodeTag::T_Var)?;
            // SAFETY: checked just now.
            let attribute = usize::try_from(unsafe { (*column).varattno }).ok()?.checked_sub(1)?;
            let is_null = test.nulltesttype == pg_sys::NullTestType::IS_NULL;
            (!test.argisrow).then_some(Condition { attribute, is_null })
        })
        .collect()
}

/// All keys of a table.
pub(super) struct Sorted<const N: usize> {
    /// Those in memory; the only ones if there are no runs.
    entries: Vec<Entry<N>>,
    runs: Vec<Run>,
    /// Live rows of the table, also those that the index is not to have.
    pub(super) rows: u64,
}

/// Reads the keys of all live rows that the index is to have, with as much memory as
/// `maintenance_work_mem` says.
pub(super) fn read<const N: usize>(
    table: pg_sys::Relation,
    reader: &KeyReader,
) -> Result<Sorted<N>, Unusual> {
    let most = (memory_bytes() / size_of::<Entry<N>>()).max(1);
    let mut sorted = Sorted { entries: Vec::new(), runs: Vec::new(), rows: 0 };
    let blocks = i64::from(heap_pages::count_blocks(table));
    heap_pages::report_progress(pg_sys::PROGRESS_SCAN_BLOCKS_TOTAL, blocks);
    heap_pages::for_each_page(table, Others::Read, &mut |block, page, live| {
        if block % BLOCKS_PER_REPORT == 0 {
            heap_pages::report_progress(pg_sys::PROGRESS_SCAN_BLOCKS_DONE, i64::from(block));
        }
        sorted.make_room(live.len(), most);
        sorted.rows += live.len() as u64;
        let mut values = vec![None; reader.layout.columns().len()];
        for offset in live {
            let Pointer::Tuple(tuple) = page.pointer(*offset) else {
                return Err(Unusual);
            };
            if !reader.wants(tuple)? {
                continue;
            }
            reader.deformer.deform(tuple, &mut values).map_err(|_| Unusual)?;
            let place = u64::from(block) << 16 | u64::from(*offset);
            sorted.entries.push(reader.layout.pack(&values, place));
        }
        Ok(())
    })?;
    sorted.entries.sort_unstable();
    Ok(sorted)
}

impl<const N: usize> Sorted<N> {
    /// Makes room for some entries, of which there are to be no more than `most` in memory.
    fn make_room(&mut self, count: usize, most: usize) {
        let length = self.entries.len();
        if length > 0 && length + count > most {
            self.entries.sort_unstable();
            self.runs.push(Run::write(&self.entries));
            self.entries.clear();
        } else if length + count > self.entries.capacity() {
            // Twice the memory would be too much where that is most of it.
            let growth = length.max(FEWEST_ENTRIES).min(most.saturating_sub(length)).max(count);
            self.entries.reserve_exact(growth);
        }
    }

    /// Calls `each` with all entries in their order.
    pub(super) fn for_each(mut self, mut each: impl FnMut(&Entry<N>)) {
        if self.runs.is_empty() {
            self.entries.iter().for_each(each);
            return;
        }
        self.runs.push(Run::write(&self.entries));
        self.entries = Vec::new();
        let most = memory_bytes() / size_of::<Entry<N>>() / self.runs.len();
        let most = most.max(FEWEST_ENTRIES);
        let merge = Merge::new(self.runs.len(), |run, entries| self.runs[run].read(entries, most));
        merge.for_each(|entry| each(&entry));
    }
}

/// Entries in a temporary file, which goes away with the transaction if an error is raised.
struct Run {
    file: *mut pg_sys::BufFile,
    /// Entries that have not been read yet.
    rest: usize,
}

impl Run {
    /// Writes entries, to be read from the first one on.
    fn write<const N: usize>(entries: &[Entry<N>]) -> Self {
        // SAFETY: inside a transaction, whose end closes the file.
        let file = unsafe { pg_sys::BufFileCreateTemp(false) };
        // SAFETY: entries are numbers without gaps between them; raises if the disk is full.
        unsafe {
            pg_sys::BufFileWrite(file, entries.as_ptr().cast_mut().cast(), size_of_val(entries))
        };
        const FROM_THE_START: c_int = 0;
        // SAFETY: the file is open.
        if unsafe { pg_sys::BufFileSeek(file, 0, 0, FROM_THE_START) } != 0 {
            pgrx::error!("could not rewind a temporary file");
        }
        Run { file, rest: entries.len() }
    }

    /// Reads the next entries, `most` of them or as many as there are.
    fn read<const N: usize>(&mut self, entries: &mut Vec<Entry<N>>, most: usize) {
        let count = self.rest.min(most);
        entries.reserve_exact(count);
        let bytes = count * size_of::<Entry<N>>();
        // SAFETY: there is room for that many entries; raises if the file cannot be read.
        let read = unsafe { pg_sys::BufFileRead(self.file, entries.as_mut_ptr().cast(), bytes) };
        if read != bytes {
            pgrx::error!("a temporary file ended early");
        }
        // SAFETY: they were just read; any bytes are an entry.
        unsafe { entries.set_len(count) };
        self.rest -= count;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // After an error the transaction's end closes the file.
        if !std::thread::panicking() {
            // SAFETY: open, and closed only here.
            unsafe { pg_sys::BufFileClose(self.file) };
        }
    }
}

/// Bytes of memory for keys.
fn memory_bytes() -> usize {
    // SAFETY: a setting, in kilobytes.
    let kilobytes = unsafe { pg_sys::maintenance_work_mem };
    usize::try_from(kilobytes).unwrap_or(0) * 1024
}
