//! A run as it was planned and as it went, and what reading its tables alone costs the source.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context, Result};
use pgmig_core::name::QualifiedName;
use pgmig_core::plan::task::{Task, TaskKind, TaskLock, Work};
use pgmig_tests::{Cluster, Pair};
use serde::de::DeserializeOwned;

use crate::contest::{Measurement, measure};
use crate::cpu::read_cluster_seconds;
use crate::tool::{Task as Assignment, Tool, Variant};

/// Tables stay whole: ranges are cut when the plan has grown.
const OPTIONS: &str = r#""partition_threshold": 1000000000"#;

/// A run with one worker or more.
#[derive(Debug, Clone)]
pub struct Run {
    pub tasks: Vec<Task>,
    /// Seconds that each task took, or would have taken had its process never waited: all tasks together
    /// did not take longer than the target's CPU was at work for them.
    pub seconds: Vec<f64>,
    /// That share of what was measured.
    pub cpu_share: f64,
    pub measurement: Measurement,
    /// Bytes of all indexes, for each row of an index.
    pub index_bytes_per_row: f64,
}

/// What sending all rows of a table in binary takes.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub source_seconds: f64,
    pub wire_bytes: f64,
}

/// Copies the database and reads what was recorded of that.
pub fn record(pair: &Pair, database: &str, job_count: usize) -> Result<Run> {
    let variant =
        Variant { name: "pgmig".to_owned(), options: OPTIONS.to_owned(), ..Variant::default() };
    let assignment = Assignment { pair, database, job_count, route: None };
    let (measurement, _) = measure(&Tool::Pgmig(variant), assignment, None)?;
    let mut client = pair.target.client(database)?;
    let mut tasks = Vec::new();
    let mut seconds: Vec<f64> = Vec::new();
    for row in client.query(include_str!("recorded.sql"), &[])? {
        let table: Option<(String, String)> =
            row.get::<_, Option<String>>(3).zip(row.get::<_, Option<String>>(4));
        tasks.push(Task {
            id: row.get(0),
            kind: decode::<TaskKind>(&format!("\"{}\"", row.get::<_, String>(1)))?,
            object: row.get(2),
            table: table.map(|(schema, name)| QualifiedName::new(schema, name)),
            // Nobody does it again.
            work: Work::Statements { statements: Vec::new() },
            locks: decode::<Vec<TaskLock>>(&row.get::<_, String>(5))?,
            depends_on: row.get(6),
            rows: row.get(7),
            bytes: row.get(8),
        });
        seconds.push(row.get(9));
    }
    let row = client.query_one(
        "select pg_catalog.sum(pg_catalog.pg_relation_size(i.indexrelid))::float8
                / pg_catalog.sum(greatest(c.reltuples, 1))::float8
         from pg_catalog.pg_index i
             join pg_catalog.pg_class c on c.oid = i.indexrelid
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'public'",
        &[],
    )?;
    let cpu_share = match job_count {
        1 => (measurement.target_seconds / seconds.iter().sum::<f64>()).min(1.0),
        _ => 1.0,
    };
    seconds.iter_mut().for_each(|seconds| *seconds *= cpu_share);
    Ok(Run { tasks, seconds, cpu_share, measurement, index_bytes_per_row: row.get(0) })
}

fn decode<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).with_context(|| format!("cannot read {json}"))
}

/// Reads every table of the copies once, one after the other.
pub fn read_tables(
    source: &Cluster,
    database: &str,
    tasks: &[Task],
) -> Result<HashMap<QualifiedName, Reading>> {
    let mut client = source.client(database)?;
    let mut readings = HashMap::new();
    let copies = tasks.iter().filter(|task| task.kind == TaskKind::Copy);
    for table in copies.filter_map(|task| task.table.as_ref()) {
        let before = read_cluster_seconds(source)?;
        let sql = format!("copy {} to stdout (format binary)", table.quoted());
        let mut reader = client.copy_out(&sql)?;
        let mut buffer = vec![0; 1 << 16];
        let mut wire_bytes = 0.0;
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            wire_bytes += count as f64;
        }
        drop(reader);
        let source_seconds = read_cluster_seconds(source)? - before;
        readings.insert(table.clone(), Reading { source_seconds, wire_bytes });
    }
    Ok(readings)
}
