//! A source that lies gets a clear error, and the target's server lives on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgmig_tests::aftermath::{expect_nothing_left, processes};
use pgmig_tests::liar::{ENDLESS, Liar, Lie};
use pgmig_tests::memory::{highest_kib, watch};
use pgmig_tests::{ClusterOptions, Databases, Installation, Pair, eventually};
use postgres::Client;

/// Longest time for a call: far more than it takes, far less than for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// A few tables with all that a copy reads.
const SCHEMA: &str = "
    create table short (id int primary key, name text);
    insert into short select i, 'name ' || i from generate_series(1, 1000) i;
    create table \"long\nand 'quoted\" (id serial, \"a\"\"b\" text);
    insert into \"long\nand 'quoted\" (\"a\"\"b\") select repeat('x', 5000) from generate_series(1, 200);
    create view v as select name from short;
    analyze";

/// The options of every call.
const OPTIONS: &str =
    r#"{"retries": 0, "jobs": 1, "overwrite": true, "drop_existing_tables": true}"#;

/// A pair of their own, so that a crash is theirs alone.
fn hostile_pair() -> Result<Pair> {
    let installation = Installation::of_extension()?;
    let options = |name| ClusterOptions::new(installation.clone(), name);
    Pair::start(options("lying"), options("doubting"))
}

/// Waits for the end of a coordinator, which outlives its run: it may have a last word for the source,
/// and much memory to give back.
fn expect_no_coordinator(target: &mut Client) -> Result<()> {
    eventually("no coordinator is left", || Ok(processes(target, "pgmig coordinator")?.is_empty()))
}

/// Has the liar tell one lie during a call; returns the call's error, if it has one, as SQLSTATE and
/// text.
fn lie_once(
    databases: &Databases<'_>,
    liar: &Liar,
    (lie, number, tag): (Lie, usize, Option<u8>),
) -> Result<Option<(String, String)>> {
    let what = format!("{:?} at message {number} of type {tag:?}", shorten(&lie));
    let mut target = databases.target().with_context(|| what.clone())?;
    expect_no_coordinator(&mut target).with_context(|| what.clone())?;
    liar.plan(lie, number, tag);
    let dsn = format!(
        "host=127.0.0.1 port={} dbname={} user=postgres sslmode=disable connect_timeout=10",
        liar.port(),
        databases.name()
    );
    let begun = Instant::now();
    target.batch_execute("drop schema public cascade; create schema public")?;
    let outcome =
        target.query("select * from pgmig.migrate($1, $2::text::jsonb)", &[&dsn, &OPTIONS]);
    ensure!(begun.elapsed() < PATIENCE, "{what} took {:?}", begun.elapsed());
    let Err(error) = outcome else {
        return Ok(None);
    };
    let error = error.as_db_error().with_context(|| format!("{what}: no ERROR but {error:?}"))?;
    let sqlstate = error.code().code().to_owned();
    let text = format!("{} {:?} {:?}", error.message(), error.detail(), error.hint());
    ensure!(sqlstate != "XX000" && !text.contains("internal error"), "{what}: {sqlstate} {text}");
    Ok(Some((sqlstate, text)))
}

/// Fails unless the target's server has been running all the time.
fn expect_no_crash(databases: &Databases<'_>, postmaster: u32) -> Result<()> {
    let target = &databases.pair().target;
    ensure!(target.postmaster_pid()? == postmaster, "the target's server was started again");
    let log = target.log()?;
    for sign in ["terminated by signal", "was terminated", "panicked", "PANIC", "crash"] {
        let line = log.lines().find(|line| line.contains(sign));
        ensure!(line.is_none(), "{}", line.unwrap_or_default());
    }
    expect_nothing_left(databases)
}

#[test]
fn every_kind_of_lie_is_an_error_and_never_a_crash_or_a_hang() -> Result<()> {
    let pair = hostile_pair()?;
    let databases = pair.databases("hostile_kinds")?;
    databases.execute_on_source(SCHEMA)?;
    let postmaster = pair.target.postmaster_pid()?;
    let liar = Liar::in_front_of(&pair.source)?;
    let notice = b"N\0\0\0\x09SX\0\0\0".to_vec();
    let error = b"E\0\0\0\x1dSERROR\0C22012\0M\x1b[31mred\0\0".to_vec();
    let ready = b"Z\0\0\0\x05I".to_vec();
    for (lie, number, tag, expected) in [
        // During the login.
        (Lie::Tag(b'!'), 0, None, "as PostgreSQL does"),
        (Lie::Length(i32::MAX), 0, None, ""),
        (Lie::Start(&[0, 0, 0, 7]), 0, Some(b'R'), "GSSAPI"),
        (Lie::Half, 3, None, ""),
        (Lie::Endless, 1, Some(b'S'), ""),
        (Lie::Before(notice.repeat(200_000)), 2, None, ""),
        // While the catalog is read.
        (Lie::Length(-1), 20, Some(b'D'), "protocol"),
        (Lie::Length(3), 20, Some(b'C'), "protocol"),
        (Lie::Length(0x7fff_fff0), 20, Some(b'T'), "protocol"),
        (Lie::Start(&[0, 9]), 20, Some(b'D'), "protocol"),
        (Lie::Start(&[0xff, 0xff]), 20, Some(b'D'), "protocol"),
        (Lie::Start(&[0, 1, 0x7f, 0xff, 0xff, 0xff]), 20, Some(b'D'), "protocol"),
        (Lie::Start(b"?"), 20, Some(b'Z'), "protocol"),
        (Lie::Before(error.clone()), 20, Some(b'C'), "\u{fffd}[31mred"),
        (Lie::Before([error.clone(), ready].concat()), 20, Some(b'C'), "red"),
        (Lie::Before(notice.repeat(200_000)), 20, Some(b'D'), "notices without end"),
        (Lie::Endless, 20, Some(b'C'), "without end"),
        (Lie::Tag(b'G'), 20, Some(b'T'), "protocol"),
        (Lie::Tag(b'd'), 20, Some(b'D'), "protocol"),
        // What is in the catalog. A session that only helps to read it may be lost without harm, but
        // tables are listed by the one that the run depends on.
        (Lie::HalfOf("\"short\""), 0, Some(b'D'), ""),
        (Lie::Replace("\"short\"", "\"shor\0t\""), 0, Some(b'D'), "zero byte"),
        (Lie::Replace("\"short\"", r#""\u0000short""#), 0, Some(b'D'), "zero byte"),
        (Lie::Replace("\"short\"", r#""short"{}"#), 0, Some(b'D'), "protocol"),
        (Lie::Replace("\"short\"", r#"["x", null]"#), 0, Some(b'D'), "protocol"),
        // While rows are copied.
        (Lie::Length(-5), 0, Some(b'd'), "protocol"),
        (Lie::Length(4), 10, Some(b'd'), ""),
        (Lie::Half, 30, Some(b'd'), ""),
        (Lie::Twice, 0, Some(b'H'), "protocol"),
        (Lie::Drop, 0, Some(b'c'), ""),
        (Lie::Before(error), 20, Some(b'd'), "red"),
        (Lie::Tag(b'D'), 20, Some(b'd'), "protocol"),
    ] {
        let what = format!("{:?} at {number} of {tag:?}", shorten(&lie));
        let error = lie_once(&databases, &liar, (lie, number, tag))?;
        ensure!(liar.outcome().0, "{what} was never told");
        let (_, text) = error.with_context(|| format!("{what} was believed"))?;
        // The answer to the first question of a session may be the one.
        let is_told = text.contains(expected)
            || expected == "protocol" && text.contains("does not answer as PostgreSQL does");
        ensure!(is_told, "{what}: {text}");
    }
    expect_no_crash(&databases, postmaster)?;
    // The truth still works.
    ensure!(lie_once(&databases, &liar, (Lie::Drop, usize::MAX, None))?.is_none());
    databases.expect_same_data()
}

/// A lie without its bytes.
fn shorten(lie: &Lie) -> Lie {
    match lie {
        Lie::Before(bytes) => Lie::Before(bytes[..bytes.len().min(16)].to_vec()),
        Lie::Flood(bytes, limit) => Lie::Flood(bytes[..bytes.len().min(16)].to_vec(), *limit),
        other => other.clone(),
    }
}

#[test]
fn a_lie_at_any_message_leaves_the_target_running() -> Result<()> {
    let pair = hostile_pair()?;
    let databases = pair.databases("hostile_places")?;
    databases.execute_on_source(SCHEMA)?;
    let postmaster = pair.target.postmaster_pid()?;
    let liar = Liar::in_front_of(&pair.source)?;
    ensure!(lie_once(&databases, &liar, (Lie::Drop, usize::MAX, None))?.is_none());
    let total = liar.outcome().1;
    let lies = [
        Lie::Drop,
        Lie::Twice,
        Lie::Half,
        Lie::Length(0x10000),
        Lie::Tag(b'C'),
        Lie::Tag(b'Z'),
        Lie::Replace(":", ":-9223372036854775808"),
        Lie::Replace(":", ":9223372036854775807"),
        Lie::Replace(":", ":null, \"x\":"),
        Lie::Replace("\"name\":\"", "\"name\":\"\"\";drop/**/table/**/short;--"),
    ];
    for (i, lie) in lies.iter().cycle().take(24).enumerate() {
        // Spread over all messages, more of them near the beginning.
        let number = total * i * i / 576;
        lie_once(&databases, &liar, (lie.clone(), number, None))?;
    }
    expect_no_crash(&databases, postmaster)?;
    ensure!(
        databases.source()?.query_one("select count(*) from short", &[])?.get::<_, i64>(0) == 1000
    );
    ensure!(lie_once(&databases, &liar, (Lie::Drop, usize::MAX, None))?.is_none());
    databases.expect_same_data()
}

/// A message.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    [&[tag][..], &length, body].concat()
}

/// A row of so many NULLs.
fn nulls(count: u16) -> Vec<u8> {
    let nulls = vec![0xff; 4 * usize::from(count)];
    message(b'D', &[&count.to_be_bytes()[..], &nulls].concat())
}

#[test]
fn a_source_that_never_ends_takes_a_bounded_part_of_the_targets_memory() -> Result<()> {
    let pair = hostile_pair()?;
    let databases = pair.databases("hostile_memory")?;
    databases.execute_on_source(
        "create table short (a text, b text); insert into short select i, i from generate_series(1, 9) i;
         analyze",
    )?;
    let postmaster = pair.target.postmaster_pid()?;
    let liar = Liar::in_front_of(&pair.source)?;
    // Of a table there may be any number of rows, so these come to an end: two columns, both NULL.
    let row = message(b'd', &[0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let report = message(b'S', b"a\0b\0");
    for (lie, number, tag, expected, limit_mib) in [
        (Lie::Flood(message(b'N', b"SX\0\0"), ENDLESS), 20, b'D', "notices without end", 64),
        (Lie::Flood(report, ENDLESS), 20, b'D', "notices without end", 64),
        (Lie::Flood(message(b'C', b"SELECT 1\0"), ENDLESS), 20, b'D', "without end", 64),
        (Lie::Flood(nulls(1), ENDLESS), 3, b'D', "without end", 400),
        (Lie::Flood(nulls(1600), ENDLESS), 20, b'D', "without end", 400),
        (Lie::Endless, 3, b'D', "without end", 600),
        // Two sessions may read the catalogs by then, each of which may ask two questions at once.
        (Lie::Endless, 20, b'D', "without end", 1300),
        (Lie::Endless, 200, b'D', "without end", 1300),
        (Lie::Flood(row, 32 << 20), 0, b'd', "closed the connection", 96),
    ] {
        let what = format!("{:?} at {number}", shorten(&lie));
        // What is seen has to be of this run.
        expect_no_coordinator(&mut databases.target()?)?;
        let (error, peaks) = watch(&pair.target, databases.name(), "^pgmig", || {
            lie_once(&databases, &liar, (lie, number, Some(tag)))
        })?;
        ensure!(liar.outcome().0, "{what} was never told");
        let (_, text) = error.with_context(|| format!("{what} was believed"))?;
        let highest_mib = highest_kib(&peaks) / 1024;
        println!("{highest_mib} MiB of {limit_mib} with {what}: {text}");
        ensure!(text.contains(expected), "{what}: {text}");
        ensure!(highest_mib < limit_mib, "{highest_mib} MiB with {what}");
    }
    expect_no_crash(&databases, postmaster)
}
