//! A plan grown to the size of a database that is not there, with what its tasks would cost.

use std::collections::HashMap;

use anyhow::Result;
use pgmig_core::name::QualifiedName;
use pgmig_core::options::ChunkBy;
use pgmig_core::plan::ranges::{Limits, TableFacts, count_ranges};
use pgmig_core::plan::task::{LockMode, Task, TaskKind, TaskLock};

use super::recorded::{Reading, Run};
use super::simulate::Cost;

/// Whether the server logs what a transaction writes into files of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalLevel {
    Minimal,
    Replica,
}

/// How a plan grows.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// Every table this many times, under other names.
    pub set_count: usize,
    /// Rows and bytes of each table, as a multiple.
    pub factor: f64,
    pub job_count: usize,
    pub wal_level: WalLevel,
    /// Whether source and target have the same cores: those are the target's then.
    pub shares_cores: bool,
}

/// A grown plan.
pub struct Plan {
    pub tasks: Vec<Task>,
    pub costs: Vec<Cost>,
}

/// How much more a task on `rows` rows costs than on one.
pub fn work_of(kind: TaskKind, rows: f64) -> f64 {
    let rows = rows.max(2.0);
    match kind {
        TaskKind::Index => rows * rows.log2(),
        TaskKind::Copy | TaskKind::ForeignKey | TaskKind::Check => rows,
        // A sample, a few statements.
        _ => 1.0,
    }
}

/// Grows what was recorded with one worker.
pub fn grow(run: &Run, readings: &HashMap<QualifiedName, Reading>, growth: Growth) -> Result<Plan> {
    let mut plan = Plan { tasks: Vec::new(), costs: Vec::new() };
    let copies = run.tasks.iter().filter(|task| task.kind == TaskKind::Copy);
    let database_bytes =
        copies.map(|task| task.bytes as f64).sum::<f64>() * growth.factor * growth.set_count as f64;
    for set in 0..growth.set_count {
        // Where each task of the recorded plan has got to.
        let mut ids: HashMap<i32, Vec<i32>> = HashMap::new();
        for (task, seconds) in run.tasks.iter().zip(&run.seconds) {
            let parts = match task.kind {
                TaskKind::Copy => count_parts(task, database_bytes, growth),
                _ => 1,
            };
            let cost = cost_of(run, task, *seconds, readings, growth, parts);
            let mut own = Vec::new();
            for _ in 0..parts {
                let id = i32::try_from(plan.tasks.len() + 1)?;
                plan.tasks.push(Task {
                    id,
                    table: task.table.as_ref().map(|table| rename(table, set)),
                    locks: task.locks.iter().map(|lock| grow_lock(lock, set, parts)).collect(),
                    depends_on: task.depends_on.iter().flat_map(|id| ids[id].clone()).collect(),
                    rows: (task.rows as f64 * growth.factor / parts as f64) as i64,
                    bytes: (task.bytes as f64 * growth.factor / parts as f64) as i64,
                    ..task.clone()
                });
                plan.costs.push(cost);
                own.push(id);
            }
            ids.insert(task.id, own);
        }
    }
    Ok(plan)
}

/// Ranges do not truncate, as a table's only copy does, so they go side by side.
fn grow_lock(lock: &TaskLock, set: usize, parts: usize) -> TaskLock {
    let mode = if parts > 1 { lock.mode.min(LockMode::RowExclusive) } else { lock.mode };
    TaskLock { table: rename(&lock.table, set), mode }
}

fn rename(table: &QualifiedName, set: usize) -> QualifiedName {
    QualifiedName::new(&table.schema, format!("{} {set}", table.name))
}

/// The ranges that pgmig would cut a table into.
fn count_parts(task: &Task, database_bytes: f64, growth: Growth) -> usize {
    let bytes = (task.bytes as f64 * growth.factor) as i64;
    let facts = TableFacts {
        name: QualifiedName::new("public", "x"),
        rows: (task.rows as f64 * growth.factor) as i64,
        main_bytes: bytes,
        total_bytes: bytes,
        is_heap: true,
    };
    let limits = Limits {
        source_version: 150_000,
        database_bytes: database_bytes as i64,
        // Makes no difference at such sizes.
        is_even: false,
        jobs: i64::try_from(growth.job_count).unwrap_or(i64::MAX),
        partition_threshold: None,
        chunk_size: None,
        chunk_by: ChunkBy::Auto,
    };
    usize::try_from(count_ranges(&facts, &limits)).unwrap_or(1)
}

/// What one of the `parts` of a grown task costs.
fn cost_of(
    run: &Run,
    task: &Task,
    seconds: f64,
    readings: &HashMap<QualifiedName, Reading>,
    growth: Growth,
    parts: usize,
) -> Cost {
    let rows = task.rows as f64;
    let scale = work_of(task.kind, rows * growth.factor) / work_of(task.kind, rows) / parts as f64;
    let seconds = seconds * scale;
    let reading = task.table.as_ref().filter(|_| task.kind == TaskKind::Copy);
    let reading = reading.and_then(|table| readings.get(table));
    let (source, network) = match (task.kind, reading) {
        (TaskKind::Copy, Some(reading)) => {
            (reading.source_seconds * scale, reading.wire_bytes * scale)
        }
        // Both sides count at the same time.
        (TaskKind::Check, _) => (seconds, 0.0),
        _ => (0.0, 0.0),
    };
    let written = match task.kind {
        TaskKind::Copy => task.bytes as f64 * scale,
        TaskKind::Index => run.index_bytes_per_row * rows * growth.factor / parts as f64,
        _ => 0.0,
    };
    // Only a table that one transaction truncates and fills goes without; an index always.
    let is_skipped =
        growth.wal_level == WalLevel::Minimal && (task.kind != TaskKind::Copy || parts == 1);
    let logged = if is_skipped { 0.0 } else { written };
    let (source, target) = match growth.shares_cores {
        true => (0.0, source + seconds),
        false => (source, seconds),
    };
    Cost { seconds: seconds.max(source), demands: [source, target, network, written, logged] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Measurement;
    use pgmig_core::plan::task::Work;

    fn task(id: i32, kind: TaskKind, depends_on: Vec<i32>) -> Task {
        Task {
            id,
            kind,
            object: "x".to_owned(),
            table: Some(QualifiedName::new("public", "x")),
            work: Work::Statements { statements: Vec::new() },
            depends_on,
            locks: Vec::new(),
            rows: 1_000,
            bytes: 1 << 20,
        }
    }

    #[test]
    fn what_waits_for_a_table_waits_for_all_its_ranges_and_costs_add_up() {
        let run = Run {
            tasks: vec![task(1, TaskKind::Copy, vec![]), task(2, TaskKind::Index, vec![1])],
            seconds: vec![1.0, 1.0],
            cpu_share: 1.0,
            measurement: Measurement::default(),
            index_bytes_per_row: 20.0,
        };
        let growth = Growth {
            set_count: 2,
            factor: 4096.0,
            job_count: 4,
            wal_level: WalLevel::Minimal,
            shares_cores: false,
        };
        let plan = grow(&run, &HashMap::new(), growth).unwrap();
        // 4 GB in ranges of 256 MB.
        let ranges: Vec<i32> = (1..=16).collect();
        assert_eq!(plan.tasks[16].depends_on, ranges);
        assert_eq!(plan.tasks.len(), 34);
        assert_ne!(plan.tasks[0].table, plan.tasks[17].table);
        let copying: f64 = plan.costs[..16].iter().map(|cost| cost.seconds).sum();
        assert!((copying - 4096.0).abs() < 1e-6);
        let index = 4096.0 * 4_096_000.0_f64.log2() / 1000.0_f64.log2();
        assert!((plan.costs[16].seconds - index).abs() < 1e-6);
        // Ranges are logged whatever the level, the index is not.
        assert!(plan.costs[0].demands[4] > 0.0);
        assert_eq!(plan.costs[16].demands[4], 0.0);
    }
}
