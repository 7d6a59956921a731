//! The harness itself: a comparison that finds nothing must be able to find something.

use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use anyhow::Result;
use pgmig_tests::compare::{compare_data, compare_schema};
use pgmig_tests::{Cluster, ClusterOptions, Databases, Installation, Pair, StopMode, eventually};

/// A table, a sequence, a large object and a view that print the same on both sides.
const SCHEMA: &str = r#"
    create schema "odd "" schema";
    create table "odd "" schema"."T.1" (b text, "a ""x" int, gone int, f float8, t timestamptz);
    alter table "odd "" schema"."T.1" drop column gone;
    insert into "odd "" schema"."T.1" values ('x', 1, 0.1, '2024-01-01 00:00:00+00'), ('x', 1, 0.1, null), (null, null, null, null);
    create table no_columns ();
    insert into no_columns default values;
    create sequence s;
    select nextval('s');
    select lo_from_bytea(4711, 'content');
    create materialized view m as select 1 as one;"#;

fn databases(name: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.plain_databases(name)?;
    databases.execute_on_source(SCHEMA)?;
    databases.execute_on_target(SCHEMA)?;
    Ok(databases)
}

/// What the comparison says after `sql` ran on the target alone.
fn data_difference_after(name: &str, sql: &str) -> Result<String> {
    let databases = databases(name)?;
    databases.execute_on_target(sql)?;
    let differences = compare_data(&mut databases.source()?, &mut databases.target()?)?;
    Ok(differences.join("\n"))
}

#[test]
fn equal_databases_compare_equal_whatever_their_defaults() -> Result<()> {
    let databases = databases("equal")?;
    databases.execute_on_target(
        "alter database equal set datestyle = 'German';
        alter database equal set timezone = 'Asia/Kolkata';
        alter database equal set extra_float_digits = -5",
    )?;
    databases.expect_same_data()?;
    databases.execute_on_target("alter database equal reset all")?;
    databases.expect_same_schema()
}

#[test]
fn a_changed_value_is_shown() -> Result<()> {
    let difference = data_difference_after(
        "changed",
        r#"update "odd "" schema"."T.1" set f = 0.2 where t is null"#,
    )?;
    assert!(difference.contains("3 rows on the source, 3 on the target"), "{difference}");
    assert!(
        difference.contains("- (1,x,0.1,)") && difference.contains("+ (1,x,0.2,)"),
        "{difference}"
    );
    Ok(())
}

#[test]
fn a_duplicate_instead_of_another_row_is_found() -> Result<()> {
    let difference = data_difference_after(
        "duplicate",
        r#"update "odd "" schema"."T.1" set b = 'x', "a ""x" = 1, f = 0.1 where b is null"#,
    )?;
    assert!(difference.contains("T.1"), "{difference}");
    Ok(())
}

#[test]
fn differing_sequences_large_objects_and_tables_are_found() -> Result<()> {
    let difference = data_difference_after(
        "others",
        "select setval('s', 1, false); select lo_put(4711, 0, 'C'); drop table no_columns; create table extra (x int)",
    )?;
    assert!(difference.contains("sequence public.s: 1 rows"), "{difference}");
    assert!(difference.contains("large objects: 1 rows"), "{difference}");
    assert!(
        difference.contains("table public.no_columns (): missing on the target"),
        "{difference}"
    );
    assert!(
        difference.contains("table public.extra (\"x\"): missing on the source"),
        "{difference}"
    );
    Ok(())
}

#[test]
fn a_differing_schema_is_shown() -> Result<()> {
    let databases = databases("schema")?;
    databases.execute_on_target("alter sequence s cache 5")?;
    let pair = databases.pair();
    let difference = compare_schema((&pair.source, "schema"), (&pair.target, "schema"))?;
    assert!(
        difference.contains("-    CACHE 1;") && difference.contains("+    CACHE 5;"),
        "{difference}"
    );
    Ok(())
}

#[test]
fn an_index_that_is_not_valid_is_found() -> Result<()> {
    let databases = databases("invalid_index")?;
    let parts = "create table parts (k int) partition by list (k);
        create table parts_1 partition of parts for values in (1);
        create index parts_k on only parts (k);
        create index parts_1_k on parts_1 (k);";
    databases
        .execute_on_source(&format!("{parts} alter index parts_k attach partition parts_1_k"))?;
    databases.execute_on_target(parts)?;
    let pair = databases.pair();
    let name = databases.name();
    let difference = compare_schema((&pair.source, name), (&pair.target, name))?;
    assert!(difference.contains("+invalid: parts_k"), "{difference}");
    Ok(())
}

#[test]
fn a_cluster_takes_settings_restarts_and_authenticates_over_tcp() -> Result<()> {
    let cluster = ClusterOptions::new(Installation::of_extension()?, "options")
        .locale("LATIN1", "C")
        .setting("application_name", "it's")
        .tcp_auth("scram-sha-256")
        .start()?;
    cluster.execute("postgres", "create role app login password 'pass''word'")?;
    assert_eq!(cluster.psql("postgres", "show application_name")?.trim(), "psql");
    assert_eq!(cluster.psql("postgres", "show server_encoding")?.trim(), "LATIN1");
    let connect = |password| {
        let dsn = cluster.tcp_dsn("postgres", "app", password);
        postgres::Client::connect(&dsn, postgres::NoTls).map(drop)
    };
    connect("pass'word")?;
    assert!(connect("password").is_err());
    cluster.stop(StopMode::Immediate)?;
    assert!(cluster.client("postgres").is_err());
    cluster.start()?;
    assert!(cluster.log()?.contains("not properly shut down"));
    Ok(())
}

#[test]
fn a_dropped_cluster_leaves_neither_server_nor_directory() -> Result<()> {
    let cluster = ClusterOptions::new(Installation::of_extension()?, "dropped").start()?;
    let (pid, directory) = (cluster.postmaster_pid()?, cluster.directory().to_owned());
    drop(cluster);
    assert!(!directory.exists());
    assert!(!is_alive(pid));
    Ok(())
}

/// Set for the second incarnation of this program, which the test below kills.
const VICTIM: &str = "PGMIG_TESTS_VICTIM";

#[test]
fn a_killed_process_leaves_neither_server_nor_directory() -> Result<()> {
    if let Some(file) = std::env::var_os(VICTIM) {
        let cluster: Cluster =
            ClusterOptions::new(Installation::of_extension()?, "victim").start()?;
        fs::write(
            file,
            format!("{}\n{}", cluster.postmaster_pid()?, cluster.directory().display()),
        )?;
        thread::sleep(Duration::from_secs(600));
    }
    let file = std::env::temp_dir().join(format!("pgmig-victim-{}", std::process::id()));
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "harness::a_killed_process_leaves_neither_server_nor_directory"])
        .env(VICTIM, &file)
        .spawn()?;
    let started = eventually("the victim's server runs", || {
        Ok(fs::read_to_string(&file).is_ok_and(|text| text.contains('/')))
    });
    victim.kill()?;
    victim.wait()?;
    started?;
    let text = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    let (pid, directory) = text.split_once('\n').expect("the file has two lines");
    let pid = pid.parse()?;
    eventually("neither server nor directory is left", || {
        Ok(!is_alive(pid) && !fs::exists(directory).unwrap_or(true))
    })
}

/// Whether a process exists that has not ended; ended ones may wait for a parent that never asks.
fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
