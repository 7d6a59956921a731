//! Large B-trees built from rows that are in order already.
//!
//! `CREATE INDEX` reads a table in the order of its pages and sorts index tuples with the server's
//! general sort, which takes most of the time. Here the keys of narrow types are read from the pages,
//! sorted as plain integers, and handed to the server's own builder in their order: its sort finds
//! them sorted and is done in one pass. The builder makes the index; a wrong order costs nothing but time.
//!
//! ```text
//!   index_build ─ btbuild ─ our index_build_range_scan
//!                             pages ─ keys ─ sort ─ callback
//! ```
//!
//! The scan sees what a scan under the lock of `CREATE INDEX` sees, or gives up: a table that somebody
//! has updated or is writing to is left to the server.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::OnceLock;

use pgmig_core::heap::deform::{Attribute, Deformer};
use pgmig_core::heap::key::KeyKind;
use pgmig_core::heap::page::Pointer;
use pgmig_core::heap::sort::{Entry, KeyColumn, KeyLayout};
use pgrx::pg_sys;

use crate::pg::heap_pages::{self, Unusual};
use crate::pg::process;

/// Keys that are handed over between two looks for interrupts.
const KEYS_PER_CHECK: usize = 1 << 16;

/// Pages that are read between two reports of progress.
const BLOCKS_PER_REPORT: u32 = 128;

thread_local! {
    /// Whether the scan gave up, so that an error says nothing about the data.
    static HAS_GIVEN_UP: Cell<bool> = const { Cell::new(false) };
    /// Bytes of keys that are sorted together.
    static KEY_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Fills an index that was just defined; raises if the scan gives up, and `has_given_up` then says so.
/// Both relations are open and locked.
pub(super) fn fill(
    oid: pg_sys::Oid,
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) {
    let settings = process::LocalSettings::new();
    KEY_BYTES.set(share_memory(&settings));
    // SAFETY: for this session's own entry in the table of activities.
    unsafe {
        pg_sys::pgstat_progress_start_command(
            pg_sys::ProgressCommandType::PROGRESS_COMMAND_CREATE_INDEX,
            oid,
        )
    };
    let scan = ScanInPlace::put(table);
    // SAFETY: by contract; the builder calls our scan.
    unsafe { pg_sys::index_build(table, index, info, false, false) };
    drop(scan);
    // SAFETY: started above.
    unsafe { pg_sys::pgstat_progress_end_command() };
}

/// Whether the last index could not be filled for what its table holds, so that its error says nothing
/// about the data; asked once.
pub(super) fn has_given_up() -> bool {
    HAS_GIVEN_UP.replace(false)
}

/// Takes half of `maintenance_work_mem` for the keys, leaves the rest to the server's sort, and
/// returns the bytes taken.
fn share_memory(settings: &process::LocalSettings) -> usize {
    // SAFETY: a setting; at least 1 MB.
    let kilobytes = unsafe { pg_sys::maintenance_work_mem };
    settings.set("maintenance_work_mem", &(kilobytes / 2).max(1024).to_string());
    usize::try_from(kilobytes / 2).unwrap_or(0) * 1024
}

/// Puts our scan in the place of the heap's for one open table; the heap's own is put back when this
/// is dropped, however that comes about.
struct ScanInPlace {
    relation: pg_sys::Relation,
    original: *const pg_sys::TableAmRoutine,
}

impl ScanInPlace {
    fn put(relation: pg_sys::Relation) -> Self {
        static ROUTINE: OnceLock<pg_sys::TableAmRoutine> = OnceLock::new();
        // SAFETY: the relation is open.
        let original = unsafe { (*relation).rd_tableam };
        // SAFETY: the table is a heap, whose routine is a constant of the server.
        let mut routine = unsafe { *original };
        routine.index_build_range_scan = Some(scan_sorted);
        let routine = ROUTINE.get_or_init(|| routine);
        // SAFETY: the relation is open; the routine lives as long as the process.
        unsafe { (*relation).rd_tableam = routine };
        ScanInPlace { relation, original }
    }
}

impl Drop for ScanInPlace {
    fn drop(&mut self) {
        // SAFETY: the relation is closed only after this, or by the abort that follows.
        unsafe { (*self.relation).rd_tableam = self.original };
    }
}

/// Our `index_build_range_scan`: see `access/tableam.h`.
#[pgrx::pg_guard]
#[expect(clippy::too_many_arguments, reason = "the server's signature")]
unsafe extern "C-unwind" fn scan_sorted(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
    _allow_sync: bool,
    _anyvisible: bool,
    _progress: bool,
    _start: pg_sys::BlockNumber,
    _count: pg_sys::BlockNumber,
    callback: pg_sys::IndexBuildCallback,
    callback_state: *mut c_void,
    _scan: pg_sys::TableScanDesc,
) -> f64 {
    // SAFETY: the server passes open relations and the index's description.
    let reader = unsafe { KeyReader::new(table, index, info) };
    let fed = reader.ok_or(Unusual).and_then(|reader| {
        let sink = Sink { index, callback, state: callback_state };
        match reader.layout.word_count() {
            1 => feed::<1>(table, &reader, &sink),
            2 => feed::<2>(table, &reader, &sink),
            _ => feed::<3>(table, &reader, &sink),
        }
    });
    match fed {
        Ok(rows) => rows as f64,
        Err(Unusual) => {
            HAS_GIVEN_UP.set(true);
            pgrx::error!("the table has rows that a sorted build does not handle");
        }
    }
}

/// Finds the keys of an index in rows.
struct KeyReader {
    deformer: Deformer,
    layout: KeyLayout,
}

impl KeyReader {
    /// None if the index is not of a kind that this can read.
    ///
    /// # Safety
    /// Both relations must be open, and `info` must describe the index.
    unsafe fn new(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        info: *mut pg_sys::IndexInfo,
    ) -> Option<Self> {
        // SAFETY: by contract.
        let (info, options) = unsafe { (&*info, (*index).rd_indoption) };
        let attributes = heap_pages::attributes_of(table);
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
                is_nullable: definition.is_nullable,
            });
        }
        let stored: Vec<Attribute> = attributes.iter().map(|attribute| attribute.stored).collect();
        let deformer = Deformer::new(&stored, &wanted)?;
        Some(KeyReader { deformer, layout: KeyLayout::new(&columns)? })
    }
}

/// The builder's end of the scan.
struct Sink {
    index: pg_sys::Relation,
    callback: pg_sys::IndexBuildCallback,
    state: *mut c_void,
}

/// Reads all keys, as many together as memory allows, and hands them over sorted; returns their number.
fn feed<const N: usize>(
    table: pg_sys::Relation,
    reader: &KeyReader,
    sink: &Sink,
) -> std::result::Result<u64, Unusual> {
    let most = (KEY_BYTES.get() / size_of::<Entry<N>>()).max(1);
    let mut entries: Vec<Entry<N>> = Vec::new();
    let mut rows = 0;
    let blocks = i64::from(heap_pages::count_blocks(table));
    heap_pages::report_progress(pg_sys::PROGRESS_SCAN_BLOCKS_TOTAL, blocks);
    heap_pages::for_each_page(table, &mut |block, page, live| {
        if block % BLOCKS_PER_REPORT == 0 {
            heap_pages::report_progress(pg_sys::PROGRESS_SCAN_BLOCKS_DONE, i64::from(block));
        }
        let mut values = vec![None; reader.layout.columns().len()];
        for offset in live {
            let Pointer::Tuple(tuple) = page.pointer(*offset) else {
                return Err(Unusual);
            };
            reader.deformer.deform(tuple, &mut values).map_err(|_| Unusual)?;
            if entries.len() == most {
                rows += hand_over(&mut entries, &reader.layout, sink);
            }
            if entries.len() == entries.capacity() {
                entries.reserve_exact((most - entries.len()).min(entries.len().max(1 << 16)));
            }
            entries.push(reader.layout.pack(&values, u64::from(block) << 16 | u64::from(*offset)));
        }
        Ok(())
    })?;
    Ok(rows + hand_over(&mut entries, &reader.layout, sink))
}

/// Sorts keys, gives them to the builder, and forgets them; returns their number.
fn hand_over<const N: usize>(entries: &mut Vec<Entry<N>>, layout: &KeyLayout, sink: &Sink) -> u64 {
    let Some(callback) = sink.callback else {
        return 0;
    };
    entries.sort_unstable();
    let columns = layout.columns();
    let mut values = vec![pg_sys::Datum::null(); columns.len()];
    let mut nulls = vec![false; columns.len()];
    let mut stored = vec![[0_u8; 16]; columns.len()];
    for chunk in entries.chunks(KEYS_PER_CHECK) {
        pgrx::check_for_interrupts!();
        for entry in chunk {
            layout.unpack(entry, |index, value| {
                nulls[index] = value.is_none();
                stored[index] = value.unwrap_or_default();
                values[index] = datum(columns[index].kind, &stored[index]);
            });
            let mut tid = heap_pages::tid((entry.place >> 16) as u32, entry.place as u16);
            // SAFETY: the builder copies what it is given.
            unsafe {
                callback(
                    sink.index,
                    &mut tid,
                    values.as_mut_ptr(),
                    nulls.as_mut_ptr(),
                    true,
                    sink.state,
                )
            };
        }
    }
    let count = entries.len() as u64;
    entries.clear();
    count
}

/// A stored value as the server passes it around: by reference if it is longer than a word.
fn datum(kind: KeyKind, stored: &[u8; 16]) -> pg_sys::Datum {
    let [a, b, c, d, e, f, g, h, ..] = *stored;
    match kind.bytes() {
        1 => pg_sys::Datum::from(a),
        2 => pg_sys::Datum::from(i16::from_ne_bytes([a, b])),
        4 => pg_sys::Datum::from(i32::from_ne_bytes([a, b, c, d])),
        8 => pg_sys::Datum::from(i64::from_ne_bytes([a, b, c, d, e, f, g, h])),
        _ => pg_sys::Datum::from(stored.as_ptr()),
    }
}
