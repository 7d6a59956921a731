//! A run that lasts for as long as a test wants.
//!
//! The source's table `public.gated` is read with a condition that takes an advisory lock. While the
//! gate is closed its rows beyond the first thousand do not come, and the run goes on when it opens.

use anyhow::Result;
use postgres::Client;

use crate::pair::Databases;
use crate::poll::eventually;

/// Makes the tables of the source. The rows before the gate fill several of the reader's buffers; an
/// unlogged table is never copied by the same task as others.
const SCHEMA: &str = "
    create table public.gated (id int primary key, filler text not null);
    insert into public.gated
    select i, repeat(md5(i::text), 64) from generate_series(1, 2000) i;
    create unlogged table public.small (id int primary key);
    insert into public.small select generate_series(1, 100);
    analyze";

/// Options of a run that stops at the gate.
pub const GATED: &str = r#"{"jobs": 2, "where":
    {"public.gated": "id <= 1000 or pg_catalog.pg_advisory_lock_shared(42) is not null"}}"#;

/// Condition that session `a` of `pg_stat_activity` waits for a lock. `pg_locks`, by which the gate
/// tells that a run has come, knows it before the session's wait event shows it.
pub const AWAITS_LOCK: &str =
    "a.pid in (select l.pid from pg_catalog.pg_locks l where not l.granted)";

/// Holds runs with the options `GATED` until it is opened.
pub struct Gate {
    holder: Client,
}

impl Gate {
    /// Fills the source and closes the gate.
    pub fn close(databases: &Databases<'_>) -> Result<Gate> {
        databases.execute_on_source(SCHEMA)?;
        let mut holder = databases.source()?;
        holder.batch_execute("select pg_catalog.pg_advisory_lock(42)")?;
        Ok(Gate { holder })
    }

    /// Waits until a run stands before the gate.
    pub fn await_run(&mut self) -> Result<()> {
        eventually("the run stands before the gate", || {
            let waiting = self.holder.query_one(
                "select count(*) from pg_catalog.pg_locks l
                 join pg_catalog.pg_database d on d.oid = l.database
                 where d.datname = current_database() and l.locktype = 'advisory'
                   and not l.granted",
                &[],
            )?;
            Ok(waiting.get::<_, i64>(0) > 0)
        })
    }

    /// Lets the run through.
    pub fn open(mut self) -> Result<()> {
        Ok(self.holder.batch_execute("select pg_catalog.pg_advisory_unlock(42)")?)
    }
}

/// Starts a run with the options `GATED` that nobody waits for, and returns its number.
pub fn start_gated(databases: &Databases<'_>) -> Result<i64> {
    let row = databases
        .target()?
        .query_one("select pgmig.start($1, $2::text::jsonb)", &[&databases.source_dsn(), &GATED])?;
    Ok(row.get(0))
}

/// Waits until a gated run has copied the table `small`, so that only `gated` is left to be copied.
pub fn await_small(databases: &Databases<'_>, run: i64) -> Result<()> {
    let copied = format!(
        "select count(*) from pgmig.tables
         where run_id = {run} and table_name = 'small' and state = 'done' and rows_copied = 100"
    );
    eventually("the small table is done", || Ok(databases.target_value(&copied)? == "1"))
}
