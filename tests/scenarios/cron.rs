//! pg_cron: both of its ways to run a job, with a source that asks for a password.
//!
//! Debian's version schedules by the minute, so each of these tests takes up to one.

use anyhow::{Context, Result, ensure};
use pgmig_tests::{Cluster, ClusterOptions, Installation, StopMode, eventually, guarded_source};

/// How pg_cron runs its jobs.
#[derive(Clone, Copy)]
enum Mode {
    /// It connects to the server as a client.
    Connections,
    /// In background workers of its own.
    Workers,
}

/// What docs/pg_cron.md tells people to do in the database to be filled, `:port` being the source's.
const RECIPE: &str = "
    create extension pgmig;
    create extension postgres_fdw;
    create server old_shop foreign data wrapper postgres_fdw
        options (host '127.0.0.1', port ':port', dbname ':database');
    create user mapping for nightly server old_shop options (user 'reader', password 'geheim');
    grant usage on foreign server old_shop to nightly;
    grant execute on all functions in schema pgmig to nightly;
    grant all on schema public to nightly";

/// A target with pg_cron in database `postgres`.
fn start_target(mode: Mode) -> Result<Cluster> {
    let name = match mode {
        Mode::Connections => "cron-connections",
        Mode::Workers => "cron-workers",
    };
    let target = ClusterOptions::new(Installation::of_extension()?, name)
        .setting("shared_preload_libraries", "pg_cron")
        .setting("max_worker_processes", "20")
        .start()?;
    let setting = match mode {
        Mode::Connections => format!("cron.host = '{}'", target.directory().display()),
        Mode::Workers => "cron.use_background_workers = on".to_owned(),
    };
    target.execute("postgres", &format!("alter system set {setting}"))?;
    target.stop(StopMode::Fast)?;
    target.start()?;
    target.execute("postgres", "create extension pg_cron; create role nightly login")?;
    Ok(target)
}

/// Prepares a pair of databases and schedules `command` in the target's.
fn schedule(target: &Cluster, prefix: &str, database: &str, command: &str) -> Result<()> {
    let source_database = format!("{prefix}_{database}");
    let source = guarded_source(&source_database)?;
    source.execute(
        &source_database,
        "create table t (id int primary key); insert into t select generate_series(1, 1000)",
    )?;
    target.create_database(database)?;
    let recipe =
        RECIPE.replace(":port", &source.port().to_string()).replace(":database", &source_database);
    target.execute(database, &recipe)?;
    target.execute(database, &format!("grant create on database {database} to nightly"))?;
    target.execute(
        "postgres",
        &format!(
            "select cron.schedule_in_database('{database}', '* * * * *', $$ {command} $$,
                '{database}', 'nightly')"
        ),
    )
}

fn expect_scheduled_runs(mode: Mode, prefix: &str) -> Result<()> {
    let target = start_target(mode)?;
    let options = r#"{"owner": false, "privileges": false, "comments": false}"#;
    let call = |function: &str| format!("pgmig.{function}('old_shop', '{options}')");
    schedule(&target, prefix, "waited", &format!("select * from {}", call("migrate")))?;
    schedule(&target, prefix, "started", &format!("select {}", call("start")))?;
    let mut cron = target.client("postgres")?;
    for database in ["waited", "started"] {
        let mut client = target.client(database)?;
        eventually("the scheduled run has ended", || {
            let row = client.query_opt(
                "select r.state, r.error, r.rows_copied, r.role_name::text, r.source
                 from pgmig.runs r where r.finished_at is not null order by r.run_id limit 1",
                &[],
            )?;
            let Some(row) = row else { return Ok(false) };
            let (state, error): (&str, Option<&str>) = (row.get(0), row.get(1));
            ensure!(state == "done", "{database}: {state} {error:?}");
            ensure!(row.get::<_, i64>(2) == 1000 && row.get::<_, &str>(3) == "nightly");
            ensure!(!row.get::<_, &str>(4).contains("geheim"));
            Ok(true)
        })
        .with_context(|| format!("the server's log:\n{}", target.log().unwrap_or_default()))?;
        let row = client.query_one("select count(*), sum(id) from t", &[])?;
        ensure!(row.get::<_, i64>(0) == 1000 && row.get::<_, i64>(1) == 500_500);
        eventually("cron calls the job a success", || {
            let row = cron.query_one(
                "select count(*) from cron.job_run_details d
                 where d.database = $1 and d.status = 'succeeded'",
                &[&database],
            )?;
            Ok(row.get::<_, i64>(0) > 0)
        })?;
    }
    let row = cron.query_one(
        "select (select count(*) from cron.job j where j::text like '%geheim%')
             + (select count(*) from cron.job_run_details d where d::text like '%geheim%')",
        &[],
    )?;
    ensure!(row.get::<_, i64>(0) == 0, "cron's tables hold the password");
    ensure!(!target.log()?.contains("geheim"), "the server's log holds the password");
    Ok(())
}

#[test]
fn pg_cron_runs_jobs_over_connections() -> Result<()> {
    expect_scheduled_runs(Mode::Connections, "cron_connections")
}

#[test]
fn pg_cron_runs_jobs_in_background_workers() -> Result<()> {
    expect_scheduled_runs(Mode::Workers, "cron_workers")
}
