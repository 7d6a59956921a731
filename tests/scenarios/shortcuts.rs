//! Where pgmig writes heap pages, builds indexes and checks foreign keys by itself, the result is
//! what the server's own ways would have made.

use anyhow::{Result, ensure};
use pgmig_tests::{Cluster, ClusterOptions, Databases, Installation, Pair, StopMode};

use super::conversions::compare_with_copy;

/// Indexes over every type and order that are built from sorted keys, on a table large enough for that.
const INDEXED: &str = r#"
    create extension amcheck;
    create domain "d""om" as int8 check (value is distinct from 0);
    create type "col""or" as enum ('red', 'green', 'blue');
    create type grade as enum ('first', 'second', 'last');
    create function "of half"(oid) returns bool language plpgsql immutable as $$ begin return $1::int8 % 2 = 0; end $$;
    create table keyed (
        gone text, a int4, b int2 not null, c int8, d uuid, e timestamp, f timestamptz, g date, h bool, i float8,
        j float4, k oid, l money, m time, n "d""om", wide text, o "col""or", p grade not null);
    alter table keyed drop column gone;
    insert into keyed
    select nullif((g * 7919) % 60013 - 30000, 17), g % 100, (g * 104729::int8 - 5000000000) * g,
        case when g % 11 > 0 then md5(g::text)::uuid end,
        case g % 1000 when 0 then 'infinity' when 1 then '-infinity' else timestamp '1999-12-31' + g * interval '1 hour' end,
        timestamptz '2000-01-02 UTC' - (g % 777) * interval '1 second',
        nullif(date '1990-01-01' + (g * 31) % 20000, '1995-05-05'), nullif(g % 3, 0) = 1,
        case g % 500 when 0 then 'NaN' when 1 then '-0' when 2 then 0 when 3 then '-Infinity' else 1000.5 - g end,
        (g % 50) / 3.0, g, (g % 90)::text::money, time '00:00' + g * interval '1 second', nullif(g % 5000, 0),
        nullif(repeat('w', g % 90), 'www'), (array['blue', 'red', 'green', null])[1 + g % 4]::"col""or",
        (array['last', 'first', 'second'])[1 + (g * 31) % 3]::grade
    from generate_series(1, 120000) g;
    create unique index on keyed (k);
    create index on keyed (a);
    create index on keyed (a desc);
    create index on keyed (a nulls first, b desc nulls last);
    create index on keyed (b, h, g);
    create index on keyed (c) with (fillfactor = 70);
    create index on keyed (d);
    create index on keyed (d desc nulls last, b);
    create index on keyed (e desc);
    create index on keyed (f, g);
    create index on keyed (h nulls first);
    create index on keyed (i);
    create index on keyed (j desc, i);
    create index on keyed (l, m);
    create index on keyed (o);
    create index on keyed (o desc, e);
    create index on keyed (p, o nulls first, k desc);
    create index on keyed (wide, p) where o <> 'green';
    create index on keyed (n);
    create index on keyed (wide, a);
    create index on keyed (a) include (b);
    create index on keyed (a) where b > 50;
    create index on keyed (a desc) where a is not null;
    create unique index on keyed (k) where d is null and a is not null;
    create index on keyed (c, b) where wide is null;
    create index on keyed (g) where h is null or b > 50;
    create index on keyed (i, d) where (a is not null) is true and n is null;
    create index on keyed ((a + 1));
    create index on keyed ((a % 7) desc nulls last, (d is null), c) where b > 50 and j < 1000;
    create unique index on keyed ((k::text), (k::int8 % 3)) where "of half"(k);
    create index on keyed ((nullif("of half"(k), g > date '2000-01-01')), n, (e::date));
    create index on keyed ((i + 1));
    create index on keyed (e, f, c, m);
    create index on keyed using hash (a);
    alter table keyed add unique (k, b) deferrable initially deferred;
    create table "Pri""mary" ("i d" int8 primary key, v text);
    insert into "Pri""mary" select (g * 7919) % 60013, repeat('v', 60) from generate_series(1, 30000) g;"#;

/// The same over texts: empty, of all lengths around those where their form changes, with common beginnings,
/// few or many of them different; and such as the server builds.
const WORDED: &str = r#"
    create extension amcheck;
    create domain "na""me" as varchar check (value <> 'nobody');
    create table worded (
        id int4 not null, digest text not null, short varchar(9), word text, path text collate "POSIX",
        long text, day date, moment timestamptz, "na""med" "na""me", u uuid, plain text, external text, other text collate "en-x-icu");
    alter table worded alter plain set storage plain, alter external set storage external;
    insert into worded
    select g, md5(g::text), nullif(repeat(chr(97 + g % 3), g % 8), 'bb'),
        (array['created', 'paid', 'packed', 'shipped', 'returned', null])[1 + (g * 31) % 6],
        case when g % 40 > 0 then 'C:/common/beginning/' || chr(228 + g % 5) || '/' || (g * 7919) % 997 || repeat('日本', g % 4) end,
        left(repeat(md5((g % 90)::text), 16), g % 507), date '2024-01-01' + g % 300,
        nullif(timestamptz '2024-01-01 UTC' + (g * 7919) % 60013 * interval '1 second', '2024-01-01 UTC'),
        'device-' || g % 500, md5((g % 1000)::text)::uuid, 'plain ' || g, repeat('e', g % 200), 'other ' || g
    from generate_series(1, 40000) g;
    create unique index on worded (digest);
    create index on worded (digest desc) with (fillfactor = 60);
    create index on worded (short);
    create index on worded (short desc nulls last, word);
    create index on worded (short, short desc, id);
    create index on worded (word);
    create index on worded (word nulls first);
    create index on worded (word desc) with (deduplicate_items = off);
    create index on worded (word, day);
    create unique index on worded (word, id desc);
    create index on worded (word desc, moment nulls first);
    create unique index on worded (path, id) nulls not distinct;
    create index on worded (path desc);
    create index on worded (path, long desc, short);
    create index on worded (long);
    create index on worded (long desc, digest);
    create index on worded (id, long);
    create index on worded (long, path, digest, short, word, long) with (fillfactor = 100);
    create index on worded ("na""med", moment);
    create index on worded (day, "na""med" desc nulls first);
    create index on worded (u, moment, id, day);
    create index on worded (u desc, moment desc, id desc, short desc);
    create index on worded (word) where moment is not null and short is null;
    create index on worded (short, word) where short is not null;
    create index on worded (plain);
    create index on worded (external);
    create index on worded (other);
    create index on worded (other collate "C", word);
    create index on worded (word collate "en-x-icu");
    create index on worded (word varchar_pattern_ops);
    create index on worded (digest text_pattern_ops desc, word);
    create unique index on worded (upper(digest), (id + 1));
    create index on worded (lower(short) desc nulls last) where word in ('paid', 'packed') and path is not null;
    create index on worded ((path || short), length(long)) with (fillfactor = 70);
    create index on worded ((external || repeat(long, 3)));
    create index on worded (left(external || repeat(long, 30), 300), id);
    create index on worded ((nullif(short, 'a')::"na""me"));
    create index on worded ((word is null), word);
    create index on worded (word) include (digest);
    create table "leng""thy" (id int4 primary key, v text, w text, x varchar);
    insert into "leng""thy"
    select g, left(repeat(md5((g % 90)::text), 30), g % 900), left(repeat('wide' || g, 200), 502 + g % 5),
        left((select string_agg(md5((g * i)::text), '') from generate_series(1, 16) i), 498 + g % 9)
    from generate_series(1, 8000) g;
    create index on "leng""thy" (v);
    create index on "leng""thy" (w);
    create index on "leng""thy" (id, v);
    create index on "leng""thy" (x, w, x, w);
    create index on "leng""thy" (x, w, x desc, w, x);"#;

/// Indexes and keys of small tables: empty, of a page, of just more than a page, of kinds that the
/// server builds.
const SMALL: &str = r#"
    create extension amcheck;
    create type mood as enum ('sad', 'happy');
    create domain "d""om" as text;
    create collation "any_case" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table "em""pty" (id int constraint "em""pty pk" primary key, v text unique);
    create table one (id int8 primary key, u uuid unique, n numeric, t "d""om", m mood, a int[], r int4range);
    insert into one
    select g, md5(g::text)::uuid, nullif(g % 10, 3), 'text ' || (200 - g), (array['sad', 'happy']::mood[])[g % 2 + 1],
        array[g % 5, g], int4range(g, g + 5) from generate_series(1, 100) g;
    create index on one (n desc nulls last, t);
    create index on one (t collate "C");
    create index on one (t collate any_case) with (fillfactor = 60);
    create index on one (m);
    create index on one (a, r);
    create unique index on one (n, id) nulls not distinct;
    create index on one (id) include (t);
    create index on one (lower(t)) where id > 5;
    create index on one (t text_pattern_ops);
    create index on one using hash (id);
    alter table one cluster on one_n_t_idx;
    comment on index one_n_t_idx is 'has a comment';
    create table more (id int primary key deferrable initially deferred, long text not null, z int);
    insert into more select g, repeat(md5(g::text), 4) || g, g % 3 from generate_series(1, 300) g;
    create index more_long on more (long);
    create index more_z on more (z);
    alter table more add constraint "more's z" unique (z, id) with (fillfactor = 50);
    create table almost (k text primary key);
    insert into almost select repeat(chr(64 + g), 2600) from generate_series(1, 3) g;
    create unlogged table fleeting (id int primary key);
    insert into fleeting select generate_series(1, 9);
    create table family (id int primary key, name name);
    create table child (primary key (id)) inherits (family);
    insert into family values (1, 'p');
    insert into child values (1, 'c'), (2, 'c');
    create table parted (id int primary key, v int) partition by range (id);
    create table parted_1 partition of parted for values from (0) to (10);
    create table parted_2 partition of parted for values from (10) to (20);
    create index on parted (v);
    insert into parted select g, g % 3 from generate_series(0, 19) g;
    create table points_at (id int references parted, one int8 references one);
    insert into points_at values (3, 4);
"#;

/// What the server says of every B-tree in a schema: nothing, or it raises.
const CHECK_INDEXES: &str = "
    select count(public.bt_index_check(i.indexrelid, true))
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
    where a.amname = 'btree' and c.relkind = 'i' and c.relnamespace = 'public'::regnamespace";

fn databases_of(name: &str, sql: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source(&databases.pair().source.adapt(sql))?;
    Ok(databases)
}

/// Builds every B-tree a second time, with the server's own builder, and lists the pages that differ in more
/// than their place in the log, their checksum and what is not in use.
const DIFFERING_PAGES: &str = r#"
    create extension if not exists pageinspect;
    create function pg_temp.used(page bytea) returns bytea language sql as $$
        select substring(page from 11 for get_byte(page, 12) + 256 * get_byte(page, 13) - 10)
            || substring(page from 1 + get_byte(page, 14) + 256 * get_byte(page, 15)) $$;
    create temp table twins (ours regclass, theirs text);
    do $$
    declare
        i record;
    begin
        for i in
            select indexrelid::regclass as ours, pg_get_indexdef(indexrelid) as definition,
                format('twin_%s', row_number() over ()) as theirs
            from pg_index join pg_class c on c.oid = indexrelid
            where relnamespace = 'public'::regnamespace and relam = 403
        loop
            execute regexp_replace(i.definition, ' INDEX .* ON ', format(' INDEX %s ON ', i.theirs));
            insert into twins values (i.ours, i.theirs);
        end loop;
    end $$;
    create temp table differing as
    select ours, block from (
        select ours, theirs, greatest(pg_relation_size(ours), pg_relation_size(theirs::regclass)) / 8192 as pages from twins) t,
        generate_series(0, pages - 1) block
    where pg_temp.used(get_raw_page(ours::text, block)) is distinct from pg_temp.used(get_raw_page(theirs, block));
    do $$
    declare
        i text;
    begin
        for i in select theirs from twins loop
            execute format('drop index %s', i);
        end loop;
    end $$;
    drop extension pageinspect;
    select coalesce(string_agg(format('%s page %s', ours, block), ', ' order by ours::text, block), '')
        || (select case when count(*) < 20 then ' too few indexes' else '' end from twins) from differing"#;

/// Memory for an index: a megabyte makes the keys come in many pieces.
pub const MEMORY: [&str; 2] = ["1MB", "64MB"];

/// Migrates with this memory for each index, and compares all B-trees with the server's.
pub fn expect_indexes_of_server(databases: &Databases<'_>, memory: &str) -> Result<()> {
    databases.migrate_and_match(&format!(
        r#"{{"jobs": 2, "settings": {{"maintenance_work_mem": "{memory}"}}}}"#
    ))?;
    databases.expect_same_schema()?;
    databases.expect_same_data()?;
    databases.target_value(CHECK_INDEXES)?;
    let differing = databases.target_value(DIFFERING_PAGES)?;
    ensure!(differing.is_empty(), "{differing}");
    Ok(())
}

#[test]
fn indexes_of_texts_built_from_sorted_keys_are_those_that_the_server_builds() -> Result<()> {
    let databases = databases_of("worded", WORDED)?;
    for memory in MEMORY {
        expect_indexes_of_server(&databases, memory)?;
        let ordered = databases.target_value(
            "set enable_seqscan = off; set enable_sort = off;
             select bool_and(ordered) from (select word >= lag(word) over (order by word) as ordered from worded) w",
        )?;
        ensure!(ordered == "t", "the index is out of order");
    }
    Ok(())
}

/// The indexes that a target whose log tells left to the server's own builder, in the order of their names.
pub fn left_to_server(target: &Cluster) -> Result<Vec<String>> {
    let log = target.log()?;
    let mut left: Vec<String> = log
        .lines()
        .filter(|line| line.contains("is left to the server's builder"))
        .filter_map(|line| line.split('"').nth(1).map(str::to_owned))
        .collect();
    left.sort_unstable();
    left.dedup();
    Ok(left)
}

/// Numbers and padded texts of which equal ones look alike, in `formed`, and with others among them, in
/// `formless`.
const FORMED: &str = r#"
    create extension amcheck;
    create domain price as numeric(12, 2) check (value <> 17.17);
    create table formed (
        id int4 not null, price price, exact numeric not null, long numeric, single float4, double float8,
        code char(9), "pa""d" char(5) collate "POSIX", word text collate "C", hash bytea);
    insert into formed
    select g, nullif((g * 7919) % 60013 / 100.0 - 300, -0.05),
        case g % 5000 when 0 then 'NaN' when 1 then 'Infinity' when 2 then '-Infinity' else trim_scale(g * g / 128.0 - 9000000) end,
        case g % 4 when 0 then -power(10.0, 250 + g % 40) when 1 then (g * 104729::int8)::numeric * power(10.0, 60)
            when 2 then round(1 / (g + 0.5), 70) end,
        case g % 700 when 0 then 'NaN' when 1 then '-Infinity' when 2 then '3e38' else (g % 997 - 500) / 7.0 end,
        case g % 500 when 0 then 'NaN' when 1 then 'Infinity' when 2 then '5e-324' when 3 then 0 else 1000.5 - g end,
        case when g % 11 > 0 then left(md5((g % 3000)::text), g % 10) end, (array['a', 'a b', E'a	', 'ä', '', 'ab'])[1 + g % 6],
        'word ' || g % 50, case when g % 9 > 0 then decode(repeat('00', g % 4) || left(md5((g % 9000)::text), 2 * (g % 20)), 'hex') end
    from generate_series(1, 40000) g;
    create index on formed (hash);
    create unique index on formed (hash desc nulls last, id);
    create index on formed (price, hash, word);
    create index on formed (price);
    create index on formed (price desc, id) with (fillfactor = 70);
    create index on formed (exact nulls first);
    create unique index on formed (exact desc, id);
    create index on formed (long, code);
    create index on formed (long desc nulls last, price, exact desc);
    create index on formed (single);
    create index on formed (single desc, double, id);
    create index on formed (double desc nulls last);
    create index on formed (word, double, price);
    create index on formed (code);
    create index on formed (code desc nulls last, price desc, "pa""d");
    create index on formed ("pa""d", id);
    create index on formed (code bpchar_pattern_ops, "pa""d" desc);
    create index on formed ((price * 2), (exact::float8));
    create index on formed (price) where price > 0;
    create index on formed (trim(code), (round(exact))) where exact < 'Infinity';
    alter table formed add primary key (exact, id);
    create table formless (id int4, mixed numeric, zero float8, beyond float4, padded bpchar collate "C");
    insert into formless
    select g, case g when 30000 then 7.50 else g % 1000 + 0.5 end, case g when 20000 then '-0'::float8 else g % 10 end,
        case when g % 20000 = 0 then 'Infinity'::float4 else g % 10 end, case g when 30000 then 'b  ' else chr(97 + g % 5) end
    from generate_series(1, 40000) g;
    create index on formless (mixed);
    create index on formless (mixed desc, id);
    create index on formless (zero);
    create index on formless (beyond);
    create index on formless (padded);
    create index on formless (id, mixed, padded);"#;

#[test]
fn indexes_of_numbers_that_look_alike_are_those_that_the_server_builds() -> Result<()> {
    let installation = Installation::of_extension()?;
    let options = |name| {
        ClusterOptions::new(installation.clone(), name).setting("log_min_messages", "debug1")
    };
    let pair = Pair::start(options("formed-source"), options("formed-target"))?;
    let databases = pair.databases("formed")?;
    databases.execute_on_source(FORMED)?;
    for memory in MEMORY {
        expect_indexes_of_server(&databases, memory)?;
    }
    let left = left_to_server(&pair.target)?;
    let expected =
        ["formless_mixed_id_idx", "formless_mixed_idx", "formless_padded_idx", "formless_zero_idx"];
    ensure!(left == expected, "{left:?}");
    Ok(())
}

#[test]
fn indexes_built_from_sorted_keys_are_those_that_the_server_builds() -> Result<()> {
    let databases = databases_of("sorted", INDEXED)?;
    for memory in MEMORY {
        expect_indexes_of_server(&databases, memory)?;
        let ordered = databases.target_value(
            "set enable_seqscan = off; set enable_sort = off;
             select bool_and(ordered) from (select a >= lag(a) over (order by a) as ordered from keyed) k",
        )?;
        ensure!(ordered == "t", "the index is out of order");
        let miscounted = databases.target_value(
            "select count(*) from pg_class where relname in ('keyed', 'keyed_a_idx') and reltuples <> 120000",
        )?;
        ensure!(miscounted == "0", "the server was told of another number of rows");
    }
    Ok(())
}

/// A function that says so when anybody but a table's owner calls it, in sessions that are told to mind.
const WATCHFUL: &str = r#"
    create role shortcuts_owner;
    create function "who's"(text) returns int4 language plpgsql immutable as $$ begin
        if current_setting('shortcuts.minds', true) = 'on' and current_user <> 'shortcuts_owner' then
            raise exception 'called by %', current_user;
        elsif current_setting('shortcuts.minds', true) = 'rows' and length($1) > 90 then
            raise exception 'called with %', $1 using hint = 'Do not.';
        end if;
        return length($1);
    end $$;
    create table owned (a int4, t text);
    insert into owned select g, repeat('t', 10 + g % 90) from generate_series(1, 30000) g;
    alter table owned owner to shortcuts_owner;
    create index on owned ((a + "who's"('constant')));
    create index on owned (("who's"(t)), a) where a > "who's"('a');"#;

#[test]
fn functions_in_indexes_are_called_as_the_owner_of_the_table() -> Result<()> {
    let installation = Installation::of_extension()?;
    let options = |name| ClusterOptions::new(installation.clone(), name);
    let pair = Pair::start(options("watchful"), options("watched"))?;
    let databases = pair.databases("watchful")?;
    databases.execute_on_source(WATCHFUL)?;
    let options = |mind: &str| {
        format!(
            r#"{{"roles": true, "overwrite": true, "drop_existing_tables": true, "jobs": 1,
                "settings": {{"shortcuts.minds": "{mind}"}}}}"#
        )
    };
    let postmaster = pair.target.postmaster_pid()?;
    let error = databases.migrate_in_vain(&options("rows"))?;
    ensure!(error.message().contains("owned_who's_a_idx: called with ttt"), "{error}");
    databases.migrate_and_match(&options("on"))?;
    ensure!(pair.target.postmaster_pid()? == postmaster, "the target's server was started again");
    databases.expect_same_schema()?;
    databases.expect_same_data()
}

#[test]
fn indexes_of_small_tables_are_those_that_the_server_builds() -> Result<()> {
    let databases = databases_of("small indexes", SMALL)?;
    for options in ["{}", r#"{"drop_existing_tables": true}"#, r#"{"on_error": "continue"}"#] {
        databases.migrate_and_match(options)?;
        databases.expect_same_schema()?;
        databases.expect_same_data()?;
        databases.target_value(CHECK_INDEXES)?;
        let found = databases.target_value(
            "set enable_seqscan = off; set enable_bitmapscan = off;
             select string_agg(id::text, ',' order by t) from one where t between 'text 100' and 'text 103'",
        )?;
        ensure!(found == "100,99,98,97", "{found}");
    }
    let refused = databases.execute_on_target("insert into one (id) values (100)");
    ensure!(refused.is_err(), "a primary key let a duplicate in");
    Ok(())
}

/// Clusters with this `wal_level`.
fn pair_of_level(name: &str, level: &str) -> Result<Pair> {
    let installation = Installation::of_extension()?;
    let options = |side| {
        ClusterOptions::new(installation.clone(), &format!("{name}-{side}"))
            .settings(&[("wal_level", level), ("max_wal_senders", "0")])
    };
    Pair::start(options("source"), options("target"))
}

#[test]
fn indexes_of_small_tables_outlive_a_crash() -> Result<()> {
    // With the least log a file is synchronized instead when its transaction ends.
    for level in ["replica", "minimal"] {
        let pair = pair_of_level("small", level)?;
        let databases = pair.databases("small")?;
        databases.execute_on_source(&pair.source.adapt(SMALL))?;
        databases.migrate_and_match("{}")?;
        pair.target.stop(StopMode::Immediate)?;
        pair.target.start()?;
        databases.target_value(CHECK_INDEXES)?;
        databases.execute_on_source("delete from fleeting")?;
        databases.expect_same_data()?;
    }
    Ok(())
}

#[test]
fn duplicates_that_a_unique_index_finds_are_the_servers_to_report() -> Result<()> {
    let databases = databases_of(
        "duplicates",
        "create table twice (i int, v text); create unique index twice_i on twice (i);
         insert into twice select g, repeat('v', 60) from generate_series(1, 30000) g;",
    )?;
    // The source's index is damaged on purpose.
    databases.execute_on_source(
        "set allow_system_table_mods = on;
         update pg_index set indisunique = false where indexrelid = 'twice_i'::regclass;",
    )?;
    databases.execute_on_source(
        "insert into twice values (7, 'again');
         set allow_system_table_mods = on;
         update pg_index set indisunique = true where indexrelid = 'twice_i'::regclass;",
    )?;
    let error = databases.migrate_in_vain("{}")?;
    ensure!(error.code().code() == "23505", "{error}");
    ensure!(error.message().contains("twice_i"), "{error}");
    databases.execute_on_source("delete from twice where i between 8 and 30000")?;
    let error = databases.migrate_in_vain(r#"{"overwrite": true}"#)?;
    ensure!(error.code().code() == "23505", "{error}");
    ensure!(error.message().contains("twice_i"), "{error}");
    Ok(())
}

#[test]
fn duplicates_among_texts_are_found_unless_nulls_make_them_differ() -> Result<()> {
    let damage = |is_unique: bool| {
        format!(
            "set allow_system_table_mods = on;
             update pg_index set indisunique = {is_unique} where indexrelid = 'said_twice'::regclass;"
        )
    };
    for (name, order, nulls, is_refused) in [
        ("said again", "v desc, i", "", true),
        ("null again", "w, v", "", false),
        ("null once", "w, v", "nulls not distinct", true),
    ] {
        let databases = databases_of(
            name,
            &format!(
                "create table t (i int, v text, w text); create unique index said_twice on t ({order}) {nulls};
                 insert into t select g, 'it''s said ' || g, nullif('w' || g, 'w7') from generate_series(1, 30000) g;"
            ),
        )?;
        databases.execute_on_source(&damage(false))?;
        databases.execute_on_source("insert into t select * from t where i = 7")?;
        databases.execute_on_source(&damage(true))?;
        if is_refused {
            let error = databases.migrate_in_vain("{}")?;
            ensure!(error.code().code() == "23505", "{name}: {error}");
            ensure!(error.message().contains("said_twice"), "{name}: {error}");
        } else {
            databases.migrate_and_match("{}")?;
            databases.target_value(
                "create extension amcheck; select bt_index_check('said_twice', true)",
            )?;
        }
    }
    Ok(())
}

/// Tables with keys between them, of several types, and rows that break them.
const REFERENCES: &str = "
    create table parent (i int primary key, u uuid unique, b int8 unique, v text);
    insert into parent select g, md5(g::text)::uuid, g * 1000000007::int8, repeat('v', 60) from generate_series(1, 20000) g;
    create table child (
        i int references parent, u uuid references parent (u), b int8 references parent (b), up int, v text);
    insert into child select nullif(g % 20000, 0), md5((1 + g % 20000)::text)::uuid,
        (1 + g % 19999) * 1000000007::int8, nullif(g, 5), repeat('v', 60)
    from generate_series(1, 30000) g;
    create unique index on child (up);
    alter table child add boss int references child (up);
    update child set boss = 6 + up / 2 where up > 9;
    create table mixed (i int8 references parent, v text);
    insert into mixed select g, repeat('v', 60) from generate_series(1, 20000) g;";

#[test]
fn foreign_keys_checked_in_passes_hold_and_are_enforced() -> Result<()> {
    let databases = databases_of("references", REFERENCES)?;
    databases.migrate_and_match("{}")?;
    databases.expect_same_schema()?;
    databases.expect_same_data()?;
    let valid = databases
        .target_value("select count(*) from pg_constraint where contype = 'f' and convalidated")?;
    ensure!(valid == "5", "{valid} keys are valid");
    for (column, value) in [("i", "30001"), ("u", "'00000000-0000-0000-0000-000000000000'")] {
        let insert = format!("insert into child ({column}) values ({value})");
        ensure!(databases.execute_on_target(&insert).is_err(), "an orphan got in");
    }
    Ok(())
}

#[test]
fn orphans_are_found_and_reported_by_the_server() -> Result<()> {
    for (column, value) in [("i", "-3"), ("u", "md5('x')::uuid"), ("b", "12"), ("boss", "99")] {
        let name = format!("orphans_{column}");
        let databases = databases_of(&name, REFERENCES)?;
        databases.execute_on_source(&format!(
            "set session_replication_role = replica; delete from child where up = 99;
             update child set {column} = {value} where up = 77;"
        ))?;
        let error = databases.migrate_in_vain("{}")?;
        ensure!(error.code().code() == "23503", "{column}: {error}");
        ensure!(error.message().contains("child"), "{column}: {error}");
    }
    Ok(())
}

#[test]
fn every_type_is_stored_as_copy_stores_it() -> Result<()> {
    let databases = Pair::shared()?.databases("stored")?;
    databases.pair().source.load_types(databases.name())?;
    // Texts around the lengths where headers change, and columns that need padding between.
    databases.execute_on_source(
        "create table t.lengths (a bool, b text, c int8, d bytea, e int2, f varchar(200), g char(9), h text);
         alter table t.lengths alter h set storage plain;
         insert into t.lengths select g % 2 = 0, repeat('b', g), nullif(g % 5, 0), decode(repeat('0f', 300 - g), 'hex'), g,
             case when g % 3 > 0 then repeat('ä', g % 90) end, repeat('g', g % 9), repeat('h', g % 200)
         from generate_series(0, 299) g;",
    )?;
    databases.migrate_and_match(r#"{"chunk_by": "none"}"#)?;
    let compared = compare_with_copy(&databases)?;
    ensure!(compared > 25, "only {compared} tables were compared");
    Ok(())
}

#[test]
fn long_values_are_compressed_and_moved_out_of_line_as_their_columns_say() -> Result<()> {
    let databases = databases_of(
        "long_values",
        r#"create table long (id int primary key, a text, b text, c text, d text compression lz4, e jsonb, f bytea, g text);
           alter table long alter b set storage external, alter c set storage main, alter g set storage plain;
           insert into long select g, repeat('abc ' || g, g * 20), repeat('b', g * 13), repeat('c', g * 3), repeat('d ' || g, g * 9),
               jsonb_build_object('key', repeat('j' || g, g * 7)), decode(repeat(md5(g::text), g), 'hex'), 'g'
           from generate_series(1, 400) g;
           insert into long (id, a, f) select 1000 + g, (select string_agg(md5((g * 1000 + i)::text), '') from generate_series(1, 200) i),
               decode((select string_agg(md5((g * 999 + i)::text), '') from generate_series(1, 3000) i), 'hex')
           from generate_series(1, 20) g;
           alter table long set (toast_tuple_target = 1024);"#,
    )?;
    databases.migrate_and_match(r#"{"validation": "checksum"}"#)?;
    databases.expect_same_data()?;
    let methods = "select string_agg(distinct concat_ws(' ', pg_column_compression(a), pg_column_compression(b),
            pg_column_compression(d), pg_column_compression(e)), ', ') from long where id = 400";
    let ours = databases.target_value(methods)?;
    let other = if databases.pair().source.has_lz4() { "lz4" } else { "pglz" };
    ensure!(ours == format!("pglz {other} pglz"), "compression methods: {ours}");
    let size = "select pg_table_size('long')";
    let source: i64 = databases.source()?.query_one(size, &[])?.get(0);
    let target: i64 = databases.target()?.query_one(size, &[])?.get(0);
    ensure!(target < source * 12 / 10, "{source} bytes became {target}");
    Ok(())
}

#[test]
fn what_the_target_checks_is_checked_of_every_row() -> Result<()> {
    let databases = databases_of(
        "enforced",
        "create table t (i int, v text);
         insert into t select g, 'v' from generate_series(1, 1000) g;
         create table p (i int, v text) partition by range (i);
         create table p_low partition of p for values from (0) to (10);
         create table p_high partition of p for values from (10) to (100);
         insert into p select g % 100, repeat('v', g % 7) from generate_series(1, 1000) g;",
    )?;
    for check in ["i < 900", "length(v || i) < 4", "case when i = 1000 then 1 / (i - 1000) > 0 end"]
    {
        databases.execute_on_target(&format!(
            "drop table if exists t; create table t (i int, v text, constraint low check ({check}))"
        ))?;
        let error = databases.migrate_in_vain(r#"{"data_only": true, "tables": ["public.t"]}"#)?;
        let expected = if check.contains('/') { ("22012", "zero") } else { ("23514", "low") };
        ensure!(error.code().code() == expected.0, "{check}: {error}");
        ensure!(error.message().contains(expected.1), "{check}: {error}");
        ensure!(databases.target_value("select count(*) from t")? == "0", "rows were left behind");
    }
    databases.execute_on_target(
        "drop table t; create table t (i int, v text, check (i > 0), check (v <> ''))",
    )?;
    databases.migrate_and_match(r#"{"data_only": true, "tables": ["public.t"]}"#)?;
    databases.execute_on_target("drop table t")?;
    databases.migrate_and_match("{}")?;
    databases.expect_same_data()
}

/// Tables of long values: of all lengths around those of chunks, of every storage, NULL, compressible or not, with
/// columns that have to be found before a row is written, and one of nothing but chunks.
const LONG: &str = r#"
    create extension amcheck;
    create function noise(seed int8, bytes int8) returns text language sql as $$
        select left((select string_agg(md5((seed * 1000 + i)::text), '') from generate_series(0, bytes / 32) i), bytes::int4)
    $$;
    create table "mo""ved" (id int4 primary key, a text, b bytea, c text, d text, e text, f numeric, n int4);
    alter table "mo""ved" alter b set storage external, alter c set storage main, alter d set storage plain;
    insert into "mo""ved"
    select g, nullif(noise(g, 1900 + g % 200), ''), decode(noise(-g, 2 * (g % 30 * 200 + g % 7)), 'hex'),
        case when g % 3 > 0 then noise(g, g % 700) end, noise(g, g % 40), repeat('e' || g, g % 3000), g * 1.5, g
    from generate_series(1, 3000) g;
    insert into "mo""ved" (id, a) select 10000 + g, noise(g, 1996 * (g / 3) + g % 3 - 1) from generate_series(1, 60) g;
    insert into "mo""ved" (id, c, d, e) select 20000 + g, noise(g, 1500), noise(-g, 1500), noise(g, 1500) from generate_series(1, 90) g;
    insert into "mo""ved" (id, c, d) select 30000 + g, noise(g, 3000), noise(-g, 3000) from generate_series(1, 90) g;
    create table watched (id int4, t text check (t <> 'nobody' and length(t) > 9), u text generated always as (left(t, 5000)) stored);
    insert into watched (id, t) select g, noise(g, 10 + g * 7) from generate_series(1, 900) g;
    create table fickle (t text, s text) with (toast_tuple_target = 4000);
    insert into fickle select noise(g, g * 3), repeat(noise(g, 50), g) from generate_series(1, 1500) g;
    create table book (page text);
    insert into book select string_agg(noise(g, 100000), '') from generate_series(1, 30) g;
    insert into book select noise(g, 300000) from generate_series(1, 20) g;"#;

/// Checks every table with its long values, and their indexes.
const CHECK_LONG: &str = "
    select count(*) || ' ' || (
        select count(public.bt_index_check(i.indexrelid, true))
        from pg_class c join pg_index i on i.indrelid = c.reltoastrelid
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r')
    from pg_class c, verify_heapam(c.oid, check_toast => true)
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'";

#[test]
fn long_values_are_whole_wherever_they_go_and_outlive_a_crash() -> Result<()> {
    for level in ["replica", "minimal"] {
        let pair = pair_of_level("long", level)?;
        let databases = pair.databases("long")?;
        databases.execute_on_source(&pair.source.adapt(LONG))?;
        for options in [
            r#"{"chunk_by": "none", "validation": "checksum"}"#,
            // A crash makes the target forget whose rows these are.
            r#"{"chunk_by": "ctid", "partition_threshold": 100, "chunk_size": 120, "jobs": 3, "overwrite": true}"#,
        ] {
            databases.migrate_and_match(options)?;
            databases.expect_same_data()?;
            let found = databases.target_value(CHECK_LONG)?;
            ensure!(found == "0 4", "{found}");
            pair.target.stop(StopMode::Immediate)?;
            pair.target.start()?;
            databases.expect_same_data()?;
            let found = databases.target_value(CHECK_LONG)?;
            ensure!(found == "0 4", "after a crash: {found}");
        }
        databases.execute_on_target(
            "insert into book select repeat(page, 2) from book; update watched set t = t || t",
        )?;
        databases.execute_on_target("vacuum (freeze)")?;
        let found = databases.target_value(CHECK_LONG)?;
        ensure!(found == "0 4", "after changes: {found}");
    }
    Ok(())
}

/// Tables of every kind, with rows or without, and what they need beside themselves for long values.
const TOASTED: &str = r#"
    create role "own ""er";
    create schema "sch ema" authorization "own ""er";
    create type pair as (x text, y int);
    create domain short as varchar(100);
    create table plain (id int primary key, v text default 'v' check (v <> ''));
    insert into plain select g, repeat('v' || g, 9000) from generate_series(1, 200) g;
    create table "sch ema"."t ""%" (a jsonb, b bytea not null default 'x', c json)
        with (fillfactor = 70, toast.autovacuum_enabled = false, toast.vacuum_truncate = off);
    alter table "sch ema"."t ""%" owner to "own ""er";
    create table nothing_long (a int, b varchar(20), c short);
    create table bounded (a varchar(2001), b int);
    create table pairs (p pair, n numeric(1000, 2), a int[]);
    create table counted (id int generated always as identity, v text);
    create table serials (id serial, v text);
    create table generated (a text, b text generated always as (a || 'x') stored);
    create unlogged table fleeting (a text);
    create table parent (a text);
    create table child (b text) inherits (parent);
    create table parted (a int, b text) partition by range (a);
    create table parted_1 partition of parted for values from (0) to (10);
    create table no_columns ();
    create table changed (a int, b text);
    alter table changed alter b set storage plain;"#;

/// What the catalog says of a table's TOAST table and of the index of that, but for names that are numbers.
const TOAST_TABLES: &str = r#"
    select concat_ws(' ', c.oid::regclass, c.relkind, t.oid is not null, replace(r.relname, c.oid::text, '*'),
        r.relnamespace::regnamespace, pg_get_userbyid(r.relowner), r.relam, r.reltablespace, r.relpersistence, r.relkind,
        r.relhasindex, r.relnatts, r.relchecks, r.relreplident, r.reltype, r.relisshared, r.reloptions, r.relfrozenxid <> '0',
        to_jsonb(i) - 'indexrelid' - 'indrelid',
        (select jsonb_agg(to_jsonb(a) - 'attrelid' order by a.attnum) from pg_attribute a where a.attrelid = r.oid),
        (select array_agg((d.deptype, d.classid, d.objsubid, d.refobjid in (c.oid, t.oid), d.refobjsubid)::text
                order by d.deptype, d.objsubid, d.refobjsubid)
            from pg_depend d where d.objid = r.oid))
    from pg_class c
    left join pg_class t on t.oid = c.reltoastrelid
    left join pg_index i on i.indrelid = t.oid
    left join pg_class r on r.oid in (t.oid, i.indexrelid)
    where c.relkind in ('r', 'p') and c.relnamespace::regnamespace::text in ('public', '"sch ema"')
        and c.oid::regclass::text not like 'pgmig.%'
    order by c.oid::regclass::text collate "C", r.relkind"#;

#[test]
fn toast_tables_are_those_that_the_server_makes_and_outlive_a_crash() -> Result<()> {
    for level in ["replica", "minimal"] {
        let pair = pair_of_level("toast", level)?;
        let databases = pair.databases("toast")?;
        databases.execute_on_source(&pair.source.adapt(TOASTED))?;
        for options in
            [r#"{"roles": true}"#, r#"{"on_error": "continue", "drop_existing_tables": true}"#]
        {
            databases.migrate_and_match(options)?;
            databases.expect_same_schema()?;
            let made = databases.target_lines(TOAST_TABLES)?;
            let wanted = pair.source.psql(databases.name(), TOAST_TABLES)?;
            ensure!(made.len() > 15, "{made:?}");
            assert_eq!(made, wanted.lines().collect::<Vec<_>>());
        }
        pair.target.stop(StopMode::Immediate)?;
        pair.target.start()?;
        databases.expect_same_data()?;
        let long = r#"
            insert into "sch ema"."t ""%" (a, b) select to_jsonb(array_agg(md5(g::text))), '' from generate_series(1, 9000) g;
            insert into bounded select string_agg(md5(g::text), ''), 1 from generate_series(1, 62) g;
            insert into counted (v) select string_agg(md5(g::text), '') from generate_series(1, 900) g"#;
        databases.execute_on_source(long)?;
        databases.execute_on_target(long)?;
        databases.expect_same_data()?;
        let has_check = "select count(*) from pg_available_extensions where name = 'amcheck'";
        if databases.target_value(has_check)? == "1" {
            databases.execute_on_target("create extension amcheck")?;
            databases.target_value(
                "select count(public.bt_index_check(i.indexrelid, true))
                 from pg_class c join pg_index i on i.indrelid = c.reltoastrelid where c.oid >= 16384",
            )?;
        }
    }
    Ok(())
}

#[test]
fn tables_are_made_by_statements_where_somebody_looks_at_those() -> Result<()> {
    let databases =
        databases_of("looked at", "create table seen (v text); create table \"s een\" (a int);")?;
    databases.execute_on_target(
        "create table public.heard (what text);
         create function public.hear() returns event_trigger language plpgsql as $$
         begin
             insert into public.heard select object_identity from pg_event_trigger_ddl_commands();
         end $$;
         create event trigger hear on ddl_command_end when tag in ('CREATE TABLE') execute function public.hear();
         alter event trigger hear enable always",
    )?;
    databases.migrate_and_match("{}")?;
    let heard =
        databases.target_value("select string_agg(what, ', ' order by what) from public.heard")?;
    // From 17 on a run silences event triggers.
    let is_silenced = databases.pair().target.installation().major()? >= 17;
    let wanted = if is_silenced { "" } else { "public.\"s een\", public.seen" };
    ensure!(heard == wanted, "{heard}");
    Ok(())
}
