//! Every row arrives, whatever types its columns have.

use anyhow::{Result, ensure};
use pgmig_tests::Pair;

/// Types of the extensions that come with the server, with tables and indexes of theirs.
pub(super) const EXTENSIONS: &str = r#"
    create schema ext;
    create extension hstore schema ext;
    create extension citext schema ext;
    create extension ltree schema ext;
    create extension cube schema ext;
    create extension seg schema ext;
    create extension isn schema ext;
    create extension intarray schema ext;
    create extension pg_trgm schema ext;
    create extension btree_gist schema ext;
    set search_path = public, ext;
    create table t_hstore (id int primary key, v hstore, w hstore[]);
    insert into t_hstore values (1, '"a b"=>"1", "c"=>NULL, ""=>""', array['x=>1'::hstore, null]), (2, '', '{}'), (3, null, null);
    create index on t_hstore using gin (v);
    create index on t_hstore using gist (v gist_hstore_ops (siglen = 32));
    create table t_citext (v citext primary key, w citext[]);
    insert into t_citext values ('AbC', '{X,NULL}'), ('', null), ('É', '{}');
    create table t_ltree (v ltree, w lquery, x ltxtquery, y ltree[]);
    insert into t_ltree values ('a.b.c', '*.b{1,2}.!c', 'a & b*@', '{a,b.c}'), ('', '*', 'x', '{}'), (null, null, null, null);
    create index on t_ltree using gist (v);
    create index on t_ltree (v);
    create table t_cube (v cube, w seg);
    insert into t_cube values ('(1,2),(3,-4e300)', '1 .. 2.50'), ('(0)', '~-1'), ('()', '< 3'), (null, null);
    create index on t_cube using gist (v);
    create index on t_cube using gist (w);
    create table t_isn (v isbn13, w ean13, x issn, y upc);
    insert into t_isn values ('978-0-393-04002-9', '0220356483481', '1436-4522', '220356483481'), (null, null, null, null);
    create table t_intarray (v int[]);
    insert into t_intarray values ('{3,1,2}'), ('{}'), (null);
    create index on t_intarray using gin (v gin__int_ops);
    create index on t_intarray using gist (v gist__intbig_ops (siglen = 64));
    create table t_trgm (v text);
    insert into t_trgm select 'some words ' || g from generate_series(1, 100) g;
    create index on t_trgm using gin (v gin_trgm_ops);
    create table t_gist (room int, during daterange, exclude using gist (room with =, during with &&));
    insert into t_gist values (1, '[2020-01-01,2020-02-01)'), (1, '[2020-02-01,2020-03-01)');
    create type holds as (h hstore, c citext[]);
    create table t_holds (v holds, w holds[]);
    insert into t_holds values (row('a=>b', '{X}'), array[row(null, null)::holds]), (null, null);"#;

#[test]
fn values_of_every_type_arrive_and_have_equal_checksums() -> Result<()> {
    let databases = Pair::shared()?.databases("types")?;
    databases.pair().source.load_types(databases.name())?;
    let rows = databases.migrate_and_match(r#"{"validation": "checksum"}"#)?;
    ensure!(
        rows.iter().all(|row| row.source_checksum.is_some()),
        "checksums are missing: {rows:?}"
    );
    databases.expect_same_data()?;
    databases.expect_same_lines()?;
    let texts = "select count(*) filter (where format = 'text' and table_name like 'text\\_%'
                     and reason like 'column \"forces_text\": type aclitem has no binary form')
                     || ' ' || count(*) filter (where format = 'binary')
                 from pgmig.tables";
    let texts = databases.target_value(texts)?;
    let (forced, binary) = texts.split_once(' ').unwrap_or_default();
    ensure!(forced.parse::<i32>()? > 25 && binary.parse::<i32>()? > 25, "text, binary: {texts}");
    Ok(())
}

#[test]
fn values_arrive_in_binary_where_no_checksum_needs_their_bytes() -> Result<()> {
    let databases = Pair::shared()?.databases("types_binary")?;
    databases.pair().source.load_types(databases.name())?;
    databases.migrate_and_match("{}")?;
    databases.expect_same_data()?;
    let format = "select string_agg(format, ' ' order by table_name) from pgmig.tables
                  where table_name in ('t_array', 't_composite', 't_range')";
    assert_eq!(databases.target_value(format)?, "binary binary binary");
    Ok(())
}

#[test]
fn columns_in_another_order_on_an_existing_target_get_their_values() -> Result<()> {
    let databases = Pair::shared()?.databases("types_order")?;
    databases.execute_on_source(
        "create table public.t (a int, gone int, b text, c timestamptz, g int generated always as (a + 1) stored);
         alter table public.t drop column gone;
         insert into public.t (a, b, c) select g, 'b' || g, to_timestamp(g) from generate_series(1, 1000) g",
    )?;
    databases.execute_on_target(
        "create table public.t (
             c timestamptz, x int, g int generated always as (a + 1) stored, b text, extra text default 'e', a int);
         alter table public.t drop column x;
         insert into public.t (a) values (-1)",
    )?;
    for validation in ["rows", "checksum"] {
        let options = format!(r#"{{"overwrite": true, "validation": "{validation}"}}"#);
        databases.migrate_and_match(&options)?;
        let values = "select count(*), count(*) filter (where b = 'b' || a and g = a + 1
                          and c = to_timestamp(a) and extra = 'e'), sum(a) from public.t";
        assert_eq!(databases.target_value(values)?, "1000|1000|500500");
    }
    Ok(())
}

#[test]
fn types_and_indexes_of_extensions_arrive() -> Result<()> {
    let databases = Pair::shared()?.databases("types_extensions")?;
    // Other OIDs than on the source.
    databases.execute_on_target("create type public.shift as enum ()")?;
    databases.execute_on_source(EXTENSIONS)?;
    databases.migrate_and_match(r#"{"validation": "checksum"}"#)?;
    databases.expect_same_data()?;
    databases.expect_same_lines()?;
    databases.execute_on_target("drop type public.shift")?;
    databases.expect_same_schema()
}
