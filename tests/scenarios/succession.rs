//! Several runs over the same tables, one after another: what each of them may still do.

use anyhow::{Result, ensure};
use pgmig_tests::aftermath::{expect_nothing_left, processes};
use pgmig_tests::{
    ClusterOptions, Databases, Gate, Installation, Pair, StopMode, await_small, eventually,
    expect_error, start_gated,
};

/// A run that is cancelled before its gate.
fn cancelled_run(databases: &Databases<'_>, gate: &mut Gate) -> Result<i64> {
    let run = start_gated(databases)?;
    gate.await_run()?;
    databases.target()?.execute("select pgmig.cancel($1)", &[&run])?;
    expect_nothing_left(databases)?;
    Ok(run)
}

const RESUME: &str = "select status from pgmig.resume($1, $2)";
const CLEANUP: &str = "select action, object, reason from pgmig.cleanup($1)";

#[test]
fn a_run_is_not_resumed_over_tables_that_the_cleanup_of_a_later_one_has_emptied() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_emptied")?;
    let mut gate = Gate::close(&databases)?;
    databases.execute_on_source("create function f() returns int language sql as 'select 1'")?;
    let first = cancelled_run(&databases, &mut gate)?;
    let second = cancelled_run(&databases, &mut gate)?;
    let mut target = databases.target()?;
    // What the second one relies on is not taken from under it.
    let error = expect_error("55000", target.query(CLEANUP, &[&first]))?;
    ensure!(error.message().contains("a later run"), "{error}");
    target.query(CLEANUP, &[&second])?;
    let error = expect_error("55000", target.query(RESUME, &[&first, &databases.source_dsn()]))?;
    ensure!(error.message().contains("a later run"), "{error}");
    // Now it can be cleaned up, and nothing of either is left.
    let rows = target.query(CLEANUP, &[&first])?;
    let kept: Vec<String> = rows
        .iter()
        .filter(|row| row.get::<_, &str>(0) == "kept")
        .map(|row| format!("{}: {:?}", row.get::<_, &str>(1), row.get::<_, Option<&str>>(2)))
        .collect();
    ensure!(kept.is_empty(), "{kept:#?}");
    let left = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    ensure!(databases.target_value(left)? == "0");
    gate.open()?;
    databases.migrate_and_match("{}")?;
    databases.expect_same_data()
}

#[test]
fn what_a_failed_run_has_made_stays_when_a_later_one_has_ended_well() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_relied")?;
    let mut gate = Gate::close(&databases)?;
    databases.execute_on_source(
        "create function f() returns int language sql as 'select 1'; create sequence counter",
    )?;
    let first = cancelled_run(&databases, &mut gate)?;
    gate.open()?;
    databases.migrate_and_match("{}")?;
    expect_error("55000", databases.target()?.query(CLEANUP, &[&first]))?;
    databases.expect_same_data()?;
    databases.expect_same_schema()
}

#[test]
fn a_run_is_not_taken_up_while_it_is_cleaned_up() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_cleanup")?;
    let mut gate = Gate::close(&databases)?;
    let run = cancelled_run(&databases, &mut gate)?;
    let mut cleaning = databases.target()?;
    let mut transaction = cleaning.transaction()?;
    transaction.query(CLEANUP, &[&run])?;
    let mut target = databases.target()?;
    expect_error("55006", target.query(RESUME, &[&run, &databases.source_dsn()]))?;
    transaction.commit()?;
    gate.open()?;
    // There is nothing left of it, so it is planned again.
    target.query(RESUME, &[&run, &databases.source_dsn()])?;
    databases.expect_same_data()
}

#[test]
fn of_a_new_run_and_a_resumed_one_over_the_same_tables_one_is_refused() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_race")?;
    let mut gate = Gate::close(&databases)?;
    let run = cancelled_run(&databases, &mut gate)?;
    gate.open()?;
    // The new run stands still in the middle of recording its plan.
    databases.execute_on_target(
        "create function public.hold() returns trigger language plpgsql as
             $$ begin perform pg_catalog.pg_advisory_xact_lock_shared(43); return new; end $$;
         create trigger hold before insert on pgmig.task for each statement
             execute function public.hold();
         alter table pgmig.task enable always trigger hold",
    )?;
    let mut holder = databases.target()?;
    holder.batch_execute("select pg_catalog.pg_advisory_lock(43)")?;
    let dsn = databases.source_dsn();
    let mut target = databases.target()?;
    let new: i64 = target.query_one("select pgmig.start($1)", &[&dsn])?.get(0);
    let waiting = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
        where d.datname = current_database() and l.locktype = 'advisory' and not l.granted";
    eventually("the new run stands still", || Ok(databases.target_value(waiting)? == "1"))?;
    expect_error("55006", target.query(RESUME, &[&run, &dsn]))?;
    holder.batch_execute("select pg_catalog.pg_advisory_unlock(43)")?;
    target.query("select from pgmig.wait($1)", &[&new])?;
    databases.expect_same_data()
}

#[test]
fn nothing_is_said_to_be_running_once_nobody_works_on_it() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_running")?;
    let mut gate = Gate::close(&databases)?;
    let states = "select string_agg(distinct t.state, ' ' order by t.state)
        from pgmig.tasks t where t.state in ('running', 'interrupted')";
    cancelled_run(&databases, &mut gate)?;
    ensure!(databases.target_value(states)?.is_empty());
    let tables = "select count(*) from pgmig.tables where state = 'running'";
    ensure!(databases.target_value(tables)? == "0");
    let run = start_gated(&databases)?;
    gate.await_run()?;
    await_small(&databases, run)?;
    ensure!(databases.target_value(states)? == "running");
    ensure!(databases.target_value(tables)? == "1");
    let mut target = databases.target()?;
    for pid in processes(&mut target, "pgmig coordinator")? {
        target.execute("select pg_terminate_backend($1)", &[&pid])?;
    }
    expect_nothing_left(&databases)?;
    ensure!(databases.target_value(states)? == "interrupted");
    ensure!(databases.target_value(tables)? == "0");
    ensure!(databases.target_value("select count(*) from pgmig.workers")? == "0");
    let elapsed = "select count(elapsed) from pgmig.tasks where state = 'interrupted'";
    ensure!(databases.target_value(elapsed)? == "0");
    Ok(())
}

#[test]
fn one_role_does_not_shorten_the_history_of_others_nor_that_of_runs_to_be_finished() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_history")?;
    let mut gate = Gate::close(&databases)?;
    let role = "succession_stranger";
    databases.execute_on_target(&format!(
        "create role {role} login; grant execute on all functions in schema pgmig to {role}"
    ))?;
    databases.execute_on_source("create schema theirs")?;
    let unfinished = cancelled_run(&databases, &mut gate)?;
    databases.execute_on_target(
        "insert into pgmig.run (kind, state, phase, role_id, role_name, source, options,
             coordinator_pid, coordinator_start, started_at, finished_at)
         select kind, 'done', 'end', role_id, role_name, source, options, 0, started_at,
             started_at, finished_at
         from pgmig.run;
         insert into pgmig.event (run_id, at, severity, message)
         select max(run_id), now(), 'warning', 'old' from pgmig.run",
    )?;
    let mut stranger = databases.target()?;
    stranger.batch_execute(&format!("set session authorization {role}"))?;
    // It is refused, since no password is given, but its row is there.
    let call = "select from pgmig.migrate($1, '{\"keep_history\": \"0s\"}')";
    ensure!(stranger.query(call, &[&databases.source_dsn()]).is_err());
    ensure!(databases.target_value("select count(*) from pgmig.runs")? == "3");
    let old = "select count(*) from pgmig.events where message = 'old'";
    ensure!(databases.target_value(old)? == "1");
    // The superuser's own call takes what has ended well, and what can be resumed only after months.
    let call = "select from pgmig.plan($1, '{\"keep_history\": \"0s\"}')";
    let mut target = databases.target()?;
    target.query(call, &[&databases.source_dsn()])?;
    ensure!(databases.target_value(old)? == "0");
    let tasks = format!("select count(*) > 0 from pgmig.tasks where run_id = {unfinished}");
    ensure!(databases.target_value(&tasks)? == "t");
    databases.execute_on_target(
        "update pgmig.run set finished_at = finished_at - interval '100 days'",
    )?;
    target.query(call, &[&databases.source_dsn()])?;
    ensure!(databases.target_value(&tasks)? == "f");
    let error = expect_error("55000", target.query(CLEANUP, &[&unfinished]))?;
    ensure!(error.message().contains("not recorded any more"), "{error}");
    drop(stranger);
    databases.execute_on_target(&format!("drop owned by {role}; drop role {role}"))
}

#[test]
fn a_role_can_neither_resume_nor_clean_up_what_another_one_has_started() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_stranger")?;
    let mut gate = Gate::close(&databases)?;
    let role = "succession_other";
    databases.execute_on_target(&format!(
        "create role {role} login; grant execute on all functions in schema pgmig to {role}"
    ))?;
    let run = cancelled_run(&databases, &mut gate)?;
    let mut stranger = databases.target()?;
    stranger.batch_execute(&format!("set session authorization {role}"))?;
    let dsn = format!("{} password=x", databases.source_dsn());
    expect_error("42704", stranger.query(RESUME, &[&run, &dsn]))?;
    expect_error("42704", stranger.query(CLEANUP, &[&run]))?;
    expect_error("42704", stranger.query("select pgmig.cancel($1)", &[&run]))?;
    drop(stranger);
    gate.open()?;
    databases.target()?.query(RESUME, &[&run, &databases.source_dsn()])?;
    databases.execute_on_target(&format!("drop owned by {role}; drop role {role}"))?;
    databases.expect_same_data()
}

#[test]
fn a_run_from_a_foreign_server_is_resumed_without_naming_it_again() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_server")?;
    let mut gate = Gate::close(&databases)?;
    let source = &databases.pair().source;
    databases.execute_on_target(&format!(
        "create extension dblink;
         create server \"Old one\" foreign data wrapper dblink_fdw
             options (host '{}', port '{}', dbname '{}');
         create user mapping for current_user server \"Old one\" options (user 'postgres')",
        source.directory().display(),
        source.port(),
        databases.name()
    ))?;
    let mut target = databases.target()?;
    let call = "select pgmig.start('Old one', $1::text::jsonb)";
    let run: i64 = target.query_one(call, &[&pgmig_tests::GATED])?.get(0);
    gate.await_run()?;
    target.execute("select pgmig.cancel($1)", &[&run])?;
    expect_nothing_left(&databases)?;
    gate.open()?;
    let rows = target.query("select status from pgmig.resume($1)", &[&run])?;
    ensure!(rows.len() == 2 && rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    databases.expect_same_data()
}

#[test]
fn rows_that_somebody_has_written_meanwhile_are_not_lost_when_a_run_is_resumed() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_rows")?;
    let mut gate = Gate::close(&databases)?;
    let run = cancelled_run(&databases, &mut gate)?;
    gate.open()?;
    databases.execute_on_target("insert into gated values (-1, 'mine')")?;
    let (mut target, dsn) = (databases.target()?, databases.source_dsn());
    let error = expect_error("55000", target.query(RESUME, &[&run, &dsn]))?;
    ensure!(error.detail().is_some_and(|detail| detail.contains("gated")), "{error:?}");
    ensure!(databases.target_value("select count(*) from gated")? == "1");
    let call = "select status from pgmig.resume($1, $2, '{\"overwrite\": true}')";
    target.query(call, &[&run, &dsn])?;
    databases.expect_same_data()
}

#[test]
fn what_had_not_been_dropped_yet_is_no_matter_of_the_cleanup() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_undropped")?;
    databases.execute_on_source("create table t (id int primary key); insert into t values (1)")?;
    databases.migrate_and_match("{}")?;
    // The run cannot drop the key that it has planned to drop.
    let mut holder = databases.target()?;
    holder.batch_execute("begin; lock table t in access share mode")?;
    databases.migrate_in_vain(r#"{"lock_timeout": "1s"}"#)?;
    holder.batch_execute("rollback")?;
    let run: i64 = databases.target()?.query_one("select max(run_id) from pgmig.runs", &[])?.get(0);
    let rows = databases.target()?.query(CLEANUP, &[&run])?;
    let failed = rows.iter().filter(|row| {
        row.get::<_, Option<&str>>(2).is_some_and(|reason| reason.contains("built again"))
    });
    ensure!(failed.count() == 0);
    ensure!(databases.target_value("select count(*) from pgmig.dropped")? == "0");
    databases.expect_same_data()?;
    databases.expect_same_schema()
}

#[test]
fn large_objects_of_another_source_or_changed_ones_are_not_taken_for_the_runs_own() -> Result<()> {
    let databases = Pair::shared()?.databases("succession_large")?;
    databases.execute_on_source("select lo_from_bytea(4711, 'a'), lo_from_bytea(4712, 'b')")?;
    databases.migrate_and_match("{}")?;
    let pair = databases.pair();
    pair.source.create_database("succession_large_other")?;
    pair.source.execute("succession_large_other", "select lo_from_bytea(4713, 'c')")?;
    let other = pair.source.dsn("succession_large_other");
    let call = "select status from pgmig.migrate($1, $2::text::jsonb)";
    let mut target = databases.target()?;
    target.query(call, &[&other, &"{}"])?;
    let count = "select count(*) from pg_largeobject_metadata";
    ensure!(databases.target_value(count)? == "3");
    // One that somebody has written to is theirs now.
    databases.execute_on_target("select lo_put(4711, 0, 'mine')")?;
    let dsn = databases.source_dsn();
    expect_error("55000", target.query(call, &[&dsn, &"{}"]))?;
    target.query(call, &[&dsn, &r#"{"overwrite": true}"#])?;
    ensure!(databases.target_value(count)? == "3");
    ensure!(databases.target_value("select lo_get(4711) = 'a'::bytea")? == "t");
    pair.source.drop_database("succession_large_other")
}

#[test]
fn after_a_crash_and_a_resumption_the_next_run_asks_for_nothing() -> Result<()> {
    let start = |name| {
        ClusterOptions::new(Installation::of_extension()?, name)
            .setting("max_worker_processes", "16")
            .start()
    };
    let pair = Pair { source: start("crash-source")?, target: start("crash-target")? };
    let databases = pair.databases("succession_crash")?;
    let mut gate = Gate::close(&databases)?;
    databases.execute_on_source(
        "create table parts (id int, filler text) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (20000);
         create table parts_2 partition of parts for values from (20000) to (40000);
         insert into parts select i, repeat(md5(i::text), 30) from generate_series(0, 39999) i;
         analyze",
    )?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    eventually("other tables are copied", || {
        let copied = "select count(*) from pgmig.tables where state = 'done'";
        Ok(databases.target_value(copied)? == "3")
    })?;
    pair.target.stop(StopMode::Immediate)?;
    pair.target.start()?;
    gate.open()?;
    databases.target()?.query(RESUME, &[&run, &databases.source_dsn()])?;
    databases.expect_same_data()?;
    // Only what the crash had emptied was copied again.
    let again = "select string_agg(table_name, ' ') from pgmig.tables where recopied > 0";
    ensure!(databases.target_value(again)? == "small");
    databases.migrate_and_match("{}")?;
    // Somebody else's rows are found all the same.
    databases.execute_on_target("insert into parts values (7, '')")?;
    databases.migrate_in_vain("{}")?;
    databases.expect_same_schema()
}
