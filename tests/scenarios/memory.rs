//! A table of any size, and a row of nearly any size, is copied in bounded memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use pgmig_tests::memory::{highest_kib, watch_workers};
use pgmig_tests::{Databases, Pair};

/// Resident memory that a worker may have outside shared buffers, in kibibytes.
const LIMIT_KIB: u64 = 64 * 1024;

/// Samples of one worker that a run must give for its peak to mean something.
const MIN_SAMPLES: usize = 20;

/// One at a time: together these tests would need several gigabytes.
fn in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // That another one has failed is no matter of this one.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn expect_bounded(databases: &Databases<'_>, options: &str) -> Result<()> {
    let (_, peaks) = watch_workers(&databases.pair().target, databases.name(), || {
        databases.migrate_and_match(options)
    })?;
    ensure!(
        peaks.values().any(|(_, samples)| *samples >= MIN_SAMPLES),
        "too few samples: {peaks:?}"
    );
    let highest = highest_kib(&peaks);
    println!("{options}: {highest} KiB of {LIMIT_KIB}");
    ensure!(highest < LIMIT_KIB, "a worker had {highest} KiB with {options}");
    Ok(())
}

#[test]
fn a_worker_stays_small_while_millions_of_rows_pass() -> Result<()> {
    let _turn = in_turn();
    let databases = Pair::shared()?.databases("memory")?;
    databases.execute_on_source(
        "create table long (id bigint, a int, b text, c timestamptz);
         insert into long select g, g % 1000, 'row number ' || g, to_timestamp(g) from generate_series(1, 3000000) g",
    )?;
    expect_bounded(&databases, r#"{"jobs": 1, "chunk_by": "none"}"#)?;
    expect_bounded(&databases, r#"{"jobs": 1, "chunk_by": "none", "validation": "checksum"}"#)?;
    databases.execute_on_source("alter table long add forces_text aclitem")?;
    expect_bounded(
        &databases,
        r#"{"jobs": 1, "validation": "checksum", "drop_existing_tables": true}"#,
    )
}

#[test]
fn a_worker_stays_small_with_long_rows_which_are_cut_by_all_their_bytes() -> Result<()> {
    let _turn = in_turn();
    let databases = Pair::shared()?.databases("memory_toast")?;
    // A small heap with 400 MB beside it.
    databases.execute_on_source(
        "create table heavy (id int primary key, v bytea);
         alter table heavy alter v set storage external;
         insert into heavy
         select g, decode(repeat(md5(g::text), 12500), 'hex') from generate_series(1, 2000) g;
         analyze heavy",
    )?;
    expect_bounded(&databases, r#"{"jobs": 1, "validation": "checksum"}"#)?;
    let cut = r#"{"jobs": 1, "validation": "checksum", "partition_threshold": 1000}"#;
    expect_bounded(&databases, cut)?;
    let ranges = "select min(ranges) || ' ' || max(ranges) from pgmig.tables";
    let ranges = databases.target_value(ranges)?;
    // Its rows alone would cut it in two.
    ensure!(ranges.starts_with("1 ") && ranges.len() == 3 && ranges.as_str() > "1 2", "{ranges}");
    Ok(())
}

#[test]
fn huge_values_and_wide_rows_arrive() -> Result<()> {
    let _turn = in_turn();
    let databases = Pair::shared()?.databases("huge")?;
    let columns: Vec<String> = (1..=1600).map(|n| format!("c{n} int default {n}")).collect();
    databases.execute_on_source(&format!("create table wide ({})", columns.join(", ")))?;
    databases.execute_on_source(
        "insert into wide default values; insert into wide (c1600) values (null); insert into wide default values;
         create table huge (id int primary key, b bytea, t text);
         alter table huge alter b set storage external, alter t set storage external;
         insert into huge values (1, convert_to(repeat('0123456789abcdef', 300 * 65536), 'UTF8'), null);
         insert into huge values (2, null, repeat(E'\\u00e9\\n\\t\\\\x', 20 * 1048576))",
    )?;
    databases.migrate_and_match(r#"{"jobs": 2, "validation": "checksum"}"#)?;
    let sums = "select id, length(b), md5(b), length(t), md5(t) from huge order by id";
    let source = databases.pair().source.psql(databases.name(), sums)?;
    assert_eq!(databases.target_value(sums)?, source.trim_end());
    let wide = "select count(*), sum(c1), sum(c800), sum(c1600) from wide";
    assert_eq!(databases.target_value(wide)?, "3|3|2400|3200");
    Ok(())
}

/// Bytes of the largest value that is copied here.
const LARGEST: u64 = 600 << 20;

#[test]
fn a_value_of_600_megabytes_takes_no_more_memory_than_the_server_s_own_copy() -> Result<()> {
    let _turn = in_turn();
    let databases = Pair::shared()?.databases("largest")?;
    databases.execute_on_source(&format!(
        "create table largest (id int primary key, \"v %\" bytea);
         alter table largest alter \"v %\" set storage external;
         insert into largest values (1, 'x'), (3, '');
         insert into largest
         select 2, convert_to(repeat('0123456789abcdef', {LARGEST} / 16), 'SQL_ASCII')"
    ))?;
    let (_, peaks) = watch_workers(&databases.pair().target, databases.name(), || {
        databases.migrate_and_match(r#"{"jobs": 1}"#)
    })?;
    let highest = highest_kib(&peaks);
    println!("{highest} KiB for a value of {} KiB", LARGEST >> 10);
    // COPY has it three times: as it came, as a value, and in the tuple that the value is put into.
    let limit = LIMIT_KIB + 3 * (LARGEST >> 10);
    ensure!(highest < limit, "a worker had {highest} KiB of {limit}");
    let value = "select sum(length(\"v %\")) || ' ' || (
                     select md5(\"v %\") from largest where id = 2
                 ) from largest";
    let source = databases.pair().source.psql(databases.name(), value)?;
    assert_eq!(databases.target_value(value)?, source.trim_end());
    Ok(())
}

#[test]
fn a_row_that_copy_cannot_send_is_named() -> Result<()> {
    let _turn = in_turn();
    let databases = Pair::shared()?.databases("too_long")?;
    databases.execute_on_source(
        "create table long_row (id int primary key, a text, b text);
         alter table long_row alter a set storage external, alter b set storage external;
         insert into long_row values (1, 'short', 'short');
         insert into long_row (id, a) values (2, repeat('x', 540000000))",
    )?;
    // The row is short enough while one of its values lies outside of it.
    databases.execute_on_source("update long_row set b = repeat('y', 540000000) where id = 2")?;
    let error = databases.migrate("{}").expect_err("the row is too long");
    let text = format!("{error:?}");
    ensure!(text.contains("public.long_row") && text.contains("ctid (0,3)"), "{text}");
    assert_eq!(databases.target_value("select count(*) from long_row")?, "0");
    Ok(())
}
