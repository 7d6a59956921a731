//! Errors across the boundary: the server's become ours, ours become the server's.

use std::panic::AssertUnwindSafe;

use pgmig_core::error::TargetError;
use pgmig_core::{Error, Result};
use pgrx::pg_sys::panic::{CaughtError, ErrorReport, ErrorReportWithLevel};
use pgrx::{PgSqlErrorCode, PgTryBuilder};

/// Runs `work` and turns an ERROR of the server, or a panic, into `Error::Target`.
///
/// Like `PG_TRY` this ends no transaction: the caller must abort the one at work.
pub fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_others(|cause| Err(convert_caught(cause)))
        .catch_rust_panic(|cause| Err(convert_caught(cause)))
        .execute()
}

/// Calls functions of the server that pgmig declares itself: an ERROR in one unwinds from here, as it does
/// from those of the bindings, instead of jumping over Rust's frames.
///
/// # Safety
/// As the functions called; the call must leave nothing to be dropped where an ERROR can come.
pub(super) unsafe fn guard<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: by contract; this is the main thread, which alone may call the server.
    unsafe { pgrx::pg_sys::ffi::pg_guard_ffi_boundary(call) }
}

fn convert_caught(cause: CaughtError) -> Error {
    match cause {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
            convert_report(&report)
        }
        CaughtError::RustPanic { ereport, .. } => convert_report(&ereport),
    }
}

fn convert_report(report: &ErrorReportWithLevel) -> Error {
    Error::Target(Box::new(TargetError {
        sqlstate: decode_sqlstate(report.sql_error_code() as i32),
        message: report.message().to_owned(),
        detail: report.detail().map(str::to_owned),
        hint: report.hint().map(str::to_owned),
        ..TargetError::default()
    }))
}

/// Unpacks the server's integer form of a SQLSTATE: five characters of six bits, lowest first.
fn decode_sqlstate(code: i32) -> String {
    (0..5).map(|i| char::from(((code >> (6 * i)) & 0x3f) as u8 + b'0')).collect()
}

/// Packs five characters into the server's integer form.
fn encode_sqlstate(sqlstate: &str) -> i32 {
    sqlstate
        .bytes()
        .take(5)
        .enumerate()
        .map(|(i, c)| i32::from(c.wrapping_sub(b'0') & 0x3f) << (6 * i))
        .sum()
}

/// Turns `error` into a report that the server raises with its SQLSTATE, detail and hint.
pub fn report(error: Error) -> ErrorReport {
    let code = PgSqlErrorCode::from(encode_sqlstate(error.sqlstate()) as isize);
    let mut report = ErrorReport::new(code, error.to_string(), "pgmig");
    if let Some(detail) = error.detail() {
        report = report.set_detail(detail);
    }
    if let Some(hint) = error.hint() {
        report = report.set_hint(hint);
    }
    report
}
