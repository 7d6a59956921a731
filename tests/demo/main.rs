//! `make demo`: two throw-away clusters, a filled source, one SQL call, the proof.
//!
//! Environment: `SCALE` scales the data, `KEEP=1` leaves the clusters running. With the argument
//! `fill` it stops when the source is filled. Fails unless every row of the validation says match.

use std::env;
use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use pgmig_tests::data::Script;
use pgmig_tests::{Cluster, ClusterOptions, Installation, Pair};

/// The name of both databases.
const DATABASE: &str = "demo";

/// Settings that a server of this size would have anyway.
const SETTINGS: [(&str, &str); 4] = [
    ("shared_buffers", "256MB"),
    ("maintenance_work_mem", "128MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
];

/// The scripts that fill the source, in lists that are worked off at the same time.
const SCRIPTS: [&[Script]; 2] = [&[Script::StackOverflow], &[Script::Ranges, Script::Everything]];

/// The columns of `pgmig.runs` that fit on a screen.
const RUNS: &str = "
    select run_id, state, phase, percent, tables, rows_copied,
        pg_catalog.pg_size_pretty(bytes_copied) as bytes_copied, workers, elapsed, error
    from pgmig.runs
    order by run_id";

/// Tables, rows of them and tables that do not match.
const VERDICT: &str = "
    select pg_catalog.count(*), coalesce(pg_catalog.sum(target_rows), 0)::bigint,
        pg_catalog.count(*) filter (where status <> 'match')
    from pgmig.validation";

fn main() -> ExitCode {
    match run_demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_demo() -> Result<()> {
    let scale = env::var("SCALE").unwrap_or_else(|_| "1".to_owned());
    ensure!(scale.parse::<f64>().is_ok_and(|scale| scale > 0.0), "SCALE is not a positive number");
    let is_kept = env::var("KEEP").is_ok_and(|keep| keep == "1");

    let installation = Installation::of_extension()?;
    let label = format!("start two clusters of PostgreSQL {}", installation.version()?);
    let pair = timed(&label, || {
        let options = |name| ClusterOptions::new(installation.clone(), name).settings(&SETTINGS);
        let pair = Pair::start(options("source"), options("target"))?;
        pair.source.create_database(DATABASE)?;
        pair.target.create_database(DATABASE)?;
        Ok(pair)
    })?;
    timed(&format!("fill the source at scale {scale}"), || fill(&pair.source, &scale))?;

    let outcome =
        if env::args().nth(1).as_deref() == Some("fill") { Ok(()) } else { migrate(&pair) };
    if is_kept {
        keep(pair)?;
    }
    outcome
}

/// Runs a stage and prints its time behind its label.
fn timed<T>(label: &str, stage: impl FnOnce() -> Result<T>) -> Result<T> {
    print!("{label:<44}");
    std::io::stdout().flush()?;
    let start = Instant::now();
    let result = stage()?;
    println!("{:>8.1} s", start.elapsed().as_secs_f64());
    Ok(result)
}

/// Fills the source's database, with one session for each list of scripts.
fn fill(source: &Cluster, scale: &str) -> Result<()> {
    let load = |scripts: &[Script]| -> Result<()> {
        for script in scripts.iter().filter(|script| script.is_present()) {
            script.load(source, DATABASE, &[("scale", scale)])?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let sessions = SCRIPTS.map(|scripts| scope.spawn(move || load(scripts)));
        sessions
            .into_iter()
            .try_for_each(|session| session.join().map_err(|_| anyhow!("a session panicked"))?)
    })
}

/// Does what a person would do at the prompt, and judges the result.
fn migrate(pair: &Pair) -> Result<()> {
    let source = pair.source.dsn(DATABASE).replace('\'', "''");
    let call = format!("select * from pgmig.migrate('{source}')");
    type_at_prompt(&pair.target, "create extension pgmig")?;
    let start = Instant::now();
    type_at_prompt(&pair.target, &call)?;
    let elapsed = start.elapsed();
    type_at_prompt(&pair.target, RUNS)?;

    let verdict = pair.target.client(DATABASE)?.query_one(VERDICT, &[])?;
    let (tables, rows, unmatched): (i64, i64, i64) =
        (verdict.get(0), verdict.get(1), verdict.get(2));
    ensure!(tables > 0, "no table was copied");
    ensure!(unmatched == 0, "{unmatched} of {tables} tables do not match");
    println!("{tables} tables, {rows} rows, every one a match, in {:.1} s", elapsed.as_secs_f64());
    Ok(())
}

/// Shows a statement and runs it through psql on our terminal.
fn type_at_prompt(target: &Cluster, sql: &str) -> Result<()> {
    println!("\n{DATABASE}=# {};", sql.trim());
    let status = target.psql_command(DATABASE).args(["-c", sql]).status().context("psql")?;
    ensure!(status.success(), "psql ended with {status}");
    Ok(())
}

/// Leaves both clusters running and says how to reach and to end them.
fn keep(pair: Pair) -> Result<()> {
    println!("\nboth clusters are left running; to connect, and to remove them:");
    for cluster in [&pair.source, &pair.target] {
        let psql = cluster.installation().bin_dir().join("psql");
        println!("  {} -d \"{}\"", psql.display(), cluster.dsn(DATABASE));
    }
    for cluster in [&pair.source, &pair.target] {
        let pid = cluster.postmaster_pid()?;
        println!("  kill -QUIT {pid} && rm -rf {}", cluster.directory().display());
    }
    pair.source.keep()?;
    pair.target.keep()
}
