//! Parts of a copy by themselves: rows alone, an index alone.
//!
//! Every part is measured next to what the server or its client programs do, once a round.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use pgmig_tests::Pair;
use pgmig_tests::memory::watch_workers;

use crate::cpu::read_cluster_seconds;
use crate::parameters::Parameters;
use crate::report::median;
use crate::tool::{Task, copy_with_pgmig, start_anew};

/// The database of the parts.
pub const NAME: &str = "parts";

/// Rows of the narrow table at `SCALE=10`.
const ROWS_PER_SCALE: f64 = 800_000.0;

/// Tables that the rows are in for copies side by side.
const TABLES: [&str; 4] = ["narrow", "narrow_2", "narrow_3", "narrow_4"];

/// Narrow rows for each of 200 kB.
const HEAVY_SHARE: f64 = 8_000.0;

/// Settings of `maintenance_work_mem` under which the index is built.
const MEMORIES: [&str; 2] = ["1GB", "64MB"];

/// What the parts come to, medians of the rounds.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    pub row_count: f64,
    /// CPU seconds of the target per million rows, reading included.
    pub target_seconds_per_million: f64,
    /// Seconds of all rows by pgmig, and by pipes of psql in binary format, two at a time.
    pub rows: [f64; 2],
    /// CPU seconds of the index by pgmig and by CREATE INDEX, under each of `MEMORIES`.
    pub index: [[f64; 2]; 2],
    /// The most that a worker had outside shared buffers while copying, in megabytes of 2^20 bytes.
    pub worker_megabytes: f64,
}

/// Measures all parts and prints them.
pub fn measure(pair: &Pair, parameters: &Parameters) -> Result<Parts> {
    let row_count = (ROWS_PER_SCALE * parameters.scale).round();
    eprintln!("{NAME}: fill the source");
    fill(pair, row_count)?;
    let mut samples: [Vec<f64>; 7] = Default::default();
    for round in 1..=parameters.round_count {
        let (ours, cpu) = copy_rows(pair, parameters.job_count)?;
        let pipes = copy_by_pipes(pair)?;
        eprintln!(
            "{NAME} {round}/{} rows{ours:>15.2} s, pipes {pipes:.2} s",
            parameters.round_count
        );
        samples[0].push(cpu / row_count / TABLES.len() as f64 * 1e6);
        samples[1].push(ours);
        samples[2].push(pipes);
        for (position, memory) in MEMORIES.iter().enumerate() {
            let [ours, theirs] = build_index(pair, memory)?;
            eprintln!(
                "{NAME} {round}/{} index, {memory}{ours:>10.2} CPU s, server {theirs:.2} CPU s",
                parameters.round_count
            );
            samples[3 + 2 * position].push(ours);
            samples[4 + 2 * position].push(theirs);
        }
    }
    let figures = samples.map(|sample| median(sample).unwrap_or_default());
    let [target_seconds_per_million, ours, pipes, a, b, c, d] = figures;
    let parts = Parts {
        row_count,
        target_seconds_per_million,
        rows: [ours, pipes],
        index: [[a, b], [c, d]],
        worker_megabytes: watch_memory(pair, parameters.job_count)?,
    };
    parts.print();
    pair.source.drop_database(NAME)?;
    pair.target.drop_database(NAME)?;
    Ok(parts)
}

impl Parts {
    fn print(&self) {
        println!("\n### parts: tables of {:.0} rows (int4, int4, int8)\n", self.row_count);
        println!("| part | pgmig | by the server's own means | ratio |");
        println!("|---|--:|--:|--:|");
        let [ours, theirs] = self.rows;
        println!(
            "| rows of {} tables, no index, against binary COPY pipes of psql, 2 at a time | \
             {ours:.2} s | {theirs:.2} s | {:.2} |",
            TABLES.len(),
            ours / theirs
        );
        for (memory, [ours, theirs]) in MEMORIES.iter().zip(self.index) {
            println!(
                "| index on the int4 column in no order, maintenance_work_mem = {memory}, against \
                 CREATE INDEX | {ours:.2} CPU s | {theirs:.2} CPU s | {:.2} |",
                ours / theirs
            );
        }
        println!(
            "| target's CPU per million rows, reader included | {:.3} s | | |",
            self.target_seconds_per_million
        );
        println!(
            "| worker's memory outside shared buffers while copying these rows, and rows of 200 kB | \
             {:.1} MB | | |",
            self.worker_megabytes
        );
    }
}

/// Makes the tables, and beside them a database with one of them and its index.
fn fill(pair: &Pair, row_count: f64) -> Result<()> {
    let script = include_str!("parts.sql").replace(":row_count", &row_count.to_string());
    pair.source.create_database(NAME)?;
    pair.source.execute(NAME, &script)?;
    for copy in &TABLES[1..] {
        let sql = format!(
            "create table public.{copy} (like public.narrow); \
             insert into public.{copy} table public.narrow"
        );
        pair.source.execute(NAME, &sql)?;
    }
    let heavy = format!(
        "create table public.heavy (id integer not null, body text not null); \
         alter table public.heavy alter body set storage external; \
         insert into public.heavy \
         select n, pg_catalog.repeat(pg_catalog.md5(n::text), 6250) \
         from pg_catalog.generate_series(1, {}) n",
        (row_count / HEAVY_SHARE).ceil()
    );
    pair.source.execute(NAME, &heavy)?;
    pair.source.execute(NAME, "vacuum analyze")
}

/// An empty database on the target with the extension and, if asked for, the tables.
fn begin(pair: &Pair, with_tables: bool) -> Result<()> {
    start_anew(pair, NAME)?;
    if with_tables {
        for table in TABLES {
            let sql = format!(
                "create table public.{table} \
                 (id integer not null, key integer not null, amount bigint not null)"
            );
            pair.target.execute(NAME, &sql)?;
        }
    }
    Ok(())
}

/// Copies everything, rows of 200 kB too; returns the most memory that a worker had meanwhile.
fn watch_memory(pair: &Pair, job_count: usize) -> Result<f64> {
    begin(pair, true)?;
    let heavy = "create table public.heavy (id integer not null, body text not null)";
    pair.target.execute(NAME, heavy)?;
    let task = Task { pair, database: NAME, job_count, route: None };
    let options = r#""data_only": true, "validation": "none""#;
    let ((), peaks) = watch_workers(&pair.target, NAME, || copy_with_pgmig(task, options))?;
    let most = peaks.values().map(|(kibibytes, _)| *kibibytes).max();
    Ok(most.context("no worker was seen")? as f64 / 1024.0)
}

/// Copies the rows by pgmig; returns the seconds and the target's CPU seconds.
fn copy_rows(pair: &Pair, job_count: usize) -> Result<(f64, f64)> {
    begin(pair, true)?;
    let before = read_cluster_seconds(&pair.target)?;
    let start = Instant::now();
    let options = r#""exclude_tables": "heavy", "data_only": true, "validation": "none""#;
    copy_with_pgmig(Task { pair, database: NAME, job_count, route: None }, options)?;
    let seconds = start.elapsed().as_secs_f64() - analyze_seconds(pair)?;
    Ok((seconds, read_cluster_seconds(&pair.target)? - before))
}

/// What the last run took for ANALYZE after all rows were there; pipes do nothing like it.
fn analyze_seconds(pair: &Pair) -> Result<f64> {
    let row = pair.target.client(NAME)?.query_one(
        "select coalesce(
             extract(epoch from pg_catalog.max(t.started_at + t.elapsed)
                 - pg_catalog.max(t.started_at + t.elapsed) filter (where t.kind = 'copy')),
             0)::float8
         from pgmig.tasks t",
        &[],
    )?;
    Ok(row.get(0))
}

/// Copies the rows by pipes between two psql, two tables at a time; returns the seconds.
fn copy_by_pipes(pair: &Pair) -> Result<f64> {
    begin(pair, true)?;
    let start = Instant::now();
    for tables in TABLES.chunks(2) {
        let mut pipes = Vec::new();
        for table in tables {
            let mut reader = pair.source.psql_command(NAME);
            let copy = format!("copy public.{table} to stdout (format binary)");
            let mut reader = reader.args(["-c", &copy]).stdout(Stdio::piped()).spawn()?;
            let pipe = reader.stdout.take().context("psql has no output")?;
            let mut writer = pair.target.psql_command(NAME);
            let copy = format!("copy public.{table} from stdin (format binary)");
            let writer = writer.args(["-c", &copy]).stdin(pipe).stdout(Stdio::null()).spawn()?;
            pipes.push((reader, writer));
        }
        for (mut reader, mut writer) in pipes {
            ensure!(writer.wait()?.success() && reader.wait()?.success(), "a pipe failed");
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Builds the index of one table by pgmig and by the server; returns the target's CPU seconds.
///
/// What pgmig's build takes is the difference of a copy with the index to one without it.
fn build_index(pair: &Pair, memory: &str) -> Result<[f64; 2]> {
    let options = r#""tables": "narrow", "validation": "none""#;
    let mut copies = [0.0; 2];
    for (with_index, seconds) in copies.iter_mut().enumerate() {
        begin(pair, false)?;
        let index = match with_index {
            0 => "drop index if exists public.narrow_key",
            _ => "create index if not exists narrow_key on public.narrow (key)",
        };
        pair.source.execute(NAME, index)?;
        let setting = format!("alter database {NAME} set maintenance_work_mem = '{memory}'");
        pair.target.execute(NAME, &setting)?;
        let before = read_cluster_seconds(&pair.target)?;
        copy_with_pgmig(Task { pair, database: NAME, job_count: 1, route: None }, options)?;
        *seconds = read_cluster_seconds(&pair.target)? - before;
    }
    pair.source.execute(NAME, "drop index public.narrow_key")?;
    let before = read_cluster_seconds(&pair.target)?;
    pair.target.execute(NAME, "create index narrow_again on public.narrow (key)")?;
    Ok([copies[1] - copies[0], read_cluster_seconds(&pair.target)? - before])
}
