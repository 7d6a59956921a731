//! The life of a run: who may end it, what ends it, and that nothing is left when it has ended.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use pgmig_tests::{Databases, GATED, Gate, Pair, eventually};
use postgres::error::DbError;
use postgres::{Client, NoTls};

/// Calls `pgmig.migrate` with the options of a gated run on a thread of its own; what comes back is
/// the error that it ended with.
fn migrate_gated(
    mut client: Client,
    databases: &Databases<'_>,
) -> thread::JoinHandle<Option<DbError>> {
    let dsn = databases.source_dsn();
    thread::spawn(move || {
        let done =
            client.query("select * from pgmig.migrate($1, $2::text::jsonb)", &[&dsn, &GATED]);
        done.err().and_then(|error| error.as_db_error().cloned())
    })
}

/// Starts a gated run and returns its number.
fn start_gated(databases: &Databases<'_>) -> Result<i64> {
    let row = databases
        .target()?
        .query_one("select pgmig.start($1, $2::text::jsonb)", &[&databases.source_dsn(), &GATED])?;
    Ok(row.get(0))
}

/// Process ids of the run's processes of one kind on the target.
fn processes(client: &mut Client, kind: &str) -> Result<Vec<i32>> {
    let rows = client.query(
        "select a.pid from pg_catalog.pg_stat_activity a
         where a.datname = current_database() and a.backend_type = $1
         order by a.pid",
        &[&kind],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn terminate(client: &mut Client, pid: i32) -> Result<()> {
    client.execute("select pg_terminate_backend($1)", &[&pid])?;
    Ok(())
}

fn run_state(client: &mut Client) -> Result<(String, Option<String>)> {
    let row = client.query_one(
        "select r.state, r.error from pgmig.runs r order by r.run_id desc limit 1",
        &[],
    )?;
    Ok((row.get(0), row.get(1)))
}

/// Waits until neither workers nor locks are left on the target, nor sessions on the source.
fn expect_nothing_left(databases: &Databases<'_>) -> Result<()> {
    let mut target = databases.target()?;
    eventually("no process of the run is left on the target", || {
        Ok(processes(&mut target, "pgmig worker")?.is_empty()
            && processes(&mut target, "pgmig coordinator")?.is_empty())
    })?;
    let locks: i64 = target
        .query_one(
            "select count(*)
             from pg_catalog.pg_locks l
             join pg_catalog.pg_database d on d.oid = l.database
             left join pg_catalog.pg_stat_activity a on a.pid = l.pid
             where d.datname = current_database()
               and l.pid <> pg_backend_pid()
               and a.backend_type is distinct from 'autovacuum worker'",
            &[],
        )?
        .get(0);
    ensure!(locks == 0, "{locks} locks are left on the target");
    let mut source = databases.source()?;
    eventually("no session of the run is left on the source", || {
        let row = source.query_one(
            "select count(*) from pg_catalog.pg_stat_activity a
             where a.datname = current_database() and a.application_name like 'pgmig run %'",
            &[],
        )?;
        Ok(row.get::<_, i64>(0) == 0)
    })
}

/// Waits for the last run's end and checks state and reason.
fn expect_end(databases: &Databases<'_>, state: &str, reason: &str) -> Result<()> {
    expect_nothing_left(databases)?;
    let ended = run_state(&mut databases.target()?)?;
    let message = ended.1.unwrap_or_default();
    ensure!(ended.0 == state && message.contains(reason), "{} \"{message}\"", ended.0);
    Ok(())
}

fn sqlstate(error: &postgres::Error) -> &str {
    error.code().map_or("", postgres::error::SqlState::code)
}

/// The server's message, which an error of the client does not show by itself.
fn message(error: &postgres::Error) -> &str {
    error.as_db_error().map_or("not an error of the server", DbError::message)
}

fn join(caller: thread::JoinHandle<Option<DbError>>) -> Result<Option<DbError>> {
    caller.join().map_err(|_| anyhow!("the caller panicked"))
}

#[test]
fn a_started_run_goes_on_without_its_caller_and_can_be_waited_for() -> Result<()> {
    let databases = Pair::shared()?.databases("life_start")?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    let mut target = databases.target()?;
    let early = target.query("select * from pgmig.wait($1, '100 milliseconds')", &[&run]);
    let early = early.err().context("the wait did not time out")?;
    ensure!(message(&early).contains("has not ended"), "{}", message(&early));
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
    let waiting =
        thread::spawn(move || onlooker.query("select * from pgmig.wait($1)", &[&run]).err());
    let mut target = databases.target()?;
    ensure!(target.query_one("select pgmig.cancel($1)", &[&run])?.get::<_, bool>(0));
    let told = waiting.join().map_err(|_| anyhow!("the onlooker panicked"))?;
    let told = told.context("the onlooker was not told")?;
    ensure!(sqlstate(&told) == "57014", "{}", message(&told));
    ensure!(message(&told).contains("cancelled"), "{}", message(&told));
    expect_end(&databases, "cancelled", "on request")
}

#[test]
fn a_run_that_does_not_exist_can_neither_be_waited_for_nor_cancelled() -> Result<()> {
    let databases = Pair::shared()?.databases("life_unknown")?;
    let mut target = databases.target()?;
    for call in ["select pgmig.cancel(4711)", "select * from pgmig.wait(4711)"] {
        let error = target.query(call, &[]).err().context("there was such a run")?;
        ensure!(sqlstate(&error) == "42704", "{}", message(&error));
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
    let error = join(caller)?.context("the call was not cancelled")?;
    ensure!(error.code().code() == "57014", "{error}");
    expect_end(&databases, "cancelled", "canceling statement due to user request")
}

#[test]
fn a_statement_timeout_of_the_waiting_call_cancels_the_run() -> Result<()> {
    let databases = Pair::shared()?.databases("life_timeout")?;
    let _gate = Gate::close(&databases)?;
    let mut client = databases.target()?;
    client.batch_execute("set statement_timeout = '4s'")?;
    let error = join(migrate_gated(client, &databases))?.context("there was no timeout")?;
    ensure!(error.code().code() == "57014", "{error}");
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
    let error = join(caller)?.context("the session was not ended")?;
    ensure!(error.code().code() == "57P01", "{error}");
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
    let error = join(caller)?.context("the call did not fail")?;
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
    let error = join(caller)?.context("the call did not fail")?;
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
    target.execute("select pg_cancel_backend(w.pid) from pgmig.workers w", &[])?;
    let error = join(caller)?.context("the call did not fail")?;
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
        let error = join(migrate_gated(client, &databases))?.context("there was no timeout")?;
        ensure!(error.code().code() == "57014", "{error}");
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
fn a_run_can_be_called_in_any_transaction_that_has_only_read() -> Result<()> {
    let databases = Pair::shared()?.databases("life_isolation")?;
    databases.execute_on_source("create table t (id int); insert into t values (1), (2)")?;
    databases.execute_on_target("create table other (id int); insert into other values (1)")?;
    let mut target = databases.target()?;
    for mode in [
        "read write",
        "read only",
        "isolation level repeatable read",
        "isolation level serializable",
        "isolation level serializable, read only",
    ] {
        let mut transaction = target.transaction()?;
        transaction.batch_execute(&format!("set transaction {mode}; select * from other"))?;
        let row = transaction
            .query_one("select * from pgmig.migrate($1)", &[&databases.source_dsn()])
            .with_context(|| mode.to_owned())?;
        ensure!(row.get::<_, &str>("status") == "match", "{mode}");
        ensure!(row.get::<_, i64>("target_rows") == 2, "{mode}");
        transaction.commit()?;
    }
    Ok(())
}

#[test]
fn a_transaction_that_holds_what_a_worker_needs_gets_an_error_instead_of_waiting_for_itself()
-> Result<()> {
    let databases = Pair::shared()?.databases("life_blocked")?;
    databases.execute_on_source("create table t (id int); insert into t values (1)")?;
    let mut target = databases.target()?;
    for preparation in
        ["create table t (id int)", "create table if not exists public.t (id int); select 1"]
    {
        let mut transaction = target.transaction()?;
        transaction.batch_execute(preparation)?;
        let error = transaction
            .query("select * from pgmig.migrate($1)", &[&databases.source_dsn()])
            .err()
            .context(preparation)?;
        ensure!(sqlstate(&error) == "40P01", "{preparation}: {}", message(&error));
        transaction.rollback()?;
        expect_end(&databases, "cancelled", "a lock that this transaction holds")?;
    }
    databases.migrate("{}")?;
    for preparation in ["lock table t in share mode", "select * from t", "insert into t values (2)"]
    {
        let mut transaction = target.transaction()?;
        transaction.batch_execute(preparation)?;
        let error = transaction
            .query("select * from pgmig.migrate($1)", &[&databases.source_dsn()])
            .err()
            .context(preparation)?;
        ensure!(sqlstate(&error) == "40P01", "{preparation}: {}", message(&error));
        transaction.rollback()?;
        expect_end(&databases, "cancelled", "a lock that this transaction holds")?;
    }
    Ok(())
}

#[test]
fn two_runs_cannot_write_the_same_table_at_once() -> Result<()> {
    let databases = Pair::shared()?.databases("life_overlap")?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    let mut target = databases.target()?;
    let error = target
        .query("select * from pgmig.migrate($1)", &[&databases.source_dsn()])
        .err()
        .context("the second run was let through")?;
    ensure!(sqlstate(&error) == "55006", "{}", message(&error));
    gate.open()?;
    target.query("select * from pgmig.wait($1)", &[&run])?;
    databases.expect_same_data()
}

#[test]
fn an_extension_that_is_not_committed_yet_is_refused() -> Result<()> {
    let databases = Pair::shared()?.plain_databases("life_uncommitted")?;
    let mut target = databases.target()?;
    for savepoint in ["", "savepoint s;"] {
        let mut transaction = target.transaction()?;
        transaction.batch_execute(&format!("{savepoint} create extension pgmig"))?;
        let error = transaction
            .query("select * from pgmig.migrate($1)", &[&databases.source_dsn()])
            .err()
            .context("the call was let through")?;
        let error = error.as_db_error().context("not an error of the server")?;
        ensure!(error.hint().is_some_and(|hint| hint.to_lowercase().contains("commit")), "{error}");
        transaction.rollback()?;
    }
    Ok(())
}

#[test]
fn views_show_a_run_to_other_sessions_while_it_goes_on() -> Result<()> {
    let databases = Pair::shared()?.databases("life_views")?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    let mut target = databases.target()?;
    eventually("rows before the gate are shown", || {
        let row = target.query_opt(
            "select w.rows, w.bytes from pgmig.workers w where w.object like '%gated%'",
            &[],
        )?;
        let Some(row) = row else { return Ok(false) };
        let (rows, bytes) = (row.get::<_, Option<i64>>(0), row.get::<_, Option<i64>>(1));
        Ok(rows.is_some_and(|rows| rows > 0) && bytes.is_some_and(|bytes| bytes > 0))
    })?;
    eventually("the small table is done", || {
        let row = target.query_one(
            "select t.state, t.rows_copied, t.ranges_done from pgmig.tables t
             where t.run_id = $1 and t.table_name = 'small'",
            &[&run],
        )?;
        Ok(row.get::<_, &str>(0) == "done" && row.get::<_, i64>(1) == 100)
    })?;
    let row = target.query_one(
        "select r.state, r.phase, r.percent::float8, r.eta is not null as eta,
             r.bytes_per_second, r.rows_copied, r.workers, r.source_version, r.elapsed
             > '0 seconds' as elapsed
         from pgmig.runs r where r.run_id = $1",
        &[&run],
    )?;
    ensure!(row.get::<_, &str>("state") == "running");
    ensure!(row.get::<_, &str>("phase") == "copy", "{}", row.get::<_, &str>("phase"));
    let percent: f64 = row.get("percent");
    ensure!(percent > 0.0 && percent < 100.0, "{percent}");
    ensure!(row.get::<_, bool>("eta") && row.get::<_, bool>("elapsed"));
    ensure!(row.get::<_, i64>("bytes_per_second") > 0);
    ensure!(row.get::<_, i64>("rows_copied") > 100);
    ensure!(row.get::<_, i32>("workers") == 2);
    ensure!(row.get::<_, i32>("source_version") >= 100_000);
    let row = target.query_one(
        "select w.pid, w.worker, w.kind, w.task_id, w.wait_event_type, w.blocked_by
         from pgmig.workers w where w.run_id = $1 and w.object like '%gated%'",
        &[&run],
    )?;
    ensure!(row.get::<_, i32>("pid") > 0 && row.get::<_, &str>("kind") == "copy");
    ensure!(row.get::<_, Vec<i32>>("blocked_by").is_empty());
    let states = target.query(
        "select distinct t.state from pgmig.tasks t where t.run_id = $1 order by 1",
        &[&run],
    )?;
    let states: Vec<&str> = states.iter().map(|row| row.get(0)).collect();
    ensure!(states == ["done", "pending", "running"], "{states:?}");
    gate.open()?;
    target.query("select * from pgmig.wait($1)", &[&run])?;
    let row = target.query_one(
        "select r.state, r.percent::float8, r.phase from pgmig.runs r where r.run_id = $1",
        &[&run],
    )?;
    ensure!(row.get::<_, &str>(0) == "done" && row.get::<_, f64>(1) == 100.0);
    let row = target.query_one(
        "select count(*) filter (where v.status = 'match') from pgmig.validation v
         where v.run_id = $1",
        &[&run],
    )?;
    ensure!(row.get::<_, i64>(0) == 2);
    let left = target.query_one("select count(*) from pgmig.workers", &[])?;
    ensure!(left.get::<_, i64>(0) == 0);
    Ok(())
}

#[test]
fn a_worker_that_waits_for_a_lock_is_shown_with_who_blocks_it() -> Result<()> {
    let databases = Pair::shared()?.databases("life_blocked_by")?;
    databases.execute_on_source("create table t (id int); insert into t values (1)")?;
    databases.migrate("{}")?;
    let mut holder = databases.target()?;
    let pid: i32 = holder.query_one("select pg_backend_pid()", &[])?.get(0);
    holder.batch_execute("begin; lock table t in access share mode")?;
    let mut target = databases.target()?;
    let run: i64 = target.query_one("select pgmig.start($1)", &[&databases.source_dsn()])?.get(0);
    eventually("the worker is shown with its blocker", || {
        let row = target.query_opt(
            "select 1 from pgmig.workers w
             where w.wait_event_type = 'Lock' and w.blocked_by = array[$1::int4]",
            &[&pid],
        )?;
        Ok(row.is_some())
    })?;
    holder.batch_execute("rollback")?;
    target.query("select * from pgmig.wait($1)", &[&run])?;
    expect_end(&databases, "done", "")
}

/// The NOTICEs of a gated run that lasts a few seconds.
fn notices(name: &str, progress: &str) -> Result<Vec<String>> {
    let databases = Pair::shared()?.databases(name)?;
    let mut gate = Gate::close(&databases)?;
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut config: postgres::Config = databases.pair().target.dsn(databases.name()).parse()?;
    let mut client = config
        .notice_callback(move |notice| {
            let _ = sender.send(notice.message().to_owned());
        })
        .connect(NoTls)?;
    let options = GATED.replacen('{', &format!("{{\"progress\": {progress}, "), 1);
    let dsn = databases.source_dsn();
    let caller = thread::spawn(move || {
        client
            .query("select * from pgmig.migrate($1, $2::text::jsonb)", &[&dsn, &options])
            .map(drop)
    });
    gate.await_run()?;
    thread::sleep(Duration::from_millis(2500));
    gate.open()?;
    caller.join().map_err(|_| anyhow!("the caller panicked"))??;
    Ok(receiver.try_iter().collect())
}

#[test]
fn progress_comes_as_notices() -> Result<()> {
    let notices = notices("life_notices", "1")?;
    ensure!(notices.iter().any(|line| line.contains('%') && line.contains("rows")), "{notices:?}");
    Ok(())
}

#[test]
fn progress_notices_can_be_turned_off() -> Result<()> {
    let notices = notices("life_no_notices", "false")?;
    ensure!(notices.is_empty(), "{notices:?}");
    Ok(())
}
