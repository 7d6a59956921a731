//! Foreign keys of every kind that pgmig checks by itself, and of some that it leaves to the server.

use anyhow::{Result, ensure};
use pgmig_tests::{Databases, Pair};

/// A key of each kind over 50,000 rows, many of them NULL in part; partitions have their columns in
/// another order than the partitioned table.
const KINDS: &str = r#"
    create collation any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create domain code as varchar(80);
    create table pair (i int8, "l ine" int4, x text, primary key (i, "l ine"));
    insert into pair select g / 5, g % 5, 'x' || g from generate_series(0, 19999) g;
    create table wide (x text, u uuid, i int8, n int2, primary key (u, i));
    insert into wide select g, md5(g::text)::uuid, g, g % 1000 from generate_series(0, 19999) g;
    create table word (id int unique, t text primary key, long text unique, v varchar(80), unique (v, id));
    insert into word
    select g, 'Word ' || g, md5(g::text) || repeat('l', 250) || g, 'v' || g from generate_series(0, 9999) g;
    create table cased (t text collate any_case primary key);
    insert into cased select 'Word ' || g from generate_series(0, 9999) g;
    create table device (at int, id int, name text, primary key (id)) partition by range (id);
    create table device_1 partition of device for values from (0) to (500);
    create table device_2 (name text, gone text, id int not null, at int);
    alter table device_2 drop column gone;
    alter table device attach partition device_2 for values from (500) to (1000);
    insert into device select g, g, 'device ' || g from generate_series(0, 999) g;

    create table of_pair (x int, "l ine" int4, i int8, foreign key (i, "l ine") references pair);
    insert into of_pair select g, nullif(g % 5, 4), nullif(g * 7919 % 4000, 5) from generate_series(1, 50000) g;
    insert into of_pair values (0, 77, null), (0, null, 77777777);
    create table of_wide (x int, u uuid, i int8, foreign key (u, i) references wide (u, i));
    insert into of_wide select g, md5((g % 20000)::text)::uuid, g % 20000 from generate_series(1, 50000) g;
    create table of_word (x int, t text references word (t));
    insert into of_word select g, 'Word ' || nullif(g % 10000, 7) from generate_series(1, 50000) g;
    create table of_long (x int, t varchar references word (long));
    insert into of_long select g, md5((g % 10000)::text) || repeat('l', 250) || g % 10000
    from generate_series(1, 50000) g;
    create table of_code (x int, v code, id int8, foreign key (v, id) references word (v, id));
    insert into of_code select g, 'v' || g % 10000, g % 10000 from generate_series(1, 50000) g;
    create table of_narrow (x int, id int2 references word (id));
    insert into of_narrow select g, g % 10000 from generate_series(1, 50000) g;
    create table of_device (x int, at int, device int references device) partition by list (at);
    create table of_device_1 partition of of_device for values in (0, 1);
    create table of_device_2 (device int, gone int, at int, x int);
    alter table of_device_2 drop column gone;
    alter table of_device attach partition of_device_2 for values in (2) ;
    create table of_device_3 partition of of_device for values in (3) partition by range (x);
    create table of_device_3_1 partition of of_device_3 default;
    insert into of_device select g, g % 4, nullif(g % 1000, 0) from generate_series(1, 50000) g;
    create table of_some (x int, t text references word (t));
    insert into of_some select g, 'Word ' || g from generate_series(1, 5000) g;
    create table of_few (x int, t text references word (t));
    insert into of_few select g, 'Word ' || g from generate_series(1, 500) g;
    create table of_cased (x int, t text collate any_case references cased);
    insert into of_cased select g, 'WORD ' || g % 10000 from generate_series(1, 50000) g;
    create table of_full (x int, i int8, l int4, foreign key (i, l) references pair match full);
    insert into of_full select g, g % 4000, g % 5 from generate_series(1, 50000) g;
    create table of_date (x int, d date);
    create table stamp (t timestamp primary key);
    insert into stamp select timestamp '2000-01-01' + g * interval '1 day' from generate_series(0, 9999) g;
    insert into of_date select g, date '2000-01-01' + g % 10000 from generate_series(1, 50000) g;
    alter table of_date add foreign key (d) references stamp;
    create table stored (t text primary key);
    insert into stored select repeat(g::text, 3000) from generate_series(1, 40) g;
    create table of_stored (x int, t text references stored);
    insert into of_stored select g, repeat((1 + g % 40)::text, 3000) from generate_series(1, 2000) g;
"#;

/// Tables with keys that are left to the server: texts whose bytes do not tell, `match full`, two types,
/// few rows beside many, compressed values.
const SERVERS: [&str; 5] = ["of_cased", "of_date", "of_few", "of_full", "of_stored"];

/// What makes one row of a table an orphan: one number higher, another half of a pair, another case, a
/// trailing blank, another last byte.
const ORPHANS: [(&str, &str); 15] = [
    ("of_pair", "i = 4000, \"l ine\" = 0"),
    ("of_pair", "i = 17, \"l ine\" = 5"),
    ("of_pair", "i = -1, \"l ine\" = 0"),
    ("of_wide", "i = i + 1"),
    ("of_wide", "u = md5('x')::uuid"),
    ("of_word", "t = 'word 5'"),
    ("of_word", "t = 'Word 5 '"),
    ("of_long", "t = overlay(t placing '_' from length(t))"),
    ("of_code", "v = 'v1'"),
    ("of_narrow", "id = -1"),
    ("of_device", "device = 1000"),
    ("of_some", "t = ''"),
    ("of_few", "t = ''"),
    ("of_cased", "t = 'WORD'"),
    ("of_full", "i = null"),
];

fn databases_of_kinds(name: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source(KINDS)?;
    Ok(databases)
}

#[test]
fn keys_of_every_kind_are_checked_without_a_query_over_their_rows() -> Result<()> {
    let databases = databases_of_kinds("kinds")?;
    databases.migrate(r#"{"validation": "none"}"#)?;
    databases.expect_same_schema()?;
    // What counts is a query's rows: attaching a partition is a scan too, of none.
    let queried = databases.target_lines(
        "select relname from pg_stat_user_tables where relname ~ '^of_' and seq_tup_read > 0 order by 1",
    )?;
    ensure!(queried == SERVERS, "{queried:?}");
    let invalid = databases.target_value(
        "select count(*) || ' ' || count(*) filter (where not convalidated) from pg_constraint where contype = 'f'",
    )?;
    let all = databases
        .source()?
        .query_one("select count(*) from pg_constraint where contype = 'f'", &[])?
        .get::<_, i64>(0);
    ensure!(invalid == format!("{all} 0"), "{invalid} of {all}");
    for (table, _) in ORPHANS {
        let insert = match table {
            "of_pair" => "insert into of_pair values (0, 0, 4000)",
            "of_wide" => "insert into of_wide select 0, u, i + 1 from wide limit 1",
            "of_word" => "insert into of_word values (0, 'word 5')",
            "of_device" => "insert into of_device values (0, 2, 1000)",
            _ => continue,
        };
        ensure!(databases.execute_on_target(insert).is_err(), "{insert}: an orphan got in");
    }
    let delete = databases.execute_on_target("delete from device where id = 777");
    ensure!(delete.is_err(), "a referenced row was deleted");
    Ok(())
}

#[test]
fn one_orphan_among_many_rows_is_found_and_reported_by_the_server() -> Result<()> {
    let databases = databases_of_kinds("kinds_orphans")?;
    for (table, change) in ORPHANS {
        databases.execute_on_source(&format!(
            "set session_replication_role = replica;
             drop table if exists kept;
             create unlogged table kept as select * from {table} where x = 302;
             update {table} set {change} where x = 302;"
        ))?;
        let error = databases.migrate_in_vain(r#"{"drop_existing_tables": true}"#)?;
        ensure!(error.code().code() == "23503", "{table} {change}: {error}");
        ensure!(error.message().contains(table), "{table} {change}: {error}");
        databases.execute_on_source(&format!(
            "set session_replication_role = replica;
             delete from {table} where x = 302;
             insert into {table} select * from kept;
             drop table kept;"
        ))?;
    }
    databases.migrate_and_match(r#"{"drop_existing_tables": true}"#)?;
    Ok(())
}
