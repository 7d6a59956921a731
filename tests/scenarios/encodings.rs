//! Text survives the way between databases of different encodings, or fails with the place; defaults of
//! roles and databases change nothing; nothing is filtered, fired or changed on the way.

use anyhow::{Result, ensure};
use pgmig_tests::{Databases, Pair};

/// A database with text that Latin 1 has, in table and column names too.
const LATIN: &str = "
    create table \"tabl\u{e9}\" (id int primary key, \"t\u{eb}xt\" text, c char(5), v varchar(3));
    insert into \"tabl\u{e9}\" values (1, '\u{e9}\u{e8}\u{fc}\u{df}', '\u{e4}', '\u{f6}\u{f6}\u{f6}'), (2, '', ' ', null);
    create table parts (k text, n int) partition by hash (k);
    create table parts_0 partition of parts for values with (modulus 2, remainder 0);
    create table parts_1 partition of parts for values with (modulus 2, remainder 1);
    insert into parts select '\u{e9}' || g, g from generate_series(1, 300) g;
    create table as_text (t text, a aclitem);
    insert into as_text values (E'\u{e9}\\t\\n\\\\', null);";

/// Two databases of these encodings.
fn databases(name: &str, source: &str, target: &str) -> Result<Databases<'static>> {
    let pair = Pair::shared()?;
    let databases = pair.databases(name)?;
    for (cluster, encoding) in [(&pair.source, source), (&pair.target, target)] {
        cluster.drop_database(name)?;
        cluster.execute(
            "postgres",
            &format!("create database {name} template template0 encoding '{encoding}' locale 'C'"),
        )?;
    }
    databases.execute_on_target("create extension pgmig")?;
    Ok(databases)
}

#[test]
fn latin_1_becomes_utf_8() -> Result<()> {
    let databases = databases("latin_1", "LATIN1", "UTF8")?;
    databases.execute_on_source(LATIN)?;
    for validation in ["rows", "checksum"] {
        let options = format!(r#"{{"overwrite": true, "validation": "{validation}"}}"#);
        let rows = databases.migrate_and_match(&options)?;
        // The hashes of text differ, so the partitions hold other rows.
        ensure!(rows.iter().any(|row| row.table_name == "parts"), "{rows:?}");
        for table in ["\"tabl\u{e9}\"", "parts", "as_text"] {
            let rows =
                format!("select t::text from {table} t order by convert_to(t::text, 'UTF8')");
            let source = databases.pair().source.psql(databases.name(), &rows)?;
            assert_eq!(databases.target_value(&rows)?, source.trim_end(), "{table}");
        }
    }
    Ok(())
}

#[test]
fn utf_8_goes_into_sql_ascii_byte_by_byte() -> Result<()> {
    let databases = databases("into_ascii", "UTF8", "SQL_ASCII")?;
    databases.execute_on_source(
        "create table t (v text); insert into t values (E'\u{e9}\u{20ac}\u{1f600}'), ('plain')",
    )?;
    databases.migrate_and_match(r#"{"validation": "checksum"}"#)?;
    let bytes =
        "select string_agg(encode(convert_to(v, 'SQL_ASCII'), 'hex'), ',' order by v) from t";
    let bytes = databases.target_value(bytes)?;
    ensure!(bytes.contains("c3a9e282acf09f9880"), "{bytes}");
    Ok(())
}

#[test]
fn sql_ascii_that_is_not_utf_8_is_an_error_with_table_and_range() -> Result<()> {
    let databases = databases("from_ascii", "SQL_ASCII", "UTF8")?;
    databases.execute_on_source(
        "set client_encoding = 'SQL_ASCII';
         create table good (v text); insert into good values (E'\\xc3\\xa9');
         create table bad (id int primary key, v text, f text);
         insert into bad select g, 'x', repeat('f', 500) from generate_series(1, 3000) g;
         update bad set v = E'\\xe9' where id = 2000",
    )?;
    databases.migrate_and_match(r#"{"tables": ["good"], "validation": "checksum"}"#)?;
    assert_eq!(databases.target_value("select v from good")?, "\u{e9}");
    let options = r#"{"tables": ["bad"], "chunk_by": "ctid", "partition_threshold": 500, "chunk_size": 1000}"#;
    let error = databases.migrate(options).expect_err("the bytes are not UTF-8");
    let text = format!("{error:?}");
    ensure!(text.contains("public.bad") && text.contains("rows where ctid"), "{text}");
    ensure!(text.contains("invalid byte sequence for encoding"), "{text}");
    Ok(())
}

/// Text of several kinds that is not UTF-8.
const SPOILED: &str = r#"
    set client_encoding = 'SQL_ASCII';
    do $x$ begin
        execute E'comment on column bad.f is $$caf\xe9$$';
        execute E'create function "f %"() returns text language sql as $$select 1 -- \xfc$$';
        execute E'create table "t \xe4" (i int)';
        execute E'alter type "mo %od" add value $$\xdf$$';
    end $x$"#;

#[test]
fn names_and_comments_in_sql_ascii_that_are_not_utf_8_are_named_before_the_run() -> Result<()> {
    let databases = databases("catalog_ascii", "SQL_ASCII", "UTF8")?;
    databases.execute_on_source(
        "set client_encoding = 'SQL_ASCII';
        create table \"good \u{e9}\" (id int);
        insert into \"good \u{e9}\" values (1);
        create type \"mo %od\" as enum ('a');
        create table bad (id int, f text);
        insert into bad values (1, 'x')",
    )?;
    databases.migrate_and_match("{}")?;
    databases.execute_on_source(SPOILED)?;
    let error = databases.migrate_in_vain("{}")?;
    assert_eq!(error.code().code(), "22021");
    ensure!(error.message().contains("are not UTF-8"), "{error:?}");
    let detail = error.detail().unwrap_or_default();
    for object in [
        "column f of table public.bad",
        "function public.\"f %\"()",
        "table public.\"t \u{fffd}\"",
        "\"mo %od\"",
    ] {
        ensure!(detail.contains(object), "{object}: {detail}");
    }
    ensure!(!detail.contains("good"), "{detail}");
    Ok(())
}

#[test]
fn defaults_of_roles_and_databases_change_nothing() -> Result<()> {
    let databases = Pair::shared()?.databases("defaults")?;
    databases.execute_on_source(
        "create table t (d date, i interval, f float8, b bytea, s timestamptz, m text, x xml, a aclitem);
         insert into t values ('2020-01-02', '1 mon -2 days 03:04:05.6', 0.1 + 0.2::float8, '\\x00ff5c', '2020-03-04 05:06:07.89+00', 'it''s', 'x<a/>', 'postgres=r/postgres'),
             ('0044-03-15 BC', '-1 year', 'NaN', '', 'infinity', E'\\\\', '<b/>', null);
         create table b as select d, i, f, b, s, m from t",
    )?;
    const DEFAULTS: &str = "
        do $$
        declare
            setting text;
        begin
            foreach setting in array array[
                'datestyle = ''German''', 'intervalstyle = ''sql_standard''', 'timezone = ''Asia/Kolkata''',
                'extra_float_digits = -10', 'bytea_output = ''escape''', 'search_path = ''nowhere''',
                'default_transaction_read_only = on', 'default_transaction_isolation = ''serializable''',
                'statement_timeout = ''20ms''', 'lock_timeout = ''1ms''', 'idle_in_transaction_session_timeout = ''20ms''',
                'row_security = off', 'standard_conforming_strings = off', 'xmloption = ''document''',
                'client_encoding = ''LATIN1''', 'default_tablespace = ''''', 'client_min_messages = ''error''',
                'quote_all_identifiers = on', 'synchronize_seqscans = on', 'enable_seqscan = off']
            loop
                execute 'alter database defaults set ' || setting;
            end loop;
        end $$";
    databases.execute_on_source(DEFAULTS)?;
    databases.execute_on_target(DEFAULTS)?;
    // The caller's own timeout is the caller's to set.
    let mut client = databases.target()?;
    client.batch_execute("set statement_timeout = 0")?;
    let rows = client.query(
        "select status from pgmig.migrate($1, '{\"validation\": \"checksum\"}')",
        &[&databases.source_dsn()],
    );
    for cluster in [&databases.pair().source, &databases.pair().target] {
        cluster.execute("postgres", "alter database defaults reset all")?;
    }
    let statuses: Vec<String> = rows?.iter().map(|row| row.get(0)).collect();
    assert_eq!(statuses, ["match"; 2]);
    databases.expect_same_data()?;
    databases.expect_same_lines()
}

#[test]
fn a_table_that_row_security_would_filter_is_an_error_before_anything_is_done() -> Result<()> {
    let databases = Pair::shared()?.databases("filtered")?;
    databases.execute_on_source(
        "drop role if exists reads_some;
         create role reads_some login;
         create table open_to_all (i int); insert into open_to_all values (1);
         create table filtered (i int); insert into filtered select generate_series(1, 10);
         create table filtered_too (i int);
         alter table filtered enable row level security;
         alter table filtered_too enable row level security;
         create policy few on filtered using (i < 3);
         grant select on all tables in schema public to reads_some",
    )?;
    let dsn = databases.source_dsn().replace("user=postgres", "user=reads_some");
    let migrate = |options: &str| {
        databases
            .target()?
            .query("select * from pgmig.migrate($1, $2::text::jsonb)", &[&dsn, &options])
            .map_err(anyhow::Error::from)
    };
    let error = format!("{:?}", migrate("{}").expect_err("rows would be missing"));
    ensure!(error.contains("row-level security") && error.contains("filtered_too"), "{error}");
    assert_eq!(
        databases.target_value("select count(*) from pg_tables where schemaname = 'public'")?,
        "0"
    );
    migrate(r#"{"tables": ["open_to_all"], "owner": false, "privileges": false}"#)?;
    assert_eq!(databases.target_value("select count(*) from open_to_all")?, "1");
    Ok(())
}

#[test]
fn triggers_rules_and_event_triggers_of_the_target_stay_out_of_the_load() -> Result<()> {
    const TABLE: &str = "
        create table t (i int, v text);
        create function meddle() returns trigger language plpgsql as $$
            begin new.v := 'meddled'; return new; end $$;
        create function refuse() returns trigger language plpgsql as $$ begin raise 'fired'; end $$;
        create trigger own before insert on t for each row execute function meddle();";
    let databases = Pair::shared()?.databases("meddling")?;
    databases.execute_on_source(TABLE)?;
    databases.execute_on_source(
        "alter table t disable trigger own; insert into t select g, 'v' || g from generate_series(1, 1000) g;
         alter table t enable trigger own",
    )?;
    databases.execute_on_target(TABLE)?;
    databases.execute_on_target(
        "alter table t enable always trigger own;
         create trigger truncated before truncate on t execute function refuse();
         alter table t enable always trigger truncated;
         create trigger replica before insert on t for each row execute function refuse();
         alter table t enable replica trigger replica;
         create rule instead as on insert to t do instead nothing;
         create function refuse_ddl() returns event_trigger language plpgsql as $$ begin raise 'fired'; end $$;
         create event trigger nobody_may on ddl_command_start execute function refuse_ddl()",
    )?;
    databases.migrate_and_match(r#"{"overwrite": true, "validation": "checksum"}"#)?;
    databases.execute_on_target("drop event trigger nobody_may")?;
    databases.expect_same_data()?;
    let triggers = "select string_agg(tgname, ' ' order by tgname) from pg_trigger where tgrelid = 't'::regclass";
    assert_eq!(databases.target_value(triggers)?, "own replica truncated");
    Ok(())
}
