//! Handing out tasks: every worker that is free gets the most urgent task that conflicts with none.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgmig_core::error::{Remedy, TOO_MANY_CONNECTIONS};
use pgmig_core::options::OnError;
use pgmig_core::plan::graph::{Graph, Outcome};
use pgmig_core::plan::task::{Task, TaskKind};
use pgmig_core::{Error, Result};

use super::backoff::Backoff;
use super::coordinator::Run;
use super::pool::{Change, Pool};
use super::state::{Event, Severity};
use super::survey::Survey;
use super::worker::TaskContext;
use crate::pg::{catch, latch, process, transaction};

/// Longest sleep: what a worker reports sets the latch, and so does its end.
const POLL: Duration = Duration::from_millis(250);

/// What people call the parts of a run. They overlap; the one furthest to the front here tells most
/// about how far the run is.
const PHASES: [&str; 7] =
    ["copy", "indexes", "foreign keys", "materialized views", "validation", "analyze", "schema"];

/// Runs every task that is left, up to the first failure unless the run is to go on; returns the error
/// to fail the run with when tasks failed. `own` is the session that holds snapshot and locks.
///
/// # Errors
/// `Error::SnapshotGone` when no session holds the run's snapshot any more; everything else ends the run.
pub(super) fn dispatch(
    run: &Run,
    pool: &mut Pool,
    survey: &mut Survey,
    own: &mut TaskContext,
) -> Result<Option<Error>> {
    let tasks = &survey.tasks;
    let is_due = |task: &&Task| needs_source(task) && !survey.done.contains(&task.id);
    let mut dispatcher = Dispatcher {
        run,
        graph: Graph::new(tasks, &survey.done, run.options.max_partitions)?,
        source_tasks: tasks.iter().filter(is_due).count(),
        tasks,
        own,
        has_progressed: &mut survey.has_progressed,
        failed: Vec::new(),
        running: BTreeSet::new(),
        phase: "",
        attempts: HashMap::new(),
        rests: HashMap::new(),
        reserved: Vec::new(),
    };
    dispatcher.work(pool)?;
    Ok(dispatcher.failure())
}

struct Dispatcher<'a> {
    run: &'a Run,
    tasks: &'a [Task],
    graph: Graph,
    /// Tasks to come that read from the source.
    source_tasks: usize,
    /// The session that holds the snapshot for as long as it is needed.
    own: &'a mut TaskContext,
    /// Whether any task was done since the source was lost last.
    has_progressed: &'a mut bool,
    failed: Vec<(i32, Error)>,
    running: BTreeSet<i32>,
    phase: &'static str,
    /// Tasks that have failed for want of the source and were put back.
    attempts: HashMap<i32, Backoff>,
    /// Workers that have failed to open a session.
    rests: HashMap<i32, Backoff>,
    /// Tasks that only this process can do, since it holds the locks.
    reserved: Vec<i32>,
}

impl Dispatcher<'_> {
    fn work(&mut self, pool: &mut Pool) -> Result<()> {
        while !self.graph.is_finished() && !self.must_stop() {
            for (worker, change) in pool.changes() {
                self.take(worker, change, pool)?;
            }
            if self.must_stop() {
                break;
            }
            if pool.len() == 0 {
                return Err(self.no_workers_left());
            }
            self.hand_out(pool)?;
            self.note_phase()?;
            self.do_reserved()?;
            if self.graph.is_finished() {
                break;
            }
            if self.source_tasks == 0 {
                pool.release_source();
                self.own.source.close();
            }
            let is_stuck = pool.busy_count() == 0
                && self.graph.running_count() == 0
                && self.idle_worker(pool, false).is_some();
            if let Some(reason) = self.graph.stalled().filter(|_| is_stuck) {
                return Err(Error::Internal(reason));
            }
            latch::wait(POLL);
        }
        Ok(())
    }

    /// Gives tasks to idle workers for as long as there are both.
    fn hand_out(&mut self, pool: &mut Pool) -> Result<()> {
        while self.idle_worker(pool, false).is_some() {
            let Some(id) = self.graph.next() else {
                return Ok(());
            };
            let reads_source = self.task(id).is_some_and(needs_source);
            let Some(worker) = self.idle_worker(pool, reads_source) else {
                return Err(Error::Internal("the idle worker vanished".to_owned()));
            };
            let pid = pool.pid(worker);
            self.begin(id, worker, pid)?;
            pool.assign(worker, id, reads_source);
        }
        Ok(())
    }

    /// A worker that may take a task.
    fn idle_worker(&self, pool: &Pool, reads_source: bool) -> Option<i32> {
        pool.idle(reads_source, |worker| !self.is_resting(worker))
    }

    fn begin(&mut self, id: i32, worker: i32, pid: i32) -> Result<()> {
        let (run, state) = (self.run.id, self.run.state);
        transaction::run(|| state.begin_task(run, id, worker, pid))?;
        self.running.insert(id);
        Ok(())
    }

    fn is_resting(&self, worker: i32) -> bool {
        self.rests.get(&worker).is_some_and(|rest| !rest.remaining().is_zero())
    }

    /// Does what no worker can: others queue for a lock on the table, and this session has it.
    fn do_reserved(&mut self) -> Result<()> {
        for id in std::mem::take(&mut self.reserved) {
            self.begin(id, 0, process::my_pid())?;
            match catch::catch(|| self.own.do_task(id)) {
                Ok(None) => self.finish(id, None)?,
                Ok(Some(error)) => self.finish_partly(id, error)?,
                Err(error) if error.remedy() == Remedy::Reconnect => {
                    self.run.has_lost_sessions.store(true, Ordering::Relaxed);
                    self.retry(id, 0, error)?;
                }
                Err(error) if super::coordinator::is_cancel(&error) => return Err(error),
                Err(error) => self.finish(id, Some(error))?,
            }
        }
        Ok(())
    }

    /// Records the phase if it is another one: of the tasks under way, that of the foremost.
    fn note_phase(&mut self) -> Result<()> {
        let phases = self.running.iter().filter_map(|id| self.task(*id));
        let phases = phases.map(|task| phase_name(task.kind));
        let foremost = phases.min_by_key(|name| PHASES.iter().position(|phase| phase == name));
        let Some(phase) = foremost.filter(|phase| *phase != self.phase) else {
            return Ok(());
        };
        self.phase = phase;
        transaction::run(|| self.run.state.set_phase(self.run.id, phase, true))
    }

    /// Takes a worker's report.
    fn take(&mut self, worker: i32, change: Change, pool: &mut Pool) -> Result<()> {
        match change {
            Change::Ready => Ok(()),
            Change::Done(task) => {
                self.rests.remove(&worker);
                self.finish(task, None)
            }
            Change::PartlyDone(task, error) => self.finish_partly(task, error),
            Change::Failed(task, error, remedy) => {
                self.take_failure(worker, task, error, remedy, pool)
            }
            Change::Gone(task, error) => {
                let (run, state) = (self.run.id, self.run.state);
                let event = Event::failure(&format!("worker {worker}"), &error);
                transaction::run(|| state.insert_event(run, &event))?;
                match task {
                    Some(task) => {
                        let error = self.name_task(task, error);
                        self.finish(task, Some(error))
                    }
                    None => {
                        self.failed.push((0, error));
                        Ok(())
                    }
                }
            }
        }
    }

    /// Does what may help after a failure, or records it.
    fn take_failure(
        &mut self,
        worker: i32,
        task: i32,
        error: Error,
        remedy: Remedy,
        pool: &mut Pool,
    ) -> Result<()> {
        match remedy {
            Remedy::None => self.finish(task, Some(error)),
            Remedy::Repeat => self.retry(task, worker, error),
            Remedy::Reconnect | Remedy::Snapshot => {
                self.run.has_lost_sessions.store(true, Ordering::Relaxed);
                self.hold_snapshot()?;
                self.retry(task, worker, error)
            }
            Remedy::LockHolder if self.own.source.is_open()? => {
                self.reserved.push(task);
                Ok(())
            }
            Remedy::LockHolder => self.finish(task, Some(error)),
            Remedy::Connect => self.rest(worker, task, error, pool),
        }
    }

    /// Makes sure that this process still holds the snapshot, and the locks that keep the tables as the
    /// snapshot sees them.
    ///
    /// # Errors
    /// `Error::SnapshotGone` if it does not and nobody else does.
    fn hold_snapshot(&mut self) -> Result<()> {
        if self.own.source.is_alive()? {
            return Ok(());
        }
        let parts = transaction::run(|| self.run.state.read_parts(self.run.id))?;
        let tables = parts.into_iter().map(|part| part.source).collect();
        let held = catch::catch(|| {
            self.own.open_source()?;
            self.own.source.hold(tables)
        });
        match held {
            // It may be back when the next attempt fails.
            Err(error) if matches!(error.remedy(), Remedy::Connect | Remedy::Reconnect) => Ok(()),
            other => other,
        }
    }

    /// Puts a task back, to be done again, unless that has been tried often enough; the worker rests.
    fn retry(&mut self, task: i32, worker: i32, error: Error) -> Result<()> {
        let new = || Backoff::new(&self.run.options);
        let attempt = self.attempts.entry(task).or_insert_with(new);
        if !attempt.fail() {
            return self.finish(task, Some(error));
        }
        let message = attempt.message("", &error);
        self.rests.insert(worker, attempt.clone());
        self.put_back(task, &error, message)
    }

    /// Lets a worker rest that could not open a session; others may do its task meanwhile. One that
    /// never succeeds is let go, unless it is the last one.
    fn rest(&mut self, worker: i32, task: i32, error: Error, pool: &mut Pool) -> Result<()> {
        let new = || Backoff::new(&self.run.options);
        let rest = self.rests.entry(worker).or_insert_with(new);
        if rest.fail() {
            let message = format!("worker {worker} could not reach the source and rests: {error}");
            return self.put_back(task, &error, message);
        }
        if pool.len() == 1 {
            return self.finish(task, Some(error));
        }
        let message = format!("worker {worker} was let go, it could not reach the source: {error}");
        self.put_back(task, &error, message)?;
        pool.dismiss(worker);
        if pool.len() == 1 && error.sqlstate() == TOO_MANY_CONNECTIONS {
            // They may have kept each other out; now there is nobody left to do so.
            self.rests.clear();
        }
        Ok(())
    }

    fn put_back(&mut self, task: i32, error: &Error, message: String) -> Result<()> {
        let (run, state) = (self.run.id, self.run.state);
        self.running.remove(&task);
        self.graph.put_back(task)?;
        let object = self.task(task).map(|task| task.object.clone());
        let event = Event {
            sqlstate: Some(error.sqlstate().to_owned()),
            ..Event::new(Severity::Warning, object, message)
        };
        transaction::run(|| {
            state.end_tasks(run, &[task], "pending", Some(error))?;
            state.insert_event(run, &event)
        })
    }

    /// Records the end of a task that was done but for some statements: what depends on it goes on.
    fn finish_partly(&mut self, id: i32, error: Error) -> Result<()> {
        self.finish(id, None)?;
        let (run, state) = (self.run.id, self.run.state);
        transaction::run(|| state.end_tasks(run, &[id], "failed", Some(&error)))?;
        self.failed.push((id, error));
        Ok(())
    }

    /// Records the end of a task; a failure ends the run, or takes along what depends on the task.
    fn finish(&mut self, id: i32, error: Option<Error>) -> Result<()> {
        let (run, state) = (self.run.id, self.run.state);
        self.running.remove(&id);
        self.source_tasks -= usize::from(self.task(id).is_some_and(needs_source));
        let Some(error) = error else {
            *self.has_progressed = true;
            self.graph.finish(id, Outcome::Done)?;
            return transaction::run(|| state.end_tasks(run, &[id], "done", None));
        };
        let skipped = self.graph.finish(id, Outcome::Failed)?;
        self.source_tasks -=
            skipped.iter().filter(|id| self.task(**id).is_some_and(needs_source)).count();
        let object = self.task(id).map(|task| task.object.clone()).unwrap_or_default();
        transaction::run(|| {
            state.end_tasks(run, &[id], "failed", Some(&error))?;
            state.insert_event(run, &Event::failure(&object, &error))?;
            let reason = Error::Internal(format!("task {id} ({object}) has failed"));
            state.end_tasks(run, &skipped, "skipped", Some(&reason))
        })?;
        self.failed.push((id, error));
        Ok(())
    }

    /// Whether a task has failed that ends the run.
    fn must_stop(&self) -> bool {
        self.run.options.on_error == OnError::Stop && self.failed.iter().any(|(task, _)| *task != 0)
    }

    /// Says what a worker was at when it ended.
    fn name_task(&self, id: i32, error: Error) -> Error {
        match (error, self.task(id)) {
            (Error::Target(mut target), Some(task)) => {
                target.context.clone_from(&task.object);
                Error::Target(target)
            }
            (error, _) => error,
        }
    }

    fn task(&self, id: i32) -> Option<&Task> {
        let position = usize::try_from(id).ok()?.checked_sub(1)?;
        self.tasks.get(position)
    }

    fn no_workers_left(&mut self) -> Error {
        match self.failed.pop() {
            Some((_, error)) => error,
            None => super::launch::no_worker_slot(),
        }
    }

    /// The error of a run in which tasks failed.
    fn failure(mut self) -> Option<Error> {
        self.failed.retain(|(task, _)| *task != 0);
        let (_, first) = self.failed.first()?;
        if self.must_stop() {
            return Some(first.clone());
        }
        Some(Error::Preflight {
            message: format!("{} tasks failed; the first: {first}", self.failed.len()),
            detail: first.detail().map(str::to_owned),
            hint: Some(format!(
                "select * from pgmig.events where run_id = {} lists all of them; resume tries them \
                 again.",
                self.run.id
            )),
            sqlstate: "P0001",
        })
    }
}

/// Whether a task reads from the source.
fn needs_source(task: &Task) -> bool {
    task.work.reads_source()
}

/// The one of `PHASES` that a kind of task belongs to.
fn phase_name(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Ddl => "schema",
        TaskKind::Copy | TaskKind::LargeObject | TaskKind::Sequence => "copy",
        TaskKind::Index | TaskKind::Constraint => "indexes",
        TaskKind::ForeignKey => "foreign keys",
        TaskKind::Refresh => "materialized views",
        TaskKind::Analyze => "analyze",
        TaskKind::Check => "validation",
    }
}
