//! Order, conflicts, failure and speed of the dispatcher.

use std::time::{Duration, Instant};

use super::*;
use crate::plan::task::{Statement, TaskLock};

const MB: i64 = 1 << 20;

fn task(id: TaskId, kind: TaskKind, bytes: i64, depends_on: &[TaskId]) -> Task {
    Task {
        id,
        kind,
        object: String::new(),
        table: None,
        work: Work::Statements { statements: Vec::new() },
        depends_on: depends_on.to_vec(),
        locks: Vec::new(),
        rows: 0,
        bytes,
    }
}

fn table(name: &str) -> QualifiedName {
    QualifiedName::new("s", name)
}

fn lock(mut task: Task, name: &str, mode: LockMode) -> Task {
    task.locks.push(TaskLock { table: table(name), mode });
    task
}

fn range(id: TaskId, name: &str, bytes: i64) -> Task {
    let copy = Task { table: Some(table(name)), ..task(id, TaskKind::Copy, bytes, &[]) };
    lock(copy, name, LockMode::RowExclusive)
}

fn graph(tasks: &[Task]) -> Graph {
    Graph::new(tasks, &[], 8).expect("a valid plan")
}

/// Starts all that can run now.
fn start_all(graph: &mut Graph) -> Vec<TaskId> {
    std::iter::from_fn(|| graph.next()).collect()
}

fn finish(graph: &mut Graph, id: TaskId) {
    assert!(graph.finish(id, Outcome::Done).expect("it was running").is_empty());
}

#[test]
fn indexes_that_take_longest_to_build_come_first() {
    let index = |id, sql: &str| {
        let statements = vec![Statement::new("index", sql)];
        Task { work: Work::Statements { statements }, ..task(id, TaskKind::Index, 1 << 24, &[]) }
    };
    let tasks = [
        index(1, "CREATE INDEX a ON t USING brin (x)"),
        index(2, "CREATE INDEX b ON t USING btree (x)"),
        index(3, "CREATE INDEX c ON t USING gin (x gin_trgm_ops)"),
        index(4, "ALTER TABLE t ADD PRIMARY KEY (x)"),
        index(5, "CREATE INDEX \"d USING brin (\" ON t USING gist (x)"),
    ];
    assert_eq!(start_all(&mut graph(&tasks)), [5, 3, 2, 4, 1]);
}

#[test]
fn conflicts_are_those_of_the_manual() {
    use LockMode::*;
    let modes = [
        AccessShare,
        RowShare,
        RowExclusive,
        ShareUpdateExclusive,
        Share,
        ShareRowExclusive,
        Exclusive,
        AccessExclusive,
    ];
    let expected = [
        ".......X", "......XX", "....XXXX", "...XXXXX", "..XX.XXX", "..XXXXXX", ".XXXXXXX",
        "XXXXXXXX",
    ];
    for (a, row) in modes.into_iter().zip(expected) {
        for (b, mark) in modes.into_iter().zip(row.chars()) {
            assert_eq!(conflicts(a, b), mark == 'X', "{a:?} {b:?}");
        }
    }
}

#[test]
fn the_longest_path_to_the_end_goes_first() {
    let mut graph = graph(&[
        task(1, TaskKind::Copy, 100 * MB, &[]),
        task(2, TaskKind::Copy, 60 * MB, &[]),
        task(3, TaskKind::Index, 60 * MB, &[2]),
        task(4, TaskKind::Copy, 10 * MB, &[]),
        task(5, TaskKind::Copy, 10 * MB, &[]),
    ]);
    assert_eq!(start_all(&mut graph), [2, 1, 4, 5]);
    finish(&mut graph, 2);
    assert_eq!(start_all(&mut graph), [3]);
}

#[test]
fn a_task_waits_for_all_of_its_dependencies() {
    let mut graph = graph(&[
        task(1, TaskKind::Ddl, 0, &[]),
        task(2, TaskKind::Ddl, 0, &[]),
        task(3, TaskKind::Ddl, 0, &[1, 2]),
    ]);
    assert_eq!(start_all(&mut graph), [1, 2]);
    finish(&mut graph, 1);
    assert_eq!(graph.next(), None);
    finish(&mut graph, 2);
    assert_eq!(graph.next(), Some(3));
    assert!(!graph.is_finished());
    finish(&mut graph, 3);
    assert!(graph.is_finished());
    assert_eq!((graph.running_count(), graph.open_count(), graph.stalled()), (0, 0, None));
}

#[test]
fn tasks_that_lock_each_other_out_never_run_together() {
    let mut graph = graph(&[
        lock(task(1, TaskKind::Constraint, 90 * MB, &[]), "t", LockMode::AccessExclusive),
        lock(task(2, TaskKind::Index, 50 * MB, &[]), "t", LockMode::Share),
        lock(task(3, TaskKind::Index, 40 * MB, &[]), "t", LockMode::Share),
        lock(task(4, TaskKind::Analyze, 0, &[]), "t", LockMode::ShareUpdateExclusive),
        lock(task(5, TaskKind::Index, MB, &[]), "u", LockMode::Share),
    ]);
    assert_eq!(start_all(&mut graph), [2, 3, 5]);
    finish(&mut graph, 2);
    assert_eq!(graph.next(), None);
    finish(&mut graph, 5);
    finish(&mut graph, 3);
    assert_eq!(start_all(&mut graph), [1]);
    finish(&mut graph, 1);
    assert_eq!(start_all(&mut graph), [4]);
}

#[test]
fn a_blocked_task_does_not_hide_those_behind_it() {
    // Behind the exclusive lock that is parked first, shared ones of the same table can run.
    let mut graph = graph(&[
        lock(task(1, TaskKind::Index, 99 * MB, &[]), "t", LockMode::AccessExclusive),
        lock(task(2, TaskKind::Constraint, 98 * MB, &[]), "t", LockMode::AccessExclusive),
        lock(task(3, TaskKind::Index, 20 * MB, &[]), "t", LockMode::Share),
        lock(task(4, TaskKind::Index, 10 * MB, &[]), "t", LockMode::Share),
        lock(task(5, TaskKind::Index, 5 * MB, &[]), "t", LockMode::AccessShare),
    ]);
    assert_eq!(start_all(&mut graph), [1]);
    finish(&mut graph, 1);
    assert_eq!(start_all(&mut graph), [2]);
    finish(&mut graph, 2);
    assert_eq!(start_all(&mut graph), [3, 4, 5]);
}

#[test]
fn a_foreign_key_needs_both_tables() {
    let foreign_key = lock(
        lock(task(3, TaskKind::ForeignKey, 900 * MB, &[]), "a", LockMode::ShareRowExclusive),
        "b",
        LockMode::ShareRowExclusive,
    );
    let mut graph = graph(&[
        lock(task(1, TaskKind::Index, 999 * MB, &[]), "a", LockMode::Share),
        lock(task(2, TaskKind::Index, 998 * MB, &[]), "b", LockMode::Share),
        foreign_key,
        lock(task(4, TaskKind::Index, MB, &[]), "b", LockMode::Share),
    ]);
    assert_eq!(start_all(&mut graph), [1, 2, 4]);
    finish(&mut graph, 1);
    assert_eq!(graph.next(), None);
    finish(&mut graph, 2);
    assert_eq!(graph.next(), None);
    finish(&mut graph, 4);
    assert_eq!(graph.next(), Some(3));
}

#[test]
fn only_so_many_ranges_of_a_table_are_copied_at_a_time() {
    let mut tasks: Vec<Task> = (1..=10).map(|id| range(id, "big", 100 * MB)).collect();
    tasks.push(range(11, "small", MB));
    let mut graph = Graph::new(&tasks, &[], 3).expect("a valid plan");
    assert_eq!(start_all(&mut graph), [1, 2, 3, 11]);
    finish(&mut graph, 2);
    assert_eq!(start_all(&mut graph), [4]);
    finish(&mut graph, 1);
    finish(&mut graph, 3);
    assert_eq!(start_all(&mut graph), [5, 6]);
}

#[test]
fn a_failure_skips_what_depends_on_it_and_nothing_else() {
    for outcome in [Outcome::Failed, Outcome::Skipped] {
        let mut graph = graph(&[
            task(1, TaskKind::Copy, 9 * MB, &[]),
            task(2, TaskKind::Index, MB, &[1]),
            task(3, TaskKind::Copy, MB, &[]),
            task(4, TaskKind::ForeignKey, MB, &[2, 3]),
            task(5, TaskKind::Index, MB, &[3]),
        ]);
        assert_eq!(start_all(&mut graph), [1, 3]);
        assert_eq!(graph.finish(1, outcome).expect("it was running"), [2, 4]);
        finish(&mut graph, 3);
        assert_eq!(start_all(&mut graph), [5]);
        finish(&mut graph, 5);
        assert!(graph.is_finished());
    }
}

#[test]
fn tasks_done_before_are_not_done_again() {
    let tasks = [
        task(1, TaskKind::Copy, MB, &[]),
        task(2, TaskKind::Copy, MB, &[]),
        task(3, TaskKind::Index, MB, &[1, 2]),
        task(4, TaskKind::Index, MB, &[1]),
    ];
    let mut graph = Graph::new(&tasks, &[1, 4], 8).expect("a valid plan");
    assert_eq!(start_all(&mut graph), [2]);
    finish(&mut graph, 2);
    assert_eq!(start_all(&mut graph), [3]);
    let graph = Graph::new(&tasks, &[1, 2, 3, 4], 8).expect("a valid plan");
    assert!(graph.is_finished());
}

#[test]
fn what_is_done_again_goes_before_all_that_came_after_it() {
    let tasks = [
        task(1, TaskKind::Copy, 0, &[]),
        task(2, TaskKind::Ddl, 0, &[1]),
        task(3, TaskKind::Ddl, 0, &[2]),
        task(4, TaskKind::Refresh, 0, &[3]),
    ];
    let mut graph = Graph::new(&tasks, &[2, 3], 8).unwrap();
    assert_eq!(start_all(&mut graph), [1]);
    finish(&mut graph, 1);
    assert_eq!(start_all(&mut graph), [4]);
    finish(&mut graph, 4);
    assert!(graph.is_finished());
}

#[test]
fn a_task_put_back_is_done_again_and_holds_nothing_meanwhile() {
    let mut graph = graph(&[
        lock(task(1, TaskKind::Index, 9 * MB, &[]), "t", LockMode::AccessExclusive),
        lock(task(2, TaskKind::Index, MB, &[]), "t", LockMode::AccessExclusive),
    ]);
    assert_eq!(start_all(&mut graph), [1]);
    graph.put_back(1).expect("it was running");
    assert_eq!(start_all(&mut graph), [1]);
    finish(&mut graph, 1);
    assert_eq!(start_all(&mut graph), [2]);
}

#[test]
fn a_wrong_plan_or_report_is_an_internal_error() {
    for tasks in [
        vec![task(1, TaskKind::Ddl, 0, &[2]), task(2, TaskKind::Ddl, 0, &[])],
        vec![task(1, TaskKind::Ddl, 0, &[1])],
        vec![task(1, TaskKind::Ddl, 0, &[]), task(1, TaskKind::Ddl, 0, &[])],
    ] {
        assert!(Graph::new(&tasks, &[], 8).is_err());
    }
    let mut graph = graph(&[task(1, TaskKind::Ddl, 0, &[])]);
    assert!(graph.finish(1, Outcome::Done).is_err());
    assert!(graph.put_back(7).is_err());
}

/// Runs a graph with so many workers; asserts that no two running tasks conflict and all get done.
fn run_to_the_end(tasks: &[Task], workers: usize, max_partitions: u32) {
    let by_id: HashMap<TaskId, &Task> = tasks.iter().map(|task| (task.id, task)).collect();
    let mut graph = Graph::new(tasks, &[], max_partitions).expect("a valid plan");
    let mut running: Vec<TaskId> = Vec::new();
    let mut seed: usize = 7;
    while !graph.is_finished() {
        while running.len() < workers {
            let Some(id) = graph.next() else { break };
            for other in running.iter().map(|other| by_id[other]) {
                for a in &by_id[&id].locks {
                    for b in other.locks.iter().filter(|b| b.table == a.table) {
                        assert!(!conflicts(a.mode, b.mode), "{id} and {}", other.id);
                    }
                }
            }
            running.push(id);
        }
        assert_eq!(graph.stalled(), None);
        seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
        let id = running.swap_remove((seed >> 8) % running.len());
        finish(&mut graph, id);
    }
}

#[test]
fn any_mix_of_locks_comes_to_its_end_without_a_conflict() {
    use LockMode::*;
    let modes = [
        AccessShare,
        RowExclusive,
        ShareUpdateExclusive,
        Share,
        ShareRowExclusive,
        AccessExclusive,
    ];
    let mut seed: usize = 1;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
        (seed >> 8) % below
    };
    for _ in 0..20 {
        let mut tasks: Vec<Task> = Vec::new();
        for id in 1..=300 {
            let bytes = MB * i64::try_from(random(50)).expect("small");
            let before: Vec<TaskId> = match random(2) {
                0 if id > 1 => vec![tasks[random(tasks.len())].id],
                _ => Vec::new(),
            };
            let name = format!("t{}", random(6));
            let mut made = match random(3) {
                0 => Task { depends_on: before, ..range(id, &name, bytes) },
                _ => lock(task(id, TaskKind::Index, bytes, &before), &name, modes[random(6)]),
            };
            if random(3) == 0 {
                made = lock(made, &format!("t{}", random(6)), modes[random(6)]);
            }
            tasks.push(made);
        }
        let limit = [1, 2, 3, 4][random(4)];
        run_to_the_end(&tasks, 1 + random(12), limit);
    }
}

#[test]
fn a_hundred_thousand_tasks_take_well_under_a_second() {
    // One table of 40,000 ranges, and 20,000 small ones with an index and a key each.
    let mut tasks: Vec<Task> = (1..=40_000).map(|id| range(id, "huge", 100 * MB)).collect();
    for i in 0..20_000 {
        let name = format!("t{i}");
        let id = 40_001 + i * 3;
        let index = task(id + 1, TaskKind::Index, MB, &[id]);
        let key = task(id + 2, TaskKind::Constraint, MB, &[id, id + 1]);
        tasks.push(range(id, &name, MB));
        tasks.push(lock(index, &name, LockMode::Share));
        tasks.push(lock(key, &name, LockMode::AccessExclusive));
    }
    let started = Instant::now();
    let mut graph = Graph::new(&tasks, &[], 8).expect("a valid plan");
    let mut running = std::collections::VecDeque::new();
    while !graph.is_finished() {
        while running.len() < 16 {
            let Some(id) = graph.next() else { break };
            running.push_back(id);
        }
        let id = running.pop_front().expect("something runs");
        finish(&mut graph, id);
    }
    let elapsed = started.elapsed();
    // Far above what an optimized build takes, so that a busy machine does not fail the test; work that
    // grows with the square of the ranges takes minutes.
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}

#[test]
fn what_follows_the_rows_for_the_sake_of_order_goes_on_when_some_of_them_fail() {
    let tasks = [
        task(1, TaskKind::Ddl, 0, &[]),
        task(2, TaskKind::Copy, MB, &[1]),
        task(3, TaskKind::Copy, MB, &[1]),
        task(4, TaskKind::Index, MB, &[2]),
        task(5, TaskKind::Ddl, 0, &[2, 3, 4]),
        task(6, TaskKind::Refresh, MB, &[5]),
        task(7, TaskKind::Ddl, 0, &[6]),
        task(8, TaskKind::Sequence, 0, &[5]),
    ];
    let mut graph = graph(&tasks);
    assert_eq!(start_all(&mut graph), [1]);
    finish(&mut graph, 1);
    assert_eq!(start_all(&mut graph), [2, 3]);
    assert_eq!(graph.finish(2, Outcome::Failed).expect("it was running"), [4]);
    assert!(start_all(&mut graph).is_empty());
    finish(&mut graph, 3);
    assert_eq!(start_all(&mut graph), [5]);
    finish(&mut graph, 5);
    assert_eq!(start_all(&mut graph), [6, 8]);
    assert!(graph.finish(6, Outcome::Failed).expect("it was running").is_empty());
    assert_eq!(start_all(&mut graph), [7]);
    finish(&mut graph, 7);
    finish(&mut graph, 8);
    assert!(graph.is_finished());
    // What the schema needs is another matter.
    let mut graph = Graph::new(&tasks, &[], 8).expect("a valid plan");
    assert_eq!(start_all(&mut graph), [1]);
    let skipped = graph.finish(1, Outcome::Failed).expect("it was running");
    assert_eq!(skipped, [2, 3, 4, 5, 6, 7, 8]);
    assert!(graph.is_finished());
}
