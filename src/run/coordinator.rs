//! The coordinator: the one process that knows a whole run.
//!
//! ```text
//!   take the request ─ record the run ─ acknowledge
//!     planning: survey both databases, take the snapshot, plan, record the plan
//!     running:  dispatch tasks to workers until none is left
//!   record how it ended
//! ```
//!
//! Whatever fails on the way ends the run as failed with the cause. A cancel request to this process
//! ends it as cancelled: it comes from `pgmig.cancel`, or from the end of the caller's wait, which then
//! has left its reason in the mailbox. What kills this process leaves a run that every session sees as
//! interrupted, since nobody serves it any more.
//!
//! Locking: none that lasts. Every record is a short transaction of its own.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pgmig_core::error::Remedy;
use pgmig_core::options::Options;
use pgmig_core::source::session::SessionSettings;
use pgmig_core::{Error, Result};
use pgrx::pg_sys;

use super::backoff::Backoff;
use super::launch::{self, Request, SentError};
use super::pool::{Pool, WorkerRequest};
use super::state::{Event, FinalState, NewRun, RunId, RunKind, Severity, State};
use super::survey::{self, Survey};
use super::worker::TaskContext;
use super::{dispatch, own_rows, resume, settings};
use crate::pg::mailbox::Mailbox;
use crate::pg::{catch, created, latch, process, transaction, worker};
use crate::source_session::{Place, SourceLogin, SourceSession};

/// Time that workers get to end before the run's end is recorded all the same.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a run has fewer workers than it wants.
const TOO_FEW_SLOTS: &str = "Too few background worker slots are free. max_worker_processes limits \
    them; without option \"jobs\", some are left for max_parallel_maintenance_workers.";

/// Why a run was cancelled when no caller that waits for it has left a reason.
const REQUESTED: &str = "the run was cancelled on request";

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
            run.conduct(&mailbox);
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
    /// Whether sessions with the source were given up, which may live on there.
    pub has_lost_sessions: AtomicBool,
}

/// How a run that was not cancelled has ended, with the error if it failed.
type Ended = (FinalState, Option<Error>);

/// Takes the request out of shared memory, becomes a session of the caller's role, records the run.
fn accept(mailbox: &Mailbox) -> Result<Run> {
    let request = serde_json::from_slice::<Request>(&mailbox.take_text())
        .map_err(|error| Error::Internal(format!("the request cannot be read: {error}")))?;
    worker::connect(mailbox)?;
    created::watch();
    let options = settings::parse_options(&request.options)?;
    // Settings such as the access mode hold from the next transaction on.
    transaction::run(|| settings::apply(&options))?;
    let (state, id, login) = transaction::run(|| {
        transaction::commit_synchronously();
        let state = State::open()?;
        let dsn = request.source.dsn(&settings::current_role()?)?;
        let new = NewRun {
            kind: request.kind,
            role: mailbox.role(),
            source: &dsn.redacted(),
            options: &request.options,
            server: request.server.as_deref(),
        };
        let id = match request.resumed {
            None => state.insert_run(&new, options.keep_history.as_secs_f64())?,
            Some(run) if state.take_over(run, &new)? => run,
            Some(run) => return Err(launch::not_resumable(run)),
        };
        process::set_application_name(&format!("pgmig run {id}"));
        let login = SourceLogin {
            dsn,
            settings: SessionSettings {
                application_name: session_name(id),
                copy_encoding: settings::database_encoding()?,
                lock_timeout: options.lock_timeout,
            },
            is_superuser: request.is_superuser,
            place: Place::default(),
        };
        Ok((state, id, login))
    })?;
    Ok(Run { id, state, request, options, login, has_lost_sessions: AtomicBool::new(false) })
}

/// `application_name` of the run's sessions with the source; the number tells it from runs of the same
/// number, and of the same process id, of other targets.
fn session_name(run: RunId) -> String {
    let number = RandomState::new().build_hasher().finish();
    format!("pgmig run {run} ({number:016x})")
}

impl Run {
    /// Does everything and records how it ended.
    fn conduct(&mut self, mailbox: &Mailbox) {
        // A caller that gave up very early did not know whom to cancel.
        let ended = if mailbox.is_abandoned() {
            Err(Error::Cancelled(REQUESTED.to_owned()))
        } else {
            catch::catch(|| self.perform())
        };
        let (state, error) = match ended {
            Ok((state, error)) => (state, error),
            Err(error) if is_cancel(&error) => {
                let reason = if mailbox.is_abandoned() {
                    String::from_utf8_lossy(&mailbox.take_text()).into_owned()
                } else {
                    REQUESTED.to_owned()
                };
                (FinalState::Cancelled, Some(Error::Cancelled(reason)))
            }
            Err(error) => (FinalState::Failed, Some(error)),
        };
        self.record_end(state, error.as_ref());
        mailbox.set_state(launch::ENDED);
        latch::wake(mailbox.creator_pid());
        match error {
            // There are none, and connecting again would take as long as it took to fail.
            Some(Error::Connect { .. }) => {}
            None if !self.has_lost_sessions.load(Ordering::Relaxed) => {}
            _ => self.end_source_sessions(),
        }
    }

    fn record_end(&self, state: FinalState, error: Option<&Error>) {
        // A second cancel must not keep the end from being recorded.
        let _held = process::CancelsHeld::begin();
        let recorded = transaction::run(|| {
            if let Some(error) = error {
                self.state.insert_event(self.id, &Event::failure("run", error))?;
            }
            self.state.stop_tasks(self.id)?;
            self.state.finish_run(self.id, state, error)
        });
        // On a disk that is full there may be room for this much: the row's own page has some.
        let recorded =
            recorded.or_else(|_| transaction::run(|| self.state.finish_run(self.id, state, error)));
        if let Err(error) = recorded {
            pgrx::warning!("pgmig: the end of run {} could not be recorded: {error}", self.id);
        }
    }

    fn perform(&self) -> Result<Ended> {
        let mut backoff = Backoff::new(&self.options);
        let begun = catch::catch(|| match self.request.resumed {
            None => survey::survey(self),
            Some(_) => resume::survey(self),
        });
        let mut survey = match begun {
            // A source that was there a moment ago may come back; others are told of at once.
            Err(error) if matches!(error.remedy(), Remedy::Reconnect | Remedy::Repeat) => {
                self.return_to_source(&mut backoff, error)?
            }
            begun => begun?,
        };
        if self.request.kind == RunKind::Plan {
            return Ok((FinalState::Done, None));
        }
        // Whoever starts a run is told at once that there is no worker for it; a run that is under way
        // waits for one.
        let mut attempts = None;
        let (outcome, recorded) = loop {
            let outcome = self.carry_out(&mut survey, attempts.take());
            attempts = Some(Backoff::new(&self.options));
            // Also after a failure: the next run must know these rows for pgmig's own.
            let recorded = self.record_loaded();
            match outcome {
                Err(error) if error.remedy() == Remedy::Snapshot => {
                    if survey.has_progressed {
                        backoff = Backoff::new(&self.options);
                    }
                    survey = self.return_to_source(&mut backoff, error)?;
                }
                outcome => break (outcome, recorded),
            }
        };
        if let Some(error) = outcome? {
            return Ok((FinalState::Failed, Some(error)));
        }
        recorded?;
        if self.request.kind == RunKind::Migrate {
            own_rows::recognize(self)?;
        }
        transaction::run(|| {
            self.state.clear_dropped(self.id)?;
            let mismatches = self.state.count_mismatches(self.id)?;
            let state = if mismatches == 0 { FinalState::Done } else { FinalState::Mismatch };
            Ok((state, None))
        })
    }

    /// Has workers do what is left of the plan; the error of tasks that failed, if any did. `attempts` to
    /// get workers follow the first one.
    fn carry_out(&self, survey: &mut Survey, attempts: Option<Backoff>) -> Result<Option<Error>> {
        // Two databases' catalogs have come and gone, and the run may take days.
        process::return_free_memory();
        transaction::run(|| self.state.set_phase(self.id, "copy", true))?;
        let request = self.worker_request(&survey.xids);
        let mut own = TaskContext {
            source: match survey.session.take() {
                Some(session) => {
                    SourceSession::over(self.login.clone(), survey.xids.clone(), session)?
                }
                None => SourceSession::new(self.login.clone(), survey.xids.clone()),
            },
            request: request.clone(),
            options: self.options.clone(),
            state: self.state,
            file_nodes: HashMap::new(),
        };
        let mut pool = self.start_workers(survey.tasks.len(), &request, attempts)?;
        let outcome = catch::catch(|| dispatch::dispatch(self, &mut pool, survey, &mut own));
        stop_workers(&mut pool);
        outcome
    }

    /// Tries until the source can be read again, under the snapshot at hand or another one.
    ///
    /// When the server that had the snapshot cannot be reached, others that the source may be at will do.
    fn return_to_source(&self, backoff: &mut Backoff, mut error: Error) -> Result<Survey> {
        self.has_lost_sessions.store(true, Ordering::Relaxed);
        while backoff.fail() {
            if error.remedy() == Remedy::Connect {
                self.login.place.set(None);
            }
            self.note_attempt("to get back to the source ", backoff, &error)?;
            backoff.rest();
            error = match catch::catch(|| resume::survey(self)) {
                Err(error) if error.remedy().is_another_attempt() => error,
                other => return other,
            };
        }
        Err(error)
    }

    /// Tells of an attempt that has failed, and after which another one follows.
    fn note_attempt(&self, aim: &str, attempts: &Backoff, error: &Error) -> Result<()> {
        let event = Event {
            sqlstate: Some(error.sqlstate().to_owned()),
            ..Event::new(Severity::Warning, Some("run".to_owned()), attempts.message(aim, error))
        };
        transaction::run(|| self.state.insert_event(self.id, &event))
    }

    fn record_loaded(&self) -> Result<()> {
        if self.request.kind != RunKind::Migrate {
            return Ok(());
        }
        let _held = process::CancelsHeld::begin();
        transaction::run(|| self.state.record_loaded(self.id))
    }

    fn worker_request(&self, xids: &str) -> WorkerRequest {
        WorkerRequest {
            run: self.id,
            kind: self.request.kind,
            worker: 0,
            source: self.request.source.clone(),
            is_superuser: self.request.is_superuser,
            options: self.request.options.clone(),
            xids: xids.to_owned(),
            application_name: self.login.settings.application_name.clone(),
            place: self.login.place.get(),
        }
    }

    fn start_workers(
        &self,
        tasks: usize,
        request: &WorkerRequest,
        mut attempts: Option<Backoff>,
    ) -> Result<Pool> {
        let (wanted, pool) = loop {
            let (wanted, fitting) = self.count_workers(tasks)?;
            let pool = Pool::start(fitting, process::current_user(), request)?;
            if pool.len() > 0 {
                break (wanted, pool);
            }
            let error = launch::no_worker_slot();
            let Some(attempts) = &mut attempts else {
                return Err(error);
            };
            if !attempts.fail() {
                return Err(error);
            }
            self.note_attempt("to get workers ", attempts, &error)?;
            attempts.rest();
        };
        let count = pool.len();
        transaction::run(|| {
            if count < wanted {
                let message = format!("the run goes on with {count} of {wanted} workers");
                let mut event = Event::new(Severity::Warning, None, message);
                event.detail = Some(TOO_FEW_SLOTS.to_owned());
                self.state.insert_event(self.id, &event)?;
            }
            self.state.set_workers(self.id, i32::try_from(count).unwrap_or(i32::MAX))
        })?;
        Ok(pool)
    }

    /// How many workers the run would have with tasks and slots enough: the user's word, else one per core.
    pub fn job_count(&self) -> u32 {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.options.jobs.unwrap_or_else(|| u32::try_from(cores()).unwrap_or(u32::MAX))
    }

    /// How many workers are wanted, never more than tasks, and how many of them to ask for: unless the
    /// user insists, parallel index builds get their share of slots.
    fn count_workers(&self, tasks: usize) -> Result<(usize, usize)> {
        let wanted = usize::try_from(self.job_count()).unwrap_or(usize::MAX).min(tasks.max(1));
        if self.options.jobs.is_some() {
            return Ok((wanted, wanted));
        }
        let free = transaction::run(|| self.state.count_free_worker_slots())?;
        Ok((wanted, wanted.min(free).max(1)))
    }

    /// Terminates the run's other sessions on the source, so that no long statement runs on there.
    fn end_source_sessions(&self) {
        if let Err(error) = catch::catch(|| self.login.end_sessions()) {
            pgrx::debug1!("pgmig: sessions on the source could not be ended: {error}");
        }
    }
}

/// Whether an error of this process means that it was asked to stop; workers' errors do not get here.
pub(super) fn is_cancel(error: &Error) -> bool {
    matches!(error, Error::Cancelled(_) | Error::Target(_)) && error.sqlstate() == "57014"
}

/// Ends the workers and waits until they are gone, so that nothing is locked any more.
fn stop_workers(pool: &mut Pool) {
    let _held = process::CancelsHeld::begin();
    let begun = Instant::now();
    while !pool.stop() && begun.elapsed() < STOP_TIMEOUT {
        latch::wait(Duration::from_millis(50));
    }
}
