//! Tuples on their way into the heap, and the memory that goes with them.

use std::ffi::c_int;

use pgrx::pg_sys;

/// Rows and bytes that are inserted together.
const BATCH_ROWS: usize = 1000;
const BATCH_BYTES: usize = 256 * 1024;

/// Where tuples begin, and slots want them to.
const ALIGNMENT: usize = 8;

/// Bytes of memory for tuples that are kept from one batch to the next.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// Tuples that are inserted together.
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where each tuple begins, and its length.
    pub(super) lengths: Vec<(usize, usize)>,
    headers: Vec<pg_sys::HeapTupleData>,
    slots: Vec<*mut pg_sys::TupleTableSlot>,
    state: pg_sys::BulkInsertState,
    pub(super) command: pg_sys::CommandId,
    pub(super) options: c_int,
}

impl Batch {
    pub(super) fn new(freeze: bool) -> Self {
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

    pub(super) fn is_full(&self) -> bool {
        self.lengths.len() == BATCH_ROWS || self.bytes.len() >= BATCH_BYTES
    }

    /// The slots that hold the tuples stored last.
    pub(super) fn slots(&self) -> &[*mut pg_sys::TupleTableSlot] {
        &self.slots[..self.lengths.len()]
    }

    /// A tuple in the server's form, which lives until the batch is cleared.
    pub(super) fn header(&mut self, index: usize) -> &mut pg_sys::HeapTupleData {
        let (start, length) = self.lengths[index];
        let base = self.bytes.as_mut_ptr();
        if base.align_offset(ALIGNMENT) != 0 {
            pgrx::error!("memory for tuples is not aligned");
        }
        let header = &mut self.headers[index];
        header.t_len = length as u32;
        // SAFETY: the tuple lies within the bytes, and begins at a multiple of 8.
        header.t_data = unsafe { base.add(start) }.cast();
        header
    }

    /// Puts the tuples into slots, of which there are as many as were ever needed at once.
    pub(super) fn store(&mut self, relation: pg_sys::Relation) {
        // SAFETY: the relation is open; the descriptor stays valid while it is.
        let descriptor = unsafe { (*relation).rd_att };
        while self.slots.len() < self.lengths.len() {
            // SAFETY: as above.
            self.slots.push(unsafe {
                pg_sys::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsHeapTuple)
            });
        }
        for index in 0..self.lengths.len() {
            let slot = self.slots[index];
            // SAFETY: slot, header and tuple live until the batch is cleared.
            unsafe { pg_sys::ExecStoreHeapTuple(self.header(index), slot, false) };
        }
    }

    /// Takes the tuples over from the slots, in which they have changed.
    pub(super) fn take_back(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for (slot, place) in self.slots.iter().zip(&mut self.lengths) {
            let mut is_copy = false;
            // SAFETY: the slot holds a row, of which it keeps the tuple.
            let tuple = unsafe { &*pg_sys::ExecFetchSlotHeapTuple(*slot, true, &mut is_copy) };
            let length = tuple.t_len as usize;
            // SAFETY: the tuple has this length.
            let tuple = unsafe { std::slice::from_raw_parts(tuple.t_data.cast::<u8>(), length) };
            *place = (bytes.len(), length);
            bytes.extend_from_slice(tuple);
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        }
        self.bytes = bytes;
    }

    /// Inserts the stored tuples.
    pub(super) fn insert(&mut self, relation: pg_sys::Relation) {
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
    pub(super) fn clear(&mut self) {
        for slot in self.slots.iter().take(self.lengths.len()) {
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

/// Memory for what lives no longer than a batch; gone with the transaction if an error is raised.
pub(super) struct Context(pg_sys::MemoryContext);

impl Context {
    pub(super) fn new() -> Self {
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
    pub(super) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        // SAFETY: the context lives as long as this.
        let outer = unsafe { pg_sys::MemoryContextSwitchTo(self.0) };
        let value = work();
        // SAFETY: the context that was current before.
        unsafe { pg_sys::MemoryContextSwitchTo(outer) };
        value
    }

    /// Frees everything in it.
    pub(super) fn reset(&self) {
        // SAFETY: nothing refers to what is in it.
        unsafe { pg_sys::MemoryContextReset(self.0) };
    }
}
