//! A schema with one of everything, read and replayed, must come out as pg_dump sees it.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/session.rs"]
mod session;

use cluster::Cluster;
use pgmig_core::ddl::{self, DdlOptions, Item, Section};
use pgmig_core::plan::order;
use pgmig_core::source::catalog;
use session::Session;

/// A schema with one of everything and hostile names.
const EVERYTHING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/sql/everything.sql");

/// How keys and unique constraints are made.
#[derive(Clone, Copy)]
enum Keys {
    Directly,
    OverTheirIndexes,
}

#[test]
fn a_replayed_schema_dumps_like_its_source() {
    let cluster = Cluster::start();
    cluster.output_of("psql", "postgres", &["-qc", "create database source"]);
    cluster.output_of("psql", "source", &["-qXv", "ON_ERROR_STOP=1", "-f", EVERYTHING]);
    let items = read_items(&cluster);
    assert_positions_hold(&items);
    let wanted = dump(&cluster, "source");
    for (target, keys) in [("direct", Keys::Directly), ("indexed", Keys::OverTheirIndexes)] {
        cluster.output_of("psql", "postgres", &["-qc", &format!("create database {target}")]);
        replay(&cluster, target, &items, keys);
        assert_same_lines(&wanted, &dump(&cluster, target));
    }
}

/// Reads the source and renders it in order.
fn read_items(cluster: &Cluster) -> Vec<Item> {
    let catalog = catalog::read(&mut Session::connect(&cluster.dsn("source"))).expect("no catalog");
    let options = DdlOptions::all(catalog.server.version_num);
    order::sort(ddl::render(&catalog, &options), &catalog.depends)
}

/// Checks that each item comes after all it needs, and its section after theirs.
fn assert_positions_hold(items: &[Item]) {
    assert!(items.iter().any(|item| item.section == Section::PostData));
    for (position, item) in items.iter().enumerate() {
        for &needed in &item.depends_on {
            assert!(needed < position, "{} comes before {}", item.object, items[needed].object);
            assert!(items[needed].section <= item.section, "{} is too early", item.object);
        }
    }
}

/// Runs the statements of all items.
fn replay(cluster: &Cluster, target: &str, items: &[Item], keys: Keys) {
    let mut client = postgres::Client::connect(&cluster.dsn(target), postgres::NoTls)
        .expect("could not connect");
    client
        .batch_execute("set search_path = ''; set check_function_bodies = off")
        .expect("could not set up the session");
    for item in items {
        let mut statements = item.create.clone();
        if let (Keys::OverTheirIndexes, Some(index), Some(constraint)) =
            (keys, &item.index_definition, &item.using_index)
        {
            statements = vec![index.clone(), constraint.clone()];
        }
        statements.extend(item.attributes.iter().map(|attribute| attribute.sql.clone()));
        for sql in statements {
            if let Err(error) = client.batch_execute(&sql) {
                panic!("{}: {:?} in {sql}", item.object, error.as_db_error());
            }
        }
    }
}

/// The schema as pg_dump prints it, without the lines that differ every time.
fn dump(cluster: &Cluster, database: &str) -> Vec<String> {
    cluster
        .output_of("pg_dump", database, &["--schema-only"])
        .lines()
        .filter(|line| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict "))
        .map(str::to_owned)
        .collect()
}

fn assert_same_lines(wanted: &[String], found: &[String]) {
    for (number, (wanted, found)) in wanted.iter().zip(found).enumerate() {
        assert_eq!(wanted, found, "line {}", number + 1);
    }
    assert_eq!(wanted.len(), found.len());
}
