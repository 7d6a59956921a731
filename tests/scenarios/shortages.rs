//! Servers that run out of something: disk, connections. What is lacking is said, nothing is lost.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use pgmig_tests::aftermath::{expect_end, expect_nothing_left};
use pgmig_tests::{
    AWAITS_LOCK, ClusterOptions, Databases, Gate, Installation, Pair, await_small, eventually,
    expect_error, run,
};

/// A small file system of its own, gone with this value.
struct SmallDisk {
    directory: PathBuf,
}

impl SmallDisk {
    /// Mounts one that belongs to the user that `near` belongs to; None where that is not allowed.
    fn mount(near: &Path, size: &str) -> Result<Option<SmallDisk>> {
        let disk = SmallDisk { directory: near.join("small-disk") };
        std::fs::create_dir(&disk.directory)?;
        let owner = std::fs::metadata(near)?;
        let options = format!("size={size},uid={},gid={},mode=0700", owner.uid(), owner.gid());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&disk.directory)
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            return Ok(None);
        }
        Ok(Some(disk))
    }

    fn grow(&self, size: &str) -> Result<()> {
        let option = format!("remount,size={size}");
        run(Command::new("mount").args(["-o", &option]).arg(&self.directory)).map(drop)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It goes with the machine at the latest.
        let _ = Command::new("umount").arg(&self.directory).output();
    }
}

fn last_run(databases: &Databases<'_>) -> Result<i64> {
    Ok(databases.target()?.query_one("select max(run_id) from pgmig.runs", &[])?.get(0))
}

#[test]
fn a_full_disk_of_the_target_fails_the_run_which_can_be_resumed_when_there_is_room() -> Result<()> {
    let pair = Pair::shared()?;
    let target = &pair.target;
    let Some(disk) = SmallDisk::mount(target.directory(), "24m")? else {
        println!("skipped: a file system cannot be mounted here");
        return Ok(());
    };
    let place = disk.directory.display();
    let databases = pair.databases("shortage_disk")?;
    target.execute("postgres", &format!("create tablespace small_disk location '{place}'"))?;
    target.drop_database("shortage_disk")?;
    target.execute(
        "postgres",
        "create database shortage_disk template template0 tablespace small_disk",
    )?;
    databases.execute_on_target("create extension pgmig")?;
    databases.execute_on_source(
        "create table a (id int primary key); insert into a select generate_series(1, 1000);
         create table big (id int primary key, filler text);
         insert into big select i, repeat(md5(i::text), 30) from generate_series(1, 30000) i;
         analyze",
    )?;
    let options = r#"{"partition_threshold": 5000, "chunk_size": 5000}"#;
    let error = databases.migrate_in_vain(options)?;
    ensure!(error.code().code() == "53100", "{error:?}");
    // A new session writes a file of the server's own, for which there may be no room any more.
    disk.grow("400m")?;
    expect_nothing_left(&databases)?;
    let call = "select status from pgmig.resume($1, $2)";
    let rows =
        databases.target()?.query(call, &[&last_run(&databases)?, &databases.source_dsn()])?;
    ensure!(rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    databases.expect_same_data()?;
    databases.expect_same_schema()?;
    drop(databases);
    target.execute("postgres", "drop tablespace small_disk")
}

/// A role of the source that may have as many sessions as one says.
fn limited_dsn(databases: &Databases<'_>, role: &str, limit: i32) -> Result<String> {
    databases.execute_on_source(&format!(
        "create role {role} login connection limit {limit}; grant pg_read_all_data to {role}"
    ))?;
    Ok(databases.source_dsn().replace("user=postgres", &format!("user={role}")))
}

#[test]
fn a_source_with_room_for_one_worker_is_copied_by_one() -> Result<()> {
    let databases = Pair::shared()?.databases("shortage_one")?;
    let gate = Gate::close(&databases)?;
    gate.open()?;
    let dsn = limited_dsn(&databases, "shortage_one", 2)?;
    let options = r#"{"jobs": 3, "retries": 1, "retry_delay": 0}"#;
    let call = "select status from pgmig.migrate($1, $2::text::jsonb)";
    let rows = databases.target()?.query(call, &[&dsn, &options])?;
    ensure!(rows.len() == 2 && rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    expect_nothing_left(&databases)?;
    databases.expect_same_data()?;
    databases.execute_on_source("drop role shortage_one")
}

#[test]
fn a_source_without_room_for_a_worker_fails_the_run_until_there_is_some() -> Result<()> {
    let databases = Pair::shared()?.databases("shortage_none")?;
    let gate = Gate::close(&databases)?;
    gate.open()?;
    let dsn = limited_dsn(&databases, "shortage_none", 1)?;
    let options = r#"{"jobs": 2, "retries": 1, "retry_delay": 0}"#;
    let call = "select status from pgmig.migrate($1, $2::text::jsonb)";
    let mut target = databases.target()?;
    expect_error("53300", target.query(call, &[&dsn, &options]))?;
    expect_nothing_left(&databases)?;
    databases.execute_on_source("alter role shortage_none connection limit 5")?;
    let call = "select status from pgmig.resume($1, $2)";
    target.query(call, &[&last_run(&databases)?, &dsn])?;
    databases.expect_same_data()?;
    expect_nothing_left(&databases)?;
    databases.execute_on_source("drop role shortage_none")
}

#[test]
fn a_worker_that_finds_no_room_on_the_source_any_more_waits_for_it() -> Result<()> {
    let databases = Pair::shared()?.databases("shortage_later")?;
    let mut gate = Gate::close(&databases)?;
    let dsn = limited_dsn(&databases, "shortage_later", 5)?;
    let options = r#"{"jobs": 1, "retries": 30, "retry_delay": 1, "where": {"public.gated":
        "id <= 1000 or pg_catalog.pg_advisory_lock_shared(42) is not null"}}"#;
    let call = "select pgmig.start($1, $2::text::jsonb)";
    let run: i64 = databases.target()?.query_one(call, &[&dsn, &options])?.get(0);
    gate.await_run()?;
    databases.execute_on_source("alter role shortage_later connection limit 1")?;
    databases.execute_on_source(&format!(
        "select pg_terminate_backend(a.pid) from pg_stat_activity a
         where a.usename = 'shortage_later' and {AWAITS_LOCK}"
    ))?;
    eventually("the worker rests", || {
        let rests = "select count(*) from pgmig.events where message like '%rests%too many%'";
        Ok(databases.target_value(rests)? != "0")
    })?;
    databases.execute_on_source("alter role shortage_later connection limit 5")?;
    gate.open()?;
    databases.target()?.query("select from pgmig.wait($1)", &[&run])?;
    ensure!(databases.target_value("select state || snapshots from pgmig.runs")? == "done1");
    databases.expect_same_data()?;
    expect_nothing_left(&databases)?;
    databases.execute_on_source("drop role shortage_later")
}

/// Room for the coordinators of two runs and two workers, and nobody else.
fn narrow_pair(name: &str) -> Result<Pair> {
    let installation = Installation::of_extension()?;
    let target = ClusterOptions::new(installation.clone(), name)
        .setting("max_worker_processes", "4")
        .setting("max_logical_replication_workers", "0");
    Pair::start(ClusterOptions::new(installation, "roomy"), target)
}

/// Has a gated run lose all its sessions with the source and, while it cannot get its locks there,
/// another run take its workers' slots; returns that one. The first one's gate is open then.
fn lose_slots<'a>(
    pair: &'a Pair,
    databases: &Databases<'_>,
    mut gate: Gate,
    (jobs, retries): (u32, u32),
) -> Result<(Databases<'a>, Gate)> {
    let options = format!(
        r#"{{"jobs": 2, "retries": {retries}, "retry_delay": 1, "where": {{"public.gated":
            "id <= 1000 or pg_catalog.pg_advisory_lock_shared(42) is not null"}}}}"#
    );
    let call = "select pgmig.start($1, $2::text::jsonb)";
    let run: i64 =
        databases.target()?.query_one(call, &[&databases.source_dsn(), &options])?.get(0);
    gate.await_run()?;
    await_small(databases, run)?;
    let mut locker = databases.source()?;
    let queued = thread::spawn(move || -> Result<_> {
        locker.batch_execute("begin; lock table small in access exclusive mode")?;
        Ok(locker)
    });
    let mut source = databases.source()?;
    eventually("the table is waited for", || {
        let row = source.query_one(
            "select count(*) from pg_locks where not granted and relation = 'small'::regclass",
            &[],
        )?;
        Ok(row.get::<_, i64>(0) == 1)
    })?;
    databases.execute_on_source(
        "select pg_terminate_backend(a.pid) from pg_stat_activity a
         where a.datname = current_database() and a.application_name like 'pgmig run %'",
    )?;
    let mut locker = queued.join().map_err(|_| anyhow!("panicked"))??;
    eventually("the run waits for the table in turn, without workers", || {
        let waits = "select count(*) from pgmig.runs r
            where r.waits_for is not null and not exists (
                select from pg_stat_activity a where a.backend_type = 'pgmig worker')";
        Ok(databases.target_value(waits)? == "1")
    })?;
    let others = pair.databases(&format!("{}_other", databases.name()))?;
    let mut other_gate = Gate::close(&others)?;
    let options = pgmig_tests::GATED.replace("\"jobs\": 2", &format!("\"jobs\": {jobs}"));
    others.target()?.query_one(call, &[&others.source_dsn(), &options])?;
    other_gate.await_run()?;
    gate.open()?;
    locker.batch_execute("rollback")?;
    Ok((others, other_gate))
}

#[test]
fn a_run_that_loses_worker_slots_goes_on_with_those_that_are_left() -> Result<()> {
    let pair = narrow_pair("narrow")?;
    let databases = pair.databases("shortage_fewer")?;
    let gate = Gate::close(&databases)?;
    let (others, other_gate) = lose_slots(&pair, &databases, gate, (1, 2))?;
    databases.target()?.query("select from pgmig.wait(1)", &[])?;
    let run = "select concat_ws(' ', state, snapshots, workers) from pgmig.runs";
    ensure!(databases.target_value(run)? == "done 2 1");
    let events = databases.events()?;
    ensure!(events.iter().any(|event| event.contains("goes on with 1 of 2 workers")), "{events:?}");
    databases.expect_same_data()?;
    other_gate.open()?;
    others.target()?.query("select from pgmig.wait(1)", &[])?;
    others.expect_same_data()?;
    expect_nothing_left(&databases)
}

#[test]
fn a_run_that_loses_all_worker_slots_waits_for_some() -> Result<()> {
    let pair = narrow_pair("narrower")?;
    let databases = pair.databases("shortage_slots")?;
    let gate = Gate::close(&databases)?;
    let (others, other_gate) = lose_slots(&pair, &databases, gate, (2, 100))?;
    eventually("the run tries again", || {
        let tried = "select count(*) from pgmig.events
            where message like 'attempt 2 to get workers failed%slot%'";
        Ok(databases.target_value(tried)? == "1")
    })?;
    other_gate.open()?;
    others.target()?.query("select from pgmig.wait(1)", &[])?;
    others.expect_same_data()?;
    databases.target()?.query("select from pgmig.wait(1)", &[])?;
    let run = "select concat_ws(' ', state, snapshots, workers) from pgmig.runs";
    let run = databases.target_value(run)?;
    // The other run's last worker may still have its slot when this one tries for the third time.
    ensure!(run == "done 2 2" || run == "done 2 1", "{run}");
    databases.expect_same_data()?;
    expect_nothing_left(&databases)
}

#[test]
fn a_run_that_waits_for_worker_slots_in_vain_can_be_resumed() -> Result<()> {
    let pair = narrow_pair("narrowest")?;
    let databases = pair.databases("shortage_vain")?;
    let gate = Gate::close(&databases)?;
    let (others, other_gate) = lose_slots(&pair, &databases, gate, (2, 1))?;
    expect_end(&databases, "failed", "no background worker slot is free")?;
    other_gate.open()?;
    others.target()?.query("select from pgmig.wait(1)", &[])?;
    expect_nothing_left(&others)?;
    let resume = "select status from pgmig.resume(1, $1)";
    let rows = databases.target()?.query(resume, &[&databases.source_dsn()])?;
    ensure!(rows.len() == 2 && rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    databases.expect_same_data()?;
    expect_nothing_left(&databases)
}
