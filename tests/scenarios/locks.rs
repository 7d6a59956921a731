//! Locks of others on either side: waited for in sight of everybody, deadlocks included.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use pgmig_tests::aftermath::expect_nothing_left;
use pgmig_tests::{AWAITS_LOCK, Databases, Gate, Pair, await_small, eventually, start_gated};
use postgres::Client;

fn backend_pid(client: &mut Client) -> Result<i32> {
    Ok(client.query_one("select pg_backend_pid()", &[])?.get(0))
}

/// Waits until the view `runs` shows that the run waits on a side for a lock of `pid`.
fn await_blocked(databases: &Databases<'_>, side: &str, pid: i32) -> Result<()> {
    let query = format!(
        "select count(*) from pgmig.runs r
         where r.waits_for like '%{side}%process {pid}%'"
    );
    eventually("the run is shown as blocked", || Ok(databases.target_value(&query)? == "1"))
}

#[test]
fn a_run_that_waits_for_a_lock_on_the_source_says_for_whose() -> Result<()> {
    let databases = Pair::shared()?.databases("locks_source")?;
    databases.execute_on_source("create table \"T's\" (id int)")?;
    let mut holder = databases.source()?;
    holder.batch_execute("begin; lock table \"T's\" in access exclusive mode")?;
    let pid = backend_pid(&mut holder)?;
    let run: i64 =
        databases.target()?.query_one("select pgmig.start($1)", &[&databases.source_dsn()])?.get(0);
    await_blocked(&databases, "source", pid)?;
    holder.batch_execute("rollback")?;
    databases.target()?.query("select from pgmig.wait($1)", &[&run])?;
    ensure!(
        databases.target_value("select count(*) from pgmig.runs where waits_for <> ''")? == "0"
    );
    let event = format!("select count(*) from pgmig.events where message like '%process {pid}%'");
    ensure!(databases.target_value(&event)? == "1");
    Ok(())
}

#[test]
fn a_run_that_waits_for_a_lock_on_the_target_while_it_plans_says_for_whose() -> Result<()> {
    let databases = Pair::shared()?.databases("locks_target")?;
    for _ in 0..1 {
        databases.execute_on_source("create table t (id int primary key, v text default 'x')")?;
        databases.execute_on_target("create table t (id int primary key, v text default 'x')")?;
    }
    let mut holder = databases.target()?;
    holder.batch_execute("begin; lock table t in access exclusive mode")?;
    let pid = backend_pid(&mut holder)?;
    // From another session: its own transaction would make it an error.
    let run: i64 =
        databases.target()?.query_one("select pgmig.start($1)", &[&databases.source_dsn()])?.get(0);
    await_blocked(&databases, "target", pid)?;
    holder.batch_execute("rollback")?;
    databases.target()?.query("select from pgmig.wait($1)", &[&run])?;
    databases.expect_same_data()
}

#[test]
fn a_deadlock_on_the_target_is_got_over_whatever_is_to_be_done_on_errors() -> Result<()> {
    for on_error in ["stop", "continue"] {
        let databases = Pair::shared()?.databases(&format!("locks_deadlock_{on_error}"))?;
        // The first index waits until the second table is locked.
        databases.execute_on_source(
            "create table a (id int); insert into a values (1);
             create table b (id int); insert into b values (1);
             create function halt(int8) returns void immutable strict
                 language internal as 'pg_advisory_xact_lock_shared_int8';
             create index a_halts on a ((halt(id + 43) is null)); create index b_plain on b (id)",
        )?;
        let mut halter = databases.target()?;
        halter.batch_execute("select pg_advisory_lock(44)")?;
        let options = format!(r#"{{"jobs": 1, "on_error": "{on_error}", "retry_delay": 0}}"#);
        let call = "select pgmig.start($1, $2::text::jsonb)";
        let run: i64 =
            databases.target()?.query_one(call, &[&databases.source_dsn(), &options])?.get(0);
        let waiting = |kind: &str| {
            let query = format!(
                "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                 where d.datname = current_database() and not l.granted and l.locktype = '{kind}'"
            );
            databases.target_value(&query)
        };
        eventually("the first index is being built", || Ok(waiting("advisory")? == "1"))?;
        let mut other = databases.target()?;
        other.batch_execute("set deadlock_timeout = '10min'; begin; lock table b")?;
        let blocked = thread::spawn(move || other.batch_execute("lock table a; commit"));
        eventually("the other session waits", || Ok(waiting("relation")? == "1"))?;
        halter.batch_execute("select pg_advisory_unlock(44)")?;
        databases.target()?.query("select from pgmig.wait($1)", &[&run])?;
        blocked.join().map_err(|_| anyhow!("panicked"))??;
        expect_deadlock(&databases)?;
        databases.expect_same_schema()?;
        expect_nothing_left(&databases)?;
    }
    Ok(())
}

/// Fails unless the run's events tell of an attempt that failed because of a deadlock.
fn expect_deadlock(databases: &Databases<'_>) -> Result<()> {
    let told = "select count(*) from pgmig.events e
        where e.sqlstate = '40P01' and e.message like 'attempt 1 %deadlock%'";
    ensure!(databases.target_value(told)? == "1");
    Ok(())
}

/// Lets a session of the source have a table once others let it, and returns it when it has; its own
/// look for deadlocks comes too late to matter.
fn lock_in_turn(
    databases: &Databases<'_>,
    before: &str,
    table: &str,
) -> Result<thread::JoinHandle<Result<(), postgres::Error>>> {
    let mut session = databases.source()?;
    session.batch_execute(&format!("set deadlock_timeout = '10min'; begin; {before}"))?;
    let lock = format!("lock table {table}; commit");
    let waiting = thread::spawn(move || session.batch_execute(&lock));
    let query = format!(
        "select count(*) from pg_locks l
         where not l.granted and l.relation = '{table}'::regclass and l.mode = 'AccessExclusiveLock'"
    );
    let mut source = databases.source()?;
    eventually("the table is waited for", || {
        Ok(source.query_one(&query, &[])?.get::<_, i64>(0) == 1)
    })?;
    Ok(waiting)
}

#[test]
fn a_deadlock_on_the_source_while_tables_are_locked_is_got_over() -> Result<()> {
    let databases = Pair::shared()?.databases("locks_planning")?;
    databases.execute_on_source(
        "create table a (id int); insert into a values (1);
         create table b (id int); create table c (id int)",
    )?;
    let mut halter = databases.source()?;
    halter.batch_execute("begin; lock table b")?;
    let pid = backend_pid(&mut halter)?;
    let call = "select pgmig.start($1, '{\"retry_delay\": 0}')";
    let run: i64 = databases.target()?.query_one(call, &[&databases.source_dsn()])?.get(0);
    // The run has locked one table and waits for the next.
    await_blocked(&databases, "source", pid)?;
    let other = lock_in_turn(&databases, "lock table c", "a")?;
    halter.batch_execute("rollback")?;
    databases.target()?.query("select from pgmig.wait($1)", &[&run])?;
    other.join().map_err(|_| anyhow!("panicked"))??;
    expect_deadlock(&databases)?;
    databases.expect_same_data()?;
    expect_nothing_left(&databases)
}

#[test]
fn a_deadlock_on_the_source_while_rows_are_copied_is_got_over() -> Result<()> {
    for on_error in ["stop", "continue"] {
        let databases = Pair::shared()?.databases(&format!("locks_copying_{on_error}"))?;
        let mut gate = Gate::close(&databases)?;
        let second = "pg_catalog.pg_advisory_lock_shared(43) is not null";
        let options = format!(
            r#"{{"jobs": 2, "on_error": "{on_error}", "retry_delay": 0, "where": {{"public.gated":
                "id <= 1000 or pg_catalog.pg_advisory_lock_shared(42) is null or {second}"}}}}"#
        );
        let call = "select pgmig.start($1, $2::text::jsonb)";
        let run: i64 =
            databases.target()?.query_one(call, &[&databases.source_dsn(), &options])?.get(0);
        gate.await_run()?;
        let other = lock_in_turn(&databases, "select pg_advisory_xact_lock(43)", "gated")?;
        gate.open()?;
        databases.target()?.query("select from pgmig.wait($1)", &[&run])?;
        other.join().map_err(|_| anyhow!("panicked"))??;
        expect_deadlock(&databases)?;
        databases.expect_same_data()?;
        expect_nothing_left(&databases)?;
    }
    Ok(())
}

#[test]
fn a_coordinator_that_has_lost_its_session_locks_the_source_again() -> Result<()> {
    let databases = Pair::shared()?.databases("locks_again")?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    await_small(&databases, run)?;
    let mut source = databases.source()?;
    let locked = "select count(distinct l.pid) from pg_locks l
        join pg_stat_activity a on a.pid = l.pid
        where l.relation = 'gated'::regclass and l.mode = 'AccessShareLock' and l.granted
          and a.application_name like 'pgmig run %'";
    ensure!(source.query_one(locked, &[])?.get::<_, i64>(0) == 2);
    // The coordinator's session first: it notices when the worker's is lost too.
    let end = |source: &mut Client, condition: &str| -> Result<u64> {
        let sql = format!(
            "select pg_terminate_backend(a.pid) from pg_stat_activity a
             where a.datname = current_database() and a.application_name like 'pgmig run %'
               and a.pid in (select l.pid from pg_locks l where l.relation = 'gated'::regclass)
               and {condition}"
        );
        Ok(source.execute(&sql, &[])?)
    };
    let before = locked.replace("count(distinct l.pid)", "string_agg(distinct l.pid::text, ',')");
    let before: String = source.query_one(&before, &[])?.get(0);
    ensure!(end(&mut source, &format!("not {AWAITS_LOCK}"))? == 1);
    ensure!(end(&mut source, AWAITS_LOCK)? == 1);
    let again = format!("{locked} and a.pid not in ({before})");
    eventually("two other sessions lock the source again", || {
        Ok(source.query_one(&again, &[])?.get::<_, i64>(0) == 2)
    })?;
    gate.await_run()?;
    gate.open()?;
    databases.target()?.query("select from pgmig.wait($1)", &[&run])?;
    let snapshots = "select state || ' ' || snapshots from pgmig.runs";
    ensure!(databases.target_value(snapshots)? == "done 1");
    databases.expect_same_data()?;
    expect_nothing_left(&databases)
}
