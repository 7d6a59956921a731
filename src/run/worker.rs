//! A worker: a session of the calling role that does one task after another.
//!
//! ```text
//!   start: take the request, connect, settings ──> IDLE
//!   task:  begin ─ effect ─ completion mark ─ commit ──> DONE, or roll back ──> FAILED with the error
//! ```
//!
//! Locking: what the task's statements take, until its commit. No lock on pgmig's tables outlives a
//! transaction, and a worker between tasks holds none at all.

use std::collections::HashMap;
use std::time::Duration;

use pgmig_core::name::QualifiedName;
use pgmig_core::options::Options;
use pgmig_core::plan::task::Work;
use pgmig_core::source::session::SessionSettings;
use pgmig_core::{Error, Result};
use pgrx::pg_sys;

use super::launch::SentError;
use super::pool::{self, WorkerRequest};
use super::settings;
use super::state::State;
use crate::check;
use crate::load;
use crate::pg::mailbox::Mailbox;
use crate::pg::{catch, collation, created, latch, process, transaction, worker};
use crate::source_session::{Place, SourceLogin, SourceSession};

/// Longest sleep without a look at whether the coordinator still lives.
const POLL: Duration = Duration::from_secs(1);

/// Entry point of the background worker; the argument is the handle of its mailbox.
#[pgrx::pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pgmig_worker_main(argument: pg_sys::Datum) {
    let attached = worker::mailbox_handle(argument).and_then(Mailbox::attach);
    let Ok(mailbox) = attached else {
        // Whoever wanted this worker has gone.
        return;
    };
    match start(&mailbox) {
        Ok(mut worker) => worker.serve(&mailbox),
        Err(error) => {
            mailbox.put_text(&SentError::new(&error).encode());
            answer(&mailbox, pool::REFUSED);
        }
    }
}

/// What a worker keeps between tasks.
pub(crate) struct TaskContext {
    pub request: WorkerRequest,
    pub options: Options,
    pub state: State,
    pub source: SourceSession,
    /// The files that the tables of the task at hand had when the snapshot was taken, as far as known.
    pub file_nodes: HashMap<QualifiedName, u32>,
}

fn start(mailbox: &Mailbox) -> Result<TaskContext> {
    worker::connect(mailbox)?;
    collation::compare_by_bytes();
    created::watch();
    let request = serde_json::from_slice::<WorkerRequest>(&mailbox.take_text())
        .map_err(|error| Error::Internal(format!("the request cannot be read: {error}")))?;
    let options = settings::parse_options(&request.options)?;
    transaction::run(|| settings::apply(&options))?;
    let (state, role, encoding) = transaction::run(|| {
        process::set_application_name(&format!(
            "pgmig run {} worker {}",
            request.run, request.worker
        ));
        Ok((State::open()?, settings::current_role()?, settings::database_encoding()?))
    })?;
    let login = SourceLogin {
        dsn: request.source.dsn(&role)?,
        settings: SessionSettings {
            application_name: request.application_name.clone(),
            copy_encoding: encoding,
            lock_timeout: options.lock_timeout,
        },
        is_superuser: request.is_superuser,
        place: Place::new(request.place.clone()),
    };
    let source = SourceSession::new(login, request.xids.clone());
    Ok(TaskContext { request, options, state, source, file_nodes: HashMap::new() })
}

impl TaskContext {
    fn serve(&mut self, mailbox: &Mailbox) {
        answer(mailbox, pool::IDLE);
        loop {
            if mailbox.state() != pool::ASSIGNED {
                process::report_activity(None);
                latch::wait(POLL);
                if !process::is_alive(mailbox.creator_pid()) {
                    return;
                }
                continue;
            }
            match mailbox.number() {
                pool::END => return,
                pool::RELEASE_SOURCE => {
                    self.source.close();
                    answer(mailbox, pool::IDLE);
                }
                number => {
                    let done = i32::try_from(number)
                        .map_err(|_| Error::Internal("not a task number".to_owned()))
                        .and_then(|task| catch::catch(|| self.do_task(task)));
                    process::flush_statistics();
                    let (state, error) = match done {
                        Ok(None) => (pool::DONE, None),
                        Ok(Some(error)) => (pool::PARTLY_DONE, Some(error)),
                        Err(error) => (pool::FAILED, Some(error)),
                    };
                    if let Some(error) = error {
                        mailbox.put_text(&SentError::new(&error).encode());
                    }
                    answer(mailbox, state);
                }
            }
        }
    }

    /// Does a task in a transaction of its own; returns what of it could not be done.
    pub fn do_task(&mut self, task: i32) -> Result<Option<Error>> {
        let run = self.request.run;
        let state = self.state;
        let (work, file_nodes) = transaction::run(|| {
            let work = state.read_work(run, task)?;
            let file_nodes = state.read_file_nodes(run, &work.source_relations())?;
            Ok((work, file_nodes))
        })?;
        self.file_nodes = file_nodes;
        // What a task that failed has created is gone.
        created::take();
        process::report_activity(Some(&format!("pgmig run {run}, task {task}")));
        if work.reads_source() && !self.source.is_open()? {
            self.open_source()?;
        }
        match work {
            Work::Statements { statements } => {
                return super::statements::run(self, task, &statements);
            }
            Work::Copy { loads } => return load::copy(self, task, &loads),
            Work::Sequences { sequences } => load::set_sequences(self, task, &sequences),
            Work::Check { tables } => check::compare(self, task, &tables),
            Work::Configuration { loads, sequences } => {
                load::configuration::copy(self, task, &loads, &sequences)
            }
            Work::RemoveLargeObjects { oids } => load::large_objects::remove(self, task, &oids),
            Work::LargeObjects { table_id, first, last } => {
                let range = load::large_objects::Range { table_id, first, last };
                load::large_objects::copy(self, task, range)
            }
            Work::CheckLargeObjects { table_id } => {
                check::large_objects::compare(self, task, table_id)
            }
        }
        .map(|()| None)
    }
}

impl TaskContext {
    /// Opens a session under the run's snapshot and lets the others know that it holds it.
    pub fn open_source(&mut self) -> Result<()> {
        let (run, state) = (self.request.run, self.state);
        let names = transaction::run(|| state.read_snapshot_names(run))?;
        let name = self.source.reopen(names)?;
        transaction::run(|| state.insert_snapshot_name(run, &name))
    }

    /// Locks tables of the source before they are read, and makes sure that the rows are still there
    /// which the snapshot sees.
    pub fn lock_source<'t>(
        &mut self,
        tables: impl Iterator<Item = &'t QualifiedName>,
    ) -> Result<()> {
        let tables: Vec<_> =
            tables.map(|table| (table.clone(), self.file_nodes.get(table).copied())).collect();
        self.source.lock(&tables)
    }
}

fn answer(mailbox: &Mailbox, state: u32) {
    mailbox.set_state(state);
    latch::wake(mailbox.creator_pid());
}
