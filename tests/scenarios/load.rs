//! Runs under load, and many of everything: `make load` runs these and prints the figures for docs/load.md.
//!
//! They take long, so an ordinary test run leaves them out. `SHARE` (100) is the share of the sizes named
//! here, in percent.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pgmig_tests::aftermath::expect_nothing_left;
use pgmig_tests::memory::{highest_kib, resident_kib, watch};
use pgmig_tests::{Cluster, ClusterOptions, Databases, Installation, Pair, eventually, run};
use postgres::Client;

/// A size, as `SHARE` has it.
fn scaled(size: u64) -> Result<u64> {
    let scale: u64 = std::env::var("SHARE").unwrap_or_else(|_| "100".to_owned()).parse()?;
    Ok((size * scale / 100).max(1))
}

/// A pair with room for what is to come.
fn pair() -> Result<Pair> {
    let options = |name| {
        Ok::<_, anyhow::Error>(ClusterOptions::new(Installation::of_extension()?, name).settings(
            &[
                ("max_worker_processes", "32"),
                ("max_connections", "100"),
                ("max_wal_size", "4GB"),
                ("max_locks_per_transaction", "1024"),
            ],
        ))
    };
    Pair::start(options("load-source")?, options("load-target")?)
}

/// Migrates and prints how long it took and what the run's processes needed at most.
fn migrate(databases: &Databases<'_>, what: &str, options: &str) -> Result<()> {
    let begun = Instant::now();
    let (rows, peaks) = watch(&databases.pair().target, databases.name(), "^pgmig", || {
        databases.migrate_and_match(options)
    })?;
    println!(
        "| {what} | {:.1} s | {} tables match | {} MiB |",
        begun.elapsed().as_secs_f64(),
        rows.len(),
        highest_kib(&peaks) / 1024
    );
    expect_nothing_left(databases)
}

/// pgbench at work on a database until it is dropped.
struct Bench {
    child: Child,
}

impl Bench {
    fn command(cluster: &Cluster, database: &str) -> Result<Command> {
        let mut pgbench = cluster.installation().server_program("pgbench")?;
        // As an argument: the option for it has another meaning before PostgreSQL 17.
        pgbench.arg(cluster.dsn(database)).stderr(Stdio::null());
        Ok(pgbench)
    }

    fn initialize(cluster: &Cluster, database: &str, scale: u64) -> Result<()> {
        let mut pgbench = Bench::command(cluster, database)?;
        run(pgbench.args(["-i", "-q", "--foreign-keys", "-s", &scale.to_string()])).map(drop)
    }

    fn start(cluster: &Cluster, database: &str) -> Result<Bench> {
        let mut pgbench = Bench::command(cluster, database)?;
        let child = pgbench
            .args(["-n", "-c", "4", "-j", "2", "-T", "3600"])
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Bench { child })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // It may have ended with its server.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn transactions(cluster: &Cluster, database: &str) -> Result<i64> {
    let count = "select xact_commit from pg_stat_database where datname = current_database()";
    Ok(cluster.client(database)?.query_one(count, &[])?.get(0))
}

#[test]
#[ignore = "takes minutes: make load"]
fn eight_workers_copy_while_both_servers_are_at_work() -> Result<()> {
    let pair = pair()?;
    let databases = pair.databases("busy")?;
    Bench::initialize(&pair.source, "busy", scaled(20)?)?;
    pair.target.create_database("other")?;
    Bench::initialize(&pair.target, "other", scaled(20)?)?;
    let on_source = Bench::start(&pair.source, "busy")?;
    let on_target = Bench::start(&pair.target, "other")?;
    thread::sleep(Duration::from_secs(5));
    let before = (transactions(&pair.source, "busy")?, transactions(&pair.target, "other")?);
    let begun = Instant::now();
    let options = r#"{"jobs": 8, "validation": "checksum", "partition_threshold": 100000}"#;
    migrate(&databases, "8 workers beside pgbench on both servers", options)?;
    let seconds = begun.elapsed().as_secs_f64();
    let after = (transactions(&pair.source, "busy")?, transactions(&pair.target, "other")?);
    println!(
        "| pgbench meanwhile, transactions per second | {:.0} on the source | {:.0} on the target | |",
        (after.0 - before.0) as f64 / seconds,
        (after.1 - before.1) as f64 / seconds
    );
    drop((on_source, on_target));
    // One snapshot: what pgbench moves between its tables adds up.
    let sums = "select (select sum(abalance) from pgbench_accounts)
        = (select sum(bbalance) from pgbench_branches)
        and (select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history)";
    ensure!(databases.target_value(sums)? == "t", "the copy is not of one moment");
    Ok(())
}

#[test]
#[ignore = "takes minutes: make load"]
fn twenty_thousand_tables_arrive() -> Result<()> {
    let pair = pair()?;
    let databases = pair.databases("tables")?;
    let count = scaled(20_000)?;
    let mut source = databases.source()?;
    for first in (1..=count).step_by(500) {
        let last = (first + 499).min(count);
        source.batch_execute(&format!(
            "do $$ begin for i in {first}..{last} loop
                 execute pg_catalog.format('create table t%s (id int primary key, v text)', i);
                 execute pg_catalog.format('insert into t%s values (1, %L), (2, null)', i, i);
             end loop; end $$"
        ))?;
    }
    source.batch_execute("analyze")?;
    migrate(&databases, &format!("{count} tables with keys"), "{}")?;
    let bytes = databases.target_value(
        "select pg_size_pretty(sum(pg_total_relation_size(c.oid)))
         from pg_class c where c.relnamespace = 'pgmig'::regnamespace and c.relkind = 'r'",
    )?;
    println!("| pgmig's own tables afterwards | {bytes} | | |");
    migrate(&databases, &format!("{count} tables refreshed"), "{}")
}

#[test]
#[ignore = "takes minutes: make load"]
fn a_table_with_two_thousand_partitions_arrives() -> Result<()> {
    let pair = pair()?;
    let databases = pair.databases("partitions")?;
    let count = scaled(2_000)?;
    databases.execute_on_source(&format!(
        "create table parts (id int, v text, primary key (id)) partition by range (id);
         do $$ begin for i in 1..{count} loop
             execute pg_catalog.format(
                 'create table parts_%s partition of parts for values from (%s) to (%s)',
                 i, i * 100, i * 100 + 100);
         end loop; end $$;
         create index on parts (v);
         insert into parts select i, md5(i::text) from generate_series(100, {count} * 100 + 99) i;
         analyze"
    ))?;
    migrate(&databases, &format!("a table with {count} partitions"), "{}")?;
    databases.expect_same_data()
}

/// What a session's process holds.
struct Holdings {
    /// Memory of its own.
    kib: u64,
    files: usize,
    /// Bytes in use by memory context.
    contexts: BTreeMap<String, i64>,
}

impl Holdings {
    fn of(client: &mut Client) -> Result<Holdings> {
        let pid: i32 = client.query_one("select pg_backend_pid()", &[])?.get(0);
        let rows = client.query(
            "select c.name, sum(c.used_bytes)::bigint from pg_backend_memory_contexts c group by 1",
            &[],
        )?;
        Ok(Holdings {
            kib: resident_kib(pid).context("the process is gone")?,
            files: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            contexts: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        })
    }

    /// Fails if this is more than it was by what a small leak in each of hundreds of runs would amount to.
    fn expect_no_more_than(&self, early: &Holdings) -> Result<()> {
        ensure!(self.files <= early.files + 2, "files: {} and then {}", early.files, self.files);
        ensure!(self.kib <= early.kib + 16 * 1024, "{} and then {} KiB", early.kib, self.kib);
        for (name, bytes) in &self.contexts {
            let before = early.contexts.get(name).copied().unwrap_or(0);
            ensure!(*bytes <= before + 96 * 1024, "{name}: {before} and then {bytes} bytes");
        }
        Ok(())
    }
}

#[test]
#[ignore = "takes minutes: make load"]
fn a_thousand_runs_under_an_old_snapshot_leave_nothing_behind() -> Result<()> {
    let pair = pair()?;
    let databases = pair.databases("thousand")?;
    databases.execute_on_source(
        "create table t (id int primary key, parent int references t);
         insert into t select i, nullif(i / 2, 0) from generate_series(1, 100) i",
    )?;
    let count = scaled(1_000)?;
    let mut old = databases.target()?;
    old.batch_execute("begin isolation level repeatable read; select 1")?;
    let mut client = databases.target()?;
    // What a session that waits looks at now and then, and then knows.
    client.batch_execute("select from pgmig.workers; select from pgmig.runs")?;
    let call = "select status from pgmig.migrate($1, '{\"keep_history\": \"0s\"}')";
    let segments = |cluster: &Cluster| -> Result<usize> {
        Ok(fs::read_dir(cluster.data_dir().join("pg_dynshmem"))?.count())
    };
    let tenth = count.div_ceil(10);
    let (mut early, mut first_ms) = (None, 0);
    let mut begun = Instant::now();
    for i in 1..=count {
        let row = client.query_one(call, &[&databases.source_dsn()])?;
        if row.get::<_, &str>(0) != "match" {
            bail!("run {i} does not match");
        }
        if i == tenth {
            early = Some(Holdings::of(&mut client)?);
            first_ms = begun.elapsed().as_millis() / u128::from(tenth);
        }
        if i == count - tenth {
            begun = Instant::now();
        }
    }
    let last_ms = begun.elapsed().as_millis() / u128::from(tenth);
    let late = Holdings::of(&mut client)?;
    println!(
        "| {count} runs in a row under an old snapshot | {first_ms} ms each at first | {last_ms} ms each in the end | {} MiB |",
        late.kib / 1024
    );
    late.expect_no_more_than(&early.context("no run")?)?;
    expect_nothing_left_of_any(&databases, &segments)?;
    old.batch_execute("rollback")?;
    client.batch_execute("vacuum")?;
    let bytes: i64 = client
        .query_one(
            "select sum(pg_total_relation_size(c.oid))::bigint
             from pg_class c where c.relnamespace = 'pgmig'::regnamespace and c.relkind = 'r'",
            &[],
        )?
        .get(0);
    println!("| pgmig's own tables afterwards | {} KiB | | |", bytes / 1024);
    Ok(())
}

/// Waits until neither server has a process or session of any run, nor shared memory for one.
fn expect_nothing_left_of_any(
    databases: &Databases<'_>,
    segments: &dyn Fn(&Cluster) -> Result<usize>,
) -> Result<()> {
    let (mut source, mut target) = (databases.source()?, databases.target()?);
    let count = |client: &mut Client, condition: &str| -> Result<i64> {
        let query = format!("select count(*) from pg_stat_activity a where {condition}");
        Ok(client.query_one(&query, &[])?.get(0))
    };
    eventually("nothing is left of any run", || {
        Ok(count(&mut source, "a.application_name like 'pgmig run%'")? == 0
            && count(&mut target, "a.backend_type like 'pgmig%'")? == 0)
    })?;
    ensure!(segments(&databases.pair().target)? <= 1);
    Ok(())
}
