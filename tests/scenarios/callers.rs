//! Who calls, and from where: transactions, roles, servers that cannot take a run.

use std::fs;

use anyhow::{Context, Result, ensure};
use pgmig_tests::aftermath::expect_end;
use pgmig_tests::compare::compare_data;
use pgmig_tests::{
    Cluster, ClusterOptions, Installation, Pair, StopMode, expect_error, guarded_source,
};
use postgres::{Client, Config, NoTls};

/// A session of another role with a database of the shared target.
fn client_of(cluster: &Cluster, database: &str, role: &str) -> Result<Client> {
    let mut config: Config = cluster.dsn(database).parse()?;
    Ok(config.user(role).connect(NoTls)?)
}

#[test]
fn a_run_can_be_called_in_any_transaction_that_has_only_read() -> Result<()> {
    let databases = Pair::shared()?.databases("callers_isolation")?;
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
    let databases = Pair::shared()?.databases("callers_blocked")?;
    databases.execute_on_source("create table t (id int); insert into t values (1)")?;
    let mut target = databases.target()?;
    let overwrite = r#"{"overwrite": true}"#;
    for preparation in [
        "create table t (id int)",
        "lock table t in share mode",
        "select * from t",
        "insert into t values (2)",
        "drop table t; create table t (id int)",
    ] {
        let mut transaction = target.transaction()?;
        transaction.batch_execute(preparation)?;
        let outcome = transaction.query(
            "select * from pgmig.migrate($1, $2::text::jsonb)",
            &[&databases.source_dsn(), &overwrite],
        );
        expect_error("40P01", outcome).context(preparation)?;
        transaction.rollback()?;
        expect_end(&databases, "cancelled", "a lock that the calling transaction holds")?;
        databases.migrate(overwrite)?;
    }
    Ok(())
}

#[test]
fn an_extension_that_is_not_committed_yet_is_refused() -> Result<()> {
    let databases = Pair::shared()?.plain_databases("callers_uncommitted")?;
    let mut target = databases.target()?;
    for (savepoint, sqlstate) in [("", "55000"), ("savepoint s;", "42704")] {
        let mut transaction = target.transaction()?;
        transaction.batch_execute(&format!("{savepoint} create extension pgmig"))?;
        let outcome =
            transaction.query("select * from pgmig.migrate($1)", &[&databases.source_dsn()]);
        let error = expect_error(sqlstate, outcome)?;
        ensure!(error.hint().is_some_and(|hint| hint.to_lowercase().contains("commit")), "{error}");
        transaction.rollback()?;
    }
    Ok(())
}

/// A target with three roles, one of which may not call pgmig, and a source that asks for a password.
const ROLES: &str = "
    create role callers_one login;
    create role callers_two login;
    create role callers_none login;
    create role callers_nologin nologin;
    grant callers_nologin to callers_one;
    grant execute on all functions in schema pgmig to callers_one, callers_two, callers_nologin;
    grant create on database callers_roles to callers_one, callers_two;
    grant all on schema public to callers_one, callers_two";

/// Options of a role that owns neither the schema nor the source's objects.
const AS_ROLE: &str = r#"{"owner": false, "privileges": false, "comments": false}"#;

#[test]
fn a_role_with_execute_sees_its_own_runs_and_nothing_else() -> Result<()> {
    let pair = Pair::shared()?;
    let databases = pair.databases("callers_roles")?;
    databases.execute_on_target(ROLES)?;
    let source = guarded_source("callers_roles")?;
    source.execute("callers_roles", "create table t (id int); insert into t values (1)")?;
    let dsn = source.tcp_dsn("callers_roles", "reader", "geheim");

    let mut none = client_of(&pair.target, "callers_roles", "callers_none")?;
    expect_error("42501", none.query("select * from pgmig.migrate($1)", &[&dsn]))?;
    for call in ["select pgmig.start('x=y')", "select pgmig.cancel(1)"] {
        expect_error("42501", none.query(call, &[]))?;
    }

    let mut one = client_of(&pair.target, "callers_roles", "callers_one")?;
    let migrate = "select * from pgmig.migrate($1, $2::text::jsonb)";
    let row = one.query_one(migrate, &[&dsn, &AS_ROLE])?;
    ensure!(row.get::<_, &str>("status") == "match");
    let run: i64 = one.query_one("select run_id from pgmig.runs", &[])?.get(0);

    // The server's own way to log in is for superusers.
    let passwordless = source.dsn("callers_roles");
    expect_error("2F003", one.query(migrate, &[&passwordless, &AS_ROLE]))?;
    one.batch_execute("set role callers_nologin")?;
    expect_error("28000", one.query(migrate, &[&dsn, &AS_ROLE]))?;
    one.batch_execute("reset role")?;

    let mut two = client_of(&pair.target, "callers_roles", "callers_two")?;
    for view in ["runs", "tables", "tasks", "workers", "events", "validation"] {
        let rows = two.query(&format!("select * from pgmig.{view}"), &[])?;
        ensure!(rows.is_empty(), "pgmig.{view} shows somebody else's run");
    }
    expect_error("42704", two.query("select pgmig.cancel($1)", &[&run]))?;
    expect_error("42704", two.query("select * from pgmig.wait($1)", &[&run]))?;
    for statement in [
        "select * from pgmig.run",
        "select * from pgmig.task",
        "insert into pgmig.mark values (1, 1, now())",
        "update pgmig.run set state = 'done'",
        "delete from pgmig.loaded",
        "update pgmig.runs set state = 'done'",
    ] {
        let outcome = two.execute(statement, &[]);
        let error = outcome.err().and_then(|error| error.code().cloned());
        let sqlstate = error.context(statement)?;
        ensure!(["42501", "55000"].contains(&sqlstate.code()), "{statement}: {sqlstate:?}");
    }
    let all = databases.target()?.query_one("select count(*) from pgmig.runs", &[])?;
    ensure!(all.get::<_, i64>(0) == 2, "a superuser does not see both runs");
    Ok(())
}

/// A database with something of most kinds, and a CHECK that tries to become more than its caller.
const WHOLE: &str = r#"
    create type mood as enum ('good', 'it''s bad');
    create domain positive as int check (value > 0);
    create function escalate(id int) returns boolean language plpgsql as $$
    declare
        sql text;
    begin
        foreach sql in array array['reset role; alter role callers_whole superuser',
            'reset session authorization; alter role callers_whole superuser',
            'set session authorization postgres; alter role callers_whole superuser',
            'set role postgres; alter role callers_whole superuser',
            'delete from pgmig.run', 'create role callers_made superuser'] loop
            begin
                if pg_catalog.current_setting('application_name') like 'pgmig%' then
                    execute sql;
                end if;
            exception when others then
                null;
            end;
        end loop;
        return true;
    end $$;
    create table "the ""parent""" (id serial primary key, mood mood, "a b" positive,
        check (escalate(id)));
    insert into "the ""parent""" (mood, "a b") select 'it''s bad', i from generate_series(1, 100) i;
    create table child (id bigint generated always as identity,
        parent int references "the ""parent""" on delete cascade, at date) partition by range (at);
    create table child_old partition of child for values from (minvalue) to ('2020-01-01');
    create table child_new partition of child for values from ('2020-01-01') to (maxvalue);
    insert into child (parent, at) select i, date '2019-12-01' + i from generate_series(1, 100) i;
    create index on child (at, parent);
    create view seen as select mood, count(*) from "the ""parent""" group by mood;
    create materialized view counted as select * from seen;
    comment on table child is 'of \ many ''words'' ';
    grant select on all tables in schema public to reader;
    grant select on all sequences in schema public to reader"#;

#[test]
fn a_role_without_any_privilege_migrates_a_whole_database_with_a_password() -> Result<()> {
    let pair = Pair::shared()?;
    let databases = pair.databases("callers_whole")?;
    let source = guarded_source("callers_whole")?;
    source.execute("callers_whole", WHOLE)?;
    let rights = "
        alter database callers_whole owner to callers_whole;
        grant execute on all functions in schema pgmig to callers_whole";
    databases.execute_on_target(&format!("create role callers_whole login; {rights}"))?;
    let mut caller = client_of(&pair.target, "callers_whole", "callers_whole")?;
    let dsn = source.tcp_dsn("callers_whole", "reader", "geheim");
    let migrate = "select * from pgmig.migrate($1, $2::text::jsonb)";
    let options = r#"{"jobs": 2, "owner": false, "privileges": false, "validation": "checksum"}"#;
    let rows = caller.query(migrate, &[&dsn, &options])?;
    ensure!(rows.len() >= 3 && rows.iter().all(|row| row.get::<_, &str>("status") == "match"));
    let mut target = databases.target()?;
    let differences = compare_data(&mut source.client("callers_whole")?, &mut target)?;
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    let strangers = target.query(
        "select c.oid::regclass::text, c.relowner::regrole::text from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relowner <> 'callers_whole'::regrole",
        &[],
    )?;
    ensure!(strangers.is_empty(), "{strangers:?}");
    let risen = target.query(
        "select rolname::text from pg_roles
        where rolname = 'callers_made' or rolname = 'callers_whole' and rolsuper",
        &[],
    )?;
    ensure!(risen.is_empty(), "{risen:?}");
    ensure!(target.query_one("select count(*) from pgmig.runs", &[])?.get::<_, i64>(0) == 1);

    // What it may not make is an error that says what.
    source.execute(
        "callers_whole",
        "create function for_experts(internal) returns internal language c
        strict as '$libdir/plpgsql', 'plpgsql_validator'",
    )?;
    databases.execute_on_target(&format!("drop owned by callers_whole cascade; {rights}"))?;
    let error = expect_error("42501", caller.query(migrate, &[&dsn, &options]))?;
    ensure!(error.message().contains("for_experts"), "{error:?}");
    Ok(())
}

#[test]
fn a_target_in_recovery_is_refused() -> Result<()> {
    let target = ClusterOptions::new(Installation::of_extension()?, "standby").start()?;
    target.execute("postgres", "create extension pgmig")?;
    target.stop(StopMode::Fast)?;
    fs::write(target.data_dir().join("standby.signal"), "")?;
    target.start()?;
    let mut client = target.client("postgres")?;
    let error =
        expect_error("25006", client.query("select * from pgmig.migrate('host=x dbname=y')", &[]))?;
    ensure!(error.message().contains("in recovery"), "{error}");
    Ok(())
}
