//! Runs that are taken up again: nothing lost, nothing twice, only what was not done is repeated.

use anyhow::{Result, ensure};
use pgmig_tests::aftermath::expect_nothing_left;
use pgmig_tests::{Databases, Gate, Pair, eventually, expect_error, start_gated};

/// A table in ranges, partitions, foreign keys, a large object, a sequence, and something that fails
/// at the end of a run.
const SCHEMA: &str = r#"
    create table "Big" (id int primary key, ref int references "Big", filler text);
    insert into "Big" select i, nullif(i / 2, 0), repeat(md5(i::text), 3)
    from generate_series(1, 9000) i;
    create table parts (id int, at date, big int references "Big") partition by range (at);
    create table parts_1 partition of parts for values from ('2024-01-01') to ('2024-07-01');
    create table parts_2 partition of parts for values from ('2024-07-01') to ('2025-01-01');
    insert into parts select i, date '2024-01-01' + i % 366, i from generate_series(1, 3000) i;
    create table small (id serial primary key, v text);
    insert into small (v) select md5(i::text) from generate_series(1, 50) i;
    create unlogged table cache (k int primary key, v text);
    insert into cache select i, md5(i::text) from generate_series(1, 500) i;
    create materialized view totals as select count(*) from "Big";
    select lo_from_bytea(4711, 'content'), lo_from_bytea(4712, 'more');
    create sequence counter;
    select setval('counter', 99);
    create function fail() returns int immutable language plpgsql as
        $$ begin return 1 / pg_catalog.current_setting('pgmig_test.divisor', true)::int; end $$;
    analyze"#;

/// An index that cannot be built until the target's role has a setting.
const OBSTACLE: &str = "create index obstacle on small ((fail())) where id < 0 or fail() = 1";

const OPTIONS: &str =
    r#"{"partition_threshold": 1000, "chunk_size": 1000, "jobs": 3, "validation": "checksum"}"#;

fn last_run(databases: &Databases<'_>) -> Result<i64> {
    Ok(databases.target()?.query_one("select max(run_id) from pgmig.runs", &[])?.get(0))
}

/// Takes the run up again and checks that it ends well.
fn resume(databases: &Databases<'_>, run: i64) -> Result<()> {
    let rows = databases
        .target()?
        .query("select status from pgmig.resume($1, $2)", &[&run, &databases.source_dsn()])?;
    ensure!(rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    let state = databases.target_value(&format!(
        "select state || ' ' || percent from pgmig.runs where run_id = {run}"
    ))?;
    ensure!(state == "done 100.0", "{state}");
    databases.expect_same_data()?;
    databases.expect_same_schema()?;
    expect_nothing_left(databases)
}

/// A source with an index that the target cannot build yet, and a run that has failed because of it.
fn failed_run(name: &str) -> Result<(Databases<'static>, i64)> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source("set pgmig_test.divisor = 1")?;
    databases.execute_on_source(SCHEMA)?;
    databases.execute_on_source(&format!("set pgmig_test.divisor = 1; {OBSTACLE}"))?;
    // Rows are in doubt as long as a transaction goes on that is older than they, whosever it is.
    let mut source = databases.source()?;
    let written: i64 = source.query_one("select txid_current()", &[])?.get(0);
    eventually("the transactions of other tests are over", || {
        let oldest = "select txid_snapshot_xmin(txid_current_snapshot())";
        Ok(source.query_one(oldest, &[])?.get::<_, i64>(0) > written)
    })?;
    databases.execute_on_target(&format!("alter database {name} set pgmig_test.divisor = 0"))?;
    databases.migrate_in_vain(OPTIONS)?;
    let run = last_run(&databases)?;
    databases.execute_on_target(&format!("alter database {name} set pgmig_test.divisor = 1"))?;
    Ok((databases, run))
}

#[test]
fn a_failed_run_repeats_only_what_was_not_done() -> Result<()> {
    let (databases, run) = failed_run("resume_failed")?;
    let file = "select pg_relation_filenode('\"Big\"'::regclass)";
    let before = databases.target_value(file)?;
    let done = "select count(*) from pgmig.mark";
    let marks: i64 = databases.target_value(done)?.parse()?;
    ensure!(marks > 0);
    resume(&databases, run)?;
    ensure!(
        databases.target_value(file)? == before,
        "a table that has not changed was copied again"
    );
    let row = databases.target()?.query_one(
        "select resumed, snapshots, (select max(recopied) from pgmig.tables) from pgmig.runs",
        &[],
    )?;
    ensure!(row.get::<_, i32>(0) == 1 && row.get::<_, i32>(1) == 2 && row.get::<_, i32>(2) == 0);
    Ok(())
}

#[test]
fn what_has_changed_since_is_copied_again_and_keys_are_built_again() -> Result<()> {
    let (databases, run) = failed_run("resume_changed")?;
    databases.execute_on_source(
        "update \"Big\" set filler = 'changed' where id = 4500;
        delete from parts where id = 7;
        insert into parts values (7, '2024-03-03', 8);
        insert into cache values (-1, 'new');
        select lo_put(4711, 0, 'C'), lo_unlink(4712), lo_from_bytea(815, 'new');
        select setval('counter', 1000);
        refresh materialized view totals",
    )?;
    resume(&databases, run)?;
    let again = "select string_agg(table_name, ' ' order by table_name collate \"C\")
        from pgmig.tables where recopied > 0";
    let again = databases.target_value(again)?;
    ensure!(again == "Big cache parts_1", "{again}");
    ensure!(databases.target_value("select count(*) from pgmig.dropped")? == "0");
    Ok(())
}

#[test]
fn a_table_that_was_truncated_or_rewritten_since_is_copied_again() -> Result<()> {
    let (databases, run) = failed_run("resume_rewritten")?;
    // As many rows, and none of them new.
    databases.source()?.batch_execute("cluster \"Big\" using \"Big_pkey\"")?;
    databases.execute_on_source("alter table \"Big\" set without cluster")?;
    databases.execute_on_source("truncate small; insert into small (id, v) values (1, 'x')")?;
    resume(&databases, run)?;
    let again = "select string_agg(table_name, ' ' order by table_name collate \"C\")
        from pgmig.tables where recopied > 0";
    let again = databases.target_value(again)?;
    ensure!(again == "Big small", "{again}");
    Ok(())
}

#[test]
fn definitions_that_have_changed_since_are_not_passed_over() -> Result<()> {
    let (databases, run) = failed_run("resume_definitions")?;
    let mut target = databases.target()?;
    let call = "select from pgmig.resume($1, $2)";
    databases.execute_on_source("alter table small add column late int")?;
    expect_error("55000", target.query(call, &[&run, &databases.source_dsn()]))?;
    databases
        .execute_on_source("alter table small drop column late; create table late (id int)")?;
    expect_error("55000", target.query(call, &[&run, &databases.source_dsn()]))?;
    databases.execute_on_source("drop table late; comment on table small is 'late'")?;
    target.query(call, &[&run, &databases.source_dsn()])?;
    let events = databases
        .target_value("select count(*) from pgmig.events where message like 'definitions have%'")?;
    ensure!(events == "1", "{events}");
    databases.expect_same_data()
}

#[test]
fn only_a_run_that_copies_and_did_not_end_well_can_be_resumed() -> Result<()> {
    let databases = Pair::shared()?.databases("resume_refused")?;
    let mut gate = Gate::close(&databases)?;
    let run = start_gated(&databases)?;
    gate.await_run()?;
    let mut target = databases.target()?;
    let (dsn, call) = (databases.source_dsn(), "select status from pgmig.resume($1, $2)");
    let error = expect_error("55006", target.query(call, &[&run, &dsn]))?;
    ensure!(error.message().contains("cannot be resumed"), "{error}");
    expect_error("42704", target.query(call, &[&4711_i64, &dsn]))?;
    target.execute("select pgmig.cancel($1)", &[&run])?;
    expect_nothing_left(&databases)?;
    gate.open()?;
    let error = expect_error("55000", target.query("select from pgmig.resume($1)", &[&run]))?;
    ensure!(error.message().contains("is needed again"), "{error}");
    let other = databases.pair().source.dsn("postgres");
    let error = expect_error("55000", target.query(call, &[&run, &other]))?;
    ensure!(error.message().contains("not the database"), "{error}");
    let options = "select from pgmig.resume($1, $2, '{\"tables\": \"a\"}')";
    expect_error("22023", target.query(options, &[&run, &dsn]))?;
    // Its end shows who is waiting, and a second call finds it done.
    for _ in 0..2 {
        let rows = target.query(call, &[&run, &dsn])?;
        ensure!(rows.len() == 2 && rows.iter().all(|row| row.get::<_, &str>(0) == "match"));
    }
    databases.expect_same_data()?;
    Ok(())
}

#[test]
fn a_run_whose_tables_a_later_one_has_written_is_not_resumed() -> Result<()> {
    let (databases, run) = failed_run("resume_later")?;
    databases.migrate("{}")?;
    let call = "select from pgmig.resume($1, $2)";
    let outcome = databases.target()?.query(call, &[&run, &databases.source_dsn()]);
    let error = expect_error("55000", outcome)?;
    ensure!(error.message().contains("a later run"), "{error}");
    databases.expect_same_data()
}

#[test]
fn a_run_that_never_came_to_a_plan_is_planned_when_it_is_resumed() -> Result<()> {
    let databases = Pair::shared()?.databases("resume_unplanned")?;
    databases.execute_on_source("create table t (id int primary key); insert into t values (1)")?;
    databases.execute_on_target("create table t (id int); insert into t values (2)")?;
    databases.migrate_in_vain("{}")?;
    databases.execute_on_target("drop table t")?;
    resume(&databases, last_run(&databases)?)
}

#[test]
fn with_on_error_continue_the_list_of_failures_is_all_that_is_tried_again() -> Result<()> {
    let databases = Pair::shared()?.databases("resume_continue")?;
    databases.execute_on_source(
        "create table a (id int primary key, v int);
        create table b (id int primary key);
        insert into a select i, i from generate_series(1, 100) i;
        insert into b select generate_series(1, 100);
        create function fail() returns int immutable language plpgsql as
            $$ begin return 1 / pg_catalog.current_setting('pgmig_test.divisor', true)::int; end $$;
        set pgmig_test.divisor = 1;
        create index first_one on a ((v + fail()));
        create index second_one on b ((id + fail()));
        create index fine on a (v);
        alter table a add foreign key (v) references b",
    )?;
    let divisor = |value: i32| {
        databases.execute_on_target(&format!(
            "alter database resume_continue set pgmig_test.divisor = {value}"
        ))
    };
    divisor(0)?;
    let error = databases.migrate_in_vain("{\"on_error\": \"continue\"}")?;
    ensure!(error.message().contains("tasks failed"), "{error}");
    let listed = "select string_agg(e.object, ' ' order by e.object) from pgmig.events e
        where e.object like 'index%'";
    let failed = databases.target_value(listed)?;
    ensure!(failed == "index public.first_one index public.second_one", "{failed}");
    // All that does not depend on the failures is there.
    let there = "select count(*) from pg_class where relname = 'fine'";
    ensure!(databases.target_value(there)? == "1");
    databases.expect_same_data()?;
    divisor(1)?;
    resume(&databases, last_run(&databases)?)
}

#[test]
fn what_a_failed_run_has_dropped_is_built_again_by_its_resumption() -> Result<()> {
    let databases = Pair::shared()?.databases("resume_dropped")?;
    databases.execute_on_source(
        "create table t (id int primary key, v int); insert into t values (1, 1), (2, 2);
        create table u (id int references t); insert into u values (1)",
    )?;
    databases.migrate_and_match("{}")?;
    databases.execute_on_target("create unique index own on t (v)")?;
    // The target's own index stands in the way until the source changes again.
    databases.execute_on_source("insert into t values (3, 1)")?;
    databases.migrate_in_vain("{}")?;
    let run = last_run(&databases)?;
    let mut target = databases.target()?;
    let call = "select status from pgmig.resume($1, $2)";
    expect_error("23505", target.query(call, &[&run, &databases.source_dsn()]))?;
    databases.execute_on_source("delete from t where id = 3")?;
    target.query(call, &[&run, &databases.source_dsn()])?;
    databases.expect_same_data()?;
    let own = "select count(*) from pg_index where indexrelid = 'own'::regclass and indisvalid";
    ensure!(databases.target_value(own)? == "1");
    ensure!(databases.target_value("select count(*) from pgmig.dropped")? == "0");
    // Later runs report what cannot be built, and are not stopped by it.
    databases.execute_on_source("insert into t values (3, 1)")?;
    databases.migrate_in_vain("{}")?;
    for _ in 0..2 {
        databases.migrate_and_match("{}")?;
        databases.expect_same_data()?;
        let owed = "select string_agg(object, ' ') from pgmig.dropped where failure is not null";
        ensure!(databases.target_value(owed)? == "index public.own");
    }
    databases.execute_on_source("delete from t where id = 3")?;
    databases.migrate_and_match("{}")?;
    ensure!(databases.target_value(own)? == "1");
    ensure!(databases.target_value("select count(*) from pgmig.dropped")? == "0");
    Ok(())
}
