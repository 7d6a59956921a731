//! The SQL functions: parse, call, convert the error.

// The shapes of results are pgrx's: rows spelled out in place, errors as its `ErrorReport`.
#![allow(clippy::result_large_err, clippy::type_complexity)]

use std::time::Duration;

use pgmig_core::Error;
use pgmig_core::options::Options;
use pgrx::JsonB;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::pg::{catch, process};
use crate::run::cleanup;
use crate::run::launch::{self, Request, Started};
use crate::run::source_spec::{self, SourceSpec};
use crate::run::state::{RunId, RunKind, RunStatus, State};

extension_sql_file!("../sql/schema.sql", name = "schema", bootstrap);
extension_sql_file!("../sql/views.sql", name = "views", finalize);

/// Copies the source database into this one and returns the validation table.
#[pg_extern(volatile, parallel_unsafe)]
fn migrate(
    source: &str,
    opts: default!(JsonB, "'{}'"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(table_schema, String),
            name!(table_name, String),
            name!(source_rows, Option<i64>),
            name!(target_rows, Option<i64>),
            name!(source_checksum, Option<String>),
            name!(target_checksum, Option<String>),
            name!(bytes_copied, i64),
            name!(elapsed, Option<Interval>),
            name!(status, String),
            name!(detail, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let (run, status) = conduct_run(RunKind::Migrate, source, &opts)?;
    Ok(TableIterator::new(validation(run, status)?))
}

/// Compares the source database with this one as they stand, without copying.
#[pg_extern(volatile, parallel_unsafe)]
fn validate(
    source: &str,
    opts: default!(JsonB, "'{}'"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(table_schema, String),
            name!(table_name, String),
            name!(source_rows, Option<i64>),
            name!(target_rows, Option<i64>),
            name!(source_checksum, Option<String>),
            name!(target_checksum, Option<String>),
            name!(bytes_copied, i64),
            name!(elapsed, Option<Interval>),
            name!(status, String),
            name!(detail, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let (run, status) = conduct_run(RunKind::Validate, source, &opts)?;
    Ok(TableIterator::new(validation(run, status)?))
}

/// Starts a run and returns its number at once; it goes on when the caller disconnects.
#[pg_extern(volatile, parallel_unsafe)]
fn start(source: &str, opts: default!(JsonB, "'{}'")) -> Result<i64, ErrorReport> {
    let (started, _) = start_run(RunKind::Migrate, source, &opts)?;
    Ok(started.release())
}

/// Waits for a run to end and returns its validation table.
#[pg_extern(volatile, parallel_unsafe)]
fn wait(
    run_id: i64,
    timeout: default!(Option<Interval>, "null"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(table_schema, String),
            name!(table_name, String),
            name!(source_rows, Option<i64>),
            name!(target_rows, Option<i64>),
            name!(source_checksum, Option<String>),
            name!(target_checksum, Option<String>),
            name!(bytes_copied, i64),
            name!(elapsed, Option<Interval>),
            name!(status, String),
            name!(detail, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let timeout = timeout.map(|timeout| {
        Duration::from_micros(u64::try_from(timeout.as_micros().max(0)).unwrap_or(u64::MAX))
    });
    let status = launch::wait(run_id, timeout, Duration::ZERO).map_err(catch::report)?;
    if status.is_live() {
        return Err(catch::report(Error::Preflight {
            message: format!("run {run_id} has not ended within the timeout"),
            detail: None,
            hint: Some("The run goes on; pgmig.runs shows how far it is.".to_owned()),
            sqlstate: "57014",
        }));
    }
    Ok(TableIterator::new(validation(run_id, status)?))
}

/// Finishes a run that failed, was cancelled or interrupted, and returns its validation table.
#[pg_extern(volatile, parallel_unsafe)]
fn resume(
    run_id: i64,
    source: default!(Option<&str>, "null"),
    opts: default!(JsonB, "'{}'"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(table_schema, String),
            name!(table_name, String),
            name!(source_rows, Option<i64>),
            name!(target_rows, Option<i64>),
            name!(source_checksum, Option<String>),
            name!(target_checksum, Option<String>),
            name!(bytes_copied, i64),
            name!(elapsed, Option<Interval>),
            name!(status, String),
            name!(detail, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let resumed = resume_run(run_id, source, &opts).map_err(catch::report)?;
    let status = match resumed {
        Some((started, progress)) => launch::attend(&started, progress).map_err(catch::report)?,
        None => launch::wait(run_id, None, Duration::ZERO).map_err(catch::report)?,
    };
    Ok(TableIterator::new(validation(run_id, status)?))
}

/// Removes what a run that did not end well has made, as far as nobody has changed it since.
#[pg_extern(volatile, parallel_unsafe)]
fn cleanup(
    run_id: i64,
) -> Result<
    TableIterator<
        'static,
        (name!(object, String), name!(action, String), name!(reason, Option<String>)),
    >,
    ErrorReport,
> {
    let lines = catch::catch(|| cleanup::clean_up(run_id)).map_err(catch::report)?;
    Ok(TableIterator::new(
        lines
            .into_iter()
            .map(|(object, action, reason)| (object, action.as_str().to_owned(), reason)),
    ))
}

/// The state of a run as it is now, for the view `runs`.
#[pg_extern(volatile, parallel_unsafe)]
fn run_state(run_id: i64) -> Option<String> {
    State::open().ok()?.read_state(run_id, process::current_user())
}

/// Cancels a run; false if it had ended already.
#[pg_extern(volatile, parallel_unsafe)]
fn cancel(run_id: i64) -> Result<bool, ErrorReport> {
    launch::cancel(run_id).map_err(catch::report)
}

/// Dry run: every step that `migrate` would take, nothing done.
#[pg_extern(volatile, parallel_unsafe)]
fn plan(
    source: &str,
    opts: default!(JsonB, "'{}'"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(step, i32),
            name!(phase, String),
            name!(kind, String),
            name!(object, String),
            name!(sql, Option<String>),
            name!(rows_expected, i64),
            name!(bytes_expected, i64),
            name!(depends_on, Vec<i32>),
        ),
    >,
    ErrorReport,
> {
    let (run, status) = conduct_run(RunKind::Plan, source, &opts)?;
    if let Some(error) = launch::failure(run, status) {
        return Err(catch::report(error));
    }
    let rows = State::open().and_then(|state| state.read_plan(run)).map_err(catch::report)?;
    Ok(TableIterator::new(rows.into_iter().map(|row| {
        let phase = row.phase();
        let sql = row.sql();
        (
            row.step,
            phase.to_owned(),
            row.kind,
            row.object,
            sql,
            row.rows_expected,
            row.bytes_expected,
            row.depends_on,
        )
    })))
}

/// Checks the arguments and starts a run; returns it and the time between two NOTICEs.
fn start_run(
    kind: RunKind,
    source: &str,
    opts: &JsonB,
) -> Result<(Started, Duration), ErrorReport> {
    let begin = || {
        let options = Options::parse(&opts.0)?;
        let (source, server) = source_spec::resolve(source)?;
        launch_run(kind, source, server, &options, None)
    };
    begin().map_err(catch::report)
}

/// Hands a run to a coordinator.
fn launch_run(
    kind: RunKind,
    source: SourceSpec,
    server: Option<String>,
    options: &Options,
    resumed: Option<RunId>,
) -> pgmig_core::Result<(Started, Duration)> {
    let request = Request {
        kind,
        source,
        server,
        options: options.to_json()?.to_string(),
        resumed,
        is_superuser: process::is_superuser(process::current_user()),
    };
    Ok((launch::start(&request)?, options.progress))
}

/// Takes a run up again; None if it has ended well already.
fn resume_run(
    run: RunId,
    source: Option<&str>,
    opts: &JsonB,
) -> pgmig_core::Result<Option<(Started, Duration)>> {
    let status = launch::find(&State::open()?, run)?;
    let refuse = |message: String, hint: &str| {
        Err(Error::Preflight {
            message,
            detail: None,
            hint: Some(hint.to_owned()),
            sqlstate: "55000",
        })
    };
    if status.kind != RunKind::Migrate {
        return refuse(
            format!("run {run} copies nothing, so there is nothing to resume"),
            "Start a new one.",
        );
    }
    let options = Options::parse(&status.options)?.resume_with(&opts.0)?;
    match status.state.as_str() {
        "done" | "mismatch" => {
            notice!("run {run} has ended already: {}", status.state);
            return Ok(None);
        }
        "planning" | "running" => return Err(launch::not_resumable(run)),
        _ => {}
    }
    let Some(source) = source.or(status.server.as_deref()) else {
        return refuse(
            format!("the source of run {run} is needed again"),
            "Give the connection string as the second argument: pgmig keeps none. A run whose source \
             was the name of a foreign server needs nothing.",
        );
    };
    let (source, server) = source_spec::resolve(source)?;
    launch_run(status.kind, source, server, &options, Some(run)).map(Some)
}

/// Starts a run and waits for its end.
fn conduct_run(
    kind: RunKind,
    source: &str,
    opts: &JsonB,
) -> Result<(RunId, RunStatus), ErrorReport> {
    let (started, progress) = start_run(kind, source, opts)?;
    let status = launch::attend(&started, progress).map_err(catch::report)?;
    Ok((started.run(), status))
}

/// One row of the validation table, in the order of the functions' columns.
type ValidationTuple = (
    String,
    String,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    i64,
    Option<Interval>,
    String,
    Option<String>,
);

/// The validation table of an ended run; raises if the run failed, warns if tables differ.
fn validation(
    run: RunId,
    status: RunStatus,
) -> Result<impl Iterator<Item = ValidationTuple> + use<>, ErrorReport> {
    let is_mismatch = status.state == "mismatch";
    if let Some(error) = launch::failure(run, status) {
        return Err(catch::report(error));
    }
    let rows = State::open().and_then(|state| state.read_validation(run)).map_err(catch::report)?;
    if is_mismatch {
        let count = rows.iter().filter(|row| row.status == "mismatch").count();
        warning!("run {run}: {count} of {} tables do not match the source", rows.len());
    }
    Ok(rows.into_iter().map(|row| {
        (
            row.table_schema,
            row.table_name,
            row.source_rows,
            row.target_rows,
            row.source_checksum,
            row.target_checksum,
            row.bytes_copied,
            row.elapsed_s.map(Interval::from_seconds),
            row.status,
            row.detail,
        )
    }))
}
