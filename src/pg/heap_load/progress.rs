//! What other sessions see of a load.

use std::cell::Cell;

use pgrx::pg_sys;

use crate::pg::heap_pages;

/// What `pg_stat_progress_copy` shows; rows count when they have arrived.
pub(super) struct Progress {
    pub(super) rows: Cell<i64>,
    bytes: Cell<i64>,
}

impl Progress {
    pub(super) fn begin(relation: pg_sys::Relation) -> Self {
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

    pub(super) fn count(&self, bytes: usize) {
        self.rows.set(self.rows.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as i64);
    }

    pub(super) fn report(&self) {
        heap_pages::report_progress(pg_sys::PROGRESS_COPY_BYTES_PROCESSED, self.bytes.get());
        heap_pages::report_progress(pg_sys::PROGRESS_COPY_TUPLES_PROCESSED, self.rows.get());
    }

    pub(super) fn end(&self) {
        // SAFETY: for this session's own entry.
        unsafe { pg_sys::pgstat_progress_end_command() };
    }
}
