//! Input that is wrong: an ERROR with SQLSTATE, cause and hint, and nothing has been changed.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use anyhow::{Context, Result, ensure};
use pgmig_tests::pair::find_db_error;
use pgmig_tests::{Cluster, ClusterOptions, Databases, Installation, Pair};
use postgres::error::DbError;
use postgres::{Client, NoTls};

/// A password that must turn up nowhere.
const SECRET: &str = "hunter'2 %x";

fn databases(name: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source("create table t (x int); insert into t values (1)")?;
    Ok(databases)
}

/// Calls `migrate` with any source and returns the ERROR.
fn refuse_source(client: &mut Client, source: &str, options: &str) -> Result<DbError> {
    let call = "select count(*) from pgmig.migrate($1, $2::text::jsonb)";
    let error = client.query(call, &[&source, &options]).err().context("migrate succeeded")?;
    find_db_error(error.into())
}

/// The ERROR of a call, after a look at the manner: lower case, no period, whole sentences.
fn expect_manner(error: DbError, sqlstate: &str) -> Result<DbError> {
    ensure!(error.code().code() == sqlstate, "expected {sqlstate}: {error:?}");
    ensure!(!error.message().ends_with('.'), "{error:?}");
    for sentence in [error.detail(), error.hint()].into_iter().flatten() {
        ensure!(sentence.trim_end().ends_with(['.', '\'', ';', ')']), "{error:?}");
    }
    Ok(error)
}

/// Detail and hint.
fn advice(error: &DbError) -> String {
    [error.detail(), error.hint()].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Makes sure that pgmig has touched nothing but its own tables.
fn expect_untouched(databases: &Databases<'_>) -> Result<()> {
    let count: i64 = databases
        .target()?
        .query_one(
            "select count(*) from pg_class
            where relnamespace not in ('pgmig'::regnamespace, 'pg_toast'::regnamespace)
              and oid > 16383",
            &[],
        )?
        .get(0);
    ensure!(count == 0, "{count} relations were made");
    Ok(())
}

#[test]
fn wrong_options_are_refused_with_what_is_valid() -> Result<()> {
    let databases = databases("wrong_options")?;
    for (options, message, help) in [
        (r#"{"job": 4}"#, "\"job\"", "\"jobs\""),
        (r#"{"jobs": "many"}"#, "\"jobs\"", "whole number"),
        (r#"{"jobs": 0}"#, "\"jobs\"", "1024"),
        (r#"{"jobs": 1.5}"#, "\"jobs\"", "whole number"),
        (r#"{"owner": "yes"}"#, "\"owner\"", "true or false"),
        (r#"{"validation": "full"}"#, "\"validation\"", "checksum"),
        (r#"{"schema_only": true, "data_only": true}"#, "schema_only", "rows alone"),
        (r#"{"target_schema": "b"}"#, "source_schema", ""),
        (r#"{"tables": "nothing"}"#, "\"nothing\"", ""),
        (r#"{"exclude_tables": ["t", "a.b.c"]}"#, "\"a.b.c\"", "two parts"),
        (r#"{"schemas": "publc"}"#, "\"publc\"", ""),
        (r#"{"source_schema": "nope"}"#, "\"nope\"", ""),
        (r#"{"where": {"nope": "true"}}"#, "\"nope\"", ""),
        (r#"{"where": {"t": "x = ("}}"#, "", ""),
        (r#"{"settings": {"search_path": "x"}}"#, "search_path", ""),
        (r#"{"settings": {"role": "x"}}"#, "role", ""),
        ("[]", "", ""),
    ] {
        let error = databases.migrate_in_vain(options)?;
        let error = expect_manner(error, "22023").with_context(|| options.to_owned())?;
        ensure!(error.message().contains(message), "{options}: {error:?}");
        let text = format!("{} {}", error.message(), advice(&error));
        ensure!(text.contains(help), "{options}: {error:?}");
    }
    expect_untouched(&databases)
}

#[test]
fn a_condition_or_setting_that_the_server_refuses_stops_the_run_before_it_begins() -> Result<()> {
    let databases = databases("wrong_values")?;
    let error = databases.migrate_in_vain(r#"{"where": {"t": "no_such_column = 1"}}"#)?;
    ensure!(error.code().code() == "42703", "{error:?}");
    ensure!(error.message().contains("\"public.t\""), "{error:?}");
    expect_untouched(&databases)?;
    let error = databases.migrate_in_vain(r#"{"settings": {"maintenance_work_mem": "much"}}"#)?;
    ensure!(error.code().code() == "22023", "{error:?}");
    let error = databases.migrate_in_vain(r#"{"settings": {"no_such_setting": "1"}}"#)?;
    ensure!(error.code().code() == "42704", "{error:?}");
    expect_untouched(&databases)
}

#[test]
fn a_source_that_cannot_be_reached_is_an_error_with_a_cause() -> Result<()> {
    let databases = databases("unreachable")?;
    let mut client = databases.target()?;
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let garbage = TcpListener::bind("127.0.0.1:0")?;
    let garbage_port = garbage.local_addr()?.port();
    thread::spawn(move || {
        for mut stream in garbage.incoming().flatten() {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
        }
    });
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let silent_port = silent.local_addr()?.port();
    let source = &databases.pair().source;
    for (dsn, sqlstate, cause) in [
        (format!("host=127.0.0.1 port={closed} dbname=x user=x"), "08001", "refused"),
        ("host=no-such-host.invalid dbname=x user=x".to_owned(), "08001", "no-such-host.invalid"),
        ("host=/no/such/dir dbname=x user=x".to_owned(), "08001", "/no/such/dir"),
        (
            format!("host=127.0.0.1 port={garbage_port} dbname=x user=x"),
            "08P01",
            "does not answer as PostgreSQL",
        ),
        (
            format!("host=127.0.0.1 port={silent_port} dbname=x user=x connect_timeout=2"),
            "08001",
            "time",
        ),
        (source.dsn("no_such_database"), "3D000", "no_such_database"),
        (source.dsn("unreachable").replace("postgres", "no_such_role"), "28000", "no_such_role"),
    ] {
        let error = refuse_source(&mut client, &dsn, "{}").with_context(|| dsn.clone())?;
        let error = expect_manner(error, sqlstate).with_context(|| dsn.clone())?;
        ensure!(error.message().contains(cause), "{dsn}: {error:?}");
    }
    for (dsn, cause) in [
        ("", "source"),
        ("old_server", "foreign server \"old_server\" does not exist"),
        ("postgres:/u:hunter2@h/d", "malformed"),
        ("hots=old", "hots"),
        ("postgres://[::1", ""),
        ("host=a port=99999999", "port"),
        ("host='unterminated", ""),
    ] {
        let error = refuse_source(&mut client, dsn, "{}").with_context(|| dsn.to_owned())?;
        let error = expect_manner(error, "08001").with_context(|| dsn.to_owned())?;
        ensure!(error.message().contains(cause), "{dsn}: {error:?}");
        ensure!(!format!("{error:?}").contains("hunter2"), "{dsn}: {error:?}");
    }
    expect_untouched(&databases)
}

/// A source that asks for passwords over TCP, and a target with the extension and a role of its own.
fn guarded_source(method: &str) -> Result<Cluster> {
    let encryption = if method == "md5" { "md5" } else { "scram-sha-256" };
    let source = ClusterOptions::new(Installation::of_extension()?, "guarded")
        .tcp_auth(method)
        .setting("password_encryption", encryption)
        .start()?;
    source.execute(
        "postgres",
        &format!("create role app login password '{}'", SECRET.replace('\'', "''")),
    )?;
    source.execute(
        "postgres",
        "create table t (x int); grant select on t to app; insert into t values (1)",
    )?;
    Ok(source)
}

fn escape(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[test]
fn passwords_are_asked_for_and_kept_to_oneself() -> Result<()> {
    let databases = databases("passwords")?;
    let target = &databases.pair().target;
    for method in ["scram-sha-256", "md5"] {
        let source = guarded_source(method)?;
        let mut client = databases.target()?;
        let dsn = |password: &str| {
            format!("host=127.0.0.1 port={} dbname=postgres user=app{password}", source.port())
        };
        let error = refuse_source(&mut client, &dsn(" password=wrong-secret"), "{}")?;
        let error = expect_manner(error, "28P01")?;
        ensure!(!format!("{error:?}").contains("wrong-secret"), "{error:?}");
        let error = refuse_source(&mut client, &dsn(""), "{}")?;
        ensure!(
            error.code().code().starts_with("28") || error.code().code() == "08001",
            "{error:?}"
        );
        ensure!(error.message().contains("password"), "{error:?}");
        let good = dsn(&format!(" password={}", escape(SECRET)));
        client.query("select * from pgmig.migrate($1, '{\"overwrite\": true}')", &[&good])?;
    }
    // Nowhere in pgmig's tables and views, as a whole or in the way that a connection string has it.
    let mut client = databases.target()?;
    let relations = client.query(
        "select oid::regclass::text from pg_class
        where relnamespace = 'pgmig'::regnamespace and relkind in ('r', 'v') order by 1",
        &[],
    )?;
    for relation in relations {
        let relation: String = relation.get(0);
        let text: String = client
            .query_one(
                &format!("select coalesce(string_agg(t::text, ' '), '') from {relation} t"),
                &[],
            )?
            .get(0);
        ensure!(!text.contains("hunter"), "{relation} holds the password");
        ensure!(!text.contains("secret"), "{relation} holds the password");
    }
    let log = target.log()?;
    // What the server logs of a statement that failed is the caller's own text, as a parameter here.
    for line in log.lines().filter(|line| line.contains("hunter") || line.contains("wrong-secret"))
    {
        ensure!(!line.contains("pgmig coordinator") && !line.contains("pgmig worker"), "{line}");
    }
    Ok(())
}

#[test]
fn roles_other_than_superusers_must_bring_a_password_that_was_asked_for() -> Result<()> {
    let databases = databases("no_superuser")?;
    let pair = databases.pair();
    pair.target.execute("postgres", "create role bad_input_app login")?;
    databases.execute_on_target(
        "create extension postgres_fdw;
        grant execute on all functions in schema pgmig to bad_input_app;
        create server old foreign data wrapper postgres_fdw options (host '/no/such/dir');
        create server unmapped foreign data wrapper postgres_fdw;
        create server forbidden foreign data wrapper postgres_fdw;
        create user mapping for bad_input_app server forbidden;
        create foreign data wrapper other;
        create server stranger foreign data wrapper other;
        grant usage on foreign server old, unmapped, stranger to bad_input_app;
        create user mapping for bad_input_app server old options (user 'x', password 'from-mapping')",
    )?;
    let dsn = pair.target.dsn(databases.name()).replace("user=postgres", "user=bad_input_app");
    let mut client = Client::connect(&dsn, NoTls)?;
    let source = databases.source_dsn();
    let error = expect_manner(refuse_source(&mut client, &source, "{}")?, "2F003")?;
    ensure!(error.message().contains("password is required"), "{error:?}");
    // A password that nobody asks for proves nothing.
    let source = format!("{source} password=unasked");
    let error = expect_manner(refuse_source(&mut client, &source, "{}")?, "2F003")?;
    ensure!(error.detail() == Some("The source did not ask for the password."), "{error:?}");
    let error = expect_manner(refuse_source(&mut client, "forbidden", "{}")?, "42501")?;
    ensure!(error.message().contains("foreign server"), "{error:?}");
    let error = refuse_source(&mut client, "unmapped", "{}")?;
    ensure!(
        error.code().code() == "42704" && error.message().contains("user mapping"),
        "{error:?}"
    );
    expect_manner(refuse_source(&mut client, "stranger", "{}")?, "08001")?;
    let error = expect_manner(refuse_source(&mut client, "old", "{}")?, "08001")?;
    ensure!(error.message().contains("/no/such/dir"), "{error:?}");
    ensure!(!format!("{error:?}").contains("from-mapping"), "{error:?}");
    client.execute("reset role", &[])?;
    databases
        .execute_on_target("revoke execute on all functions in schema pgmig from bad_input_app")?;
    let error = refuse_source(&mut client, "old", "{}")?;
    ensure!(error.code().code() == "42501", "{error:?}");
    drop(client);
    databases.execute_on_target("drop owned by bad_input_app")?;
    pair.target.execute("postgres", "drop role bad_input_app")
}

#[test]
fn everything_that_may_not_be_read_is_named_at_once() -> Result<()> {
    let databases = databases("no_privileges")?;
    databases.execute_on_source(
        "create schema hidden;
        create table open (x serial);
        create table closed (id serial, y int generated always as identity);
        create table \"Closed 2\" (x int);
        create table hidden.deep (x int);
        create sequence alone;
        create role reader_of_little login;
        grant select on open to reader_of_little;
        grant select on hidden.deep to reader_of_little",
    )?;
    let source = databases.source_dsn().replace("user=postgres", "user=reader_of_little");
    let mut client = databases.target()?;
    let error = expect_manner(refuse_source(&mut client, &source, "{}")?, "42501")?;
    let detail = error.detail().unwrap_or_default();
    for name in [
        "table \"public.closed\"",
        "table \"public.Closed 2\"",
        "table \"public.t\"",
        "table \"hidden.deep\"",
        "sequence \"public.alone\"",
        "sequence \"public.open_x_seq\"",
        "sequence \"public.closed_id_seq\"",
    ] {
        ensure!(detail.contains(name), "{name}: {detail}");
    }
    ensure!(!detail.contains("\"public.open\""), "{detail}");
    expect_untouched(&databases)?;
    // What is left out need not be read.
    databases.execute_on_source("grant select on sequence open_x_seq to reader_of_little")?;
    let call = "select status from pgmig.migrate($1, '{\"tables\": \"open\"}')";
    let status: String = client.query_one(call, &[&source])?.get(0);
    assert_eq!(status, "match");
    databases.execute_on_source("drop owned by reader_of_little; drop role reader_of_little")
}

#[test]
fn an_encoding_that_cannot_hold_the_sources_is_refused() -> Result<()> {
    let databases = databases("encoding")?;
    let target = &databases.pair().target;
    target.execute(
        "postgres",
        "create database encoding_latin1 template template0 encoding 'LATIN1' locale 'C'",
    )?;
    target.execute("encoding_latin1", "create extension pgmig")?;
    let mut client = target.client("encoding_latin1")?;
    let error = refuse_source(&mut client, &databases.source_dsn(), "{}")?;
    let error = expect_manner(error, "22021")?;
    ensure!(error.message().contains("LATIN1") && error.message().contains("UTF8"), "{error:?}");
    drop(client);
    target.drop_database("encoding_latin1")
}

#[test]
fn a_database_cannot_be_its_own_source_but_its_neighbour_can() -> Result<()> {
    let databases = databases("itself")?;
    let target = &databases.pair().target;
    let mut client = databases.target()?;
    let error = refuse_source(&mut client, &target.dsn(databases.name()), "{}")?;
    let error = expect_manner(error, "55000")?;
    ensure!(error.message().ends_with("source and target are the same database"), "{error:?}");
    target.create_database("neighbour")?;
    target.execute("neighbour", "create table n (x int); insert into n values (1)")?;
    let call = "select status from pgmig.migrate($1)";
    let status: String = client.query_one(call, &[&target.dsn("neighbour")])?.get(0);
    assert_eq!(status, "match");
    target.drop_database("neighbour")
}

#[test]
fn a_missing_extension_is_named_before_anything_is_made() -> Result<()> {
    let databases = databases("extension")?;
    // An entry without files stands for an extension that only the source's server has.
    databases.execute_on_source(
        "insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
        values (99999, 'not_here', 10, 2200, false, '1.0')",
    )?;
    let error = expect_manner(databases.migrate_in_vain("{}")?, "0A000")?;
    ensure!(error.message().contains("\"not_here\""), "{error:?}");
    expect_untouched(&databases)
}
