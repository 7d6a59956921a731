//! What people see of a run while it goes on: views for every session, notices for the caller.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use pgmig_tests::aftermath::expect_end;
use pgmig_tests::{GATED, Gate, Pair, await_small, eventually, start_gated};
use postgres::NoTls;

#[test]
fn views_show_a_run_to_other_sessions_while_it_goes_on() -> Result<()> {
    let databases = Pair::shared()?.databases("progress_views")?;
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
    await_small(&databases, run)?;
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
    let databases = Pair::shared()?.databases("progress_blocked_by")?;
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
    let notices = notices("progress_notices", "1")?;
    ensure!(notices.iter().any(|line| line.contains('%') && line.contains("rows")), "{notices:?}");
    Ok(())
}

#[test]
fn progress_notices_can_be_turned_off() -> Result<()> {
    let notices = notices("progress_no_notices", "false")?;
    ensure!(notices.is_empty(), "{notices:?}");
    Ok(())
}
