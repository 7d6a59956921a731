//! Tables that are cut into ranges arrive whole, whatever their keys and whatever happens meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use pgmig_tests::data::Script;
use pgmig_tests::{Databases, Pair};

/// Tables whose keys are hard to cut. While nobody has counted its rows, `late` passes for half as long
/// as it is.
const KEYS: &str = r#"
    create table composite (a smallint, b text collate "C", c date, v text, primary key (b, a, c));
    insert into composite select g % 7, 'k' || g % 50, date '2000-01-01' + g, repeat('v', g % 40) from generate_series(1, 20000) g;
    create table words (k text primary key, n int);
    insert into words select (array['a', 'B', 'ä', 'Z', '_', '', 'ß', 'e''s', E'\\', 'a b'])[1 + g % 10] || g, g from generate_series(1, 20000) g;
    create table icu (k text collate "de-x-icu" primary key);
    insert into icu select (array['a', 'B', 'ä', 'Z', '_', 'ö', 'ß', '-'])[1 + g % 8] || g from generate_series(1, 20000) g;
    create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table blind (k text collate blind primary key);
    insert into blind select (array['a', 'B', 'ä'])[1 + g % 3] || g from generate_series(1, 10000) g;
    create table stamps (at timestamp primary key, v int);
    insert into stamps select timestamp '2020-01-01' + g * interval '7 minutes', g from generate_series(1, 20000) g;
    insert into stamps values ('infinity', 0), ('-infinity', 0), ('4713-01-01 BC', 0);
    create table floats (f float8 primary key);
    insert into floats select g / 7.0 from generate_series(-10000, 10000) g;
    insert into floats values ('NaN'), ('Infinity'), ('-Infinity');
    create table numerics (n numeric primary key);
    insert into numerics select g * 1.5 from generate_series(-5000, 5000) g;
    insert into numerics values ('NaN'), ('Infinity'), ('-Infinity');
    create table blanks (c char(12) primary key);
    insert into blanks select g::text from generate_series(1, 10000) g;
    create table negative (i int primary key, v text);
    insert into negative select -g, 'v' from generate_series(1, 20000) g;
    create table late (i int primary key deferrable initially deferred) with (autovacuum_enabled = off);
    insert into late select generate_series(1, 10000);
    create table "no key" (v int);
    insert into "no key" select g % 10 from generate_series(1, 20000) g;
    create table "K""ey. %" ("I d" int primary key, "select" text);
    insert into "K""ey. %" select g, 'x' from generate_series(1, 20000) g;
    create table bloated (i int primary key, v text);
    insert into bloated select g, repeat('b', 300) from generate_series(1, 20000) g;
    delete from bloated where i between 500 and 19500;"#;

fn load(name: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    Script::Ranges.load(&databases.pair().source, name, &[("scale", "0.1")])?;
    databases.execute_on_source(&databases.pair().source.adapt(KEYS))?;
    Ok(databases)
}

/// Options that cut tables into ranges of about so many rows.
fn cut(chunk_by: &str, jobs: u32, chunk_size: u32) -> String {
    let mut options =
        format!(r#"{{"chunk_by": "{chunk_by}", "jobs": {jobs}, "validation": "checksum""#);
    if chunk_by != "none" {
        options += &format!(r#", "partition_threshold": 500, "chunk_size": {chunk_size}"#);
    }
    options + "}"
}

/// How many ranges each table was cut into.
fn range_counts(databases: &Databases<'_>) -> Result<String> {
    databases.target_value(
        "select string_agg(table_name || ' ' || ranges, ', ' order by table_name) from pgmig.tables
         where run_id = (select max(run_id) from pgmig.runs) and ranges > 1",
    )
}

#[test]
fn tables_arrive_whole_whatever_they_are_cut_by() -> Result<()> {
    let databases = load("ranges")?;
    for (analyze, chunk_by, jobs) in
        [("", "pk", 4), ("analyze", "pk", 1), ("", "ctid", 2), ("", "auto", 3), ("", "none", 4)]
    {
        databases.execute_on_source(analyze)?;
        let options = cut(chunk_by, jobs, 2000);
        databases.migrate_and_match(&options)?;
        databases.expect_same_data()?;
        let counts = range_counts(&databases)?;
        let is_cut = chunk_by != "none";
        for table in
            ["composite", "words", "icu", "blind", "stamps", "floats", "numerics", "blanks"]
        {
            ensure!(counts.contains(&format!("{table} ")) == is_cut, "{chunk_by}: {counts}");
        }
    }
    Ok(())
}

#[test]
fn no_more_ranges_of_a_table_are_copied_at_a_time_than_asked_for() -> Result<()> {
    let databases = load("ranges_limit")?;
    databases.migrate_and_match(
        r#"{"chunk_by": "ctid", "jobs": 4, "max_partitions": 1, "partition_threshold": 500, "chunk_size": 2000,
            "tables": "ranges.*"}"#,
    )?;
    let overlap = "select count(*) from pgmig.tasks a join pgmig.tasks b
                   on a.table_name = b.table_name and a.task_id < b.task_id and a.kind = 'copy' and b.kind = 'copy'
                   and a.started_at < b.finished_at and b.started_at < a.finished_at";
    assert_eq!(databases.target_value(overlap)?, "0");
    Ok(())
}

#[test]
fn a_repeated_run_empties_tables_that_it_loads_in_pieces() -> Result<()> {
    let databases = load("ranges_again")?;
    let options = r#"{"partition_threshold": 500, "chunk_size": 900, "jobs": 2}"#;
    databases.migrate_and_match(options)?;
    databases.execute_on_source(
        "delete from words where n % 2 = 0; insert into \"no key\" values (99)",
    )?;
    databases.migrate_and_match(options)?;
    databases.expect_same_data()
}

#[test]
fn rows_written_meanwhile_are_in_the_copy_of_the_snapshot_or_not_at_all() -> Result<()> {
    let databases = Pair::shared()?.databases("ranges_writers")?;
    // Every transaction keeps the sum at zero and the number of rows even, in both tables together.
    databases.execute_on_source(
        "create table a (id bigint primary key, v bigint, filler text);
         create table b (id bigint primary key, v bigint, filler text);
         insert into a select g, 0, repeat('x', 100) from generate_series(1, 60000) g;
         insert into b select g, 0, repeat('x', 100) from generate_series(1, 60000) g",
    )?;
    let stop = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (databases, stop) = (&databases, &stop);
                scope.spawn(move || -> Result<()> {
                    let mut client = databases.source()?;
                    let mut n = 100_000 * (writer + 1);
                    while !stop.load(Ordering::Relaxed) {
                        n += 1;
                        let (low, high) = (n % 50_000 + 1, n % 49_999 + 5_000);
                        client.batch_execute(&format!(
                            "begin;
                             insert into a values ({n}, {n}, 'new');
                             update b set v = v - {n} where id = {high};
                             update a set filler = 'moved {n}' where id = {low};
                             insert into b values ({n}, 0, 'new');
                             delete from a where id = {n} - 50 and v = {n} - 50;
                             update b set v = v + {n} - 50 where id = {high} and exists (
                                 select from b where id = {n} - 50 and filler = 'new');
                             delete from b where id = {n} - 50 and filler = 'new';
                             commit"
                        ))?;
                    }
                    Ok(())
                })
            })
            .collect();
        let runs = ["pk", "ctid", "none"].map(|chunk_by| {
            let options = cut(chunk_by, 3, 3000);
            databases.migrate_and_match(&options)?;
            databases.target_value(
                "select (select sum(v) from a) + (select sum(v) from b),
                     (select count(*) from a) - (select count(*) from b)",
            )
        });
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().map_err(|_| anyhow!("a writer panicked"))??;
        }
        runs.into_iter().collect::<Result<Vec<_>>>()
    });
    assert_eq!(outcome?, ["0|0"; 3]);
    Ok(())
}

#[test]
fn rows_are_frozen_where_one_transaction_loads_a_table_and_only_there() -> Result<()> {
    let databases = load("frozen")?;
    databases.execute_on_target("create extension pg_visibility; create extension pageinspect")?;
    databases.migrate_and_match(
        r#"{"chunk_by": "ctid", "partition_threshold": 5000, "chunk_size": 2500}"#,
    )?;
    // HEAP_XMIN_FROZEN is both of HEAP_XMIN_COMMITTED (0x0100) and HEAP_XMIN_INVALID (0x0200).
    let frozen = |table: &str| {
        databases.target_value(&format!(
            "select count(*) filter (where t_infomask & x'300'::int = x'300'::int) || ' of ' || count(*)
             from heap_page_items(get_raw_page('{table}', 0)) where t_xmin is not null"
        ))
    };
    let whole = frozen("late")?;
    let (some, all) = whole.split_once(" of ").unwrap_or_default();
    ensure!(some == all && all != "0", "late: {whole}");
    ensure!(frozen("words")?.starts_with("0 of "), "words: {}", frozen("words")?);
    // Servers since 16 add several pages at a time; one may be left without rows.
    let visible = "select bool_and(all_visible and all_frozen
            or current_setting('server_version_num')::int >= 160000
            and not exists (select from heap_page_items(get_raw_page('late', blkno::int))))
        from pg_visibility_map('late')";
    assert_eq!(databases.target_value(visible)?, "t");
    Ok(())
}

#[test]
fn a_load_that_fails_leaves_no_visible_row() -> Result<()> {
    let databases = Pair::shared()?.databases("no_visible_row")?;
    let table = |name: &str, more: &str| format!("create table {name} (i int{more});");
    let rows = |name: &str| {
        format!(
            "insert into {name} select generate_series(1, 50000); insert into {name} values (-1);"
        )
    };
    databases.execute_on_source(&["t", "u"].map(|name| table(name, "") + &rows(name)).concat())?;
    databases.execute_on_target(&["t", "u"].map(|name| table(name, " check (i > 0)")).concat())?;
    for options in [
        r#"{"overwrite": true}"#,
        r#"{"overwrite": true, "partition_threshold": 1000, "chunk_size": 1000000}"#,
    ] {
        let error = databases.migrate(options).expect_err("a row violates a constraint");
        let text = format!("{error:#}");
        ensure!(text.contains("violates check constraint"), "{text}");
        // An error about data must not show them.
        ensure!(!text.contains("-1"), "{text}");
        let count = "select (select count(*) from t) + (select count(*) from u)";
        assert_eq!(databases.target_value(count)?, "0");
    }
    Ok(())
}
