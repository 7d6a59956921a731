//! Handing out tasks: every worker that is free gets the most urgent task that conflicts with none.

use std::collections::BTreeSet;
use std::time::Duration;

use pgmig_core::options::OnError;
use pgmig_core::plan::graph::{Graph, Outcome};
use pgmig_core::plan::task::{Task, TaskKind};
use pgmig_core::{Error, Result};

use super::coordinator::Run;
use super::pool::{Change, Pool};
use super::state::Event;
use super::survey::Survey;
use crate::pg::{latch, transaction};

/// Longest sleep: what a worker reports sets the latch, and so does its end.
const POLL: Duration = Duration::from_millis(250);

/// What people call the parts of a run. They overlap; the one furthest to the front here tells most
/// about how far the run is.
const PHASES: [&str; 7] =
    ["copy", "indexes", "foreign keys", "materialized views", "validation", "analyze", "schema"];

/// Runs every task of the plan, up to the first failure unless the run is to go on; returns the error
/// to fail the run with when tasks failed.
pub(super) fn dispatch(run: &Run, pool: &mut Pool, mut survey: Survey) -> Result<Option<Error>> {
    let tasks = std::mem::take(&mut survey.tasks);
    let source_tasks = tasks.iter().filter(|task| needs_source(task)).count();
    let mut dispatcher = Dispatcher {
        run,
        graph: Graph::new(&tasks, &[], run.options.max_partitions)?,
        tasks,
        source_tasks,
        survey: Some(survey),
        failed: Vec::new(),
        running: BTreeSet::new(),
        phase: "",
    };
    dispatcher.work(pool)?;
    Ok(dispatcher.failure())
}

struct Dispatcher<'a> {
    run: &'a Run,
    tasks: Vec<Task>,
    graph: Graph,
    /// Tasks to come that read from the source.
    source_tasks: usize,
    /// Holds the snapshot for as long as it is needed.
    survey: Option<Survey>,
    failed: Vec<(i32, Error)>,
    running: BTreeSet<i32>,
    phase: &'static str,
}

impl Dispatcher<'_> {
    fn work(&mut self, pool: &mut Pool) -> Result<()> {
        while !self.graph.is_finished() && !self.must_stop() {
            for (worker, change) in pool.changes() {
                self.take(worker, change)?;
            }
            if self.must_stop() {
                break;
            }
            if pool.len() == 0 {
                return Err(self.no_workers_left());
            }
            self.hand_out(pool)?;
            self.note_phase()?;
            if self.graph.is_finished() {
                break;
            }
            if self.source_tasks == 0 {
                pool.release_source();
                self.survey = None;
            }
            if pool.busy_count() == 0 && pool.idle().is_some() {
                return Err(Error::Internal("tasks are left that wait for each other".to_owned()));
            }
            latch::wait(POLL);
        }
        Ok(())
    }

    /// Gives tasks to idle workers for as long as there are both.
    fn hand_out(&mut self, pool: &mut Pool) -> Result<()> {
        while let Some(worker) = pool.idle() {
            let Some(id) = self.graph.next() else {
                return Ok(());
            };
            let pid = pool.pid(worker);
            let (run, state) = (self.run.id, self.run.state);
            transaction::run(|| state.begin_task(run, id, worker, pid))?;
            self.running.insert(id);
            pool.assign(worker, id);
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
    fn take(&mut self, worker: i32, change: Change) -> Result<()> {
        match change {
            Change::Ready => Ok(()),
            Change::Done(task) => self.finish(task, None),
            Change::Failed(task, error) => self.finish(task, Some(error)),
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

    /// Records the end of a task; a failure ends the run, or takes along what depends on the task.
    fn finish(&mut self, id: i32, error: Option<Error>) -> Result<()> {
        let (run, state) = (self.run.id, self.run.state);
        self.running.remove(&id);
        self.source_tasks -= usize::from(self.task(id).is_some_and(needs_source));
        let Some(error) = error else {
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
                "select * from pgmig.events where run_id = {} lists all of them.",
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
