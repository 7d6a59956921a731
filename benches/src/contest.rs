//! Rounds in which every tool copies the same database, one after the other.

use std::time::Instant;

use anyhow::Result;
use pgmig_tests::cluster::quote_identifier;
use pgmig_tests::{Cluster, Pair};

use crate::cpu::{read_client_seconds, read_cluster_seconds};
use crate::timeline;
use crate::tool::{Task, Tool, remove_scratch};

/// What one copy took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measurement {
    pub wall_seconds: f64,
    /// CPU time of the source cluster.
    pub source_seconds: f64,
    /// CPU time of the target cluster.
    pub target_seconds: f64,
    /// CPU time of the tool's own processes.
    pub client_seconds: f64,
    /// Bytes of write-ahead log of the target.
    pub wal_bytes: f64,
    /// Seconds from the beginning of pgmig's first task to the end of its last.
    pub task_seconds: Option<f64>,
}

/// A tool, what its copies took, and why it was given up if it was.
#[derive(Debug)]
pub struct Contestant {
    pub tool: Tool,
    pub measurements: Vec<Measurement>,
    /// What the workers did in the last round, if the tool keeps a record of it.
    pub timeline: Option<String>,
    pub failure: Option<String>,
}

/// Lets every tool do `task` once a round; a tool that fails takes no part in later rounds.
///
/// With `keeps_copies` each copy stays in the target under another name. Removing thousands of files
/// makes a file system slow to create new ones for minutes, which would be the next tool's loss.
pub fn hold_contest(
    task: Task,
    tools: &[Tool],
    round_count: usize,
    keeps_copies: bool,
) -> Vec<Contestant> {
    let database = task.database;
    let mut copy_count = 0;
    let mut contestants: Vec<Contestant> = tools
        .iter()
        .map(|tool| Contestant {
            tool: tool.clone(),
            measurements: Vec::new(),
            timeline: None,
            failure: None,
        })
        .collect();
    for round in 1..=round_count {
        for contestant in contestants.iter_mut().filter(|contestant| contestant.failure.is_none()) {
            let name = contestant.tool.name().to_owned();
            let kept = keeps_copies.then(|| format!("{database} {copy_count}"));
            copy_count += 1;
            match measure(&contestant.tool, task, kept.as_deref()) {
                Ok((measurement, timeline)) => {
                    contestant.timeline = timeline;
                    let seconds = measurement.wall_seconds;
                    eprintln!("{database} {round}/{round_count} {name:<14}{seconds:>8.2} s");
                    contestant.measurements.push(measurement);
                }
                Err(error) => {
                    eprintln!("{database} {round}/{round_count} {name:<14}  failed: {error:#}");
                    contestant.failure = Some(format!("{error:#}"));
                }
            }
        }
    }
    contestants
}

/// Copies once into a new database, which keeps the name `kept` if there is one; nothing of what comes
/// before or after counts.
pub fn measure(
    tool: &Tool,
    task: Task,
    kept: Option<&str>,
) -> Result<(Measurement, Option<String>)> {
    let Pair { source, target } = task.pair;
    remove_scratch(target)?;
    target.drop_database(task.database)?;
    target.create_database(task.database)?;
    tool.prepare(task)?;
    for cluster in [source, target] {
        cluster.execute("postgres", "checkpoint")?;
    }
    let source_before = read_cluster_seconds(source)?;
    let target_before = read_cluster_seconds(target)?;
    let (clients_before, wal_before) = (read_client_seconds()?, read_wal_bytes(target)?);
    let start = Instant::now();
    tool.copy(task)?;
    let wall_seconds = start.elapsed().as_secs_f64();
    let measurement = Measurement {
        wall_seconds,
        source_seconds: read_cluster_seconds(source)? - source_before,
        target_seconds: read_cluster_seconds(target)? - target_before,
        client_seconds: read_client_seconds()? - clients_before,
        wal_bytes: read_wal_bytes(target)? - wal_before,
        task_seconds: match tool {
            Tool::Pgmig(_) => timeline::read_seconds(target, task.database)?,
            _ => None,
        },
    };
    tool.check(task)?;
    let timeline = match tool {
        Tool::Pgmig(_) => Some(timeline::draw(target, task.database)?),
        _ => None,
    };
    if let Some(kept) = kept {
        let (database, kept) = (quote_identifier(task.database), quote_identifier(kept));
        target.execute("postgres", &format!("alter database {database} rename to {kept}"))?;
    }
    Ok((measurement, timeline))
}

/// The position in a cluster's write-ahead log.
fn read_wal_bytes(cluster: &Cluster) -> Result<f64> {
    let mut client = cluster.client("postgres")?;
    let row = client.query_one(
        "select (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_catalog.pg_lsn)::float8",
        &[],
    )?;
    Ok(row.get(0))
}
