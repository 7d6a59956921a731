//! The coordinator: the one process that knows a whole run.
//!
//! ```text
//!   take the request ─ record the run ─ acknowledge
//!     planning: survey both databases, take the snapshot, plan, record the plan
//!     running:  dispatch tasks to workers until none is left
//!   record how it ended
//! ```
//!
//! Whatever fails on the way ends the run as failed (or cancelled) with the cause; what kills this
//! process leaves a run that every session sees as interrupted, since nobody serves it any more.
//!
//! Locking: none that lasts. Every record is a short transaction of its own.

use std::time::{Duration, Instant};

use pgmig_core::options::Options;
use pgmig_core::source::session::SessionSettings;
use pgmig_core::{Error, Result};
use pgrx::pg_sys;

use super::launch::{self, Request, SentError};
use super::pool::{Pool, WorkerRequest};
use super::state::{Event, FinalState, NewRun, RunId, RunKind, Severity, State};
use super::survey::{self, Survey};
use super::{dispatch, settings};
use crate::pg::mailbox::Mailbox;
use crate::pg::{latch, process, transaction, worker};
use crate::source_session::SourceLogin;

/// Time that workers get to end before the run's end is recorded all the same.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Entry point of the background worker; the argument is the handle of its mailbox.
#[pgrx::pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pgmig_coordinator_main(argument: pg_sys::Datum) {
    let attached = worker::mailbox_handle(argument).and_then(Mailbox::attach);
    let Ok(mailbox) = attached else {
        // The caller has gone already.
        return;
    };
    match accept(&mailbox) {
        Ok(mut run) => {
            mailbox.set_number(run.id);
            mailbox.set_state(launch::ACCEPTED);
            latch::wake(mailbox.creator_pid());
            drop(mailbox);
            run.conduct();
        }
        Err(error) => {
            mailbox.put_text(&SentError::new(&error).encode());
            mailbox.set_state(launch::REFUSED);
            latch::wake(mailbox.creator_pid());
        }
    }
}

/// A run that this process serves.
pub(super) struct Run {
    pub id: RunId,
    pub state: State,
    pub request: Request,
    pub options: Options,
    pub login: SourceLogin,
    /// The waiting caller, whose end is the run's end.
    pub caller: Option<i32>,
}

/// Takes the request out of shared memory, becomes a session of the caller's role, records the run.
fn accept(mailbox: &Mailbox) -> Result<Run> {
    let mut text = mailbox.take_text();
    let request = serde_json::from_slice::<Request>(&text);
    text.fill(0);
    let request =
        request.map_err(|error| Error::Internal(format!("the request cannot be read: {error}")))?;
    worker::connect(mailbox)?;
    let options = settings::parse_options(&request.options)?;
    let (state, id, login) = transaction::run(|| {
        settings::apply(&options)?;
        transaction::commit_synchronously();
        let state = State::open()?;
        let dsn = request.source.dsn(&settings::current_role()?)?;
        let new = NewRun {
            kind: request.kind,
            role: mailbox.role(),
            source: &dsn.redacted(),
            options: &request.options,
        };
        let id = state.insert_run(&new, options.keep_history.as_secs_f64())?;
        process::set_application_name(&format!("pgmig run {id}"));
        let login = SourceLogin {
            dsn,
            settings: SessionSettings {
                application_name: session_name(id),
                copy_encoding: settings::database_encoding()?,
            },
            is_superuser: request.is_superuser,
        };
        Ok((state, id, login))
    })?;
    let caller = request.is_attended.then(|| mailbox.creator_pid());
    Ok(Run { id, state, request, options, login, caller })
}

/// `application_name` of the run's sessions with the source; the process id tells targets apart.
fn session_name(run: RunId) -> String {
    format!("pgmig run {run} ({})", process::my_pid())
}

impl Run {
    /// Does everything and records how it ended.
    fn conduct(&mut self) {
        let ended = self.perform();
        let (state, error) = match ended {
            Ok(state) => (state, None),
            Err(error) if error.sqlstate() == "57014" => (FinalState::Cancelled, Some(error)),
            Err(error) => (FinalState::Failed, Some(error)),
        };
        let recorded = transaction::run(|| {
            if let Some(error) = &error {
                self.state.insert_event(self.id, &Event::failure("run", error))?;
            }
            self.state.finish_run(self.id, state, error.as_ref())
        });
        if let Err(error) = recorded {
            pgrx::warning!("pgmig: the end of run {} could not be recorded: {error}", self.id);
        }
        if let Some(caller) = self.caller {
            latch::wake(caller);
        }
    }

    fn perform(&mut self) -> Result<FinalState> {
        let survey = survey::survey(self)?;
        if self.request.kind == RunKind::Plan {
            return Ok(FinalState::Done);
        }
        transaction::run(|| self.state.set_phase(self.id, "copy", true))?;
        let mut pool = self.start_workers(&survey)?;
        let outcome = dispatch::dispatch(self, &mut pool, survey);
        self.stop_workers(&mut pool, outcome.is_ok());
        // Also after a failure: the next run must know these rows for pgmig's own.
        let recorded = match self.request.kind {
            RunKind::Migrate => transaction::run(|| self.state.record_loaded(self.id)),
            RunKind::Validate | RunKind::Plan => Ok(()),
        };
        if let Some(error) = outcome? {
            return Err(error);
        }
        recorded?;
        transaction::run(|| {
            self.state.clear_dropped(self.id)?;
            let mismatches = self.state.count_mismatches(self.id)?;
            Ok(if mismatches == 0 { FinalState::Done } else { FinalState::Mismatch })
        })
    }

    fn start_workers(&self, survey: &Survey) -> Result<Pool> {
        let wanted = self.wanted_workers()?.min(survey.tasks.len().max(1));
        let request = WorkerRequest {
            run: self.id,
            kind: self.request.kind,
            worker: 0,
            source: self.request.source.clone(),
            is_superuser: self.request.is_superuser,
            options: self.request.options.clone(),
            snapshot: survey.snapshot.clone(),
            application_name: self.login.settings.application_name.clone(),
        };
        let pool = Pool::start(wanted, process::current_user(), &request)?;
        let count = pool.len();
        transaction::run(|| {
            if count < wanted {
                let message = format!("{count} of {wanted} workers could be started");
                let mut event = Event::new(Severity::Warning, None, message);
                event.detail = Some(
                    "No more background worker slots are free; max_worker_processes limits them."
                        .to_owned(),
                );
                self.state.insert_event(self.id, &event)?;
            }
            self.state.set_workers(self.id, i32::try_from(count).unwrap_or(i32::MAX))
        })?;
        Ok(pool)
    }

    /// How many workers to ask for: the user's word, else one per core.
    fn wanted_workers(&self) -> Result<usize> {
        if let Some(jobs) = self.options.jobs {
            return usize::try_from(jobs).map_err(|_| Error::Internal("too many jobs".to_owned()));
        }
        Ok(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }

    /// Ends the workers and, after a failure, what they still have running on the source.
    fn stop_workers(&self, pool: &mut Pool, is_orderly: bool) {
        pool.stop();
        if !is_orderly {
            self.cancel_source_sessions();
        }
        let begun = Instant::now();
        while !pool.is_stopped() && begun.elapsed() < STOP_TIMEOUT {
            // A second cancel must not keep the end of the run from being recorded.
            let _ = crate::pg::catch::catch(|| {
                latch::wait(Duration::from_millis(50));
                Ok(())
            });
        }
    }

    /// Terminates the run's other sessions on the source, so that no long statement runs on there.
    fn cancel_source_sessions(&self) {
        let name = self.login.settings.application_name.clone();
        let sql = format!(
            "select pg_catalog.pg_terminate_backend(a.pid) from pg_catalog.pg_stat_activity a \
             where a.application_name = {} and a.pid <> pg_catalog.pg_backend_pid()",
            pgmig_core::name::quote_literal(&name)
        );
        let done = crate::pg::catch::catch(|| {
            let session = self.login.open()?;
            session.call(move |connection| connection.query(&sql).map(drop))
        });
        if let Err(error) = done {
            pgrx::debug1!("pgmig: sessions on the source could not be ended: {error}");
        }
    }

    /// Raises when the caller that waits for the run has gone.
    pub(super) fn check_caller(&self) -> Result<()> {
        match self.caller {
            Some(pid) if !process::is_alive(pid) => {
                Err(Error::Cancelled("the session that waited for the run has ended".to_owned()))
            }
            _ => Ok(()),
        }
    }
}
