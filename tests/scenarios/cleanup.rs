//! What a run that did not end well has made is removed, and nothing else.

use anyhow::{Result, ensure};
use pgmig_tests::aftermath::expect_nothing_left;
use pgmig_tests::compare::compare_schema;
use pgmig_tests::data::Script;
use pgmig_tests::{Databases, Gate, Pair, eventually, expect_error, start_gated};

/// Remembers the target in a database of its own.
fn remember(databases: &Databases<'_>, before: &str) -> Result<()> {
    let target = &databases.pair().target;
    target.drop_database(before)?;
    target.execute("postgres", &format!("create database {before} template {}", databases.name()))
}

/// Compares the target's definitions with the remembered ones.
fn expect_as_before(databases: &Databases<'_>, before: &str) -> Result<()> {
    let target = &databases.pair().target;
    let difference = compare_schema((target, before), (target, databases.name()))?;
    ensure!(difference.is_empty(), "the target's schema has changed\n{difference}");
    target.drop_database(before)
}

/// Objects with what has become of them, as `action object` lines.
fn clean_up(databases: &Databases<'_>, run: i64) -> Result<Vec<String>> {
    let rows = databases
        .target()?
        .query("select action || ' ' || object, reason from pgmig.cleanup($1)", &[&run])?;
    Ok(rows
        .iter()
        .map(|row| {
            let reason: Option<&str> = row.get(1);
            format!(
                "{}{}",
                row.get::<_, &str>(0),
                reason.map(|r| format!(": {r}")).unwrap_or_default()
            )
        })
        .collect())
}

/// A run that was cancelled before its gate.
fn cancelled_run(databases: &Databases<'_>, gate: &mut Gate) -> Result<i64> {
    let run = start_gated(databases)?;
    gate.await_run()?;
    databases.target()?.execute("select pgmig.cancel($1)", &[&run])?;
    expect_nothing_left(databases)?;
    Ok(run)
}

#[test]
fn everything_that_a_cancelled_run_has_made_goes_and_the_rest_stays() -> Result<()> {
    let databases = Pair::shared()?.databases("cleanup_everything")?;
    let mut gate = Gate::close(&databases)?;
    Script::Everything.load(&databases.pair().source, databases.name(), &[])?;
    databases.execute_on_target(
        "create schema mine; create table mine.t (id int primary key);
        insert into mine.t values (1); create view mine.v as select * from mine.t",
    )?;
    remember(&databases, "cleanup_before")?;
    let run = cancelled_run(&databases, &mut gate)?;
    let lines = clean_up(&databases, run)?;
    let kept: Vec<_> = lines.iter().filter(|line| line.starts_with("kept")).collect();
    ensure!(kept.is_empty(), "{kept:#?}");
    expect_as_before(&databases, "cleanup_before")?;
    ensure!(databases.target_value("select count(*) from mine.t")? == "1");
    ensure!(databases.target_value("select count(*) from pg_largeobject_metadata")? == "0");
    // There is nothing left of it that could be in the way of another run.
    gate.open()?;
    databases.execute_on_target("drop schema mine cascade")?;
    databases.migrate("{}")?;
    databases.expect_same_data()
}

#[test]
fn what_somebody_has_changed_since_is_kept_with_the_reason() -> Result<()> {
    let databases = Pair::shared()?.databases("cleanup_changed")?;
    databases.execute_on_source(
        "create unlogged table a_rows (id int); insert into a_rows values (1), (2);
        create unlogged table b_deleted (id int); insert into b_deleted values (1), (2);
        create unlogged table c_column (id int);
        create unlogged table d_index (id int);
        create unlogged table e_view (id int);
        create unlogged table f_gone (id int); insert into f_gone values (1);
        create unlogged table g_empty (id int);
        create function h_changed() returns int language sql as 'select 1';
        select lo_from_bytea(1, 'x'), lo_from_bytea(2, 'y')",
    )?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    eventually("the small tables are copied", || {
        let there = databases.target_value("select to_regclass('b_deleted') is not null")?;
        Ok(there == "t" && databases.target_value("select count(*) from b_deleted")? == "2")
    })?;
    databases.target()?.execute("select pgmig.cancel($1)", &[&run])?;
    expect_nothing_left(&databases)?;
    databases.execute_on_target(
        "delete from b_deleted where id = 1; insert into g_empty values (1);
        insert into a_rows values (3);
        alter table c_column add column more int;
        create index own on d_index (id);
        create view own_view as select * from e_view;
        create or replace function h_changed() returns int language sql as 'select 2'",
    )?;
    let lines = clean_up(&databases, run)?;
    for (table, reason) in [
        ("a_rows", "its rows have changed"),
        ("b_deleted", "its rows have changed"),
        ("c_column", "its definition has changed"),
        ("d_index", "index public.own was added"),
        ("e_view", "view public.own_view depends"),
        ("g_empty", "its rows have changed"),
    ] {
        let line = lines.iter().find(|line| line.contains(&format!("table public.{table}")));
        ensure!(
            line.is_some_and(|line| line.starts_with("kept") && line.contains(reason)),
            "{table}: {lines:#?}"
        );
    }
    ensure!(lines.iter().any(|l| l.starts_with("kept function public.h_changed()")), "{lines:#?}");
    ensure!(lines.iter().any(|l| l == "removed table public.f_gone"), "{lines:#?}");
    ensure!(databases.target_value("select count(*) from a_rows")? == "3");
    Ok(())
}

#[test]
fn tables_that_were_there_are_emptied_and_get_back_what_they_had() -> Result<()> {
    let databases = Pair::shared()?.databases("cleanup_existing")?;
    let mut gate = Gate::close(&databases)?;
    databases.execute_on_target(
        "create table gated (id int primary key, filler text not null);
        create index own on gated (filler) where id < 0;
        create unlogged table small (id int primary key)",
    )?;
    remember(&databases, "cleanup_existing_before")?;
    let run = cancelled_run(&databases, &mut gate)?;
    let lines = clean_up(&databases, run)?;
    ensure!(lines.iter().any(|line| line == "restored index public.own"), "{lines:#?}");
    expect_as_before(&databases, "cleanup_existing_before")?;
    ensure!(databases.target_value("select count(*) from small")? == "0");
    ensure!(databases.target_value("select count(*) from pgmig.dropped")? == "0");
    Ok(())
}

#[test]
fn a_run_that_lives_or_has_ended_well_is_not_cleaned_up() -> Result<()> {
    let databases = Pair::shared()?.databases("cleanup_refused")?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    let mut target = databases.target()?;
    let call = "select from pgmig.cleanup($1)";
    expect_error("55006", target.query(call, &[&run]))?;
    gate.open()?;
    target.query("select from pgmig.wait($1)", &[&run])?;
    expect_error("55000", target.query(call, &[&run]))?;
    expect_error("42704", target.query(call, &[&4711_i64]))?;
    databases.expect_same_data()
}
