//! B-tree indexes built from rows that are in order already.
//!
//! `CREATE INDEX` reads a table in the order of its pages and sorts index tuples with the server's
//! general sort, which takes most of the time. Here the keys of narrow types are read from the pages,
//! sorted as plain integers, and handed to the server's own builder in their order: its sort finds
//! them sorted and is done in one pass. The builder makes the index; a wrong order costs nothing but time.
//!
//! ```text
//!   DefineIndex without a build ─ index_build ─ btbuild ─ our index_build_range_scan
//!                                                            pages ─ keys ─ sort ─ callback
//! ```
//!
//! Indexes of small tables are filled by `small_index` instead. Keys that are constraints are made the
//! same way as long as they are small; those of large tables are indexes first.
//!
//! The scan sees what a scan under the lock of `CREATE INDEX` sees, or gives up: a table that somebody
//! has updated or is writing to goes the usual way, and so does every index of another kind.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::sync::OnceLock;

use pgmig_core::Result;
use pgmig_core::heap::deform::{Attribute, Deformer};
use pgmig_core::heap::key::KeyKind;
use pgmig_core::heap::page::Pointer;
use pgmig_core::heap::sort::{Entry, KeyColumn, KeyLayout};
use pgrx::pg_sys;
use pgrx::tupdesc::PgTupleDesc;

use super::heap_pages::{self, FEWEST_BLOCKS, Unusual};
use super::relation::{NO_LOCK, OpenRelation};
use super::{key, process, small_index, spi, transaction, utility};

/// OIDs from here on are not of the server's own types.
const FIRST_UNPINNED: u32 = 10_000;

/// Tables of more pages are not likely to have their keys on one.
const MOST_SMALL_BLOCKS: u32 = 32;

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

/// Runs a statement, `CREATE INDEX`, `ALTER TABLE … ADD` of a key, or any other; the server's ERROR is
/// raised.
///
/// Unlike a statement run by the server, one that is sped up fires no event triggers.
pub fn create(sql: &str) -> Result<()> {
    let text = utility::c_string(sql);
    let Some((target, way)) = Target::find(utility::parse_one(&text)) else {
        spi::execute(sql);
        return Ok(());
    };
    if way == Way::Small {
        target.build_small();
        return Ok(());
    }
    HAS_GIVEN_UP.set(false);
    let built = transaction::run_nested(|| {
        target.build_sorted();
        Ok(())
    });
    if built.is_err() && HAS_GIVEN_UP.get() {
        spi::execute(sql);
        return Ok(());
    }
    built
}

/// How an index is built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the server's builder, which our scan feeds in order.
    Sorted,
    /// By ourselves, on a single page.
    Small,
}

/// A statement that can be sped up, and its table.
struct Target {
    statement: *mut pg_sys::IndexStmt,
    table: pg_sys::Oid,
}

impl Target {
    /// None if the statement is better left to the server. Locks the table as the statement does.
    fn find(node: *mut pg_sys::Node) -> Option<(Self, Way)> {
        let index = utility::cast::<pg_sys::IndexStmt>(node, pg_sys::NodeTag::T_IndexStmt);
        let statement = index.or_else(|| key::index_of(node))?;
        // SAFETY: made by the parser, or of its parts.
        let parsed = unsafe { &*statement };
        let is_plain = parsed.whereClause.is_null()
            && parsed.indexIncludingParams.is_null()
            && parsed.excludeOpNames.is_null()
            && !parsed.concurrent
            && !parsed.if_not_exists
            && is_btree(parsed.accessMethod);
        if !is_plain {
            return None;
        }
        let lock =
            if parsed.isconstraint { pg_sys::AccessExclusiveLock } else { pg_sys::ShareLock };
        // SAFETY: raises if there is no such table or it is not the current user's.
        let table = unsafe {
            pg_sys::RangeVarGetRelidExtended(
                parsed.relation,
                lock as pg_sys::LOCKMODE,
                0,
                Some(RangeVarCallbackOwnsRelation),
                std::ptr::null_mut(),
            )
        };
        let way = Self::choose(OpenRelation::open(table, NO_LOCK).get(), parsed)?;
        Some((Target { statement, table }, way))
    }

    /// How the index of a table that is open and locked is built; None if by the server alone.
    fn choose(table: pg_sys::Relation, parsed: &pg_sys::IndexStmt) -> Option<Way> {
        if !heap_pages::is_heap_table(table) {
            return None;
        }
        let elements = utility::elements::<pg_sys::IndexElem>(parsed.indexParams);
        let columns: Option<Vec<_>> =
            elements.into_iter().map(|element| Column::find(table, element)).collect();
        let columns = columns?;
        let blocks = heap_pages::count_blocks(table);
        if blocks >= FEWEST_BLOCKS {
            let is_narrow = |column: &Column| KeyKind::of_type(column.base.to_u32()).is_some();
            let is_sorted = !parsed.isconstraint && columns.iter().all(is_narrow);
            return is_sorted.then_some(Way::Sorted);
        }
        // SAFETY: the relation is open.
        let persistence = unsafe { (*(*table).rd_rel).relpersistence };
        let is_small = blocks <= MOST_SMALL_BLOCKS
            && persistence as u8 == pg_sys::RELPERSISTENCE_PERMANENT
            && columns.iter().all(Column::is_built_in)
            && !(parsed.primary && columns.iter().any(|column| column.is_nullable));
        is_small.then_some(Way::Small)
    }

    /// Creates the index and fills its only page, or has the server fill it if it takes more.
    fn build_small(&self) {
        self.open(|table, index, info| {
            if !small_index::fill(table, index, info) {
                // SAFETY: both are open and locked.
                unsafe { pg_sys::index_build(table, index, info, false, false) };
            }
        });
    }

    /// Creates the index and fills it from sorted keys.
    fn build_sorted(&self) {
        self.open(|table, index, info| {
            let settings = process::LocalSettings::new();
            KEY_BYTES.set(share_memory(&settings));
            // SAFETY: for this session's own entry in the table of activities.
            unsafe {
                pg_sys::pgstat_progress_start_command(
                    pg_sys::ProgressCommandType::PROGRESS_COMMAND_CREATE_INDEX,
                    self.table,
                )
            };
            let scan = ScanInPlace::put(table);
            // SAFETY: both are open and locked; the builder calls our scan.
            unsafe { pg_sys::index_build(table, index, info, false, false) };
            drop(scan);
            // SAFETY: started above.
            unsafe { pg_sys::pgstat_progress_end_command() };
        });
    }

    /// Creates the index without filling it, and has that done while it and its table are open.
    fn open(&self, fill: impl FnOnce(pg_sys::Relation, pg_sys::Relation, *mut pg_sys::IndexInfo)) {
        // SAFETY: made by the parser; what parse analysis would do is for expressions only.
        unsafe { (*self.statement).transformed = true };
        let index = self.define();
        // Locked by the definition.
        let table = OpenRelation::open(self.table, NO_LOCK);
        let index = OpenRelation::open(index, NO_LOCK);
        // SAFETY: the index is open.
        let info = unsafe { pg_sys::BuildIndexInfo(index.get()) };
        fill(table.get(), index.get(), info);
    }

    /// Makes the catalog entries of the index.
    #[cfg(feature = "pg15")]
    fn define(&self) -> pg_sys::Oid {
        let none = pg_sys::InvalidOid;
        // SAFETY: the table is locked, the statement the parser's.
        unsafe {
            pg_sys::DefineIndex(
                self.table,
                self.statement,
                none,
                none,
                none,
                self.is_key(),
                true,
                true,
                true,
                true,
            )
        }
        .objectId
    }

    /// Makes the catalog entries of the index.
    #[cfg(not(feature = "pg15"))]
    fn define(&self) -> pg_sys::Oid {
        let none = pg_sys::InvalidOid;
        // SAFETY: the table is locked, the statement the parser's.
        unsafe {
            pg_sys::DefineIndex(
                self.table,
                self.statement,
                none,
                none,
                none,
                -1,
                self.is_key(),
                true,
                true,
                true,
                true,
            )
        }
        .objectId
    }

    /// Whether the index belongs to a key, as if added by `ALTER TABLE`.
    fn is_key(&self) -> bool {
        // SAFETY: made by the parser, or of its parts.
        unsafe { (*self.statement).isconstraint }
    }
}

unsafe extern "C-unwind" {
    // By its C name: the bindings wrap it in a Rust function, which cannot be passed on.
    fn RangeVarCallbackOwnsRelation(
        relation: *const pg_sys::RangeVar,
        table: pg_sys::Oid,
        old_table: pg_sys::Oid,
        argument: *mut c_void,
    );
}

/// Whether an access method's name, or none, stands for a B-tree.
fn is_btree(name: *const std::ffi::c_char) -> bool {
    // SAFETY: a text made by the parser.
    name.is_null() || unsafe { CStr::from_ptr(name) } == c"btree"
}

/// A column that an index is to have, with its type's own operator class.
struct Column {
    /// Its type, or the one under its domain.
    base: pg_sys::Oid,
    is_nullable: bool,
}

impl Column {
    /// None if the element is anything else.
    fn find(table: pg_sys::Relation, element: *mut pg_sys::IndexElem) -> Option<Self> {
        // SAFETY: made by the parser, or of its parts.
        let element = unsafe { &*element };
        if element.name.is_null() || !element.opclass.is_null() {
            return None;
        }
        // SAFETY: a look-up by name in an open table; a column that is missing has number 0.
        let number = unsafe { pg_sys::get_attnum((*table).rd_id, element.name) };
        let position = usize::try_from(number).ok()?.checked_sub(1)?;
        // SAFETY: the table is open.
        let descriptor = unsafe { PgTupleDesc::from_pg_unchecked((*table).rd_att) };
        let attribute = descriptor.get(position)?;
        // SAFETY: a look-up.
        let base = unsafe { pg_sys::getBaseType(attribute.atttypid) };
        Some(Column { base, is_nullable: !attribute.attnotnull })
    }

    /// Whether comparing values runs no code but the server's, so that it matters not on whose behalf.
    fn is_built_in(&self) -> bool {
        self.base.to_u32() < FIRST_UNPINNED
    }
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
