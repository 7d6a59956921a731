//! What the executor does about new rows: generated columns, checks and partition bounds.

use pgrx::pg_sys;

use crate::pg::catch::guard;

unsafe extern "C-unwind" {
    fn ExecComputeStoredGenerated(
        table: *mut pg_sys::ResultRelInfo,
        state: *mut pg_sys::EState,
        slot: *mut pg_sys::TupleTableSlot,
        command: pg_sys::CmdType::Type,
    );
}

/// Generated columns, checks and partition bounds of a table, as the executor sees to them.
pub(super) struct Checks {
    state: *mut pg_sys::EState,
    table: *mut pg_sys::ResultRelInfo,
    has_constraints: bool,
    is_partition: bool,
    is_generated: bool,
}

impl Checks {
    /// None if there are none.
    pub(super) fn new(relation: pg_sys::Relation) -> Option<Self> {
        // SAFETY: the relation is open.
        let (constraints, class) = unsafe { ((*(*relation).rd_att).constr, &*(*relation).rd_rel) };
        // SAFETY: the descriptor's own.
        let is_generated = !constraints.is_null() && unsafe { (*constraints).has_generated_stored };
        // SAFETY: as above. A generated column may also be one that must not be NULL.
        let has_constraints =
            is_generated || !constraints.is_null() && unsafe { (*constraints).num_check } > 0;
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
        let is_partition = class.relispartition;
        Some(Checks { state, table, has_constraints, is_partition, is_generated })
    }

    /// Whether the table has generated columns, so that rows change.
    pub(super) fn is_generated(&self) -> bool {
        self.is_generated
    }

    /// Computes the generated columns of a row, and raises if it violates something.
    pub(super) fn run(&self, slot: *mut pg_sys::TupleTableSlot) {
        if self.is_generated {
            // SAFETY: the slot holds a row of the table, and a longer-lived one after that.
            unsafe {
                let command = pg_sys::CmdType::CMD_INSERT;
                guard(|| ExecComputeStoredGenerated(self.table, self.state, slot, command))
            };
        }
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
