//! Pages that are written past the buffer pool: heap pages of long loads and pages of large indexes.

use std::fs::{self, OpenOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use pgmig_tests::{Cluster, ClusterOptions, Databases, Installation, Pair, StopMode};

/// Tables of several hundred pages: plain, with room left on its pages, with long values, with generated columns,
/// unlogged.
/// Nobody counts their rows, so that they are always cut at the same places.
const LARGE: &str = r#"
    create table "pl""ain" (id int8 primary key, n int, v text) with (autovacuum_enabled = off);
    insert into "pl""ain" select g, nullif(g % 1000, 3), repeat('v', g % 90) from generate_series(1, 60000) g;
    create index on "pl""ain" (n);
    create table roomy (id int primary key, v text) with (fillfactor = 40, autovacuum_enabled = off);
    insert into roomy select g, repeat('r', 200) from generate_series(1, 10000) g;
    create table long (id int primary key, v text not null check (v <> ''), b bytea)
        with (autovacuum_enabled = off);
    alter table long alter b set storage external;
    insert into long select g, (select string_agg(md5(g::text || i), '') from generate_series(0, g % 150) i),
        decode(repeat('0f', g % 3000), 'hex') from generate_series(1, 5000) g;
    create table computed (
        id int not null, a text, "len gth" int generated always as (length(a)) stored not null check ("len gth" >= 0),
        twice text generated always as (upper(a) || a) stored, z int) with (autovacuum_enabled = off);
    insert into computed (id, a, z) select g, repeat(md5(g::text), g % 9), nullif(g % 5, 0) from generate_series(1, 20000) g;
    insert into computed (id, a) select g, string_agg(md5(i::text), '') from generate_series(1, 20) g, generate_series(1, 200) i
    group by g;
    create unlogged table fleeting (id int primary key, v text) with (autovacuum_enabled = off);
    insert into fleeting select g, repeat('f', 100) from generate_series(1, 20000) g;"#;

/// Loads each table by one transaction.
const WHOLE: &str = r#"{"jobs": 2}"#;

/// Loads each table in two to four ranges of more than a hundred pages: by their bytes they pass for
/// 28,000 to 63,000 rows.
const IN_RANGES: &str = r#"{"jobs": 4, "chunk_by": "ctid", "partition_threshold": 20000, "chunk_size": 20000, "overwrite": true}"#;

/// Migrates with one of these, and fails unless the tables that no crash empties were loaded that way.
fn migrate(databases: &Databases<'_>, options: &str) -> Result<()> {
    databases.migrate_and_match(options)?;
    let cut = databases.target_value(
        "select count(*) from pgmig.tables t
         where t.run_id = (select max(r.run_id) from pgmig.runs r)
           and t.table_name <> 'fleeting' and t.ranges > 1",
    )?;
    let expected = if options == IN_RANGES { "4" } else { "0" };
    ensure!(cut == expected, "{cut} tables were cut with {options}");
    Ok(())
}

/// What the server's own checks find wrong with tables, their indexes and their visibility maps.
const FAULTS: &str = "
    create extension if not exists amcheck;
    create extension if not exists pg_visibility;
    create temp table faults as
    select c.relname, f.msg from pg_class c, verify_heapam(c.oid) f
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    union all
    select c.relname, 'not visible ' || f::text from pg_class c, pg_check_visible(c.oid) f
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    union all
    select c.relname, 'not frozen ' || f::text from pg_class c, pg_check_frozen(c.oid) f
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r';
    select count(bt_index_check(i.indexrelid, true)) from pg_index i join pg_class c on c.oid = i.indexrelid
    where c.relnamespace = 'public'::regnamespace and c.relam = 403;
    drop extension amcheck;
    drop extension pg_visibility;
    select string_agg(relname || ': ' || msg, ', ') from faults";

fn expect_no_faults(databases: &Databases<'_>) -> Result<()> {
    let lines = databases.target_lines(FAULTS)?;
    let faults = lines.last().map(String::as_str).unwrap_or_default();
    ensure!(faults.is_empty(), "{faults}");
    Ok(())
}

/// A pair of clusters whose target keeps this much in its log, and nothing of which is checkpointed
/// unasked.
fn pair_of(wal_level: &str) -> Result<Pair> {
    let cluster = |name| {
        ClusterOptions::new(Installation::of_extension()?, name)
            .settings(&[("wal_level", wal_level), ("max_wal_senders", "0")])
            .settings(&[("checkpoint_timeout", "1h"), ("max_wal_size", "10GB")])
            .start()
    };
    Ok(Pair { source: cluster("pages-source")?, target: cluster("pages-target")? })
}

/// The files of all logged tables and indexes, visibility maps included, from the data directory.
fn files_of(databases: &Databases<'_>) -> Result<Vec<String>> {
    databases.target_lines(
        "select pg_relation_filepath(oid) || suffix from pg_class, (values (''), ('_vm')) s (suffix)
         where relnamespace = 'public'::regnamespace and relpersistence = 'p' and relkind in ('r', 'i')
             and (relkind = 'r' or suffix = '')",
    )
}

/// Empties files as if nothing had ever been written to them.
fn empty(target: &Cluster, files: &[String]) -> Result<()> {
    let mut count = 0;
    for file in files.iter().map(|file| target.data_dir().join(file)) {
        if fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 0) {
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(&file)
                .context("a relation's file")?;
            count += 1;
        }
    }
    ensure!(count > 5, "only {count} files had anything in them");
    Ok(())
}

/// Starts the target after a crash: all is there but what was in unlogged tables.
fn expect_recovery(databases: &Databases<'_>) -> Result<()> {
    databases.pair().target.start()?;
    databases.execute_on_source("truncate fleeting")?;
    databases.expect_same_data()?;
    expect_no_faults(databases)?;
    databases.execute_on_source("insert into fleeting values (1, 'again')")
}

#[test]
fn the_log_alone_brings_them_back_after_a_crash() -> Result<()> {
    let pair = pair_of("replica")?;
    let databases = pair.databases("replayed")?;
    databases.execute_on_source(LARGE)?;
    for options in [WHOLE, IN_RANGES] {
        databases.execute_on_target("checkpoint")?;
        migrate(&databases, options)?;
        databases.expect_same_data()?;
        expect_no_faults(&databases)?;
        let files = files_of(&databases)?;
        pair.target.stop(StopMode::Immediate)?;
        empty(&pair.target, &files)?;
        expect_recovery(&databases)?;
    }
    Ok(())
}

#[test]
fn files_reach_the_disk_with_their_transaction_where_the_log_leaves_them_out() -> Result<()> {
    let pair = pair_of("minimal")?;
    let databases = pair.databases("synchronized")?;
    databases.execute_on_source(LARGE)?;
    for options in [WHOLE, IN_RANGES] {
        migrate(&databases, options)?;
        pair.target.stop(StopMode::Immediate)?;
        expect_recovery(&databases)?;
    }
    Ok(())
}

#[test]
fn who_reads_and_vacuums_meanwhile_harms_nothing() -> Result<()> {
    let databases = Pair::shared()?.databases("read_meanwhile")?;
    databases.execute_on_source(LARGE)?;
    databases.migrate_and_match("{}")?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| -> Result<()> {
            let mut target = databases.target()?;
            while !is_over.load(Ordering::Relaxed) {
                // Empty pages are what a vacuum would take for its own.
                target.batch_execute("vacuum roomy")?;
                target.query_one(r#"select count(*) from "pl""ain""#, &[])?;
                target.query_one("select count(v) from roomy", &[])?;
            }
            Ok(())
        });
        let migrated = (0..3).try_for_each(|_| {
            migrate(&databases, IN_RANGES)?;
            databases.expect_same_data()
        });
        is_over.store(true, Ordering::Relaxed);
        let read = reader.join();
        migrated?;
        ensure!(matches!(read, Ok(Ok(()))), "the reader failed: {read:?}");
        expect_no_faults(&databases)
    })
}

#[test]
fn rows_are_decoded_where_the_log_has_to_show_them() -> Result<()> {
    let pair = pair_of("logical")?;
    let databases = pair.databases("decoded")?;
    databases.execute_on_source(LARGE)?;
    databases.migrate(r#"{"schema_only": true}"#)?;
    databases
        .execute_on_target("select pg_create_logical_replication_slot('s', 'test_decoding')")?;
    databases.migrate_and_match(r#"{"overwrite": true}"#)?;
    let rows = databases.target_value(
        "select count(*) from pg_logical_slot_get_changes('s', null, null)
         where data like 'table public.roomy: INSERT:%'",
    )?;
    databases.execute_on_target("select pg_drop_replication_slot('s')")?;
    ensure!(rows == "10000", "{rows} rows were decoded");
    databases.expect_same_data()
}
