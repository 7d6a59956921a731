//! What an index holds of a row if that has to be computed: expressions, and conditions of any kind.
//!
//! Rows are computed with one by one, by the executor, as when the server builds the index.

use pgmig_core::heap::page::Tuple;
use pgrx::pg_sys;
use pgrx::tupdesc::PgTupleDesc;

use crate::pg::heap_pages::{self, Unusual};

/// Columns that an index can have.
const MOST_COLUMNS: usize = pg_sys::INDEX_MAX_KEYS as usize;

/// Computes what the columns of an index are for rows of its table.
pub(super) struct Evaluator {
    table: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
    state: *mut pg_sys::EState,
    context: *mut pg_sys::ExprContext,
    condition: *mut pg_sys::ExprState,
    slot: *mut pg_sys::TupleTableSlot,
    /// The row, aligned as one must be, and its server's form.
    row: Vec<u64>,
    header: pg_sys::HeapTupleData,
    /// How each column is stored, and its value.
    forms: Vec<Form>,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

/// How values of a type are passed on: `typlen` and `typbyval`.
#[derive(Clone, Copy)]
struct Form {
    length: i16,
    is_by_value: bool,
}

impl Evaluator {
    /// # Safety
    /// Both relations must be open, and `info` must describe the index, as long as this lives.
    pub(super) unsafe fn new(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        info: *mut pg_sys::IndexInfo,
    ) -> Self {
        // SAFETY: by contract; all that is made here goes with the state.
        let (state, descriptor, index_descriptor) =
            unsafe { (pg_sys::CreateExecutorState(), (*table).rd_att, (*index).rd_att) };
        // SAFETY: a heap table's descriptor.
        let slot = unsafe {
            pg_sys::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsHeapTuple)
        };
        // SAFETY: the state is new, and keeps the context for its rows.
        let context = unsafe { pg_sys::MakePerTupleExprContext(state) };
        // SAFETY: as above; the condition is one of the table's columns.
        let condition = unsafe {
            (*context).ecxt_scantuple = slot;
            pg_sys::ExecPrepareQual((*info).ii_Predicate, state)
        };
        // SAFETY: by contract.
        let columns = unsafe { PgTupleDesc::from_pg_unchecked(index_descriptor) };
        let forms: Vec<Form> = (0..columns.len())
            .filter_map(|position| columns.get(position))
            .map(|column| Form { length: column.attlen, is_by_value: column.attbyval })
            .collect();
        Evaluator {
            table,
            info,
            state,
            context,
            condition,
            slot,
            row: Vec::new(),
            header: pg_sys::HeapTupleData::default(),
            values: vec![pg_sys::Datum::null(); MOST_COLUMNS],
            nulls: vec![false; MOST_COLUMNS],
            forms,
        }
    }

    /// Calls `each` with the stored forms of the columns for a row, None for NULL, unless the index is not to
    /// have it. Raises what the server raises.
    pub(super) fn evaluate(
        &mut self,
        tuple: Tuple<'_>,
        (block, offset): (u32, u16),
        each: impl FnOnce(&[Option<&[u8]>]) -> Result<(), Unusual>,
    ) -> Result<(), Unusual> {
        let bytes = tuple.bytes();
        self.row.clear();
        self.row.resize(bytes.len().div_ceil(size_of::<u64>()), 0);
        // SAFETY: as many bytes, at least.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.row.as_mut_ptr().cast(), bytes.len())
        };
        self.header = pg_sys::HeapTupleData {
            t_len: bytes.len() as u32,
            t_self: heap_pages::tid(block, offset),
            // SAFETY: the table is open.
            t_tableOid: unsafe { (*self.table).rd_id },
            t_data: self.row.as_mut_ptr().cast(),
        };
        // SAFETY: nothing of the row before is in use; the row stays as it is until the next one.
        let outer = unsafe {
            pg_sys::MemoryContextReset((*self.context).ecxt_per_tuple_memory);
            pg_sys::ExecStoreHeapTuple(&mut self.header, self.slot, false);
            pg_sys::MemoryContextSwitchTo((*self.context).ecxt_per_tuple_memory)
        };
        // SAFETY: no condition is one that holds.
        let is_wanted = unsafe { pg_sys::ExecQual(self.condition, self.context) };
        if is_wanted {
            // SAFETY: as many places as an index can have columns.
            unsafe {
                pg_sys::FormIndexDatum(
                    self.info,
                    self.slot,
                    self.state,
                    self.values.as_mut_ptr(),
                    self.nulls.as_mut_ptr(),
                )
            };
        }
        let mut stored = [None; MOST_COLUMNS];
        if is_wanted {
            let columns = self.forms.iter().zip(&self.values).zip(&self.nulls);
            for (((form, value), is_null), stored) in columns.zip(&mut stored) {
                // SAFETY: a value of the column's type, which lives as long as the row.
                *stored = (!is_null).then(|| unsafe { form.stored(value) });
            }
        }
        // SAFETY: the context that was current before.
        unsafe { pg_sys::MemoryContextSwitchTo(outer) };
        if is_wanted { each(&stored[..self.forms.len()]) } else { Ok(()) }
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        // The error that was raised is still to be reported, in the memory of the row; the abort frees all.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: made by `new`; the description of the index must not refer to what goes.
        unsafe {
            (*self.info).ii_ExpressionsState = std::ptr::null_mut();
            (*self.info).ii_PredicateState = std::ptr::null_mut();
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::FreeExecutorState(self.state);
        }
    }
}

impl Form {
    /// The bytes of a value as they are stored, with their header if they are of variable length.
    ///
    /// # Safety
    /// The value must be of the type, and what is returned must not outlive it.
    unsafe fn stored(self, value: &pg_sys::Datum) -> &[u8] {
        if self.is_by_value {
            let length = usize::try_from(self.length).unwrap_or(0).min(size_of::<pg_sys::Datum>());
            // SAFETY: the lowest bytes come first, on the machines that this runs on.
            return unsafe { std::slice::from_raw_parts((&raw const *value).cast(), length) };
        }
        let bytes = value.cast_mut_ptr::<u8>();
        // SAFETY: by contract; -1 stands for a header that tells the length.
        let length = usize::try_from(self.length)
            .unwrap_or_else(|_| unsafe { pgrx::varsize_any(bytes.cast()) });
        // SAFETY: the value has this length.
        unsafe { std::slice::from_raw_parts(bytes, length) }
    }
}
