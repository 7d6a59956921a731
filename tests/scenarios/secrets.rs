//! Secrets turn up nowhere but where the user has put them.

use std::fs;

use anyhow::{Context, Result, ensure};
use pgmig_tests::aftermath::expect_nothing_left;
use pgmig_tests::{Cluster, ClusterOptions, Databases, Gate, Installation, Pair};
use postgres::Client;

/// Passwords that must turn up nowhere: of the login and of what is copied.
const LOGIN: &str = "login'geheimnis";
const MAPPING: &str = "mapping-geheimnis";
const SUBSCRIPTION: &str = "subscription-geheimnis";

/// What every one of them contains.
const MARK: &str = "geheimnis";

/// Logs as much as a server can.
const TALKATIVE: [(&str, &str); 8] = [
    ("log_statement", "all"),
    ("log_min_duration_statement", "0"),
    ("log_min_error_statement", "debug5"),
    ("log_min_messages", "debug2"),
    ("log_error_verbosity", "verbose"),
    ("log_connections", "on"),
    ("debug_print_parse", "on"),
    ("track_activity_query_size", "100kB"),
];

/// A pair that logs everything; the source asks for passwords over TCP.
fn talkative_pair() -> Result<Pair> {
    let installation = Installation::of_extension()?;
    let options = |name| ClusterOptions::new(installation.clone(), name).settings(&TALKATIVE);
    Pair::start(options("telling").tcp_auth("scram-sha-256"), options("listening"))
}

/// Runs statements that a user may write a secret in, unlogged.
fn execute_unlogged(cluster: &Cluster, database: &str, sql: &str) -> Result<()> {
    let mut client = cluster.client(database)?;
    client.batch_execute(
        "set log_statement = 'none'; set log_min_duration_statement = -1;
        set log_min_messages = 'panic'; set debug_print_parse = off",
    )?;
    client.batch_execute(sql).with_context(|| format!("could not execute: {sql}"))
}

/// Fills the source with secrets and makes it a foreign server of the target.
fn prepare(databases: &Databases<'_>) -> Result<()> {
    let pair = databases.pair();
    execute_unlogged(
        &pair.source,
        databases.name(),
        &format!(
            "create role secrets_login login superuser password '{}';
            create role secrets_other login password 'other-{MARK}';
            create extension postgres_fdw;
            create server far foreign data wrapper postgres_fdw;
            create user mapping for secrets_other server far
                options (user 'x', password '{MAPPING}');
            create subscription nowhere connection 'host=/nowhere password={SUBSCRIPTION}'
                publication p with (connect = false, slot_name = none)",
            LOGIN.replace('\'', "''")
        ),
    )?;
    execute_unlogged(
        &pair.target,
        databases.name(),
        &format!(
            "create extension postgres_fdw;
            create server old foreign data wrapper postgres_fdw options
                (host '127.0.0.1', port '{}', dbname '{}');
            create user mapping for public server old options
                (user 'secrets_login', password '{}')",
            pair.source.port(),
            databases.name(),
            LOGIN.replace('\'', "''")
        ),
    )
}

/// All that must not be shown: the passwords and what the source has stored for them.
fn secrets(databases: &Databases<'_>) -> Result<Vec<String>> {
    let stored = databases.source()?.query(
        "select split_part(rolpassword, ':', 2) from pg_authid where rolname like 'secrets_%'",
        &[],
    )?;
    Ok(stored.iter().map(|row| row.get(0)).chain([MARK.to_owned()]).collect())
}

/// Fails if a text holds a secret.
fn expect_none(place: &str, text: &str, secrets: &[String]) -> Result<()> {
    for secret in secrets {
        if let Some(at) = text.find(secret) {
            let from = text[..at].char_indices().rev().nth(300).map_or(0, |(i, _)| i);
            let to = text[at..].char_indices().nth(60).map_or(text.len(), |(i, _)| at + i);
            anyhow::bail!("{place} holds a secret: {}", &text[from..to]);
        }
    }
    Ok(())
}

/// Everything in pgmig's tables and views, and what the server tells of its sessions.
fn shown(client: &mut Client) -> Result<String> {
    let relations = client.query(
        "select oid::regclass::text from pg_class
        where relnamespace = 'pgmig'::regnamespace and relkind in ('r', 'v') order by 1",
        &[],
    )?;
    let mut text = String::new();
    let names = relations.iter().map(|row| row.get::<_, String>(0));
    for relation in names.chain(["pg_stat_activity".to_owned()]) {
        let sql = format!("select coalesce(string_agg(t::text, E'\\n'), '') from {relation} t");
        text += client.query_one(&sql, &[])?.get(0);
    }
    Ok(text)
}

/// The titles of all processes.
fn titles() -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        // Processes end at any time.
        let title = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        text += &String::from_utf8_lossy(&title);
    }
    Ok(text)
}

#[test]
fn nothing_that_pgmig_writes_or_shows_holds_a_secret() -> Result<()> {
    let pair = talkative_pair()?;
    let databases = pair.databases("secrets")?;
    prepare(&databases)?;
    let secrets = secrets(&databases)?;
    ensure!(secrets.len() == 3 && secrets.iter().all(|secret| secret.len() > 8), "{secrets:?}");
    let mut gate = Gate::close(&databases)?;
    let mut target = databases.target()?;
    let plan = target.query(
        "select coalesce(sql, '') || object from pgmig.plan('old', '{\"roles\": true}')",
        &[],
    )?;
    for row in plan {
        expect_none("the plan", row.get(0), &secrets)?;
    }
    let options = pgmig_tests::GATED.replacen('{', "{\"roles\": true, ", 1);
    let run: i64 =
        target.query_one("select pgmig.start('old', $1::text::jsonb)", &[&options])?.get(0);
    gate.await_run()?;
    expect_none("a view during the run", &shown(&mut target)?, &secrets)?;
    expect_none("the source", &shown_by_source(&databases)?, &secrets)?;
    expect_none("a process title", &titles()?, &secrets)?;
    gate.open()?;
    target.query("select * from pgmig.wait($1)", &[&run])?;

    // They have arrived all the same.
    let stored = "select rolpassword from pg_authid where rolname = 'secrets_other'";
    let arrived: String = target.query_one(stored, &[])?.get(0);
    ensure!(arrived == databases.source()?.query_one(stored, &[])?.get::<_, String>(0));
    let conninfo: String = target.query_one("select subconninfo from pg_subscription", &[])?.get(0);
    ensure!(conninfo.contains(SUBSCRIPTION));
    let options: Vec<String> = target
        .query_one("select umoptions from pg_user_mappings where srvname = 'far'", &[])?
        .get(0);
    ensure!(options.iter().any(|option| option.contains(MAPPING)), "{options:?}");

    expect_none("a view after the run", &shown(&mut target)?, &secrets)?;
    expect_none("the target's log", &pair.target.log()?, &secrets)?;
    expect_none("the source's log", &pair.source.log()?, &secrets)
}

/// What the source's server tells of its sessions.
fn shown_by_source(databases: &Databases<'_>) -> Result<String> {
    let sql = "select string_agg(a::text, ' ') from pg_stat_activity a";
    Ok(databases.source()?.query_one(sql, &[])?.get(0))
}

#[test]
fn a_secret_that_cannot_be_put_in_its_place_is_not_told_by_the_error() -> Result<()> {
    let pair = talkative_pair()?;
    let databases = pair.databases("secrets_failing")?;
    prepare(&databases)?;
    let secrets = secrets(&databases)?;
    // No role but a superuser can make subscriptions, and this one may not make roles either.
    databases.execute_on_target(
        "create role secrets_limited login;
        create role secrets_other login;
        grant usage on foreign server old to secrets_limited;
        grant usage on foreign data wrapper postgres_fdw to secrets_limited;
        grant execute on all functions in schema pgmig to secrets_limited;
        grant all on schema public to secrets_limited;
        grant all on database secrets_failing to secrets_limited",
    )?;
    let mut limited = databases.target()?;
    limited.batch_execute("set session authorization secrets_limited")?;
    for options in [
        r#"{"owner": false, "privileges": false, "extensions": false}"#,
        r#"{"owner": false, "privileges": false, "extensions": false, "on_error": "continue"}"#,
        r#"{"roles": true}"#,
    ] {
        let outcome =
            limited.query("select * from pgmig.migrate('old', $1::text::jsonb)", &[&options]);
        if let Err(error) = outcome {
            ensure!(error.as_db_error().is_some(), "{error:?}");
            expect_none("the error", &format!("{error:?}"), &secrets)?;
        }
    }
    expect_nothing_left(&databases)?;
    let shown = shown(&mut databases.target()?)?;
    ensure!(shown.contains("must be superuser to create subscriptions"), "nothing has failed");
    expect_none("a view", &shown, &secrets)?;
    expect_none("the target's log", &pair.target.log()?, &secrets)?;
    expect_none("the source's log", &pair.source.log()?, &secrets)
}
