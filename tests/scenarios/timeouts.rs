//! Timeouts that somebody has set for databases and roles: a run takes as long as it takes.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use pgmig_tests::aftermath::expect_nothing_left;
use pgmig_tests::{Cluster, Databases, GATED, Gate, Pair};
use postgres::{Client, NoTls};

/// The timeout that everything gets: more than a busy machine takes to log in and set another one.
const TIMEOUT: Duration = Duration::from_secs(1);

/// For how long every session of a run has a statement and a transaction under way, or is idle: well
/// beyond the timeout.
const HOLD: Duration = Duration::from_millis(2500);

/// Whose default a timeout is, as ALTER has it.
const LEVELS: [&str; 3] = ["database {db}", "role {role}", "role {role} in database {db}"];

/// The timeouts that a server knows.
fn timeouts(cluster: &Cluster) -> Result<Vec<String>> {
    let rows = cluster.client("postgres")?.query(
        "select s.name from pg_settings s
         where s.name in ('statement_timeout', 'lock_timeout', 'transaction_timeout',
             'idle_in_transaction_session_timeout', 'idle_session_timeout')",
        &[],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Sets every timeout of a server for the sessions of a role in a database.
fn set_timeouts(cluster: &Cluster, level: &str, role: &str, database: &str) -> Result<()> {
    let whose = level.replace("{role}", role).replace("{db}", database);
    let statements: Vec<String> = timeouts(cluster)?
        .iter()
        .map(|name| format!("alter {whose} set {name} = '{}ms'", TIMEOUT.as_millis()))
        .collect();
    cluster.execute("postgres", &statements.join("; "))
}

/// A session of the role without the timeouts: those of the caller are the caller's business.
fn patient_session(databases: &Databases<'_>, role: &str) -> Result<Client> {
    let target = &databases.pair().target;
    let dsn = target.dsn(databases.name()).replace("user=postgres", &format!("user={role}"));
    let options: Vec<_> = timeouts(target)?.iter().map(|name| format!("-c {name}=0")).collect();
    Ok(Client::connect(&format!("{dsn} options='{}'", options.join(" ")), NoTls)?)
}

/// Fails if a timeout reaches a run that is held for longer, whosever default it is on both sides.
pub fn expect_none_reaches_a_run(pair: &Pair) -> Result<()> {
    for (i, level) in LEVELS.iter().enumerate() {
        let name = format!("timeouts_{i}");
        let databases = pair.databases(&name)?;
        let mut gate = Gate::close(&databases)?;
        for side in [&pair.source, &pair.target] {
            side.execute("postgres", &format!("create role {name} superuser login"))?;
            set_timeouts(side, level, &name, &name)?;
        }
        let mut caller = patient_session(&databases, &name)?;
        let dsn = databases.source_dsn().replace("user=postgres", &format!("user={name}"));
        let call = "select pgmig.start($1, $2::text::jsonb)";
        let run: i64 = caller.query_one(call, &[&dsn, &GATED])?.get(0);
        gate.await_run()?;
        thread::sleep(HOLD);
        gate.open()?;
        let rows = caller.query("select status from pgmig.wait($1)", &[&run])?;
        ensure!(rows.len() == 2 && rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
        // Nothing had to be done twice either.
        let said = caller.query_one(
            "select concat_ws(' ', r.snapshots, string_agg(e.message, ', '))
             from pgmig.runs r
             left join pgmig.events e on e.run_id = r.run_id and e.message like 'attempt%'
             group by r.snapshots",
            &[],
        )?;
        ensure!(said.get::<_, &str>(0) == "1", "{level}: {}", said.get::<_, &str>(0));
        for side in [&pair.source, &pair.target] {
            side.execute("postgres", &format!("alter database {name} reset all"))?;
        }
        expect_nothing_left(&databases)?;
    }
    Ok(())
}

#[test]
fn timeouts_set_on_databases_and_roles_do_not_reach_a_run() -> Result<()> {
    expect_none_reaches_a_run(Pair::shared()?)
}
