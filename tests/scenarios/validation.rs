//! Validation proves what it says: rows that differ are found, on whichever side, however tables are cut.

use anyhow::{Context, Result, ensure};
use pgmig_tests::pair::Validation;
use pgmig_tests::{Databases, Pair};

/// Partitions that rows cannot be loaded into directly, beside others that they can.
const PARTITIONS: &str = r#"
    create type mood as enum ('sad', 'ok', 'great', 'odd');
    create type shade as enum ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p');
    create table by_mood (id int, m shade, x int generated always as (id * 2) stored) partition by hash (m);
    create table by_mood_0 partition of by_mood for values with (modulus 2, remainder 0);
    create table by_mood_1 (m shade, gone int, x int generated always as (id * 2) stored, id int);
    alter table by_mood_1 drop column gone;
    alter table by_mood attach partition by_mood_1 for values with (modulus 2, remainder 1);
    insert into by_mood select g, (enum_range(null::shade))[1 + g % 16] from generate_series(1, 1000) g;
    create index on by_mood (id);
    create table by_day (d date, m mood) partition by range (d);
    create table by_day_1 partition of by_day for values from ('2020-01-01') to ('2020-02-01');
    create table by_day_2 partition of by_day for values from ('2020-02-01') to ('2020-03-01') partition by hash (m);
    create table by_day_2_0 partition of by_day_2 for values with (modulus 3, remainder 0);
    create unlogged table by_day_2_1 partition of by_day_2 for values with (modulus 3, remainder 1);
    create table by_day_2_2 partition of by_day_2 for values with (modulus 3, remainder 2);
    create table by_day_rest partition of by_day default;
    insert into by_day select date '2020-01-01' + g % 70, (enum_range(null::mood))[1 + g % 4] from generate_series(1, 700) g;"#;

/// Enum labels get other OIDs on the target, and with them other hashes.
const SHIFT_OIDS: &str = "create type shift as enum ('a', 'b', 'c', 'd', 'e'); drop type shift";

fn find<'a>(rows: &'a [Validation], table: &str) -> Result<&'a Validation> {
    rows.iter().find(|row| row.table_name == table).with_context(|| format!("no row for {table}"))
}

fn names(rows: &[Validation]) -> Vec<&str> {
    rows.iter().map(|row| row.table_name.as_str()).collect()
}

fn database_of(name: &str, sql: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source(sql)?;
    Ok(databases)
}

#[test]
fn rows_whose_partition_is_in_doubt_go_through_the_partitioned_table() -> Result<()> {
    let databases = database_of("placement", PARTITIONS)?;
    databases.execute_on_target(SHIFT_OIDS)?;
    for options in [
        r#"{"validation": "checksum"}"#,
        r#"{"validation": "rows"}"#,
        r#"{"validation": "checksum", "drop_existing_tables": true}"#,
        r#"{"partition_threshold": 100, "jobs": 2, "chunk_by": "ctid"}"#,
    ] {
        // A second run needs no permission to overwrite what the first one loaded.
        let rows = databases.migrate_and_match(options)?;
        assert_eq!(names(&rows), ["by_day_1", "by_day_2", "by_day_rest", "by_mood"]);
        assert_eq!(find(&rows, "by_mood")?.target_rows, Some(1000));
        for table in ["by_mood", "by_day_2", "by_day_1"] {
            let sorted =
                format!("select md5(string_agg(t::text, ',' order by t::text)) from {table} t");
            let source = databases.pair().source.psql(databases.name(), &sorted)?;
            assert_eq!(databases.target_value(&sorted)?, source.trim(), "{table}");
        }
    }
    let rows = databases.validate(r#"{"validation": "checksum"}"#)?;
    assert_eq!(names(&rows), ["by_day_1", "by_day_2", "by_day_rest", "by_mood"]);
    ensure!(rows.iter().all(|row| row.status == "match"), "{rows:?}");
    // Of sixteen labels some are hashed elsewhere, unless by a chance of one in 65,000.
    let moved = "select string_agg(distinct m || ' ' || tableoid::regclass, ',') from by_mood";
    let source = databases.pair().source.psql(databases.name(), moved)?;
    ensure!(databases.target_value(moved)? != source.trim(), "the hashes are equal: {source}");
    databases.expect_same_schema()
}

#[test]
fn conditions_of_partitioned_tables_hold_for_their_partitions() -> Result<()> {
    let databases = database_of("placement_where", PARTITIONS)?;
    let options = r#"{"where": {"by_mood": "id <= 10 -- ten", "by_day": "m = 'ok' or m = 'sad'"},
        "validation": "checksum"}"#;
    databases.migrate_and_match(options)?;
    let counts = "select (select count(*) from by_mood), (select count(*) from by_day)";
    assert_eq!(databases.target_value(counts)?, "10|350");
    let rows = databases.validate(options)?;
    ensure!(rows.iter().all(|row| row.status == "match"), "{rows:?}");
    let rows = databases.validate("{}")?;
    assert_eq!(find(&rows, "by_mood")?.status, "mismatch");
    Ok(())
}

#[test]
fn two_databases_are_compared_as_they_stand() -> Result<()> {
    const TABLES: &str = "
        create table same (id int, v text);
        insert into same values (1, 'a'), (2, null), (2, null);
        create table changed (id int, v text);
        insert into changed values (1, 'a'), (2, 'b');
        create table shorter (id int);
        insert into shorter values (1), (2);
        create table wider (id int, v text, extra int);
        insert into wider values (1, 'x', 1);
        create table other_type (id int);
        insert into other_type values (1), (-5);
        create table cut (id int);
        insert into cut select generate_series(1, 10);
        create table whole (id int) partition by range (id);
        create table whole_1 partition of whole for values from (0) to (100);
        insert into whole select generate_series(1, 10);
        create schema \"o\"\"dd.\"";
    let databases = database_of("as_they_stand", TABLES)?;
    databases.execute_on_source("create table \"o\"\"dd.\".\"gone.\" (i int); insert into \"o\"\"dd.\".\"gone.\" values (1)")?;
    databases.execute_on_target(TABLES)?;
    databases.execute_on_target(
        "update changed set v = 'B' where id = 2;
         delete from shorter where id = 2;
         alter table wider drop column v;
         alter table other_type alter id type bigint;
         drop table cut, whole;
         create table cut (id int) partition by range (id);
         create table cut_1 partition of cut for values from (0) to (6);
         create table cut_2 partition of cut for values from (6) to (100);
         insert into cut select generate_series(1, 10);
         create table whole (id int);
         insert into whole select generate_series(1, 10);
         create table surplus (id int);
         insert into surplus values (1), (2), (3)",
    )?;
    let rows = databases.validate(r#"{"validation": "checksum"}"#)?;
    for (table, counts, detail) in [
        ("same", (Some(3), Some(3)), None),
        (
            "changed",
            (Some(2), Some(2)),
            Some("the number of rows is the same, their contents differ"),
        ),
        ("shorter", (Some(2), Some(1)), Some("the source has 2 rows, the target has 1")),
        ("wider", (Some(1), Some(1)), Some("column \"v\" is missing on the target")),
        ("other_type", (Some(2), Some(2)), None),
        ("cut", (Some(10), Some(10)), None),
        ("whole", (Some(10), Some(10)), None),
        ("gone.", (Some(1), None), Some("the table does not exist on the target")),
        ("surplus", (None, Some(3)), Some("the table does not exist on the source")),
    ] {
        let row = find(&rows, table)?;
        assert_eq!((row.source_rows, row.target_rows), counts, "{table}");
        assert_eq!(row.detail.as_deref(), detail, "{table}");
        assert_eq!(row.status, if detail.is_none() { "match" } else { "mismatch" }, "{table}");
    }
    assert_eq!(rows.len(), 9);
    let state = "select state from pgmig.runs order by run_id desc limit 1";
    assert_eq!(databases.target_value(state)?, "mismatch");

    let rows =
        databases.validate(r#"{"tables": ["same", "sh*"], "where": {"shorter": "id < 2"}}"#)?;
    assert_eq!(names(&rows), ["same", "shorter"]);
    ensure!(rows.iter().all(|row| row.status == "match"), "{rows:?}");
    Ok(())
}

#[test]
fn checksums_do_not_depend_on_ranges_but_on_what_belongs_together() -> Result<()> {
    let databases = database_of(
        "checksum",
        "create table t (id int primary key, v text); insert into t select g, 'v' || g from generate_series(1, 5000) g",
    )?;
    let options = r#"{"validation": "checksum", "partition_threshold": 1000, "chunk_size": 500}"#;
    let rows = databases.migrate_and_match(options)?;
    let first = rows[0].source_checksum.clone();
    ensure!(first.is_some() && first == rows[0].target_checksum);
    // Cut otherwise or not at all, the checksum is the same.
    let whole = databases.migrate_and_match(r#"{"validation": "checksum"}"#)?;
    assert_eq!(whole[0].source_checksum, first);
    assert_eq!(databases.validate(r#"{"validation": "checksum"}"#)?[0].source_checksum, first);
    // Two rows that swap values have the same values by column.
    databases.execute_on_target("update t set v = 'v' || (3 - id) where id in (1, 2)")?;
    let rows = databases.validate(r#"{"validation": "checksum"}"#)?;
    assert_eq!(rows[0].status, "mismatch");
    assert_eq!(databases.validate("{}")?[0].status, "match");
    Ok(())
}
