//! The dispatcher's pure half: which task is next.
//!
//! In come the tasks of the plan and what has become of those that ran; out comes the ready task on the
//! longest path to the end that conflicts with no running one. Conflicts are PostgreSQL's own between
//! lock modes, and a limit on the ranges of one table that are copied at a time.
//!
//! A task is `waiting` until its dependencies are done, then `ready`, `running`, and `done`, `failed` or
//! `skipped` in the end; only a waiting task can be skipped. What comes after rows and keys and is chained
//! to them for the sake of order alone (the rest of the schema, sequences, materialized views) waits for
//! their end, whatever that is: what it needs and is not there fails statement by statement. Ready tasks are in a heap by priority. One that turns out to be blocked is
//! parked at the table that blocks it, in a queue of those that want the same of that table. When
//! something is released there, only the first of every queue goes back to the heap, and the one after it
//! follows when the first has got past the table. So a task released costs a few heap operations however
//! many are parked.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use super::task::{LockMode, Task, TaskKind, Work, access_methods};
use crate::Result;
use crate::error::Error;
use crate::name::QualifiedName;

/// A task's position in the plan, from 1.
pub type TaskId = i32;

/// What has become of a task that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its effect is committed.
    Done,
    Failed,
    /// It was found not to be worth doing, so neither is what depends on it.
    Skipped,
}

/// The tasks of a run and where they stand.
#[derive(Debug)]
pub struct Graph {
    nodes: Vec<Node>,
    index_by_id: HashMap<TaskId, usize>,
    tables: Vec<TableState>,
    /// Ranges of one table that may be copied at a time.
    max_partitions: usize,
    ready: BinaryHeap<Entry>,
    running_count: usize,
    /// Tasks that are neither done nor failed nor skipped.
    open_count: usize,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Ready,
    Running,
    Ended(Outcome),
}

/// A task as the graph sees it.
#[derive(Debug)]
struct Node {
    id: TaskId,
    state: State,
    /// Cost of the longest path from here to the end, this task included.
    priority: u64,
    /// Dependencies that are not done.
    missing: usize,
    /// Indexes of the tasks that depend on this one.
    dependents: Vec<usize>,
    /// What it wants of which table.
    wants: Vec<(usize, Want)>,
    /// Whether it only has to wait for the end of what it depends on.
    goes_on: bool,
    /// Whether it makes something before the rows, so that nothing goes on without it.
    is_schema: bool,
    /// The queue it was taken from and has to be followed from, while it is in the heap.
    followed_from: Option<(usize, Want)>,
}

/// What a task wants of a table, and the queue it waits in for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// A place among the ranges that are copied at a time.
    Copy,
    Lock(LockMode),
}

/// Queues of a table: one for copies and one for every lock mode.
const QUEUE_COUNT: usize = 9;

/// What runs at a table and what waits for it.
#[derive(Debug, Default)]
struct TableState {
    /// How many running tasks want the same, by queue.
    held: [usize; QUEUE_COUNT],
    parked: [BinaryHeap<Entry>; QUEUE_COUNT],
}

/// A task in a heap: the highest priority first, then the lowest index.
type Entry = (u64, Reverse<usize>);

impl Want {
    /// All of them, in the order of their queues.
    const ALL: [Want; QUEUE_COUNT] = [
        Want::Copy,
        Want::Lock(LockMode::AccessShare),
        Want::Lock(LockMode::RowShare),
        Want::Lock(LockMode::RowExclusive),
        Want::Lock(LockMode::ShareUpdateExclusive),
        Want::Lock(LockMode::Share),
        Want::Lock(LockMode::ShareRowExclusive),
        Want::Lock(LockMode::Exclusive),
        Want::Lock(LockMode::AccessExclusive),
    ];

    /// The number of its queue.
    fn queue(self) -> usize {
        match self {
            Want::Copy => 0,
            Want::Lock(LockMode::AccessShare) => 1,
            Want::Lock(LockMode::RowShare) => 2,
            Want::Lock(LockMode::RowExclusive) => 3,
            Want::Lock(LockMode::ShareUpdateExclusive) => 4,
            Want::Lock(LockMode::Share) => 5,
            Want::Lock(LockMode::ShareRowExclusive) => 6,
            Want::Lock(LockMode::Exclusive) => 7,
            Want::Lock(LockMode::AccessExclusive) => 8,
        }
    }
}

/// Whether two lock modes exclude each other: the table of conflicts in the chapter on explicit locking
/// of PostgreSQL's manual.
pub fn conflicts(a: LockMode, b: LockMode) -> bool {
    use LockMode::*;
    match a.min(b) {
        AccessShare => a.max(b) == AccessExclusive,
        RowShare => a.max(b) >= Exclusive,
        RowExclusive => a.max(b) >= Share,
        ShareUpdateExclusive => true,
        // The one mode of the stronger half that goes together with itself.
        Share => a.max(b) != Share,
        ShareRowExclusive | Exclusive | AccessExclusive => true,
    }
}

/// What a task costs, in about the bytes that a copy could have moved meanwhile.
pub fn estimate_cost(task: &Task) -> u64 {
    /// Any task costs a dispatch and a commit.
    const BASE: u64 = 64 << 10;
    /// What a row costs beyond its bytes: forming, comparing, sorting.
    const ROW: u64 = 32;
    let bytes = u64::try_from(task.bytes).unwrap_or(0);
    let rows = u64::try_from(task.rows).unwrap_or(0).saturating_mul(ROW);
    let work = bytes.saturating_add(rows);
    let work = match task.kind {
        TaskKind::Copy | TaskKind::LargeObject => work,
        TaskKind::Index => work.saturating_mul(index_cost(task)) / INDEX_COST,
        // Queries of any kind hide behind a materialized view.
        TaskKind::Refresh => work.saturating_mul(2),
        // These read, and write next to nothing.
        TaskKind::Constraint | TaskKind::ForeignKey | TaskKind::Check => work / 2,
        // Of a sample, whose bytes these are.
        TaskKind::Analyze => bytes,
        TaskKind::Ddl | TaskKind::Sequence => 0,
    };
    BASE.saturating_add(work)
}

/// What building a B-tree costs, in the units of `index_cost`.
const INDEX_COST: u64 = 4;

/// Roughly what building an index of its kind costs: some methods insert every row by itself,
/// into places all over the index, or take values apart.
fn index_cost(task: &Task) -> u64 {
    let Work::Statements { statements } = &task.work else {
        return INDEX_COST;
    };
    let of_method = |method| match method {
        "gist" => Some(12 * INDEX_COST),
        "spgist" => Some(8 * INDEX_COST),
        "gin" => Some(4 * INDEX_COST),
        "hash" => Some(2 * INDEX_COST),
        "brin" => Some(INDEX_COST / 4),
        _ => None,
    };
    let methods = statements.iter().flat_map(|statement| access_methods(&statement.sql));
    methods.filter_map(of_method).max().unwrap_or(INDEX_COST)
}

impl Graph {
    /// Builds the graph of `tasks`, of which those in `done` are done already.
    ///
    /// # Errors
    /// `Error::Internal` if a task depends on one that is not before it.
    pub fn new(tasks: &[Task], done: &[TaskId], max_partitions: u32) -> Result<Graph> {
        let done: HashSet<TaskId> = done.iter().copied().collect();
        let mut graph = Graph {
            nodes: Vec::with_capacity(tasks.len()),
            index_by_id: HashMap::with_capacity(tasks.len()),
            tables: Vec::new(),
            max_partitions: usize::try_from(max_partitions).unwrap_or(usize::MAX).max(1),
            ready: BinaryHeap::new(),
            running_count: 0,
            open_count: 0,
        };
        let mut index_by_table = HashMap::new();
        // What is to be done again before a task that is done: whoever needs the task waits for that.
        let mut behind: HashMap<usize, BTreeSet<usize>> = HashMap::new();
        let kinds: Vec<TaskKind> = tasks.iter().map(|task| task.kind).collect();
        for (index, task) in tasks.iter().enumerate() {
            let wants = graph.find_wants(task, &mut index_by_table);
            let is_done = done.contains(&task.id);
            let mut before: BTreeSet<usize> = BTreeSet::new();
            for dependency in &task.depends_on {
                let Some(needed) = graph.index_by_id.get(dependency).copied() else {
                    return Err(Error::Internal(format!(
                        "task {} depends on task {dependency}, which is not before it",
                        task.id
                    )));
                };
                match behind.get(&needed) {
                    Some(open) => before.extend(open),
                    None => before.extend([needed]),
                }
            }
            let missing = before.len();
            let is_behind_rows =
                |needed: &usize| graph.nodes[*needed].goes_on || kinds[*needed] != TaskKind::Ddl;
            let goes_on =
                matches!(task.kind, TaskKind::Ddl | TaskKind::Sequence | TaskKind::Refresh)
                    && before.iter().any(is_behind_rows);
            if is_done {
                behind.insert(index, before);
            } else {
                for needed in before {
                    graph.nodes[needed].dependents.push(index);
                }
            }
            let state = if is_done { State::Ended(Outcome::Done) } else { State::Waiting };
            graph.open_count += usize::from(!is_done);
            graph.nodes.push(Node {
                id: task.id,
                state,
                priority: estimate_cost(task),
                missing,
                dependents: Vec::new(),
                wants,
                goes_on,
                is_schema: task.kind == TaskKind::Ddl && !goes_on,
                followed_from: None,
            });
            if graph.index_by_id.insert(task.id, index).is_some() {
                return Err(Error::Internal(format!("task {} is in the plan twice", task.id)));
            }
        }
        graph.add_up_priorities();
        for index in 0..graph.nodes.len() {
            graph.make_ready(index);
        }
        Ok(graph)
    }

    /// Starts the most urgent task that can run now, if any can.
    ///
    /// No call means anything new until a task has finished, once this has returned None.
    #[expect(
        clippy::should_implement_trait,
        reason = "what is next changes with what has finished"
    )]
    pub fn next(&mut self) -> Option<TaskId> {
        while let Some((priority, Reverse(index))) = self.ready.pop() {
            let blocker = self.find_blocker(index);
            let followed_from = self.nodes[index].followed_from.take();
            match blocker {
                Some((table, want)) => {
                    self.tables[table].parked[want.queue()].push((priority, Reverse(index)));
                }
                None => {
                    self.nodes[index].state = State::Running;
                    self.running_count += 1;
                    for (table, want) in &self.nodes[index].wants {
                        self.tables[*table].held[want.queue()] += 1;
                    }
                }
            }
            // Whoever got past its queue makes way for the next one there.
            if let Some((table, want)) = followed_from.filter(|_| blocker != followed_from) {
                self.unpark_first(table, want);
            }
            if blocker.is_none() {
                return Some(self.nodes[index].id);
            }
        }
        None
    }

    /// Records what has become of a running task; returns the tasks that are skipped because of it.
    ///
    /// # Errors
    /// `Error::Internal` if the task is not running.
    pub fn finish(&mut self, id: TaskId, outcome: Outcome) -> Result<Vec<TaskId>> {
        let index = self.release(id)?;
        self.nodes[index].state = State::Ended(outcome);
        self.open_count -= 1;
        if outcome != Outcome::Done {
            return Ok(self.skip_dependents(index));
        }
        for i in 0..self.nodes[index].dependents.len() {
            let dependent = self.nodes[index].dependents[i];
            self.nodes[dependent].missing -= 1;
            self.make_ready(dependent);
        }
        Ok(Vec::new())
    }

    /// Puts a running task back among the ready ones, to be done again: its worker is gone, and so is
    /// its effect.
    ///
    /// # Errors
    /// `Error::Internal` if the task is not running.
    pub fn put_back(&mut self, id: TaskId) -> Result<()> {
        let index = self.release(id)?;
        self.nodes[index].state = State::Waiting;
        self.make_ready(index);
        Ok(())
    }

    /// Whether every task has come to its end.
    pub fn is_finished(&self) -> bool {
        self.open_count == 0
    }

    /// Tasks that run.
    pub fn running_count(&self) -> usize {
        self.running_count
    }

    /// Tasks that have not come to their end, the running ones included.
    pub fn open_count(&self) -> usize {
        self.open_count
    }

    /// After `next` returned None: why nothing runs though tasks are left, which would be a bug.
    pub fn stalled(&self) -> Option<String> {
        if self.running_count > 0 || self.is_finished() || !self.ready.is_empty() {
            return None;
        }
        let count = |state| self.nodes.iter().filter(|node| node.state == state).count();
        Some(format!(
            "{} tasks wait for others and {} for a table, but none is running",
            count(State::Waiting),
            count(State::Ready)
        ))
    }

    /// What a task wants of which table; tables get numbers as they come.
    fn find_wants(
        &mut self,
        task: &Task,
        index_by_table: &mut HashMap<QualifiedName, usize>,
    ) -> Vec<(usize, Want)> {
        let place = (task.kind == TaskKind::Copy).then_some(task.table.as_ref()).flatten();
        let locks = task.locks.iter().map(|lock| (&lock.table, Want::Lock(lock.mode)));
        let wants = place.map(|table| (table, Want::Copy)).into_iter().chain(locks);
        wants
            .map(|(table, want)| {
                let known = index_by_table.get(table).copied();
                let index = known.unwrap_or_else(|| {
                    index_by_table.insert(table.clone(), self.tables.len());
                    self.tables.push(TableState::default());
                    self.tables.len() - 1
                });
                (index, want)
            })
            .collect()
    }

    /// Adds to every task's own cost that of the costliest path behind it.
    fn add_up_priorities(&mut self) {
        // Dependents come later in the plan, so backwards all of them are known.
        for index in (0..self.nodes.len()).rev() {
            let dependents = self.nodes[index].dependents.iter();
            let behind = dependents.map(|later| self.nodes[*later].priority).max().unwrap_or(0);
            let node = &mut self.nodes[index];
            node.priority = node.priority.saturating_add(behind);
        }
    }

    /// Makes a waiting task ready if it waits for nothing any more.
    fn make_ready(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.state == State::Waiting && node.missing == 0 {
            node.state = State::Ready;
            self.ready.push((node.priority, Reverse(index)));
        }
    }

    /// The first thing a task wants and cannot have now.
    fn find_blocker(&self, index: usize) -> Option<(usize, Want)> {
        let is_blocked = |(table, want): &(usize, Want)| {
            let held = &self.tables[*table].held;
            match want {
                Want::Copy => held[want.queue()] >= self.max_partitions,
                Want::Lock(mode) => Want::ALL.iter().any(|other| match other {
                    Want::Copy => false,
                    Want::Lock(held_mode) => {
                        held[other.queue()] > 0 && conflicts(*mode, *held_mode)
                    }
                }),
            }
        };
        self.nodes[index].wants.iter().copied().find(is_blocked)
    }

    /// Takes back all that a running task holds and lets the first of every queue there try again.
    fn release(&mut self, id: TaskId) -> Result<usize> {
        let index = self.index_by_id.get(&id).copied();
        let Some(index) = index.filter(|index| self.nodes[*index].state == State::Running) else {
            return Err(Error::Internal(format!("task {id} has ended but was not running")));
        };
        self.running_count -= 1;
        for i in 0..self.nodes[index].wants.len() {
            let (table, want) = self.nodes[index].wants[i];
            self.tables[table].held[want.queue()] -= 1;
            for waiting in Want::ALL {
                self.unpark_first(table, waiting);
            }
        }
        Ok(index)
    }

    /// Moves the first task of a queue to the heap of those to be tried.
    fn unpark_first(&mut self, table: usize, want: Want) {
        if let Some((priority, Reverse(index))) = self.tables[table].parked[want.queue()].pop() {
            self.nodes[index].followed_from = Some((table, want));
            self.ready.push((priority, Reverse(index)));
        }
    }

    /// Skips all that depends on a task; returns it in the order of the plan.
    fn skip_dependents(&mut self, index: usize) -> Vec<TaskId> {
        let mut skipped = Vec::new();
        let spares_what_follows = !self.nodes[index].is_schema;
        let mut to_visit = vec![index];
        while let Some(index) = to_visit.pop() {
            for i in 0..self.nodes[index].dependents.len() {
                let dependent = self.nodes[index].dependents[i];
                let node = &mut self.nodes[dependent];
                if node.goes_on && spares_what_follows {
                    node.missing -= 1;
                    self.make_ready(dependent);
                } else if !matches!(node.state, State::Ended(_)) {
                    node.state = State::Ended(Outcome::Skipped);
                    self.open_count -= 1;
                    skipped.push(node.id);
                    to_visit.push(dependent);
                }
            }
        }
        skipped.sort_unstable();
        skipped
    }
}

#[cfg(test)]
mod tests;
