//! What runs take of the server: worker slots while they last, nothing afterwards.

use std::fs;

use anyhow::{Result, ensure};
use pgmig_tests::{
    Cluster, ClusterOptions, Installation, Pair, StopMode, eventually, expect_error,
};
use postgres::Client;

/// Runs in a row: more than there are slots for anything that could leak.
const RUNS: i64 = 30;

fn restart_with_workers(target: &Cluster, count: u32) -> Result<Client> {
    target.execute("postgres", &format!("alter system set max_worker_processes = {count}"))?;
    target.stop(StopMode::Fast)?;
    target.start()?;
    target.client("postgres")
}

#[test]
fn a_run_goes_on_with_the_workers_that_fit_and_fails_when_there_is_none() -> Result<()> {
    let databases = Pair::shared()?.plain_databases("resources_slots")?;
    databases.execute_on_source(
        "create table a (id int primary key);
        create table b (id int primary key);
        create unlogged table c (id int primary key);
        insert into a values (1); insert into b values (1); insert into c values (1)",
    )?;
    let dsn = databases.source_dsn();
    // Without the launcher of logical replication every slot is pgmig's.
    let target = ClusterOptions::new(Installation::of_extension()?, "slots")
        .setting("max_worker_processes", "3")
        .setting("max_logical_replication_workers", "0")
        .start()?;
    let mut client = target.client("postgres")?;
    client.batch_execute("create extension pgmig")?;

    let migrate = "select * from pgmig.migrate($1, $2::text::jsonb)";
    let rows = client.query(migrate, &[&dsn, &r#"{"jobs": 4}"#])?;
    ensure!(rows.iter().all(|row| row.get::<_, &str>("status") == "match"));
    let last = "select r.workers, (select e.message from pgmig.events e where e.run_id = r.run_id)
        from pgmig.runs r order by r.run_id desc limit 1";
    let row = client.query_one(last, &[])?;
    ensure!(row.get::<_, i32>(0) == 2);
    let event: Option<String> = row.get(1);
    ensure!(event.as_deref() == Some("the run goes on with 2 of 4 workers"), "{event:?}");

    // Left to itself a run leaves slots to parallel index builds.
    client.query(migrate, &[&dsn, &"{}"])?;
    let row = client.query_one(last, &[])?;
    ensure!(row.get::<_, i32>(0) == 1);

    let mut client = restart_with_workers(&target, 1)?;
    let error = expect_error("53000", client.query(migrate, &[&dsn, &"{}"]))?;
    ensure!(error.hint().is_some_and(|hint| hint.contains("max_worker_processes")), "{error}");
    let row = client.query_one(
        "select r.state, r.error_hint from pgmig.runs r order by r.run_id desc limit 1",
        &[],
    )?;
    ensure!(row.get::<_, &str>(0) == "failed");
    ensure!(row.get::<_, &str>(1).contains("max_worker_processes"));

    let mut client = restart_with_workers(&target, 0)?;
    let error = expect_error("53000", client.query(migrate, &[&dsn, &"{}"]))?;
    ensure!(error.hint().is_some_and(|hint| hint.contains("max_worker_processes")), "{error}");
    Ok(())
}

/// Shared memory segments of a cluster that keeps them as files.
fn count_segments(target: &Cluster) -> Result<usize> {
    Ok(fs::read_dir(target.data_dir().join("pg_dynshmem"))?.count())
}

/// Bytes of pgmig's own tables and their indexes once dead rows are gone.
fn own_bytes(client: &mut Client) -> Result<i64> {
    client.batch_execute("vacuum")?;
    let row = client.query_one(
        "select sum(pg_total_relation_size(c.oid))::bigint
         from pg_catalog.pg_class c
         where c.relnamespace = 'pgmig'::regnamespace and c.relkind = 'r'",
        &[],
    )?;
    Ok(row.get(0))
}

#[test]
fn many_runs_in_a_row_leave_a_line_of_history_each_and_nothing_else() -> Result<()> {
    let databases = Pair::shared()?.plain_databases("resources_many")?;
    databases.execute_on_source(
        "create table t (id int primary key, parent int references t);
        insert into t select i, nullif(i / 2, 0) from generate_series(1, 100) i",
    )?;
    let target = ClusterOptions::new(Installation::of_extension()?, "many")
        .setting("dynamic_shared_memory_type", "mmap")
        .start()?;
    let mut client = target.client("postgres")?;
    client.batch_execute("create extension pgmig")?;
    let segments = count_segments(&target)?;
    let mut bytes = 0;
    for i in 1..=RUNS {
        let row = client.query_one(
            "select * from pgmig.migrate($1, '{\"keep_history\": \"0s\"}')",
            &[&databases.source_dsn()],
        )?;
        ensure!(row.get::<_, &str>("status") == "match", "run {i}");
        if i == RUNS / 2 {
            bytes = own_bytes(&mut client)?;
        }
    }
    let row = client.query_one(
        "select count(*), count(*) filter (where r.state = 'done' and r.rows_copied = 100)
         from pgmig.runs r",
        &[],
    )?;
    ensure!(row.get::<_, i64>(0) == RUNS && row.get::<_, i64>(1) == RUNS);
    for table in ["task", "mark", "copied", "checked", "event", "dropped", "run_table"] {
        let query = format!("select count(*) from pgmig.{table} t where t.run_id < $1");
        let old: i64 = client.query_one(&query, &[&RUNS])?.get(0);
        ensure!(old == 0, "{old} rows of old runs in pgmig.{table}");
    }
    let grown = own_bytes(&mut client)? - bytes;
    ensure!(grown <= 64 * 1024, "pgmig's tables grew by {grown} bytes in {} runs", RUNS / 2);
    eventually("every process and segment is gone", || {
        let row = client.query_one(
            "select count(*) from pg_catalog.pg_stat_activity a where a.backend_type ~ '^pgmig'",
            &[],
        )?;
        Ok(row.get::<_, i64>(0) == 0 && count_segments(&target)? == segments)
    })
}

#[test]
fn a_session_remembers_no_connection_string() -> Result<()> {
    let databases = Pair::shared()?.databases("resources_strings")?;
    databases.execute_on_target(
        "create role stringer login;
         grant usage on schema pgmig to stringer;
         grant execute on all functions in schema pgmig to stringer",
    )?;
    let mut client = databases.target()?;
    // Refused at once, since it names a file; longer than any name of a foreign server.
    let string = format!("host={} user=u dbname=d passfile=/file", "far.".repeat(30));
    let refuse = |client: &mut Client| {
        expect_error("42501", client.query("select pgmig.start($1)", &[&string])).map(drop)
    };
    let cached = |client: &mut Client| -> Result<i64> {
        let row = client.query_one(
            "select sum(c.used_bytes)::bigint from pg_backend_memory_contexts c
             where c.name = 'CacheMemoryContext'",
            &[],
        )?;
        Ok(row.get(0))
    };
    client.batch_execute("grant pg_read_all_stats to stringer; set role stringer")?;
    refuse(&mut client)?;
    cached(&mut client)?;
    let before = cached(&mut client)?;
    for _ in 0..500 {
        refuse(&mut client)?;
    }
    let after = cached(&mut client)?;
    ensure!(after < before + 32 * 1024, "{before} bytes and then {after}");
    databases.execute_on_target("drop owned by stringer; drop role stringer")
}
