//! Rows of a binary stream written to a heap table without the executor in between.
//!
//! ```text
//!   chunks ─ rows ─ tuples, formed from the wire's bytes ─ heap_multi_insert, many at a time
//! ```
//!
//! For tables where COPY would do no more than that: a heap without triggers, indexes and generated
//! columns. Checks and partition bounds are asked as COPY asks them. Values are the type's receive
//! function's business wherever there is any doubt about them, TOAST is the heap's.

use std::cell::Cell;
use std::ffi::{CStr, c_int};

use pgmig_core::heap::deform::Attribute;
use pgmig_core::heap::form::{Column, Conversion, Receive, Refusal, Stored, TupleFormer};
use pgmig_core::heap::rows::RowReader;
use pgmig_core::{Error, Result};
use pgrx::pg_sys;
use pgrx::tupdesc::PgTupleDesc;

use super::catch::catch;
use super::heap_pages;

/// Rows and bytes that are inserted together.
const BATCH_ROWS: usize = 1000;
const BATCH_BYTES: usize = 256 * 1024;

/// Bytes of memory for tuples that are kept from one batch to the next.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// `toast_tuple_target` of a table that does not set it.
const DEFAULT_TOAST_TARGET: usize = 2032;

/// A table that is being loaded, open under a lock that the transaction keeps.
pub(super) struct HeapLoad {
    relation: pg_sys::Relation,
    former: TupleFormer,
    receivers: Receivers,
    batch: Batch,
    checks: Option<Checks>,
}

impl HeapLoad {
    /// For a table that the caller has open and may insert into; None if COPY has to load it.
    ///
    /// With `freeze` the rows are written frozen: the table's file must be one that the current
    /// transaction has made, which is checked.
    pub(super) fn open(
        relation: pg_sys::Relation,
        columns: &[String],
        freeze: bool,
    ) -> Option<Self> {
        if !is_plain(relation) {
            return None;
        }
        let definitions = read_columns(relation, columns)?;
        if freeze {
            require_new_file(relation);
        }
        let stored = definitions.iter().map(|definition| definition.column).collect();
        Some(HeapLoad {
            relation,
            former: TupleFormer::new(stored, toast_target(relation)),
            batch: Batch::new(freeze),
            checks: Checks::new(relation),
            receivers: Receivers::new(&definitions),
        })
    }

    /// Writes the rows of a stream and returns their number; raises what the server raises.
    ///
    /// `next_chunk` gives the stream's chunks, takes each back for the next one, and ends with None.
    pub(super) fn write(
        mut self,
        mut next_chunk: impl FnMut(Vec<u8>) -> Result<Option<Vec<u8>>>,
    ) -> Result<u64> {
        let progress = Progress::begin(self.relation);
        let context = Context::new();
        let mut rows = RowReader::new(|used| {
            // The next chunk may be long in coming.
            progress.report();
            next_chunk(used)
        });
        while let Some(row) = rows.next_row()? {
            progress.count(row.len());
            let tuples = &mut self.batch.bytes;
            let start = tuples.len();
            let formed = context.run(|| self.former.form(row, &mut self.receivers, tuples));
            match formed {
                Ok(length) => self.batch.lengths.push((start, length)),
                Err(refusal) => return Err(self.explain(refusal)),
            }
            if self.batch.is_full() {
                self.flush(&context);
            }
        }
        self.flush(&context);
        progress.end();
        Ok(progress.rows.get() as u64)
    }

    /// Inserts the batch at hand, and forgets what was allocated for it.
    fn flush(&mut self, context: &Context) {
        pgrx::check_for_interrupts!();
        if self.batch.lengths.is_empty() {
            return;
        }
        self.batch.store(self.relation);
        if let Some(checks) = &self.checks {
            self.batch.slots().iter().for_each(|slot| checks.run(*slot));
        }
        context.run(|| self.batch.insert(self.relation));
        self.batch.clear();
        context.reset();
    }

    /// The server's complaint about a row.
    fn explain(&self, refusal: Refusal) -> Error {
        let Refusal::Null(index) = refusal else {
            return Error::Protocol("a row does not have the table's columns".to_owned());
        };
        let column = column_name(self.relation, index);
        let complaint = catch::<()>(|| {
            pgrx::ereport!(
                ERROR,
                pgrx::PgSqlErrorCode::ERRCODE_NOT_NULL_VIOLATION,
                format!("null value in column \"{column}\" violates not-null constraint")
            );
        });
        match complaint {
            Err(error) => error,
            Ok(()) => Error::Internal("an error was not raised".to_owned()),
        }
    }
}

/// Whether nothing but the heap and constraints has to be told of new rows.
fn is_plain(relation: pg_sys::Relation) -> bool {
    // SAFETY: the relation is open.
    let (class, triggers, constraints) =
        unsafe { (&*(*relation).rd_rel, (*relation).trigdesc, (*(*relation).rd_att).constr) };
    // SAFETY: the descriptor's own.
    let is_generated = !constraints.is_null() && unsafe { (*constraints).has_generated_stored };
    // SAFETY: the relation is open; the list is ours.
    let indexes = unsafe { pg_sys::RelationGetIndexList(relation) };
    heap_pages::is_heap_table(relation)
        && triggers.is_null()
        && indexes.is_null()
        && !class.relhasrules
        && !is_generated
}

/// Raises unless the current subtransaction has made the table's file.
fn require_new_file(relation: pg_sys::Relation) {
    // SAFETY: inside a transaction.
    let current = unsafe { pg_sys::GetCurrentSubTransactionId() };
    // SAFETY: the relation is open.
    let created = unsafe { (*relation).rd_createSubid };
    if created != current && file_made_by(relation) != current {
        pgrx::error!("a table can be loaded with frozen rows only by who has truncated it");
    }
}

#[cfg(feature = "pg15")]
fn file_made_by(relation: pg_sys::Relation) -> pg_sys::SubTransactionId {
    // SAFETY: the relation is open.
    unsafe { (*relation).rd_newRelfilenodeSubid }
}

#[cfg(not(feature = "pg15"))]
fn file_made_by(relation: pg_sys::Relation) -> pg_sys::SubTransactionId {
    // SAFETY: the relation is open.
    unsafe { (*relation).rd_newRelfilelocatorSubid }
}

fn toast_target(relation: pg_sys::Relation) -> usize {
    // SAFETY: the relation is open; an ordinary table has options of this kind, or none.
    let options = unsafe { (*relation).rd_options }.cast::<pg_sys::StdRdOptions>();
    if options.is_null() {
        return DEFAULT_TOAST_TARGET;
    }
    // SAFETY: checked above.
    let target = unsafe { (*options).toast_tuple_target };
    usize::try_from(target).unwrap_or(DEFAULT_TOAST_TARGET)
}

/// A column and its type.
struct Definition {
    column: Column,
    type_oid: pg_sys::Oid,
    modifier: i32,
    is_by_value: bool,
}

/// The table's columns, with their places among `names`; None if one that is not dropped is missing
/// there, so that it has to get a default.
fn read_columns(relation: pg_sys::Relation, names: &[String]) -> Option<Vec<Definition>> {
    // SAFETY: the relation is open, and stays so while this is used.
    let descriptor = unsafe { PgTupleDesc::from_pg_unchecked((*relation).rd_att) };
    let is_utf8 = is_utf8_database();
    let default_is_pglz = process_setting(c"default_toast_compression") == "pglz";
    let mut count = 0;
    let mut definitions = Vec::with_capacity(descriptor.len());
    for index in 0..descriptor.len() {
        let attribute = descriptor.get(index)?;
        let field = names.iter().position(|name| name == attribute.name());
        let field = field.filter(|_| !attribute.attisdropped);
        if field.is_none() && !attribute.attisdropped {
            return None;
        }
        count += usize::from(field.is_some());
        let conversion =
            Conversion::of_type(attribute.atttypid.to_u32(), attribute.atttypmod, is_utf8);
        let is_pglz = match attribute.attcompression as u8 {
            b'p' => true,
            0 => default_is_pglz,
            _ => false,
        };
        let storage = attribute.attstorage as u8;
        definitions.push(Definition {
            column: Column {
                attribute: Attribute {
                    length: attribute.attlen,
                    alignment: heap_pages::alignment(attribute),
                },
                field,
                conversion,
                is_not_null: attribute.attnotnull,
                is_packable: storage != pg_sys::TYPSTORAGE_PLAIN,
                is_compressed: is_pglz && storage == pg_sys::TYPSTORAGE_EXTENDED,
            },
            type_oid: attribute.atttypid,
            modifier: attribute.atttypmod,
            is_by_value: attribute.attbyval,
        });
    }
    (count == names.len()).then_some(definitions)
}

fn column_name(relation: pg_sys::Relation, index: usize) -> String {
    // SAFETY: the relation is open, and stays so while this is used.
    let descriptor = unsafe { PgTupleDesc::from_pg_unchecked((*relation).rd_att) };
    descriptor.get(index).map(|attribute| attribute.name().to_owned()).unwrap_or_default()
}

fn is_utf8_database() -> bool {
    // SAFETY: a constant of the database.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    encoding == pg_sys::pg_enc::PG_UTF8 as c_int
}

fn process_setting(name: &CStr) -> String {
    // SAFETY: a parameter that every server has; the text is copied at once.
    let value = unsafe { pg_sys::GetConfigOption(name.as_ptr(), false, false) };
    // SAFETY: not null for a parameter that exists.
    unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned()
}

/// The receive functions of a table's columns.
struct Receivers {
    columns: Vec<Option<Receiver>>,
    /// The value on the wire with a zero byte behind it, as the functions expect it.
    input: Vec<u8>,
    /// A value that is passed around by value.
    word: [u8; 8],
}

struct Receiver {
    function: pg_sys::FmgrInfo,
    parameter: pg_sys::Oid,
    modifier: i32,
    length: i16,
    is_by_value: bool,
}

impl Receivers {
    fn new(definitions: &[Definition]) -> Self {
        let columns = definitions
            .iter()
            .map(|definition| definition.column.field.map(|_| Receiver::new(definition)))
            .collect();
        Receivers { columns, input: Vec::new(), word: [0; 8] }
    }
}

impl Receiver {
    fn new(definition: &Definition) -> Self {
        let (mut function_oid, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        // SAFETY: raises when the type has no such function.
        unsafe {
            pg_sys::getTypeBinaryInputInfo(definition.type_oid, &mut function_oid, &mut parameter)
        };
        let mut function = pg_sys::FmgrInfo::default();
        // SAFETY: looked up just now; what it allocates lives as long as the current context.
        unsafe { pg_sys::fmgr_info(function_oid, &mut function) };
        Receiver {
            function,
            parameter,
            modifier: definition.modifier,
            length: definition.column.attribute.length,
            is_by_value: definition.is_by_value,
        }
    }
}

impl Receive for Receivers {
    fn receive(&mut self, index: usize, value: Option<&[u8]>) -> Stored<'_> {
        let receiver = self.columns.get_mut(index)?.as_mut()?;
        let Some(value) = value else {
            // Domains have a say about NULL too, and raise it.
            // SAFETY: as COPY calls the function for NULL.
            unsafe {
                pg_sys::ReceiveFunctionCall(
                    &mut receiver.function,
                    std::ptr::null_mut(),
                    receiver.parameter,
                    receiver.modifier,
                )
            };
            return None;
        };
        self.input.clear();
        self.input.extend_from_slice(value);
        self.input.push(0);
        let mut message = pg_sys::StringInfoData {
            data: self.input.as_mut_ptr().cast(),
            len: value.len() as c_int,
            maxlen: self.input.len() as c_int,
            cursor: 0,
        };
        // SAFETY: the message outlives the call; raises on a wrong value.
        let datum = unsafe {
            pg_sys::ReceiveFunctionCall(
                &mut receiver.function,
                &mut message,
                receiver.parameter,
                receiver.modifier,
            )
        };
        if message.cursor != message.len {
            pgrx::ereport!(
                ERROR,
                pgrx::PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
                "incorrect binary data format"
            );
        }
        if receiver.is_by_value {
            self.word = datum.value().to_ne_bytes();
            return self.word.get(..usize::try_from(receiver.length).unwrap_or(0));
        }
        // SAFETY: a function that returns has made a value of its type.
        Some(unsafe { stored_bytes(datum, receiver.length) })
    }
}

/// The bytes of a value that is passed around by reference.
///
/// # Safety
/// The value must be one of a type of this length.
unsafe fn stored_bytes<'a>(datum: pg_sys::Datum, length: i16) -> &'a [u8] {
    let pointer = datum.cast_mut_ptr::<u8>();
    match usize::try_from(length) {
        // SAFETY: by contract.
        Ok(length) => unsafe { std::slice::from_raw_parts(pointer, length) },
        Err(_) if length == -1 => {
            // SAFETY: by contract.
            let is_elsewhere = unsafe { pgrx::varatt_is_1b_e(pointer.cast()) };
            let flat = match is_elsewhere {
                // SAFETY: a value that is not in one piece is made so.
                true => unsafe { pg_sys::pg_detoast_datum(pointer.cast()) },
                false => pointer.cast(),
            };
            // SAFETY: flat now, with a header that tells its length.
            unsafe { std::slice::from_raw_parts(flat.cast(), pgrx::varsize_any(flat)) }
        }
        // SAFETY: by contract a text that ends with zero.
        Err(_) => unsafe { CStr::from_ptr(pointer.cast()) }.to_bytes_with_nul(),
    }
}

/// Tuples that are inserted together.
struct Batch {
    bytes: Vec<u8>,
    /// Where each tuple begins, and its length.
    lengths: Vec<(usize, usize)>,
    headers: Vec<pg_sys::HeapTupleData>,
    slots: Vec<*mut pg_sys::TupleTableSlot>,
    state: pg_sys::BulkInsertState,
    command: pg_sys::CommandId,
    options: c_int,
}

impl Batch {
    fn new(freeze: bool) -> Self {
        let frozen = if freeze { pg_sys::HEAP_INSERT_FROZEN } else { 0 };
        Batch {
            bytes: Vec::new(),
            lengths: Vec::new(),
            headers: vec![pg_sys::HeapTupleData::default(); BATCH_ROWS],
            slots: Vec::new(),
            // SAFETY: a plain structure in the current memory context.
            state: unsafe { pg_sys::GetBulkInsertState() },
            // SAFETY: inside a transaction; marks the command as one that writes.
            command: unsafe { pg_sys::GetCurrentCommandId(true) },
            options: (pg_sys::HEAP_INSERT_SKIP_FSM | frozen) as c_int,
        }
    }

    fn is_full(&self) -> bool {
        self.lengths.len() == BATCH_ROWS || self.bytes.len() >= BATCH_BYTES
    }

    /// The slots that hold the tuples stored last.
    fn slots(&self) -> &[*mut pg_sys::TupleTableSlot] {
        &self.slots[..self.lengths.len()]
    }

    /// Puts the tuples into slots, of which there are as many as were ever needed at once.
    fn store(&mut self, relation: pg_sys::Relation) {
        // SAFETY: the relation is open; the descriptor stays valid while it is.
        let descriptor = unsafe { (*relation).rd_att };
        while self.slots.len() < self.lengths.len() {
            // SAFETY: as above.
            self.slots.push(unsafe {
                pg_sys::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsHeapTuple)
            });
        }
        let base = self.bytes.as_mut_ptr();
        if base.align_offset(8) != 0 {
            pgrx::error!("memory for tuples is not aligned");
        }
        for (index, (start, length)) in self.lengths.iter().enumerate() {
            let header = &mut self.headers[index];
            header.t_len = *length as u32;
            // SAFETY: the tuple lies within the bytes, and begins at a multiple of 8.
            header.t_data = unsafe { base.add(*start) }.cast();
            // SAFETY: slot, header and tuple live until the batch is cleared.
            unsafe { pg_sys::ExecStoreHeapTuple(header, self.slots[index], false) };
        }
    }

    /// Inserts the stored tuples.
    fn insert(&mut self, relation: pg_sys::Relation) {
        // SAFETY: that many slots hold tuples; raises on failure.
        unsafe {
            pg_sys::heap_multi_insert(
                relation,
                self.slots.as_mut_ptr(),
                self.lengths.len() as c_int,
                self.command,
                self.options,
                self.state,
            )
        };
    }

    /// Empties the slots and forgets the tuples.
    fn clear(&mut self) {
        for slot in self.slots() {
            // SAFETY: a slot of ours with operations of its kind.
            unsafe {
                if let Some(clear) = (*(**slot).tts_ops).clear {
                    clear(*slot);
                }
            }
        }
        self.lengths.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for slot in &self.slots {
            // SAFETY: made by `new`, dropped only here; gives up its reference to the descriptor.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(*slot) };
        }
        // SAFETY: made by `new`, freed only here; gives up its pin of a buffer.
        unsafe { pg_sys::FreeBulkInsertState(self.state) };
    }
}

/// Checks and partition bounds of a table, as the executor asks them.
struct Checks {
    state: *mut pg_sys::EState,
    table: *mut pg_sys::ResultRelInfo,
    has_constraints: bool,
    is_partition: bool,
}

impl Checks {
    /// None if there are none.
    fn new(relation: pg_sys::Relation) -> Option<Self> {
        // SAFETY: the relation is open.
        let (constraints, class) = unsafe { ((*(*relation).rd_att).constr, &*(*relation).rd_rel) };
        // SAFETY: the descriptor's own.
        let has_constraints = !constraints.is_null() && unsafe { (*constraints).num_check } > 0;
        if !has_constraints && !class.relispartition {
            return None;
        }
        // SAFETY: allocated in the current memory context, which outlives the load.
        let state = unsafe { pg_sys::CreateExecutorState() };
        let size = size_of::<pg_sys::ResultRelInfo>();
        // SAFETY: as above.
        let table = unsafe { pg_sys::palloc0(size) }.cast::<pg_sys::ResultRelInfo>();
        // SAFETY: just allocated.
        unsafe { (*table).type_ = pg_sys::NodeTag::T_ResultRelInfo };
        // SAFETY: a relation outside any query, which is what number 0 stands for.
        unsafe { pg_sys::InitResultRelInfo(table, relation, 0, std::ptr::null_mut(), 0) };
        Some(Checks { state, table, has_constraints, is_partition: class.relispartition })
    }

    /// Raises if the row violates one.
    fn run(&self, slot: *mut pg_sys::TupleTableSlot) {
        if self.has_constraints {
            // SAFETY: the slot holds a row of the table.
            unsafe { pg_sys::ExecConstraints(self.table, slot, self.state) };
        }
        if self.is_partition {
            // SAFETY: as above.
            unsafe { pg_sys::ExecPartitionCheck(self.table, slot, self.state, true) };
        }
        // SAFETY: made by the first check that evaluates something.
        let context = unsafe { (*self.state).es_per_tuple_exprcontext };
        if !context.is_null() {
            // SAFETY: nothing refers to the row's intermediate results any more.
            unsafe { pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory) };
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed only here.
        unsafe { pg_sys::FreeExecutorState(self.state) };
    }
}

/// What `pg_stat_progress_copy` shows; rows count when they have arrived.
struct Progress {
    rows: Cell<i64>,
    bytes: Cell<i64>,
}

impl Progress {
    fn begin(relation: pg_sys::Relation) -> Self {
        // SAFETY: for this session's own entry; the relation is open.
        unsafe {
            pg_sys::pgstat_progress_start_command(
                pg_sys::ProgressCommandType::PROGRESS_COMMAND_COPY,
                (*relation).rd_id,
            )
        };
        let kinds = [
            (pg_sys::PROGRESS_COPY_COMMAND, pg_sys::PROGRESS_COPY_COMMAND_FROM),
            (pg_sys::PROGRESS_COPY_TYPE, pg_sys::PROGRESS_COPY_TYPE_CALLBACK),
        ];
        for (parameter, value) in kinds {
            heap_pages::report_progress(parameter, i64::from(value));
        }
        Progress { rows: Cell::new(0), bytes: Cell::new(0) }
    }

    fn count(&self, bytes: usize) {
        self.rows.set(self.rows.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as i64);
    }

    fn report(&self) {
        heap_pages::report_progress(pg_sys::PROGRESS_COPY_BYTES_PROCESSED, self.bytes.get());
        heap_pages::report_progress(pg_sys::PROGRESS_COPY_TUPLES_PROCESSED, self.rows.get());
    }

    fn end(&self) {
        // SAFETY: for this session's own entry.
        unsafe { pg_sys::pgstat_progress_end_command() };
    }
}

/// Memory for what lives no longer than a batch; gone with the transaction if an error is raised.
struct Context(pg_sys::MemoryContext);

impl Context {
    fn new() -> Self {
        // SAFETY: a child of the current context.
        Context(unsafe {
            pg_sys::AllocSetContextCreateExtended(
                pg_sys::CurrentMemoryContext,
                c"pgmig batch".as_ptr(),
                0,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        })
    }

    /// Runs `work` with this as the current context. After an error the context that was current is
    /// put back by who catches it.
    fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        // SAFETY: the context lives as long as this.
        let outer = unsafe { pg_sys::MemoryContextSwitchTo(self.0) };
        let value = work();
        // SAFETY: the context that was current before.
        unsafe { pg_sys::MemoryContextSwitchTo(outer) };
        value
    }

    /// Frees everything in it.
    fn reset(&self) {
        // SAFETY: nothing refers to what is in it.
        unsafe { pg_sys::MemoryContextReset(self.0) };
    }
}
