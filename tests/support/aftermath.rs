//! What is left of a run on both sides when it has ended: it should be nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use postgres::Client;

use crate::pair::Databases;
use crate::poll::eventually;

/// Process ids of the run's processes of one kind on the target.
pub fn processes(client: &mut Client, kind: &str) -> Result<Vec<i32>> {
    let rows = client.query(
        "select a.pid from pg_catalog.pg_stat_activity a
         where a.datname = current_database() and a.backend_type = $1
         order by a.pid",
        &[&kind],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Longest time that anything of a run may be left on either side once it has ended.
pub const AFTERMATH: Duration = Duration::from_secs(10);

/// State and error of the last run.
fn run_state(client: &mut Client) -> Result<(String, Option<String>)> {
    let row = client.query_one(
        "select r.state, r.error from pgmig.runs r order by r.run_id desc limit 1",
        &[],
    )?;
    Ok((row.get(0), row.get(1)))
}

/// Waits until neither processes nor locks are left on either side. Locks may be left for a moment: a
/// caller hears of the end before its own transaction has ended.
pub fn expect_nothing_left(databases: &Databases<'_>) -> Result<()> {
    let mut target = databases.target()?;
    eventually("neither processes of the run nor locks are left on the target", || {
        Ok(processes(&mut target, "pgmig worker")?.is_empty()
            && processes(&mut target, "pgmig coordinator")?.is_empty()
            && count_locks(&mut target, "true")? == 0)
    })?;
    let mut source = databases.source()?;
    // Of the locks those of processes that are gone; a test's own sessions are none of the run's.
    eventually("neither sessions of the run nor their locks are left on the source", || {
        let row = source.query_one(
            "select count(*) from pg_catalog.pg_stat_activity a
             where a.datname = current_database() and a.application_name like 'pgmig run %'",
            &[],
        )?;
        let is_gone = row.get::<_, i64>(0) == 0;
        Ok(is_gone && count_locks(&mut source, "a.pid is null and l.pid is not null")? == 0)
    })
}

/// Like `expect_nothing_left`, for a run that has ended a moment ago, however that came about.
pub fn expect_nothing_left_soon(databases: &Databases<'_>) -> Result<()> {
    let begun = Instant::now();
    expect_nothing_left(databases)?;
    let elapsed = begun.elapsed();
    ensure!(elapsed < AFTERMATH, "it took {elapsed:?} until nothing was left");
    Ok(())
}

/// Locks in the session's database of other sessions that meet a condition.
fn count_locks(client: &mut Client, condition: &str) -> Result<i64> {
    let query = format!(
        "select count(*)
         from pg_catalog.pg_locks l
         join pg_catalog.pg_database d on d.oid = l.database
         left join pg_catalog.pg_stat_activity a on a.pid = l.pid
         where d.datname = current_database()
           and l.pid <> pg_backend_pid()
           and a.backend_type is distinct from 'autovacuum worker'
           and {condition}"
    );
    Ok(client.query_one(&query, &[])?.get(0))
}

/// Waits for the last run's end and checks state and reason.
pub fn expect_end(databases: &Databases<'_>, state: &str, reason: &str) -> Result<()> {
    expect_nothing_left(databases)?;
    let ended = run_state(&mut databases.target()?)?;
    let message = ended.1.unwrap_or_default();
    ensure!(ended.0 == state && message.contains(reason), "{} \"{message}\"", ended.0);
    Ok(())
}
