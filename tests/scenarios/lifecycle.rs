//! The life of a run: who may end it, what ends it, and that nothing is left when it has ended.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use pgmig_tests::aftermath::{expect_end, expect_nothing_left, processes};
use pgmig_tests::{Databases, GATED, Gate, Pair, eventually, expect_error, start_gated};
use postgres::error::DbError;
use postgres::{Client, NoTls, Row};

/// A call of `pgmig.migrate` under way.
type Caller = thread::JoinHandle<Result<Vec<Row>, postgres::Error>>;

/// Calls `pgmig.migrate` with the options of a gated run.
fn migrate_gated(mut client: Client, databases: &Databases<'_>) -> Caller {
    let dsn = databases.source_dsn();
    thread::spawn(move || {
        client.query("select * from pgmig.migrate($1, $2::text::jsonb)", &[&dsn, &GATED])
    })
}

fn terminate(client: &mut Client, pid: i32) -> Result<()> {
    client.execute("select pg_terminate_backend($1)", &[&pid])?;
    Ok(())
}

/// Waits for the call to fail.
fn join(caller: Caller, sqlstate: &str) -> Result<DbError> {
    expect_error(sqlstate, caller.join().map_err(|_| anyhow!("the caller panicked"))?)
}

#[test]
fn a_started_run_goes_on_without_its_caller_and_can_be_waited_for() -> Result<()> {
    let databases = Pair::shared()?.databases("life_start")?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    let mut target = databases.target()?;
    let early = target.query("select * from pgmig.wait($1, '100 milliseconds')", &[&run]);
    let early = expect_error("57014", early)?;
    ensure!(early.message().contains("has not ended"), "{early}");
    gate.open()?;
    for _ in 0..2 {
        let rows = target.query("select * from pgmig.wait($1)", &[&run])?;
        let statuses: Vec<&str> = rows.iter().map(|row| row.get("status")).collect();
        ensure!(statuses == ["match", "match"], "{statuses:?}");
    }
    let row = target.query_one("select pgmig.cancel($1)", &[&run])?;
    ensure!(!row.get::<_, bool>(0), "an ended run was cancelled");
    expect_end(&databases, "done", "")
}

#[test]
fn cancel_ends_a_run_and_everybody_who_waits_for_it_is_told() -> Result<()> {
    let databases = Pair::shared()?.databases("life_cancel")?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    let mut onlooker = databases.target()?;
    let waiting = thread::spawn(move || onlooker.query("select * from pgmig.wait($1)", &[&run]));
    let mut target = databases.target()?;
    ensure!(target.query_one("select pgmig.cancel($1)", &[&run])?.get::<_, bool>(0));
    let told = waiting.join().map_err(|_| anyhow!("the onlooker panicked"))?;
    let told = expect_error("57014", told)?;
    ensure!(told.message().contains("cancelled"), "{told}");
    expect_end(&databases, "cancelled", "on request")
}

#[test]
fn a_run_that_does_not_exist_can_neither_be_waited_for_nor_cancelled() -> Result<()> {
    let databases = Pair::shared()?.databases("life_unknown")?;
    let mut target = databases.target()?;
    for call in ["select pgmig.cancel(4711)", "select * from pgmig.wait(4711)"] {
        expect_error("42704", target.query(call, &[]))?;
    }
    Ok(())
}

#[test]
fn a_cancel_request_to_the_waiting_call_cancels_the_run() -> Result<()> {
    let databases = Pair::shared()?.databases("life_ctrl_c")?;
    let mut gate = Gate::close(&databases)?;
    let client = databases.target()?;
    let token = client.cancel_token();
    let caller = migrate_gated(client, &databases);
    gate.await_run()?;
    token.cancel_query(NoTls)?;
    join(caller, "57014")?;
    expect_end(&databases, "cancelled", "canceling statement due to user request")
}

#[test]
fn a_statement_timeout_of_the_waiting_call_cancels_the_run() -> Result<()> {
    let databases = Pair::shared()?.databases("life_timeout")?;
    let _gate = Gate::close(&databases)?;
    let mut client = databases.target()?;
    client.batch_execute("set statement_timeout = '4s'")?;
    join(migrate_gated(client, &databases), "57014")?;
    expect_end(&databases, "cancelled", "canceling statement due to statement timeout")
}

#[test]
fn the_end_of_the_waiting_session_cancels_the_run() -> Result<()> {
    let databases = Pair::shared()?.databases("life_terminate")?;
    let mut gate = Gate::close(&databases)?;
    let mut client = databases.target()?;
    let pid: i32 = client.query_one("select pg_backend_pid()", &[])?.get(0);
    let caller = migrate_gated(client, &databases);
    gate.await_run()?;
    terminate(&mut databases.target()?, pid)?;
    // The client may notice the end of the connection before the server's last word.
    match caller.join().map_err(|_| anyhow!("the caller panicked"))? {
        Err(error) if error.is_closed() => {}
        outcome => drop(expect_error("57P01", outcome)?),
    }
    expect_end(&databases, "cancelled", "the session that waited for the run has ended")
}

#[test]
fn a_client_that_is_killed_takes_its_run_along() -> Result<()> {
    let databases = Pair::shared()?.databases("life_killed")?;
    let mut gate = Gate::close(&databases)?;
    let mut psql = databases
        .pair()
        .target
        .psql_command(databases.name())
        .arg("-c")
        .arg(format!("select * from pgmig.migrate('{}', $${GATED}$$)", databases.source_dsn()))
        .spawn()?;
    gate.await_run()?;
    psql.kill()?;
    psql.wait()?;
    expect_end(&databases, "cancelled", "connection to client lost")
}

#[test]
fn a_run_whose_coordinator_is_gone_is_shown_as_interrupted() -> Result<()> {
    let databases = Pair::shared()?.databases("life_coordinator")?;
    let mut gate = Gate::close(&databases)?;
    let caller = migrate_gated(databases.target()?, &databases);
    gate.await_run()?;
    let mut target = databases.target()?;
    let coordinators = processes(&mut target, "pgmig coordinator")?;
    ensure!(coordinators.len() == 1, "{coordinators:?}");
    terminate(&mut target, coordinators[0])?;
    let error = join(caller, "57P01")?;
    ensure!(error.message().contains("interrupted"), "{error}");
    expect_end(&databases, "interrupted", "")
}

#[test]
fn a_run_fails_when_a_worker_is_ended_and_says_at_which_task() -> Result<()> {
    let databases = Pair::shared()?.databases("life_worker")?;
    let mut gate = Gate::close(&databases)?;
    let caller = migrate_gated(databases.target()?, &databases);
    gate.await_run()?;
    let mut target = databases.target()?;
    let row = target.query_one(
        "select w.pid from pgmig.workers w where w.kind = 'copy' and w.object like '%gated%'",
        &[],
    )?;
    terminate(&mut target, row.get(0))?;
    let error = join(caller, "57P01")?;
    ensure!(error.message().contains("has ended unexpectedly"), "{error}");
    ensure!(error.message().contains("gated"), "{error}");
    expect_end(&databases, "failed", "has ended unexpectedly")
}

#[test]
fn a_worker_whose_statement_is_cancelled_fails_the_run() -> Result<()> {
    let databases = Pair::shared()?.databases("life_worker_cancel")?;
    let mut gate = Gate::close(&databases)?;
    let caller = migrate_gated(databases.target()?, &databases);
    gate.await_run()?;
    let mut target = databases.target()?;
    // Another one might be between two tasks by then.
    let cancel = "select pg_cancel_backend(w.pid) from pgmig.workers w
        where w.object like '%gated%'";
    ensure!(target.execute(cancel, &[])? == 1);
    let error = join(caller, "57014")?;
    ensure!(error.message().contains("canceling statement"), "{error}");
    expect_end(&databases, "failed", "canceling statement")
}

#[test]
fn a_session_that_waits_behind_a_lock_on_the_source_can_be_cancelled() -> Result<()> {
    let databases = Pair::shared()?.databases("life_source_lock")?;
    databases.execute_on_source("create table t (id int)")?;
    let mut holder = databases.source()?;
    holder.batch_execute("begin; lock table t in access exclusive mode")?;
    let mut target = databases.target()?;
    let run: i64 = target.query_one("select pgmig.start($1)", &[&databases.source_dsn()])?.get(0);
    let mut source = databases.source()?;
    eventually("the run waits for the lock", || {
        let row = source.query_one(
            "select count(*) from pg_catalog.pg_stat_activity a
             where a.datname = current_database() and a.application_name like 'pgmig run %'
               and a.wait_event_type = 'Lock'",
            &[],
        )?;
        Ok(row.get::<_, i64>(0) == 1)
    })?;
    target.execute("select pgmig.cancel($1)", &[&run])?;
    expect_end(&databases, "cancelled", "on request")
}

#[test]
fn a_call_that_is_interrupted_at_once_leaves_nothing() -> Result<()> {
    let databases = Pair::shared()?.databases("life_at_once")?;
    let _gate = Gate::close(&databases)?;
    for timeout_ms in [1, 5, 20, 50, 100, 200] {
        let mut client = databases.target()?;
        client.batch_execute(&format!("set statement_timeout = {timeout_ms}"))?;
        join(migrate_gated(client, &databases), "57014")?;
        expect_nothing_left(&databases)?;
    }
    let states = databases.target()?.query(
        "select r.state from pgmig.runs r where r.state <> 'cancelled' order by r.run_id",
        &[],
    )?;
    ensure!(states.is_empty(), "{} runs were not recorded as cancelled", states.len());
    Ok(())
}

#[test]
fn two_runs_cannot_write_the_same_table_at_once() -> Result<()> {
    let databases = Pair::shared()?.databases("life_overlap")?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    let mut target = databases.target()?;
    expect_error(
        "55006",
        target.query("select * from pgmig.migrate($1)", &[&databases.source_dsn()]),
    )?;
    gate.open()?;
    target.query("select * from pgmig.wait($1)", &[&run])?;
    databases.expect_same_data()
}
