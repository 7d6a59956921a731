//! Runs that go on under another snapshot, since nobody holds theirs any more: what is not a table's rows.

use anyhow::{Result, ensure};
use pgmig_tests::aftermath::expect_nothing_left;
use pgmig_tests::{Databases, Gate, Pair, eventually, expect_error, start_gated};

/// A configuration table, registered by hand where an extension's script would do it.
const CONFIGURATION: &str = "
    create extension citext;
    create table conf (name text);
    alter extension citext add table conf;
    insert into conf values ('shipped');
    update pg_catalog.pg_extension
    set extconfig = array['conf'::regclass], extcondition = array['where name <> ''shipped''']
    where extname = 'citext'";

/// What is in that table.
const CONFIGURED: &str = "select string_agg(name, ' ' order by name) from conf";

/// Lets a run come to the gate, and on to where `is_there` holds on the target, and cancels it.
fn broken_off(databases: &Databases<'_>, mut gate: Gate, is_there: &str) -> Result<i64> {
    let run = start_gated(databases)?;
    gate.await_run()?;
    eventually("the rest is there", || Ok(databases.target_value(is_there)? == "t"))?;
    databases.target()?.execute("select pgmig.cancel($1)", &[&run])?;
    expect_nothing_left(databases)?;
    gate.open()?;
    Ok(run)
}

/// Takes the run up again under another snapshot.
fn resume(databases: &Databases<'_>, run: i64) -> Result<()> {
    let call = "select status from pgmig.resume($1, $2)";
    let rows = databases.target()?.query(call, &[&run, &databases.source_dsn()])?;
    ensure!(rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    ensure!(
        databases.target_value("select state || ' ' || snapshots from pgmig.runs")? == "done 2"
    );
    expect_nothing_left(databases)
}

#[test]
fn a_name_that_another_databases_snapshot_bears_by_now_is_not_taken_for_the_runs() -> Result<()> {
    let databases = Pair::shared()?.databases("renewal_name")?;
    let gate = Gate::close(&databases)?;
    let run = broken_off(&databases, gate, "select true")?;
    // As after a restart of the source, from which on names start over.
    let mut other = databases.pair().source.client("postgres")?;
    other.batch_execute("begin isolation level repeatable read")?;
    let name: String = other.query_one("select pg_export_snapshot()", &[])?.get(0);
    databases.execute_on_target(&format!(
        "delete from pgmig.snapshot; insert into pgmig.snapshot values ({run}, '{name}')"
    ))?;
    resume(&databases, run)?;
    databases.expect_same_data()
}

#[test]
fn configuration_rows_and_large_objects_are_those_of_the_later_snapshot() -> Result<()> {
    let databases = Pair::shared()?.databases("renewal_rest")?;
    let gate = Gate::close(&databases)?;
    databases.execute_on_source(CONFIGURATION)?;
    databases.execute_on_target(CONFIGURATION)?;
    databases.execute_on_source(
        "insert into conf values ('kept'), ('changed'), ('dropped');
         select lo_from_bytea(4711, 'kept'), lo_from_bytea(4712, 'dropped')",
    )?;
    let are_there = "select (select count(*) from conf) = 4
        and (select count(*) from pg_largeobject_metadata) = 2";
    let run = broken_off(&databases, gate, are_there)?;
    databases.execute_on_source(
        "update conf set name = 'new' where name = 'changed';
         delete from conf where name = 'dropped';
         select lo_put(4711, 0, 'K'), lo_unlink(4712), lo_from_bytea(815, 'new')",
    )?;
    resume(&databases, run)?;
    let rows = databases.target_value(CONFIGURED)?;
    ensure!(rows == "kept new shipped", "{rows}");
    databases.expect_same_data()
}

#[test]
fn configuration_rows_to_which_others_have_added_some_stay_as_they_are() -> Result<()> {
    let databases = Pair::shared()?.databases("renewal_own")?;
    let gate = Gate::close(&databases)?;
    databases.execute_on_source(CONFIGURATION)?;
    databases.execute_on_target(CONFIGURATION)?;
    databases.execute_on_source("insert into conf values ('kept'), ('dropped')")?;
    let run = broken_off(&databases, gate, "select count(*) = 3 from conf")?;
    databases.execute_on_source("delete from conf where name = 'dropped'")?;
    databases.execute_on_target("insert into conf values ('own')")?;
    resume(&databases, run)?;
    let rows = databases.target_value(CONFIGURED)?;
    ensure!(rows == "dropped kept own shipped", "{rows}");
    let told = "select count(*) from pgmig.events where message like 'has rows that others%'";
    ensure!(databases.target_value(told)? == "1");
    Ok(())
}

#[test]
fn large_objects_of_which_the_plan_knows_nothing_are_not_passed_over() -> Result<()> {
    let databases = Pair::shared()?.databases("renewal_first")?;
    let gate = Gate::close(&databases)?;
    let run = broken_off(&databases, gate, "select true")?;
    databases.execute_on_source("select lo_from_bytea(4711, 'new')")?;
    let mut target = databases.target()?;
    let call = "select status from pgmig.resume($1, $2)";
    let error = expect_error("55000", target.query(call, &[&run, &databases.source_dsn()]))?;
    ensure!(error.message().contains("no large objects"), "{error}");
    databases.execute_on_source("select lo_unlink(4711)")?;
    resume(&databases, run)?;
    databases.expect_same_data()
}
