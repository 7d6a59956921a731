//! The same run night after night: into the same target, without `overwrite`, without a trace.

use anyhow::{Result, ensure};
use pgmig_tests::compare::compare_schema;
use pgmig_tests::data::Script;
use pgmig_tests::{ClusterOptions, Databases, Installation, Pair, StopMode};

/// A little of everything that a refresh has to drop, build again or leave alone.
const SCHEMA: &str = r#"
    create type mood as enum ('sad', 'happy');
    create function touch() returns trigger language plpgsql as
        $$ begin raise exception 'a trigger fired'; end $$;
    create function tax(numeric) returns numeric immutable language sql as 'select $1 * 1.19';
    create table customers (
        id int generated always as identity primary key,
        name text not null unique,
        mood mood default 'sad',
        during int4range,
        exclude using gist (during with &&));
    comment on table customers is 'who buys';
    create table "Orders" (
        id serial,
        customer_id int not null references customers,
        parent_id int,
        total numeric check (total >= 0),
        constraint "Orders_key" primary key (id));
    alter table "Orders" add foreign key (parent_id) references "Orders" deferrable;
    create index on "Orders" (customer_id) include (total);
    create index gross on "Orders" (tax(total)) where total > 10;
    create trigger stop before insert on "Orders" for each row execute function touch();
    create table log (id int not null, at date not null, customer_id int references customers)
        partition by range (at);
    create table log_1 partition of log for values from ('2024-01-01') to ('2024-07-01');
    create table log_2 partition of log for values from ('2024-07-01') to ('2025-01-01')
        partition by hash (id);
    create table log_2_a partition of log_2 for values with (modulus 2, remainder 0);
    create table log_2_b partition of log_2 for values with (modulus 2, remainder 1);
    alter table log add primary key (id, at);
    create index log_at on log (at);
    create unlogged table cache (k text, v text);
    create unique index cache_key on cache (k);
    alter table cache alter k set not null;
    alter table cache replica identity using index cache_key;
    create view spending as
        select c.id, c.name, sum(o.total) from customers c join "Orders" o on o.customer_id = c.id
        group by c.id;
    create materialized view totals as
        select customer_id, count(*) as orders from "Orders" group by customer_id;
    create unique index on totals (customer_id);
    insert into customers (name, during)
        select 'customer ' || i, int4range(i, i + 1) from generate_series(1, 500) i;
    alter table "Orders" disable trigger stop;
    insert into "Orders" (customer_id, total, parent_id)
        select 1 + i % 500, i, nullif(i / 2, 0) from generate_series(1, 3000) i;
    alter table "Orders" enable trigger stop;
    insert into log select i, date '2024-01-01' + i % 366, 1 + i % 500 from generate_series(1, 2000) i;
    insert into cache select i, md5(i::text) from generate_series(1, 100) i;
    refresh materialized view totals;"#;

/// What a day does to the source; no trigger of its own stands in the way.
const DAY: &str = r#"
    set session_replication_role = replica;
    insert into "Orders" (customer_id, total) select 1 + i % 500, i from generate_series(1, 100) i;
    update customers set name = name || '!' where id % 7 = 0;
    delete from log where id % 11 = 0;
    insert into cache values (gen_random_uuid(), 'x');
    set session_replication_role = origin;
    refresh materialized view totals;"#;

fn databases(name: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source(SCHEMA)?;
    Ok(databases)
}

fn migrate_well(databases: &Databases<'_>, options: &str) -> Result<()> {
    for table in databases.migrate(options)? {
        ensure!(table.status == "match", "{table:?}");
    }
    Ok(())
}

/// The target's definitions, as pg_dump writes them, compared with those of `before`.
fn expect_same_target(databases: &Databases<'_>, before: &str) -> Result<()> {
    let target = &databases.pair().target;
    let difference = compare_schema((target, before), (target, databases.name()))?;
    ensure!(difference.is_empty(), "the target's schema has changed\n{difference}");
    Ok(())
}

/// Remembers the target's definitions in a database of their own.
fn remember_schema(databases: &Databases<'_>, before: &str) -> Result<()> {
    let target = &databases.pair().target;
    target.drop_database(before)?;
    target.execute("postgres", &format!("create database {before} template {}", databases.name()))
}

fn count(databases: &Databases<'_>, query: &str) -> Result<i64> {
    Ok(databases.target()?.query_one(query, &[])?.get(0))
}

#[test]
fn five_nights_in_a_row_leave_no_trace() -> Result<()> {
    let databases = databases("nights")?;
    for night in 1..=5 {
        migrate_well(&databases, r#"{"validation": "checksum", "progress": false}"#)?;
        databases.expect_same_data()?;
        databases.expect_same_schema()?;
        let left = count(&databases, "select count(*) from pgmig.dropped")?;
        assert_eq!(left, 0, "night {night}: everything dropped was built again");
        // What the server does by itself is nobody's change.
        databases.execute_on_target("analyze")?;
        for sql in ["vacuum", "vacuum (freeze) customers"] {
            databases.target()?.execute(sql, &[])?;
        }
        databases.execute_on_source(DAY)?;
    }
    Ok(())
}

#[test]
fn one_of_everything_can_be_refreshed_without_a_word() -> Result<()> {
    let databases = Pair::shared()?.databases("everything_again")?;
    Script::Everything.load(&databases.pair().source, databases.name(), &[])?;
    let said = "select object || ': ' || message from pgmig.events
        where run_id = (select max(run_id) from pgmig.runs) order by 1";
    migrate_well(&databases, "{}")?;
    let at_first = databases.target_value(said)?;
    remember_schema(&databases, "everything_before")?;
    for options in ["{}", r#"{"drop_existing_tables": true}"#, "{}"] {
        migrate_well(&databases, options)?;
        let now = databases.target_value(said)?;
        let new: Vec<&str> = now.lines().filter(|line| !at_first.contains(line)).collect();
        ensure!(new.is_empty(), "{options}: {}", new.join("\n"));
        expect_same_target(&databases, "everything_before")?;
        databases.expect_same_data()?;
    }
    databases.pair().target.drop_database("everything_before")
}

#[test]
fn ranges_and_unlogged_loading_can_be_repeated_too() -> Result<()> {
    let databases = databases("ranges_again")?;
    let options = r#"{"partition_threshold": 500, "chunk_size": 400, "jobs": 3}"#;
    for _ in 0..3 {
        migrate_well(&databases, options)?;
        databases.expect_same_data()?;
        databases.expect_same_schema()?;
        databases.execute_on_source(DAY)?;
    }
    migrate_well(&databases, r#"{"use_unlogged_tables": true}"#)?;
    migrate_well(&databases, r#"{"use_unlogged_tables": true}"#)?;
    databases.expect_same_data()?;
    databases.expect_same_schema()
}

#[test]
fn what_the_target_has_of_its_own_is_built_again() -> Result<()> {
    let databases = databases("own_parts")?;
    migrate_well(&databases, "{}")?;
    databases.execute_on_target(
        r#"create index own on customers (lower(name));
        comment on index own is 'ours';
        alter table "Orders" add constraint own_key unique (id, customer_id);
        alter table "Orders" add constraint own_reference foreign key (id, customer_id)
            references "Orders" (id, customer_id);
        alter table log_1 add constraint own_check check (id > 0);
        alter table customers add constraint own_late check (id > 0) not valid;
        create table only_here (id int primary key references customers)"#,
    )?;
    // A table outside the run refers to one inside.
    let error = databases.migrate_in_vain("{}")?;
    assert_eq!(error.code().code(), "2BP01");
    let detail = error.detail().unwrap_or_default();
    assert!(detail.contains("only_here_id_fkey\" on \"public.only_here"), "{detail}");
    databases.execute_on_target(
        r#"drop table only_here;
        create table only_here (id int primary key);
        insert into only_here values (1);
        create function own_audit() returns trigger language plpgsql as
            $$ begin raise exception 'the target''s own trigger fired'; end $$;
        create trigger own_trigger before insert or delete or truncate on customers
            for each statement execute function own_audit();
        create trigger own_row_trigger before insert on log for each row execute function own_audit();
        alter table log_1 disable trigger own_row_trigger;
        create index own_parts on log (customer_id);
        create view own_view as select id, name from customers group by id;
        create materialized view own_totals as select count(*) from customers"#,
    )?;
    remember_schema(&databases, "own_parts_before")?;
    for _ in 0..2 {
        databases.execute_on_source(DAY)?;
        migrate_well(&databases, "{}")?;
        expect_same_target(&databases, "own_parts_before")?;
        assert_eq!(count(&databases, "select count(*) from only_here")?, 1);
        assert_eq!(count(&databases, "select count(*) from pgmig.dropped")?, 0);
    }
    databases.pair().target.drop_database("own_parts_before")
}

/// Refreshes after `sql` ran on the target, without leave to overwrite.
fn refuse_after(databases: &Databases<'_>, sql: &str, table: &str) -> Result<()> {
    databases.execute_on_target(sql)?;
    let before = databases.pair().target.psql(databases.name(), FINGERPRINT)?;
    let error = databases.migrate_in_vain("{}")?;
    assert_eq!(error.code().code(), "55000", "{sql}: {error}");
    let detail = error.detail().unwrap_or_default();
    assert!(detail.contains(&format!("\"{table}\"")), "{sql}: {detail}");
    assert!(error.hint().unwrap_or_default().contains("overwrite"), "{error:?}");
    let after = databases.pair().target.psql(databases.name(), FINGERPRINT)?;
    assert_eq!(before, after, "{sql}: nothing may have been changed");
    Ok(())
}

/// File nodes of everything, which no change to a table or index leaves as they are.
const FINGERPRINT: &str = "select c.oid, c.relfilenode, c.relhastriggers
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' order by 1";

#[test]
fn rows_that_somebody_changed_are_left_alone() -> Result<()> {
    let databases = databases("changed_rows")?;
    migrate_well(&databases, "{}")?;
    for (sql, table) in [
        ("insert into customers (name) values ('new')", "public.customers"),
        ("update log set id = id + 100000 where id = 1", "public.log_1"),
        ("delete from cache where k = '1'", "public.cache"),
        ("vacuum full \"Orders\"", "public.Orders"),
    ] {
        refuse_after(&databases, sql, table)?;
        migrate_well(&databases, r#"{"overwrite": true}"#)?;
        databases.expect_same_data()?;
    }
    // Nothing is left to lose.
    databases.execute_on_target("delete from cache; truncate \"Orders\"")?;
    migrate_well(&databases, "{}")?;
    databases.expect_same_data()
}

#[test]
fn a_table_with_rows_that_pgmig_never_loaded_is_refused_and_an_empty_one_is_filled() -> Result<()> {
    let databases = Pair::shared()?.databases("never_loaded")?;
    databases.execute_on_source(
        "create table a (x int); create table b (x int);
        insert into a values (1); insert into b values (2)",
    )?;
    databases.execute_on_target(
        "create table a (x int); create table b (x int); insert into b values (7)",
    )?;
    let error = databases.migrate_in_vain(r#"{"tables": ["a", "b"]}"#)?;
    assert_eq!(error.detail(), Some("Left alone: \"public.b\"."));
    databases.execute_on_target("truncate b")?;
    migrate_well(&databases, r#"{"tables": ["a", "b"]}"#)?;
    assert_eq!(count(&databases, "select x::int8 from b")?, 2);
    Ok(())
}

#[test]
fn counters_that_were_reset_prove_nothing() -> Result<()> {
    let databases = databases("reset_counters")?;
    migrate_well(&databases, "{}")?;
    refuse_after(&databases, "select pg_stat_reset()", "public.customers")?;
    migrate_well(&databases, r#"{"overwrite": true}"#)?;
    refuse_after(
        &databases,
        "select pg_stat_reset_single_table_counters('cache'::regclass)",
        "public.cache",
    )?;
    migrate_well(&databases, r#"{"overwrite": true}"#)?;
    databases.expect_same_data()
}

#[test]
fn a_crash_of_the_target_proves_nothing_either() -> Result<()> {
    let installation = Installation::of_extension()?;
    let options = |name| ClusterOptions::new(installation.clone(), name);
    let pair = Pair::start(options("crash-source"), options("crash-target"))?;
    let databases = pair.databases("crash")?;
    databases.execute_on_source(SCHEMA)?;
    migrate_well(&databases, "{}")?;
    databases.execute_on_target("checkpoint")?;
    // A planned restart keeps the counters.
    pair.target.stop(StopMode::Fast)?;
    pair.target.start()?;
    migrate_well(&databases, "{}")?;
    pair.target.stop(StopMode::Immediate)?;
    pair.target.start()?;
    refuse_after(&databases, "select 1", "public.customers")?;
    migrate_well(&databases, r#"{"overwrite": true}"#)?;
    databases.expect_same_data()
}

#[test]
fn a_night_that_fails_half_way_is_made_good_by_the_next() -> Result<()> {
    let databases = databases("half_way")?;
    migrate_well(&databases, "{}")?;
    databases.execute_on_target(
        "create index own on customers (lower(name));
        create index own_parts on log (customer_id);
        create trigger own_trigger before insert on cache for each row execute function touch()",
    )?;
    remember_schema(&databases, "half_way_before")?;
    databases.execute_on_source(DAY)?;
    databases.execute_on_target(
        r#"create function too_much(numeric) returns boolean language sql immutable as 'select $1 < 5000';
        alter table "Orders" add constraint hindrance check (too_much(total))"#,
    )?;
    databases.execute_on_source(
        r#"set session_replication_role = replica;
        insert into "Orders" (customer_id, total) values (1, 9999);
        refresh materialized view totals"#,
    )?;
    for _ in 0..2 {
        let error = databases.migrate_in_vain("{}")?;
        assert_eq!(error.code().code(), "23514", "{error}");
        assert!(error.message().contains("hindrance"), "{error}");
        let state: String = databases
            .target()?
            .query_one("select state from pgmig.runs order by run_id desc limit 1", &[])?
            .get(0);
        assert_eq!(state, "failed");
        assert!(
            count(
                &databases,
                "select count(*) from pgmig.dropped where object = 'index public.own'"
            )? == 1
        );
    }
    databases.execute_on_target(
        r#"alter table "Orders" drop constraint hindrance; drop function too_much"#,
    )?;
    migrate_well(&databases, "{}")?;
    databases.expect_same_data()?;
    expect_same_target(&databases, "half_way_before")?;
    assert_eq!(count(&databases, "select count(*) from pgmig.dropped")?, 0);
    migrate_well(&databases, "{}")?;
    databases.pair().target.drop_database("half_way_before")
}

#[test]
fn a_failed_night_does_not_make_other_peoples_rows_our_own() -> Result<()> {
    let databases = databases("failed_rows")?;
    migrate_well(&databases, "{}")?;
    databases.execute_on_source(
        r#"set session_replication_role = replica;
        insert into "Orders" (customer_id, total) values (1, 9999);
        refresh materialized view totals"#,
    )?;
    databases.execute_on_target(
        r#"insert into cache values ('mine', 'mine');
        alter table "Orders" add constraint hindrance check (total < 5000)"#,
    )?;
    // With leave to overwrite, but failing: whatever has not been replaced stays somebody's.
    databases.migrate_in_vain(r#"{"overwrite": true, "tables": ["customers", "\"Orders\""]}"#)?;
    databases.execute_on_target(r#"alter table "Orders" drop constraint hindrance"#)?;
    let error = databases.migrate_in_vain("{}")?;
    assert_eq!(error.detail(), Some("Left alone: \"public.cache\"."));
    databases.execute_on_target("delete from cache where k = 'mine'")?;
    databases.migrate_in_vain("{}")?;
    databases.execute_on_target(r#"insert into "Orders" (customer_id, total) values (1, 1)"#).ok();
    migrate_well(&databases, r#"{"overwrite": true}"#)?;
    databases.expect_same_data()
}

#[test]
fn pgmigs_own_tables_do_not_grow_without_bound() -> Result<()> {
    let databases = databases("pruned")?;
    for _ in 0..3 {
        migrate_well(&databases, r#"{"keep_history": "0s"}"#)?;
    }
    assert_eq!(count(&databases, "select count(*) from pgmig.runs")?, 3);
    for table in ["task", "mark", "copied", "run_table", "checked", "mark_unlogged"] {
        let runs = format!("select count(distinct run_id) from pgmig.{table}");
        assert!(count(&databases, &runs)? <= 1, "{table}");
    }
    Ok(())
}
