//! Targets that are not empty: what is kept, what is replaced, what is refused, and what options choose.

use anyhow::{Result, ensure};
use pgmig_tests::{Databases, Pair};
use postgres::error::DbError;

fn databases(name: &str, source: &str, target: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source(source)?;
    databases.execute_on_target(target)?;
    Ok(databases)
}

fn migrate_well(databases: &Databases<'_>, options: &str) -> Result<()> {
    for table in databases.migrate(options)? {
        ensure!(matches!(table.status.as_str(), "match" | "skipped"), "{table:?}");
    }
    Ok(())
}

/// What the last run had to say about an object.
fn events(databases: &Databases<'_>, object: &str) -> Result<Vec<String>> {
    let query = format!(
        "select message from pgmig.events
        where object = '{object}' and run_id = (select max(run_id) from pgmig.runs) order by event_id"
    );
    databases.target_lines(&query)
}

/// Definitions and rows of everything outside pgmig's schema, to see that nothing was changed.
fn fingerprint(databases: &Databases<'_>) -> Result<Vec<String>> {
    databases.target_lines(
        "select c.oid, c.relname, c.relfilenode, c.relhastriggers from pg_class c
        where c.relnamespace not in ('pgmig'::regnamespace, 'pg_toast'::regnamespace)
        and c.oid > 16383 order by 1",
    )
}

/// Migrates in vain and makes sure that nothing has been changed.
fn refuse(databases: &Databases<'_>, options: &str) -> Result<DbError> {
    let before = fingerprint(databases)?;
    let error = databases.migrate_in_vain(options)?;
    ensure!(before == fingerprint(databases)?, "{options}: changed the target");
    Ok(error)
}

#[test]
fn objects_that_are_there_get_the_attributes_they_lack() -> Result<()> {
    let pair = Pair::shared()?;
    for cluster in [&pair.source, &pair.target] {
        cluster.execute("postgres", "create role existing_owner; create role existing_reader")?;
    }
    let databases = databases(
        "attributes",
        r#"comment on schema public is 'ours';
        create type kind as enum ('a');
        create table t (x int, k kind);
        create view v as select 1 as one;
        create function f() returns int language sql as 'select 1';
        alter table t owner to existing_owner;
        alter function f() owner to existing_owner;
        comment on table t is 'a table';
        comment on column t.x is 'a column';
        comment on view v is 'a view';
        comment on type kind is 'a type';
        grant select on t, v to existing_reader;
        grant usage on schema public to existing_reader;
        revoke execute on function f() from public"#,
        "create type kind as enum ('a');
        create table t (x int, k kind);
        create view v as select 1 as one;
        create function f() returns int language sql as 'select 1'",
    )?;
    migrate_well(&databases, "{}")?;
    databases.expect_same_schema()?;
    migrate_well(&databases, "{}")?;
    databases.expect_same_schema()?;
    assert_eq!(databases.target_lines("select object || message from pgmig.events")?, [""; 0]);
    drop(databases);
    for cluster in [&pair.source, &pair.target] {
        cluster.execute("postgres", "drop role existing_owner, existing_reader")?;
    }
    Ok(())
}

#[test]
fn other_definitions_are_kept_and_reported_and_foreign_objects_left_alone() -> Result<()> {
    let databases = databases(
        "differing",
        "create function f() returns int language sql as 'select 1';
        create view v as select 1 as one;
        create sequence s increment 1;
        create domain d as int check (value > 0);
        create table t (x int default 1);
        select nextval('s')",
        "create function f() returns int language sql as 'select 2';
        create view v as select 2 as one;
        create sequence s increment 5;
        create domain d as int check (value > 1);
        create table t (x int default 2);
        create table mine (y int); insert into mine values (1);
        create view mine_too as select * from mine",
    )?;
    migrate_well(&databases, "{}")?;
    for object in ["function public.f()", "view public.v", "sequence public.s", "table public.t"] {
        let said = events(&databases, object)?;
        assert_eq!(
            said,
            ["exists on the target with another definition, which was kept"],
            "{object}"
        );
    }
    assert_eq!(databases.target_lines("select f() + v.one + mine_too.y from v, mine_too")?, ["5"]);
    Ok(())
}

#[test]
fn columns_that_do_not_fit_are_named_before_anything_is_changed() -> Result<()> {
    let databases = databases(
        "misfits",
        "create type mood as enum ('sad', 'happy', 'angry');
        create table missing (a int, b int);
        create table other_type (a bigint);
        create table needed (a int);
        create table nullable (a int);
        create table computed (a int);
        create table labels (a mood);
        create table became_partitioned (a int) partition by range (a);
        create table p1 partition of became_partitioned for values from (0) to (10);
        create table relation (a int)",
        "create table missing (a int);
        create table other_type (a int);
        create table needed (a int, b int not null);
        create table nullable (a int not null);
        create table computed (a int generated always as (1) stored);
        create table became_partitioned (a int)",
    )?;
    let error = refuse(&databases, "{}")?;
    assert_eq!(error.code().code(), "42804");
    let detail = error.detail().unwrap_or_default();
    for part in [
        "table \"public.missing\": column \"b\" is missing on the target",
        "\"public.other_type\": column \"a\" has type bigint on the source and integer on the target",
        "\"public.needed\": column \"b\" is not null on the target and does not exist on the source",
        "\"public.nullable\": column \"a\" is not null on the target only",
        "\"public.computed\": column \"a\" is a generated column on one side only",
        "\"public.became_partitioned\" is partitioned on the source and an ordinary table on the",
    ] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    assert!(error.hint().unwrap_or_default().contains("\"drop_existing_tables\""));
    databases.execute_on_target(
        "drop table missing, other_type, needed, nullable, computed, became_partitioned;
        create type mood as enum ('sad', 'happy');
        create table labels (a mood)",
    )?;
    let error = refuse(&databases, "{}")?;
    assert_eq!(error.code().code(), "42804");
    assert_eq!(error.detail(), Some("table \"public.labels\": column \"a\", type public.mood."));
    databases
        .execute_on_target("alter type mood add value 'angry'; create view relation as select 1")?;
    let error = refuse(&databases, "{}")?;
    assert_eq!(error.code().code(), "42710");
    assert_eq!(
        error.detail(),
        Some("table public.relation of the source, view public.relation of the target.")
    );
    databases.execute_on_target("drop view relation")?;
    migrate_well(&databases, "{}")
}

/// A schema with everything that can hang on a table.
const DEPENDENTS: &str = r#"
    create table a (id serial primary key, x int);
    create table b (id int primary key references a, a_id int);
    alter table a add foreign key (x) references b deferrable initially deferred;
    create view v as select a.id, a.x, count(b.*) from a left join b on b.a_id = a.id group by a.id;
    create view "V 2" as select * from v;
    create materialized view m as select * from "V 2";
    create index m_id on m (id);
    create function of_row(a) returns int language sql as 'select $1.x';
    create function reads() returns bigint language sql begin atomic select count(*) from a; end;
    create table c (id int);
    create policy p on c using (exists (select from a where a.id = c.id));
    alter table c enable row level security;
    create rule r as on insert to v do instead insert into a (x) values (1);
    create table p (id int, x int) partition by list (id);
    create table p1 partition of p for values in (1);
    create table parent (y int);
    create table child () inherits (parent);
    insert into a (x) select null from generate_series(1, 10);
    insert into b select i, i from generate_series(1, 10) i;
    insert into p values (1, 2);
    insert into child values (3);
    refresh materialized view m;"#;

#[test]
fn tables_are_dropped_and_made_again_with_all_that_hangs_on_them() -> Result<()> {
    let databases = databases("replaced", DEPENDENTS, "")?;
    migrate_well(&databases, "{}")?;
    databases
        .execute_on_source(
            r#"alter table a add column added text default 'x';
        alter table b alter column a_id type bigint;
        drop table p;
        create table p (id int primary key, x int);
        insert into p values (1, 2), (2, 3);
        alter table c add column y int;
        refresh materialized view m"#,
        )
        .expect_err("a column that a view reads keeps its type");
    databases.execute_on_source(
        r#"alter table a add column added text default 'x';
        alter table b add column late int;
        drop table p;
        create table p (id int primary key, x int);
        insert into p values (1, 2), (2, 3);
        alter table c add column y int"#,
    )?;
    let error = refuse(&databases, "{}")?;
    assert_eq!(error.code().code(), "42804");
    for _ in 0..2 {
        migrate_well(&databases, r#"{"drop_existing_tables": true}"#)?;
        databases.expect_same_schema()?;
        databases.expect_same_data()?;
    }
    migrate_well(&databases, "{}")?;
    databases.expect_same_data()
}

#[test]
fn what_stands_in_the_way_of_dropping_tables_is_named() -> Result<()> {
    let databases = databases("hindered", DEPENDENTS, "")?;
    migrate_well(&databases, "{}")?;
    databases.execute_on_target(
        r#"create view mine as select * from m;
        create function mine(b) returns int language sql as 'select 1';
        create table rows_of (one a);
        create table borrower (id int default nextval('a_id_seq'))"#,
    )?;
    let error = refuse(&databases, r#"{"drop_existing_tables": true}"#)?;
    assert_eq!(error.code().code(), "2BP01");
    let detail = error.detail().unwrap_or_default();
    for object in [
        "view public.mine",
        "function public.mine(",
        "table public.rows_of",
        "table public.borrower",
    ] {
        assert!(detail.contains(object), "{object}: {detail}");
    }
    databases.execute_on_target(
        "drop view mine; drop function mine(b); drop table rows_of, borrower;
        create table outside (id int references a)",
    )?;
    let error = refuse(&databases, r#"{"drop_existing_tables": true}"#)?;
    assert_eq!(error.code().code(), "2BP01");
    assert!(
        error.detail().unwrap_or_default().contains("\"outside_id_fkey\" on \"public.outside\"")
    );
    databases.execute_on_target("drop table outside; insert into c values (1)")?;
    // Without rows to copy there are still rows to lose.
    for options in [
        r#"{"drop_existing_tables": true}"#,
        r#"{"drop_existing_tables": true, "schema_only": true}"#,
        r#"{"drop_existing_tables": true, "exclude_table_data": "c"}"#,
    ] {
        let error = refuse(&databases, options)?;
        assert_eq!(error.code().code(), "55000", "{options}");
        assert_eq!(error.detail(), Some("Left alone: \"public.c\"."));
    }
    migrate_well(&databases, r#"{"drop_existing_tables": true, "overwrite": true}"#)?;
    databases.expect_same_data()
}

#[test]
fn a_partition_that_only_the_target_has_is_not_dropped_unasked() -> Result<()> {
    let databases = databases("own_partition", DEPENDENTS, "")?;
    migrate_well(&databases, "{}")?;
    databases.execute_on_target(
        "create table p2 partition of p for values in (2); insert into p2 values (2, 2)",
    )?;
    migrate_well(&databases, "{}")?;
    assert_eq!(databases.target_lines("select count(*) from p2")?, ["1"]);
    let error = refuse(&databases, r#"{"drop_existing_tables": true}"#)?;
    assert_eq!(error.detail(), Some("Left alone: \"public.p2\"."));
    migrate_well(&databases, r#"{"drop_existing_tables": true, "overwrite": true}"#)?;
    databases.expect_same_schema()
}

#[test]
fn definitions_and_rows_can_be_copied_apart() -> Result<()> {
    let databases = databases("apart", DEPENDENTS, "")?;
    databases.migrate(r#"{"schema_only": true}"#)?;
    assert_eq!(databases.target_lines("select count(*) from a")?, ["0"]);
    databases
        .execute_on_target("create index own on a (x) where x > 0; comment on table a is 'kept'")?;
    let before = databases
        .target_lines("select indexdef from pg_indexes where schemaname = 'public' order by 1")?;
    for _ in 0..2 {
        migrate_well(&databases, r#"{"data_only": true}"#)?;
        databases.execute_on_target("refresh materialized view m")?;
        databases.expect_same_data()?;
        let after = databases.target_lines(
            "select indexdef from pg_indexes where schemaname = 'public' order by 1",
        )?;
        assert_eq!(before, after);
    }
    let comment = databases.target_lines("select obj_description('a'::regclass)")?;
    assert_eq!(comment, ["kept"]);
    databases.execute_on_target("drop index own; comment on table a is null")?;
    databases.expect_same_schema()
}

#[test]
fn rows_alone_need_their_tables() -> Result<()> {
    let databases = databases("no_tables", DEPENDENTS, "create table c (id int)")?;
    let error = refuse(&databases, r#"{"data_only": true}"#)?;
    assert_eq!(error.code().code(), "42P01", "{error:?}");
    assert!(error.detail().unwrap_or_default().contains("\"public.a\""), "{error:?}");
    Ok(())
}

/// Partitions at two levels, one in another schema.
const PARTITIONS: &str = "
    create schema other;
    create table log (id int primary key, x int) partition by range (id);
    create table log_1 partition of log for values from (0) to (100);
    create table other.log_2 partition of log for values from (100) to (200) partition by range (id);
    create table other.log_2_a partition of other.log_2 for values from (100) to (150);
    create table plain (id int);
    create table empty (id int);
    insert into log select i, i from generate_series(0, 149) i;
    insert into plain select generate_series(1, 10);
    insert into empty values (1);
    create view over_plain as select * from plain;
    create table referring (id int references log);
    insert into referring values (7);";

#[test]
fn what_is_said_of_a_partitioned_table_holds_for_its_partitions() -> Result<()> {
    let databases = databases("partitions", PARTITIONS, "")?;
    migrate_well(
        &databases,
        r#"{"where": {"log": "id % 10 = 7", "plain": "id < 4"}, "exclude_table_data": "empty"}"#,
    )?;
    assert_eq!(databases.target_lines("select count(*), min(id), max(id) from log")?, ["15|7|147"]);
    assert_eq!(databases.target_lines("select count(*) from plain")?, ["3"]);
    assert_eq!(databases.target_lines("select count(*) from empty")?, ["0"]);
    databases.expect_same_schema()?;
    migrate_well(&databases, r#"{"exclude_table_data": ["log", "referring"]}"#)?;
    assert_eq!(databases.target_lines("select count(*) from log")?, ["15"]);
    migrate_well(&databases, "{}")?;
    databases.expect_same_data()
}

#[test]
fn a_chosen_partitioned_table_takes_its_partitions_along_and_nothing_else() -> Result<()> {
    let databases = databases("chosen", PARTITIONS, "")?;
    migrate_well(&databases, r#"{"tables": "log"}"#)?;
    assert_eq!(
        databases.target_lines(
            "select table_schema || '.' || table_name from pgmig.validation order by 1"
        )?,
        ["other.log_2_a", "public.log_1"]
    );
    assert_eq!(databases.target_lines("select to_regclass('plain') is null")?, ["t"]);
    Ok(())
}

#[test]
fn excluded_tables_take_what_depends_on_them_along_with_an_event() -> Result<()> {
    let databases = databases("excluded", PARTITIONS, "")?;
    migrate_well(&databases, r#"{"exclude_tables": ["log", "plain"]}"#)?;
    assert_eq!(
        databases.target_lines("select relname from pg_class where relnamespace in ('public'::regnamespace, 'other'::regnamespace) order by 1"
        )?,
        ["empty", "referring"]
    );
    assert_eq!(
        events(&databases, "view public.over_plain")?,
        ["left out, since table public.plain is left out"]
    );
    Ok(())
}

#[test]
fn one_partition_can_be_refreshed_without_its_siblings() -> Result<()> {
    let databases = databases("one_partition", PARTITIONS, "")?;
    databases.execute_on_source("create index log_x on log (x); drop table referring")?;
    migrate_well(&databases, "{}")?;
    databases.execute_on_source("update log set x = -1 where id = 1")?;
    databases.execute_on_target("update log set x = -2 where id = 101")?;
    migrate_well(&databases, r#"{"tables": "log_1"}"#)?;
    assert_eq!(
        databases.target_lines("select x from log where id in (1, 101) order by id")?,
        ["-1", "-2"]
    );
    databases.expect_same_schema()
}

#[test]
fn schemas_are_chosen_by_patterns() -> Result<()> {
    let databases = databases("schemas", PARTITIONS, "")?;
    databases.migrate(r#"{"schemas": "oth*"}"#)?;
    assert_eq!(
        databases.target_lines(
            "select table_schema || '.' || table_name from pgmig.validation order by 1"
        )?,
        ["other.log_2_a"]
    );
    Ok(())
}

#[test]
fn a_policy_for_a_role_that_is_missing_is_left_out_with_an_event() -> Result<()> {
    let pair = Pair::shared()?;
    pair.source.execute("postgres", "create role only_on_source")?;
    let databases = databases(
        "missing_role",
        "create table t (x int);
        create policy narrow on t to only_on_source using (x > 0);
        create policy wide on t using (x > 1);
        alter table t enable row level security, owner to only_on_source;
        grant select on t to only_on_source;
        insert into t values (1)",
        "",
    )?;
    for _ in 0..2 {
        migrate_well(&databases, "{}")?;
        assert_eq!(
            events(&databases, "policy narrow on public.t")?,
            ["left out, since role \"only_on_source\" does not exist on the target"]
        );
        assert_eq!(databases.target_lines("select polname from pg_policy")?, ["wide"]);
        assert_eq!(events(&databases, "table public.t")?.len(), 1);
    }
    drop(databases);
    pair.source.execute("postgres", "drop role only_on_source")
}

#[test]
fn nothing_is_added_to_rows_that_could_not_be_cleared() -> Result<()> {
    let databases = databases(
        "existing_kept",
        "create table \"k'ept\" (i int primary key, v text);
        insert into \"k'ept\" select g, repeat('v', 50) from generate_series(1, 5000) g;
        create table other (i int primary key);
        analyze",
        "",
    )?;
    let ranges = r#""tables": ["k'ept"], "partition_threshold": 500, "chunk_size": 1000"#;
    databases.migrate_and_match(&format!("{{{ranges}}}"))?;
    let copies = databases.target_value("select count(*) from pgmig.tasks where kind = 'copy'")?;
    ensure!(copies != "1", "the table was not cut");
    // A reader keeps the table from being truncated, but not from being added to.
    let mut reader = databases.target()?;
    reader.batch_execute("begin; lock table \"k'ept\" in access share mode")?;
    let options = format!(r#"{{"on_error": "continue", "lock_timeout": "1s", {ranges}}}"#);
    let error = databases.migrate_in_vain(&options)?;
    ensure!(error.message().contains("lock timeout"), "{error}");
    reader.batch_execute("rollback")?;
    assert_eq!(databases.target_value("select count(*) from \"k'ept\"")?, "5000");
    Ok(())
}

#[test]
fn a_table_that_cannot_be_made_is_named_once_and_the_others_arrive() -> Result<()> {
    let databases = databases(
        "existing_type",
        "create table a (i int primary key);
        create table b (i int primary key);
        comment on table b is 'there is a type of that name';
        create table c (i int primary key);
        insert into a select generate_series(1, 10);
        insert into b select generate_series(1, 10);
        insert into c select generate_series(1, 10)",
        "create type b as enum ('x')",
    )?;
    let error = databases.migrate_in_vain(r#"{"on_error": "continue"}"#)?;
    ensure!(error.message().contains("failed"), "{error}");
    let made = "select count(*) filter (where e.statement ~ '^create table'),
            count(*) filter (where e.statement ~ '^(alter|comment)')
        from pgmig.events e where e.object = 'table public.b' and e.severity = 'error'";
    assert_eq!(databases.target_value(made)?, "1|0");
    let counts = "select (select count(*) from a) + (select count(*) from c)";
    assert_eq!(databases.target_value(counts)?, "20");
    let checked = "select string_agg(v.table_name || ' ' || v.status, ', ' order by v.table_name)
        from pgmig.validation v";
    assert_eq!(databases.target_value(checked)?, "a match, b failed, c match");
    Ok(())
}
