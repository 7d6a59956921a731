//! Where the planner's statistics come from: the source, or ANALYZE.

use anyhow::{Result, ensure};
use pgmig_tests::{Databases, Pair};

/// Tables that were analyzed before a few of their rows were changed, and others.
const TABLES: &str = r#"
    create type "mo od" as enum ('sad', 'it''s "fine"', '{x}');
    create domain "d""om" as text;
    create schema "s.1";
    create table "s.1"."na""me" (
        "i d" int primary key, gone int, t text, m "mo od", d "d""om", n numeric(9, 2), j jsonb, u uuid, empty text,
        at timestamptz, f float8, b bytea, flag bool, p point)
        with (autovacuum_enabled = false);
    alter table "s.1"."na""me" drop column gone;
    insert into "s.1"."na""me"
    select g, 'it''s \ "' || g % 50 || '",' || repeat('x', g % 7), (enum_range(null::"mo od"))[g % 3 + 1],
        nullif('d' || g % 9, 'd4'), g / 3.0, jsonb_build_object('k', g % 20), md5(g::text)::uuid, null,
        timestamptz '2020-01-01' + g * interval '1 hour', case g % 5 when 0 then 'NaN' else g / 7.0 end,
        decode(md5((g % 30)::text), 'hex'), g % 2 = 0, point(g, 1)
    from generate_series(1, 5000) g;
    create index on "s.1"."na""me" (t);
    create table measured (id int, day date not null, v int) partition by range (day);
    create table measured_1 partition of measured for values from ('2020-01-01') to ('2021-01-01')
        with (autovacuum_enabled = false);
    create table measured_2 partition of measured for values from ('2021-01-01') to ('2022-01-01')
        with (autovacuum_enabled = false);
    insert into measured select g, date '2020-01-01' + g % 700, g % 10 from generate_series(1, 7000) g;
    create table outdated (id int, v int) with (autovacuum_enabled = false);
    insert into outdated select g, g % 4 from generate_series(1, 2000) g;
    create domain "ar rays" as text[];
    create table arrays (id int, a int[], d "ar rays", t tsvector, w text[] collate "C")
        with (autovacuum_enabled = false);
    insert into arrays
    select g, array[g % 3, null, g % 4], array['it''s', '"' || g % 5], to_tsvector('simple', 'it''s word' || g % 9),
        case when g % 6 > 0 then array['x' || g % 8] end
    from generate_series(1, 2000) g;
    create table expressive (id int, v text, w text) with (autovacuum_enabled = false);
    insert into expressive select g, 'V' || g % 5, 'w' || g % 50 from generate_series(1, 6000) g;
    create index "ex pr" on expressive (id, lower(v), w, (id % 10), (v || w) collate "C") where id > 100;
    create index on expressive using gin (to_tsvector('simple', v || ' ' || w));
    create table spans (id int, s int4range) with (autovacuum_enabled = false);
    insert into spans select g, int4range(g, g + 10) from generate_series(1, 2000) g;
    create table extended (a int, b int) with (autovacuum_enabled = false);
    insert into extended select g % 10, g % 20 from generate_series(1, 2000) g;
    create statistics both_columns on a, b from extended;
    create table never (id int, v int) with (autovacuum_enabled = false);
    insert into never select g, g % 6 from generate_series(1, 2000) g;
    create table half (id int, v int) with (autovacuum_enabled = false);
    insert into half select g, g % 6 from generate_series(1, 2000) g;"#;

/// Each with what the server counts of changes up to then.
const ANALYZE: &str =
    r#"analyze "s.1"."na""me", measured, outdated, arrays, expressive, spans, extended, half"#;
const COUNT: &str = "select pg_stat_force_next_flush()";

/// Changes of which the statistics know nothing: few rows, and many.
const CHANGES: &str = r#"
    update "s.1"."na""me" set t = 'changed', flag = null where "i d" <= 200;
    update measured set v = 11 where id <= 300;
    update outdated set v = 5 where id <= 1500;
    update arrays set id = 1 where id <= 100;
    update expressive set v = 'W' where id <= 100;
    update spans set id = 1 where id <= 100;
    update extended set a = 77 where a = 1;
    update half set v = 7 where id <= 100;"#;

/// What is known of every column.
const KNOWN: &str = "
    select s.schemaname || '.' || s.tablename || '.' || s.attname || ' ' || to_jsonb(s)
    from pg_stats s
    where s.schemaname in ('public', 's.1')
    order by 1";

fn databases(name: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    let mut source = databases.source()?;
    for sql in [TABLES, COUNT, ANALYZE, CHANGES, COUNT] {
        source.batch_execute(sql)?;
    }
    Ok(databases)
}

/// The lines about tables.
fn known_of<'l>(lines: &'l [String], tables: &[&str]) -> Vec<&'l str> {
    let is_wanted = |line: &&str| tables.iter().any(|table| line.starts_with(&format!("{table}.")));
    lines.iter().map(String::as_str).filter(is_wanted).collect()
}

#[test]
fn statistics_come_from_the_source_where_they_hold() -> Result<()> {
    let databases = databases("statistics")?;
    databases.migrate_and_match(r#"{"where": {"half": "id > 1000"}}"#)?;
    let rows = databases.source()?.query(KNOWN, &[])?;
    let source: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let target = databases.target_lines(KNOWN)?;
    let copied = [
        "s.1.na\"me",
        "public.measured",
        "public.measured_1",
        "public.measured_2",
        "public.arrays",
        "public.expressive",
        "public.ex pr",
        "public.expressive_to_tsvector_idx",
    ];
    assert_eq!(known_of(&source, &copied).len(), 13 + 3 * 3 + 5 + 3 + 3 + 1);
    let differing: Vec<_> = known_of(&source, &copied)
        .into_iter()
        .filter(|line| !target.contains(&(*line).to_owned()))
        .collect();
    ensure!(differing.is_empty(), "{differing:#?}");
    for table in ["outdated", "spans", "extended", "never", "half"] {
        let table = format!("public.{table}");
        let (there, here) = (known_of(&source, &[&table]), known_of(&target, &[&table]));
        ensure!(!here.is_empty(), "nothing is known of {table}");
        ensure!(there != here, "{table} has been analyzed");
    }
    // Operators and collations are those of ANALYZE, and so are rows and pages; a new GIN index counts its entries.
    let details = r#"
        select c.relname || ' ' || case when a.amname = 'gin' then 0 else c.reltuples::int end || ' ' || c.relpages || coalesce(' ' || s.staattnum || ' ' || jsonb_build_array(
            s.stakind1, s.staop1, s.stacoll1, s.stakind2, s.staop2, s.stacoll2, s.stakind3, s.staop3, s.stacoll3,
            s.stakind4, s.staop4, s.stacoll4, s.stakind5, s.staop5, s.stacoll5), '')
        from pg_class c left join pg_am a on a.oid = c.relam left join pg_statistic s on s.starelid = c.oid
        where c.relname in ('na"me', 'measured', 'measured_1', 'measured_2', 'na"me_pkey', 'na"me_t_idx',
            'arrays', 'expressive', 'ex pr', 'expressive_to_tsvector_idx')
        order by 1"#;
    let copied = databases.target_lines(details)?;
    databases.execute_on_target(r#"analyze "s.1"."na""me", measured, arrays, expressive"#)?;
    let analyzed = databases.target_lines(details)?;
    let shape = |line: &String| line.split(' ').map(str::to_owned).take(3).collect::<Vec<_>>();
    assert_eq!(
        copied.iter().map(shape).collect::<Vec<_>>(),
        analyzed.iter().map(shape).collect::<Vec<_>>()
    );
    // The few changed rows may bring another kind of statistics, not another operator.
    let same = copied.iter().filter(|line| analyzed.contains(line)).count();
    ensure!(same * 10 >= copied.len() * 8, "{copied:#?} {analyzed:#?}");
    Ok(())
}

#[test]
fn autovacuum_need_not_analyze_what_a_run_has() -> Result<()> {
    let databases = databases("statistics_seen")?;
    databases.migrate_and_match("{}")?;
    let seen = "select bool_and(n_mod_since_analyze = 0 and last_analyze is not null) from pg_stat_user_tables
        where schemaname in ('public', 's.1')";
    assert_eq!(databases.target_value(seen)?, "t");
    Ok(())
}

#[test]
fn tables_are_analyzed_if_the_user_says_so() -> Result<()> {
    let databases = databases("statistics_analyze")?;
    databases.migrate_and_match(r#"{"statistics": "analyze"}"#)?;
    let known = "select count(*) from pg_stats where tablename = 'na\"me' and most_common_vals::text ~ 'changed'";
    assert_eq!(databases.target_value(known)?, "1");
    Ok(())
}
