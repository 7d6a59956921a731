//! The caller's side of a run: hands it to a coordinator and, if asked to, waits for its end.
//!
//! The caller's own transaction does nothing but read: workers are other sessions and see only what
//! is committed. While it waits it watches that no worker is stuck behind a lock of this very
//! transaction, since a wait on a latch is invisible to the deadlock detector.
//!
//! The mailbox through which the request went ties the run to a caller that waits for it: whatever
//! ends the wait early, an error or the end of the session, cancels the run and leaves the reason.

use std::time::{Duration, Instant};

use pgmig_core::error::{Remedy, TargetError};
use pgmig_core::{Error, Result, secret};
use pgrx::prelude::*;
use serde::{Deserialize, Serialize};

use super::source_spec::SourceSpec;
use super::state::{RunId, RunKind, RunStatus, State};
use crate::pg::mailbox::Mailbox;
use crate::pg::worker::{Worker, WorkerStatus};
use crate::pg::{catch, latch, process, spi};

/// Longest sleep between two looks at the run's process, which sets this process's latch at its end.
const POLL: Duration = Duration::from_millis(100);

/// Time between two checks for locks, and longest time between two looks at the run's row.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Room in the mailbox for the coordinator's refusal.
const ANSWER_BYTES: usize = 16 * 1024;

/// States of the mailbox between caller and coordinator.
pub(super) const ACCEPTED: u32 = 1;
pub(super) const REFUSED: u32 = 2;
/// The run's end is on record.
pub(super) const ENDED: u32 = 3;

/// What the coordinator is asked to do; travels in shared memory because it holds the secret.
#[derive(Serialize, Deserialize)]
pub struct Request {
    pub kind: RunKind,
    pub source: SourceSpec,
    /// The foreign server that the source was given as.
    pub server: Option<String>,
    /// Options in canonical JSON.
    pub options: String,
    /// The run to take up again, instead of a new one.
    pub resumed: Option<RunId>,
    /// Whether the caller is a superuser: only they may use the server's own way to log in.
    pub is_superuser: bool,
}

/// An error on its way through shared memory.
#[derive(Serialize, Deserialize)]
pub(super) struct SentError {
    sqlstate: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    remedy: Remedy,
}

impl SentError {
    pub(super) fn new(error: &Error) -> Self {
        SentError {
            sqlstate: error.sqlstate().to_owned(),
            message: error.to_string(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            remedy: error.remedy(),
        }
    }

    /// The message as bytes for a mailbox.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The error that `encode` made bytes of, and what may help.
    pub(super) fn decode(bytes: &[u8]) -> (Error, Remedy) {
        match serde_json::from_slice::<SentError>(bytes) {
            Ok(sent) => {
                let error = TargetError {
                    sqlstate: sent.sqlstate,
                    message: sent.message,
                    detail: sent.detail,
                    hint: sent.hint,
                    ..TargetError::default()
                };
                (Error::Target(Box::new(error)), sent.remedy)
            }
            Err(_) => (Error::Internal("an error message did not fit".to_owned()), Remedy::None),
        }
    }
}

/// A run that has been accepted, bound to this process until it is released or the run has ended.
pub struct Started {
    run: RunId,
    mailbox: Mailbox,
}

impl Started {
    /// The run's number.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Lets the run go on whatever becomes of this process.
    pub fn release(self) -> RunId {
        self.mailbox.release_peer();
        self.run
    }
}

/// Starts a coordinator for the request and returns once it has recorded the run.
pub fn start(request: &Request) -> Result<Started> {
    check_place()?;
    let text = secret::encode(request)?;
    let mailbox = Mailbox::create(process::current_user(), &text, ANSWER_BYTES)?;
    let name = "pgmig coordinator";
    let mut worker = Worker::register("pgmig_coordinator_main", name, name, &mailbox)?
        .ok_or_else(no_worker_slot)?;
    // From here on the mailbox holds the coordinator: a cancel leaves a record, a kill would not.
    mailbox.bind_peer();
    worker.release();
    loop {
        // The status comes first: a coordinator that answers and ends in between has answered.
        let status = worker.status();
        match mailbox.state() {
            // A run may fail before this is looked at.
            ACCEPTED | ENDED => return Ok(Started { run: mailbox.number(), mailbox }),
            REFUSED => return Err(SentError::decode(&mailbox.take_text()).0),
            _ if status == WorkerStatus::Stopped => return Err(coordinator_died()),
            _ => latch::wait(POLL),
        }
    }
}

/// The coordinator has ended without a word.
fn coordinator_died() -> Error {
    Error::Preflight {
        message: "the coordinator ended before it had accepted the run".to_owned(),
        detail: None,
        hint: Some("The server's log says why.".to_owned()),
        sqlstate: "55000",
    }
}

/// No background worker can be had.
pub(super) fn no_worker_slot() -> Error {
    Error::Preflight {
        message: "no background worker slot is free".to_owned(),
        detail: Some("A run needs one for its coordinator and at least one for copying.".to_owned()),
        hint: Some(
            "Increase max_worker_processes and restart the server, or wait for other workers to end."
                .to_owned(),
        ),
        sqlstate: "53000",
    }
}

/// Checks that a run can be started from here at all.
fn check_place() -> Result<()> {
    let refuse = |message: &str, hint: &str, sqlstate| {
        Err(Error::Preflight {
            message: message.to_owned(),
            detail: None,
            hint: Some(hint.to_owned()),
            sqlstate,
        })
    };
    if process::is_in_recovery() {
        return refuse(
            "the target server is in recovery",
            "Run pgmig on the primary server.",
            "25006",
        );
    }
    let is_uncommitted = Spi::get_one::<bool>(
        "select e.xmin = pg_catalog.xid(pg_catalog.pg_current_xact_id_if_assigned())
         from pg_catalog.pg_extension e where e.extname = 'pgmig'",
    );
    if matches!(is_uncommitted, Ok(Some(true))) {
        return refuse(
            "extension \"pgmig\" was created in this transaction, so no worker can see it",
            "Commit the transaction first.",
            "55000",
        );
    }
    let can_login = Spi::get_one_with_args::<bool>(
        "select r.rolcanlogin from pg_catalog.pg_roles r where r.oid = $1",
        &[process::current_user().into()],
    );
    if matches!(can_login, Ok(Some(false))) {
        return refuse(
            "the current role has no LOGIN attribute, so background workers cannot act as it",
            "Call pgmig as a role with the LOGIN attribute.",
            "28000",
        );
    }
    Ok(())
}

/// Waits until the caller's own run has ended and returns where it stands; an error on the way, a
/// cancel of the statement included, cancels the run. `progress` is the time between two NOTICEs, zero
/// for none.
pub fn attend(started: &Started, progress: Duration) -> Result<RunStatus> {
    let has_ended = || started.mailbox.state() == ENDED;
    let ended = catch::catch(|| look_on(started.run, None, progress, &has_ended));
    match &ended {
        Ok(_) => started.mailbox.release_peer(),
        Err(error) => started.mailbox.abandon(&error.to_string()),
    }
    ended
}

/// Looks on until the run has ended and returns where it stands; with a timeout it may be live still.
pub fn wait(run: RunId, timeout: Option<Duration>, progress: Duration) -> Result<RunStatus> {
    look_on(run, timeout, progress, &|| false)
}

/// The same; `has_ended` may know of the end before the run's process is gone.
fn look_on(
    run: RunId,
    timeout: Option<Duration>,
    progress: Duration,
    has_ended: &dyn Fn() -> bool,
) -> Result<RunStatus> {
    let state = State::open()?;
    let begun = Instant::now();
    let (mut noticed, mut checked) = (begun, begun);
    let mut status = find(&state, run)?;
    while status.is_live() && timeout.is_none_or(|timeout| begun.elapsed() < timeout) {
        latch::wait(POLL);
        check_client()?;
        if !progress.is_zero() && noticed.elapsed() >= progress {
            noticed = Instant::now();
            if let Some(line) = state.read_progress(run) {
                notice!("run {run}: {line}");
            }
        }
        let is_due = checked.elapsed() >= CHECK_EVERY;
        if is_due {
            checked = Instant::now();
            check_blocked(run)?;
        }
        // A look at the run costs the target far more than one at its process.
        if is_due || has_ended() || !process::is_alive(status.coordinator_pid) {
            status = find(&state, run)?;
        }
    }
    Ok(status)
}

/// Where the run stands.
pub fn find(state: &State, run: RunId) -> Result<RunStatus> {
    state.read_status(run)?.ok_or_else(|| no_such_run(run))
}

/// There is no such run, or it belongs to somebody else.
fn no_such_run(run: RunId) -> Error {
    Error::Preflight {
        message: format!("run {run} does not exist"),
        detail: None,
        hint: Some("The view pgmig.runs lists the runs.".to_owned()),
        sqlstate: "42704",
    }
}

fn check_client() -> Result<()> {
    if process::is_client_connected() {
        return Ok(());
    }
    Err(Error::Cancelled("connection to client lost".to_owned()))
}

/// Raises when a process of the run waits for a lock that this session holds.
fn check_blocked(run: RunId) -> Result<()> {
    let blocked = spi::select_latest(&format!(
        "select pg_catalog.format('%s (process %s)', a.query, a.pid)
         from pg_catalog.pg_stat_activity a
         where a.backend_type in ('pgmig worker', 'pgmig coordinator')
           and a.wait_event_type = 'Lock'
           and pg_catalog.pg_backend_pid() = any (pg_catalog.pg_blocking_pids(a.pid))
           and a.pid in (
               select w.pid from pgmig.workers w where w.run_id = {run}
               union all
               select r.coordinator_pid from pgmig.runs r where r.run_id = {run})
         order by a.pid
         limit 1"
    ));
    match blocked.into_iter().next() {
        None => Ok(()),
        Some(worker) => Err(Error::Preflight {
            message: format!("run {run} waits for a lock that the calling transaction holds"),
            detail: Some(format!("Waiting: {worker}.")),
            hint: Some(
                "Commit first, or call pgmig outside the transaction that changed the tables."
                    .to_owned(),
            ),
            sqlstate: "40P01",
        }),
    }
}

/// Cancels a run; returns false if it had ended already.
pub fn cancel(run: RunId) -> Result<bool> {
    let status = find(&State::open()?, run)?;
    if !status.is_live() {
        return Ok(false);
    }
    process::cancel(status.coordinator_pid);
    Ok(true)
}

/// What can be done about a run that copied and did not end well.
fn next_step(run: RunId) -> String {
    format!("pgmig.resume({run}) finishes the run, pgmig.cleanup({run}) removes what it made.")
}

/// Somebody serves the run, or it has ended well.
pub fn not_resumable(run: RunId) -> Error {
    Error::Preflight {
        message: format!("run {run} cannot be resumed"),
        detail: Some("It is under way, or it has ended well.".to_owned()),
        hint: Some("The view pgmig.runs shows its state.".to_owned()),
        sqlstate: "55006",
    }
}

/// The error with which a run that did not succeed is reported to its caller.
pub fn failure(run: RunId, status: RunStatus) -> Option<Error> {
    let hint = match status.state.as_str() {
        "done" | "mismatch" => return None,
        "interrupted" => Some("The server's log says why its processes are gone.".to_owned()),
        _ => status.hint,
    };
    let cause = status.message.unwrap_or_else(|| "no process serves it any more".to_owned());
    Some(Error::Target(Box::new(TargetError {
        context: format!("run {run} {}", status.state),
        sqlstate: status.sqlstate.unwrap_or_else(|| "57P01".to_owned()),
        message: cause,
        detail: status.detail,
        hint: Some(match (hint, status.kind) {
            (Some(hint), RunKind::Migrate) => format!("{hint} {}", next_step(run)),
            (None, RunKind::Migrate) => {
                format!(
                    "select * from pgmig.events where run_id = {run} says more. {}",
                    next_step(run)
                )
            }
            (Some(hint), _) => hint,
            (None, _) => format!("select * from pgmig.events where run_id = {run} says more."),
        }),
        statement: None,
    })))
}
