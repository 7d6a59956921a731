//! Statements on the target, through SPI.

use std::ffi::CString;

use pgmig_core::{Error, Result};
use pgrx::pg_sys;
use pgrx::spi::Spi;

/// Rows fetched from a cursor at a time: enough to hide the call, few enough to stay small.
const FETCH_ROWS: i64 = 1000;

/// Runs one utility or DML statement; the server's ERROR is raised.
pub fn execute(sql: &str) {
    let sql = c_string(sql);
    with_spi(|| {
        // SAFETY: connected; the text outlives the call.
        let code = unsafe { pg_sys::SPI_execute(sql.as_ptr(), false, 0) };
        if code < 0 {
            pgrx::error!("SPI_execute failed with code {code}");
        }
    });
}

/// Runs a query that returns one text column and calls `each` with every value that is not NULL.
pub fn for_each_text(sql: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    Spi::connect(|client| {
        let mut cursor = client.open_cursor(sql, &[]);
        loop {
            let rows = cursor.fetch(FETCH_ROWS).map_err(spi_error)?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                if let Some(text) = row.get::<&str>(1).map_err(spi_error)? {
                    each(text)?;
                }
            }
        }
    })
}

/// Runs a read-only query under the newest snapshot, whatever the transaction's isolation level, so
/// that it sees what other sessions have committed meanwhile; returns its one text column.
pub fn select_latest(sql: &str) -> Vec<String> {
    let sql = c_string(sql);
    let mut values = Vec::new();
    // SAFETY: drops this process's copy of who is connected, which would last for the transaction.
    unsafe { pg_sys::pgstat_clear_backend_activity_snapshot() };
    // SAFETY: inside a transaction.
    let snapshot = unsafe { pg_sys::GetLatestSnapshot() };
    // SAFETY: popped below, or by the abort if the query raises.
    unsafe { pg_sys::PushActiveSnapshot(snapshot) };
    with_spi(|| {
        // SAFETY: connected; read-only, so that the pushed snapshot is the one used.
        let code = unsafe { pg_sys::SPI_execute(sql.as_ptr(), true, 0) };
        if code != pg_sys::SPI_OK_SELECT as i32 {
            pgrx::error!("SPI_execute failed with code {code}");
        }
        // SAFETY: set by the successful select above.
        let table = unsafe { pg_sys::SPI_tuptable };
        // SAFETY: as above.
        let count = unsafe { pg_sys::SPI_processed } as usize;
        for i in 0..count {
            // SAFETY: i is below the number of rows.
            let tuple = unsafe { *(*table).vals.add(i) };
            // SAFETY: the row has at least one column.
            let value = unsafe { pg_sys::SPI_getvalue(tuple, (*table).tupdesc, 1) };
            if !value.is_null() {
                // SAFETY: a zero-terminated string palloc'd by SPI_getvalue.
                let text = unsafe { std::ffi::CStr::from_ptr(value) };
                values.push(text.to_string_lossy().into_owned());
            }
        }
    });
    // SAFETY: pops what was pushed above.
    unsafe { pg_sys::PopActiveSnapshot() };
    values
}

/// Runs `work` between SPI_connect and SPI_finish; if it raises, the transaction's abort finishes.
fn with_spi(work: impl FnOnce()) {
    // SAFETY: raises on failure.
    unsafe { pg_sys::SPI_connect() };
    work();
    // SAFETY: connected above.
    unsafe { pg_sys::SPI_finish() };
}

fn c_string(sql: &str) -> CString {
    CString::new(sql).unwrap_or_else(|_| pgrx::error!("a statement contains a zero byte"))
}

/// An SPI failure that is not the server's ERROR: a type that does not fit and the like.
pub fn spi_error(error: pgrx::spi::SpiError) -> Error {
    Error::Internal(format!("SPI: {error}"))
}
