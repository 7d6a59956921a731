//! Networks that stop passing bytes and tell nobody, and sources that may be in several places.

use std::time::Instant;

use anyhow::{Result, ensure};
use pgmig_tests::aftermath::{AFTERMATH, expect_end, expect_nothing_left_soon, processes};
use pgmig_tests::{AWAITS_LOCK, Databases, Gate, Pair, Proxy, eventually, expect_error};

/// The options of a gated run that tries again and again.
const PATIENT: &str = r#"{"jobs": 2, "retry_delay": 1, "retries": 20, "where":
    {"public.gated": "id <= 1000 or pg_catalog.pg_advisory_lock_shared(42) is not null"}}"#;

fn start(databases: &Databases<'_>, dsn: &str) -> Result<i64> {
    let call = "select pgmig.start($1, $2::text::jsonb)";
    Ok(databases.target()?.query_one(call, &[&dsn, &PATIENT])?.get(0))
}

#[test]
fn sessions_that_a_network_has_swallowed_do_not_stay_on_the_source() -> Result<()> {
    let databases = Pair::shared()?.databases("network_swallowed")?;
    let mut gate = Gate::close(&databases)?;
    let proxy = Proxy::open(&databases.pair().source)?;
    let run = start(&databases, &proxy.dsn(databases.name()))?;
    gate.await_run()?;
    proxy.stall_present_ones();
    gate.open()?;
    let rows = databases.target()?.query("select status from pgmig.wait($1)", &[&run])?;
    ensure!(rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    // The connections are open still, and nobody has told the source that they lead nowhere.
    expect_nothing_left_soon(&databases)?;
    databases.expect_same_data()
}

#[test]
fn a_cancelled_run_does_not_wait_for_a_source_that_says_nothing() -> Result<()> {
    let databases = Pair::shared()?.databases("network_cancel")?;
    let mut gate = Gate::close(&databases)?;
    let proxy = Proxy::open(&databases.pair().source)?;
    let run = start(&databases, &proxy.dsn(databases.name()))?;
    gate.await_run()?;
    proxy.stall(true);
    let mut target = databases.target()?;
    let begun = Instant::now();
    target.execute("select pgmig.cancel($1)", &[&run])?;
    eventually("the coordinator is gone", || {
        Ok(processes(&mut target, "pgmig coordinator")?.is_empty())
    })?;
    ensure!(begun.elapsed() < AFTERMATH, "it took {:?}", begun.elapsed());
    proxy.stall(false);
    drop(proxy);
    expect_end(&databases, "cancelled", "on request")
}

#[test]
fn all_sessions_of_a_run_go_to_the_server_that_has_its_snapshot() -> Result<()> {
    let databases = Pair::shared()?.databases("network_hosts")?;
    // The second place is another server, with a database of the same name.
    let mut gate = Gate::close(&databases)?;
    let (source, target) = (&databases.pair().source, &databases.pair().target);
    let (first, second) = (Proxy::open(source)?, Proxy::open(target)?);
    let port = |proxy: &Proxy| proxy.dsn("").split("port=").nth(1).unwrap_or("").to_owned();
    let port = |proxy: &Proxy| port(proxy).split(' ').next().unwrap_or("").to_owned();
    let dsn = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname={}",
        port(&first),
        port(&second),
        databases.name()
    );
    let run = start(&databases, &dsn)?;
    gate.await_run()?;
    // For a while the first place lets nobody in.
    first.close(true);
    databases.execute_on_source(&format!(
        "select pg_terminate_backend(a.pid) from pg_stat_activity a
         where a.datname = current_database() and a.application_name like 'pgmig run %'
           and {AWAITS_LOCK}"
    ))?;
    eventually("the run has noticed", || {
        let noticed = "select count(*) from pgmig.events where message like '%rests%'";
        Ok(databases.target_value(noticed)? != "0")
    })?;
    first.close(false);
    gate.open()?;
    let rows = databases.target()?.query("select status from pgmig.wait($1)", &[&run])?;
    ensure!(rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    let snapshots = "select snapshots from pgmig.runs";
    ensure!(databases.target_value(snapshots)? == "1");
    databases.expect_same_data()
}

#[test]
fn sessions_show_the_name_of_the_connection_string_after_the_runs_own() -> Result<()> {
    let databases = Pair::shared()?.databases("network_names")?;
    let mut gate = Gate::close(&databases)?;
    // Under such a name, too, a database is not copied into itself ...
    let itself =
        format!("{} application_name=nightly", databases.pair().target.dsn(databases.name()));
    let mut target = databases.target()?;
    let error = expect_error("55000", target.query("select from pgmig.migrate($1)", &[&itself]))?;
    ensure!(error.message().contains("the same database"), "{error}");
    let dsn = format!("{} application_name=nightly", databases.source_dsn());
    let run = start(&databases, &dsn)?;
    gate.await_run()?;
    // Sessions come and go, so one look counts them all.
    let row = databases.source()?.query_one(
        "select count(*) filter (where a.application_name ~ '^pgmig run .* nightly$'), count(*),
             count(distinct a.application_name)
         from pg_stat_activity a
         where a.datname = current_database() and a.application_name like 'pgmig run %'",
        &[],
    )?;
    ensure!(row.get::<_, i64>(0) == row.get::<_, i64>(1) && row.get::<_, i64>(2) == 1, "{row:?}");
    // ... and no session is left behind.
    target.execute("select pgmig.cancel($1)", &[&run])?;
    expect_nothing_left_soon(&databases)
}

/// Sessions that the source has ever had in the database.
fn count_established(databases: &Databases<'_>) -> Result<i64> {
    let query = "select sessions from pg_stat_database where datname = current_database()";
    Ok(databases.pair().source.psql(databases.name(), query)?.trim().parse()?)
}

#[test]
fn a_source_that_does_not_tell_what_its_sessions_do_may_be_silent_for_long() -> Result<()> {
    let databases = Pair::shared()?.databases("network_untold")?;
    let mut gate = Gate::close(&databases)?;
    databases.execute_on_source("alter database network_untold set track_activities = off")?;
    let run = start(&databases, &databases.source_dsn())?;
    gate.await_run()?;
    // Each look over another connection asks whether the session is at work; a second no would end it.
    let (before, mut own) = (count_established(&databases)?, 0);
    eventually("the session was looked at three times", || {
        own += 1;
        Ok(count_established(&databases)? - before >= own + 3)
    })?;
    gate.open()?;
    let rows = databases.target()?.query("select status from pgmig.wait($1)", &[&run])?;
    ensure!(rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    let attempts = "select count(*) from pgmig.events where message like 'attempt %'";
    ensure!(databases.target_value(attempts)? == "0");
    databases.expect_same_data()
}
