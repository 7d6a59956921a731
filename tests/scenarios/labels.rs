//! Security labels, by a provider that takes any.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use pgmig_tests::{ClusterOptions, Installation, Pair, run};

/// Everything that can have a label, and the databases and roles themselves.
const LABELLED: &str = r#"
    create role "lab %el";
    create schema "s %";
    create table "s %"."t %" (id integer primary key, "c %" text);
    insert into "s %"."t %" values (1, 'x');
    create sequence q;
    create view v as select 1 as a;
    create materialized view m as select 1 as a;
    create function f(integer) returns integer language sql as 'select 1';
    create procedure p(integer) language sql as 'select 1';
    create aggregate g(integer) (sfunc = int4pl, stype = integer);
    create type e as enum ('a');
    create type composite as (a integer);
    create domain d as integer;
    create foreign data wrapper w;
    create server s foreign data wrapper w;
    create foreign table ft (a integer) server s;
    create publication pub;
    create subscription sub connection 'host=nowhere.invalid' publication pub
        with (connect = false, slot_name = none);
    create function on_ddl() returns event_trigger language plpgsql as $$ begin end $$;
    create event trigger et on ddl_command_end execute function on_ddl();
    create trusted language l handler plpgsql_call_handler;
    select lo_create(77);
    security label on role "lab %el" is 'a role''s 100%';
    security label on database labels is 'a database';
    security label on schema "s %" is 's';
    security label on schema public is 'public';
    security label on table "s %"."t %" is 'table \ "';
    security label on column "s %"."t %"."c %" is 'column';
    security label on sequence q is 'q';
    security label on view v is 'v';
    security label on column v.a is 'v.a';
    security label on materialized view m is 'm';
    security label on function f(integer) is 'f';
    security label on procedure p(integer) is 'p';
    security label on aggregate g(integer) is 'g';
    security label on type e is 'e';
    security label on type composite is 'composite';
    security label on domain d is 'd';
    security label on foreign table ft is 'ft';
    security label on publication pub is 'pub';
    security label on subscription sub is 'sub';
    security label on event trigger et is 'et';
    security label on language l is 'l';
    security label on large object 77 is 'lo'"#;

/// All labels of the database and its cluster.
const LABELS: &str = "
    select objtype, objnamespace::regnamespace, objname, provider, label
    from pg_catalog.pg_seclabels
    order by 1, 2, 3";

/// Builds the provider for the server of an installation; returns the library.
fn build_provider(installation: &Installation) -> Result<PathBuf> {
    let mut mktemp = Command::new("mktemp");
    let directory = PathBuf::from(run(mktemp.args(["-d", "-t", "pgmig-label-XXXXXX"]))?.trim());
    run(Command::new("chmod").arg("755").arg(&directory))?;
    let pg_config = installation.bin_dir().join("pg_config");
    let headers = run(Command::new(pg_config).arg("--includedir-server"))?;
    let library = directory.join("label.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-I", headers.trim(), "-o"]).arg(&library);
    run(compiler.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/support/label.c")))?;
    Ok(library)
}

#[test]
fn labels_of_every_class_arrive() -> Result<()> {
    let installation = Installation::of_extension()?;
    let library = build_provider(&installation)?;
    let options = |side| {
        ClusterOptions::new(installation.clone(), &format!("labels-{side}"))
            .setting("shared_preload_libraries", &library.to_string_lossy())
    };
    let pair = Pair::start(options("source"), options("target"))?;
    let databases = pair.databases("labels")?;
    for statement in LABELLED.split(";\n") {
        databases.execute_on_source(statement)?;
    }
    let read = || {
        let source = pair.source.psql("labels", LABELS)?;
        anyhow::Ok((source, pair.target.psql("labels", LABELS)?))
    };
    databases.migrate_and_match(r#"{"security_labels": false}"#)?;
    let (source, target) = read()?;
    assert_eq!((source.lines().count(), target.as_str()), (22, ""));
    let options = r#"{"roles": true, "database_properties": true}"#;

    databases.migrate_and_match(options)?;
    let (source, target) = read()?;
    assert_eq!(source, target);
    for sql in ["drop subscription sub", "drop event trigger et"] {
        databases.execute_on_source(sql)?;
        databases.execute_on_target(sql)?;
    }
    ensure!(std::fs::remove_dir_all(library.with_file_name("")).is_ok(), "the library stays");
    Ok(())
}
