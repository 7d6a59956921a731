//! Sources that go away and come back, one fault at a time.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use pgmig_tests::aftermath::{expect_end, expect_nothing_left};
use pgmig_tests::{
    AWAITS_LOCK, ClusterOptions, Databases, GATED, Gate, Installation, Pair, Proxy, StopMode,
    await_small, eventually, expect_error, start_gated,
};
use postgres::Client;

/// The options of a gated run that tries again at once.
const IMPATIENT: &str = r#"{"jobs": 2, "retry_delay": 0, "where":
    {"public.gated": "id <= 1000 or pg_catalog.pg_advisory_lock_shared(42) is not null"}}"#;

fn start(databases: &Databases<'_>, dsn: &str, options: &str) -> Result<i64> {
    let call = "select pgmig.start($1, $2::text::jsonb)";
    Ok(databases.target()?.query_one(call, &[&dsn, &options])?.get(0))
}

/// Waits for the run's good end and compares.
fn expect_success(databases: &Databases<'_>, run: i64, snapshots: i32) -> Result<()> {
    let mut target = databases.target()?;
    let rows = target.query("select status from pgmig.wait($1)", &[&run])?;
    ensure!(rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    let row =
        target.query_one("select state, snapshots from pgmig.runs where run_id = $1", &[&run])?;
    ensure!(row.get::<_, &str>(0) == "done" && row.get::<_, i32>(1) == snapshots, "{row:?}");
    databases.expect_same_data()?;
    expect_nothing_left(databases)
}

/// Ends the run's sessions on the source of which `which` holds.
fn end_source_sessions(source: &mut Client, which: &str) -> Result<u64> {
    let sql = format!(
        "select pg_terminate_backend(a.pid) from pg_stat_activity a
         where a.datname = current_database() and a.application_name like 'pgmig run %' and {which}"
    );
    Ok(source.execute(&sql, &[])?)
}

#[test]
fn a_lost_connection_is_opened_again_under_the_same_snapshot() -> Result<()> {
    let databases = Pair::shared()?.databases("fault_one")?;
    let mut gate = Gate::close(&databases)?;
    let run = start(&databases, &databases.source_dsn(), IMPATIENT)?;
    gate.await_run()?;
    // What the source gets now is not in the run's snapshot.
    databases.execute_on_source("insert into public.small values (-1)")?;
    let mut source = databases.source()?;
    ensure!(end_source_sessions(&mut source, AWAITS_LOCK)? == 1);
    gate.await_run()?;
    gate.open()?;
    let mut target = databases.target()?;
    target.query("select from pgmig.wait($1)", &[&run])?;
    let row = target.query_one("select state, snapshots, rows_copied from pgmig.runs", &[])?;
    ensure!(row.get::<_, &str>(0) == "done" && row.get::<_, i32>(1) == 1, "{row:?}");
    ensure!(row.get::<_, i64>(2) == 2100);
    let events = target.query("select from pgmig.events where message like 'attempt 1 %'", &[])?;
    ensure!(events.len() == 1);
    expect_nothing_left(&databases)
}

#[test]
fn a_run_that_has_lost_its_snapshot_takes_another_one_by_itself() -> Result<()> {
    let databases = Pair::shared()?.databases("fault_all")?;
    let mut gate = Gate::close(&databases)?;
    let run = start(&databases, &databases.source_dsn(), IMPATIENT)?;
    gate.await_run()?;
    await_small(&databases, run)?;
    databases.execute_on_source("insert into public.small values (-1)")?;
    ensure!(end_source_sessions(&mut databases.source()?, "true")? >= 2);
    gate.await_run()?;
    gate.open()?;
    expect_success(&databases, run, 2)?;
    // Of what had been copied only that was copied again to which a row was added.
    let again = "select string_agg(table_name, ' ') from pgmig.tables where recopied > 0";
    let again = databases.target_value(again)?;
    ensure!(again == "small", "{again}");
    let lsns = "select count(*) from pgmig.runs where source_lsn is null";
    ensure!(databases.target_value(lsns)? == "0");
    Ok(())
}

#[test]
fn without_retries_a_lost_connection_fails_the_run() -> Result<()> {
    let databases = Pair::shared()?.databases("fault_no_retries")?;
    let mut gate = Gate::close(&databases)?;
    let options = IMPATIENT.replace("\"jobs\": 2", "\"retries\": 0");
    start(&databases, &databases.source_dsn(), &options)?;
    gate.await_run()?;
    let mut source = databases.source()?;
    ensure!(end_source_sessions(&mut source, AWAITS_LOCK)? == 1);
    expect_end(&databases, "failed", "terminating connection")
}

#[test]
fn a_source_that_restarts_is_waited_for() -> Result<()> {
    let options = |name| {
        ClusterOptions::new(Installation::of_extension()?, name)
            .setting("max_worker_processes", "16")
            .start()
    };
    let pair = Pair { source: options("restarting")?, target: options("waiting")? };
    let databases = pair.databases("fault_restart")?;
    let mut gate = Gate::close(&databases)?;
    let run = start(&databases, &databases.source_dsn(), GATED)?;
    gate.await_run()?;
    pair.source.stop(StopMode::Immediate)?;
    eventually("the run has noticed", || {
        let noticed = "select count(*) from pgmig.events where severity = 'warning'";
        Ok(databases.target_value(noticed)? != "0")
    })?;
    pair.source.start()?;
    expect_success(&databases, run, 2)
}

#[test]
fn a_network_that_stops_passing_bytes_is_noticed() -> Result<()> {
    let databases = Pair::shared()?.databases("fault_stall")?;
    let mut gate = Gate::close(&databases)?;
    let proxy = Proxy::open(&databases.pair().source)?;
    let run = start(&databases, &proxy.dsn(databases.name()), IMPATIENT)?;
    gate.await_run()?;
    proxy.stall(true);
    gate.open()?;
    eventually("the run has noticed", || {
        let noticed = "select count(*) from pgmig.events where message ~ 'stopped passing bytes'";
        Ok(databases.target_value(noticed)? != "0")
    })?;
    proxy.stall(false);
    databases.target()?.query("select from pgmig.wait($1)", &[&run])?;
    databases.expect_same_data()?;
    drop(proxy);
    expect_nothing_left(&databases)
}

#[test]
fn the_session_that_holds_the_lock_copies_what_others_queue_for() -> Result<()> {
    let databases = Pair::shared()?.databases("fault_queue")?;
    let mut gate = Gate::close(&databases)?;
    let options = IMPATIENT.replace("\"jobs\": 2", "\"jobs\": 1");
    let run = start(&databases, &databases.source_dsn(), &options)?;
    gate.await_run()?;
    let mut other = databases.source()?;
    let queued =
        thread::spawn(move || other.batch_execute("alter table small add column late int"));
    let mut source = databases.source()?;
    eventually("the other session queues", || {
        let row = source.query_one(
            "select count(*) from pg_locks where not granted and locktype = 'relation'
             and relation = 'small'::regclass",
            &[],
        )?;
        Ok(row.get::<_, i64>(0) == 1)
    })?;
    gate.open()?;
    let mut target = databases.target()?;
    let rows = target.query("select status from pgmig.wait($1)", &[&run])?;
    ensure!(rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    queued.join().map_err(|_| anyhow!("panicked"))??;
    let worker = "select string_agg(distinct worker::text, ' ') from pgmig.tasks
        where table_name = 'small' and kind = 'copy'";
    ensure!(databases.target_value(worker)? == "0");
    ensure!(databases.target_value("select count(*) from small")? == "100");
    expect_nothing_left(&databases)
}

#[test]
fn a_lock_that_takes_too_long_fails_the_run_if_that_was_asked_for() -> Result<()> {
    let databases = Pair::shared()?.databases("fault_lock")?;
    databases.execute_on_source("create table t (id int)")?;
    let mut holder = databases.source()?;
    holder.batch_execute("begin; lock table t in access exclusive mode")?;
    let error = databases.migrate_in_vain(r#"{"lock_timeout": "1s"}"#)?;
    ensure!(error.code().code() == "55P03", "{error}");
    holder.batch_execute("rollback")?;
    databases.execute_on_target("create table t (id int)")?;
    let mut holder = databases.target()?;
    holder.batch_execute("begin; lock table t in exclusive mode")?;
    let error = databases.migrate_in_vain(r#"{"lock_timeout": "1s"}"#)?;
    ensure!(error.code().code() == "55P03", "{error}");
    holder.batch_execute("rollback")?;
    expect_nothing_left(&databases)
}

#[test]
fn an_extension_or_a_database_that_is_dropped_ends_its_runs() -> Result<()> {
    let databases = Pair::shared()?.databases("fault_drop")?;
    let mut gate = Gate::close(&databases)?;
    start_gated(&databases)?;
    gate.await_run()?;
    databases.execute_on_target("drop extension pgmig")?;
    gate.open()?;
    expect_nothing_left(&databases)?;
    let databases = Pair::shared()?.databases("fault_drop_database")?;
    let mut gate = Gate::close(&databases)?;
    start_gated(&databases)?;
    gate.await_run()?;
    databases.pair().target.drop_database("fault_drop_database")?;
    let mut source = databases.source()?;
    eventually("no session of the run is left on the source", || {
        let row = source.query_one(
            "select count(*) from pg_stat_activity a
             where a.datname = current_database() and a.application_name like 'pgmig run %'",
            &[],
        )?;
        Ok(row.get::<_, i64>(0) == 0)
    })
}

#[test]
fn a_run_that_ends_well_never_seems_interrupted() -> Result<()> {
    let databases = Pair::shared()?.databases("fault_seeming")?;
    databases.execute_on_source("create table t (id int)")?;
    let mut onlooker = databases.target()?;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let looking = thread::spawn(move || -> Result<bool> {
        let look = "select count(*) from pgmig.runs where state = 'interrupted'";
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            if onlooker.query_one(look, &[])?.get::<_, i64>(0) > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    });
    for _ in 0..5 {
        databases.migrate_and_match("{}")?;
    }
    drop(stop);
    let seemed = looking.join().map_err(|_| anyhow!("the onlooker panicked"))??;
    ensure!(!seemed, "a run seemed interrupted");
    Ok(())
}

#[test]
fn one_call_of_a_run_can_be_resumed_at_a_time() -> Result<()> {
    let databases = Pair::shared()?.databases("fault_two_resumes")?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    let mut target = databases.target()?;
    target.execute("select pgmig.cancel($1)", &[&run])?;
    expect_nothing_left(&databases)?;
    let mut other = databases.target()?;
    let dsn = databases.source_dsn();
    let first =
        thread::spawn(move || other.query("select from pgmig.resume($1, $2)", &[&run, &dsn]));
    gate.await_run()?;
    let second = target.query("select from pgmig.resume($1, $2)", &[&run, &databases.source_dsn()]);
    expect_error("55006", second)?;
    gate.open()?;
    first.join().map_err(|_| anyhow!("panicked"))??;
    databases.expect_same_data()
}
