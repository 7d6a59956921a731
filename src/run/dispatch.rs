//! Handing out tasks: every worker that is free gets the most urgent task that conflicts with none.

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
        phase: "copy".to_owned(),
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
    phase: String,
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
            if self.source_tasks == 0 {
                pool.release_source();
                self.survey = None;
            }
            if self.graph.is_finished() {
                break;
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
            let phase = self.task(id).map(|task| phase_name(task.kind)).unwrap_or_default();
            let is_new_phase = phase != self.phase;
            transaction::run(|| {
                if is_new_phase {
                    state.set_phase(run, phase, true)?;
                }
                state.begin_task(run, id, worker, pid)
            })?;
            self.phase = phase.to_owned();
            pool.assign(worker, id);
        }
        Ok(())
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

/// What people call the part of the run that a kind of task belongs to.
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
