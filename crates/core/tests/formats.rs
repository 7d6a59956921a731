//! Binary format against a real server: what `plan::format` takes for granted.

mod support_ranges;

use std::io::{Read, Write};

use pgmig_core::source::binary_types::read_binary_types;
use support_ranges::{Cluster, Session};

/// Types of every kind that carries other types, and a table of them with a row.
const TYPES: &str = "
    create schema s;
    create type s.mood as enum ('a', 'b');
    create domain s.code as s.mood;
    create type s.pair as (m s.mood, l s.code[], t text);
    create type s.span as range (subtype = s.pair);
    create table s.t (
        a s.mood[], b s.pair, c s.pair[], d s.span, e s.span_multirange, f s.code[], g s.span[], h oid
    )";

const ROW: &str = "
    insert into s.t
    select array['a', 'b']::s.mood[], p, array[p, null], r, s.span_multirange(r), array['b']::s.code[],
        array[r], 4294967295
    from (select row('b', array['a'], 'x')::s.pair) a (p),
        lateral (select s.span(row('a', null, '')::s.pair, p)) b (r)";

fn execute(session: &mut Session, sql: &str) {
    session.client.batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
}

fn query_text(session: &mut Session, sql: &str) -> String {
    session.client.query_one(sql, &[]).unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0)
}

#[test]
fn user_types_travel_in_binary_though_their_oids_differ() {
    let cluster = Cluster::start();
    let mut admin = cluster.connect("postgres");
    execute(&mut admin, "create database source");
    execute(&mut admin, "create database target");
    let mut source = cluster.connect("source");
    let mut target = cluster.connect("target");
    execute(&mut target, "create table public.moves_the_oids (i int)");
    for session in [&mut source, &mut target] {
        execute(session, TYPES);
    }
    execute(&mut source, ROW);
    let oid = "select 's.mood'::regtype::oid::text";
    assert_ne!(query_text(&mut source, oid), query_text(&mut target, oid));

    let mut data = Vec::new();
    let mut out = source.client.copy_out("copy s.t to stdout (format binary)").expect("copy out");
    out.read_to_end(&mut data).expect("read");
    drop(out);
    let mut input = target.client.copy_in("copy s.t from stdin (format binary)").expect("copy in");
    input.write_all(&data).expect("write");
    assert_eq!(input.finish().expect("the server accepts foreign OIDs"), 1);

    let row = "select t::text from s.t";
    assert_eq!(query_text(&mut source, row), query_text(&mut target, row));
}

#[test]
fn a_server_tells_which_types_it_reads_in_binary() {
    let cluster = Cluster::start();
    let types = read_binary_types(&mut cluster.connect("postgres")).expect("read");
    for name in ["int4", "text", "oid", "interval", "money", "jsonb", "int2vector", "xid8"] {
        assert!(types.contains(name), "{name}");
    }
    for name in ["aclitem", "gtsvector", "_int4", "pg_class", "int4range"] {
        assert!(!types.contains(name), "{name}");
    }
}
