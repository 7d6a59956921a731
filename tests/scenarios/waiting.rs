//! Code of the source that runs while the target is made: what it reads must be there, what it calls
//! must be found, and what fails takes nothing else along.

use anyhow::{Result, ensure};
use pgmig_tests::Pair;

/// Indexes and keys over functions that look into a table which is copied last and is large.
const LOOKUPS: &str = r#"
    create extension btree_gist;
    create table "Z rates" (id int primary key, rate int);
    insert into "Z rates" select i, i * 10 from generate_series(1, 60000) i;
    create function rate(int) returns int language sql immutable
        as 'select r.rate from public."Z rates" r where r.id = $1';
    create table a (id int);
    insert into a select generate_series(1, 500);
    create index by_rate on a (rate(id));
    create unique index each_rate on a (rate(id));
    create index with_rate on a (id) where rate(id) > 100;
    alter table a add exclude using gist (rate(id) with =);
    create table p (id int) partition by range (id);
    create table p1 partition of p for values from (0) to (1000);
    insert into p select generate_series(1, 300);
    create index on p (rate(id));
    create table big (id int, rest text);
    insert into big select i, repeat('x', 1000) from generate_series(1, 6000) i;
    create index by_big_rate on big (rate(id));"#;

#[test]
fn indexes_whose_functions_read_other_tables_wait_for_their_rows() -> Result<()> {
    let databases = Pair::shared()?.databases("lookups")?;
    databases.execute_on_source(LOOKUPS)?;
    for _ in 0..2 {
        databases.migrate_and_match("{}")?;
        databases.expect_same_schema()?;
        for query in [
            "select count(*) from a where rate(id) = 30",
            "select count(*) from a where rate(id) > 100 and id = 11",
            "select count(*) from p where rate(id) = 30",
            "select count(*) from big where rate(id) = 30",
        ] {
            let query = format!("set enable_seqscan = off; {query}");
            assert_eq!(databases.target_lines(&query)?, ["1"], "{query}");
        }
        let valid = "select bool_and(indisvalid) from pg_index where indrelid > 16383";
        assert_eq!(databases.target_lines(valid)?, ["t"]);
    }
    Ok(())
}

#[test]
fn a_foreign_key_may_refer_to_an_extensions_configuration_table() -> Result<()> {
    let databases = Pair::shared()?.databases("key_to_configuration")?;
    let configuration = "
        create extension citext;
        create table conf (id int primary key, name text);
        alter extension citext add table conf;
        update pg_catalog.pg_extension
        set extconfig = array['conf'::regclass], extcondition = array['where name <> ''shipped''']
        where extname = 'citext'";
    databases.execute_on_source(configuration)?;
    databases.execute_on_target(configuration)?;
    databases.execute_on_source(
        "insert into conf values (7, 'mine');
        create table t (id int primary key, conf_id int references conf);
        insert into t values (1, 7)",
    )?;
    for _ in 0..2 {
        databases.migrate_and_match("{}")?;
        databases.expect_same_data()?;
        let keys = "select count(*) from pg_constraint where contype = 'f' and convalidated";
        assert_eq!(databases.target_lines(keys)?, ["1"]);
    }
    Ok(())
}

/// Functions that find what they need only with the search path of their users.
const UNQUALIFIED: &str = "
    create table lookup (id int);
    create function unqualified(int) returns int language plpgsql immutable
        as 'begin perform from lookup; return $1; end';
    create table checked (id int check (unqualified(id) > 0));
    create table indexed (id int);
    create index fails on indexed (unqualified(id));
    create index works on indexed (id);
    create table computed (id int generated always as identity, twice int generated always as (unqualified(id)) stored);
    create materialized view filled as select unqualified(id) from indexed;
    create materialized view filled_well as select id from indexed;
    create table other (id serial primary key);
    insert into lookup values (1);
    insert into checked values (1);
    insert into indexed values (1);
    insert into computed default values;
    insert into other default values;
    grant select on other to pg_monitor;
    refresh materialized view filled;
    refresh materialized view filled_well;";

#[test]
fn unqualified_names_in_functions_are_one_event_per_object_and_the_rest_arrives() -> Result<()> {
    let databases = Pair::shared()?.databases("unqualified")?;
    databases.execute_on_source(UNQUALIFIED)?;
    databases.migrate_in_vain(r#"{"on_error": "continue"}"#)?;
    let failed = databases.target_lines(
        "select object from pgmig.events
        where message ~ 'relation \"lookup\" does not exist' and object <> 'run' order by 1",
    )?;
    assert_eq!(
        failed,
        [
            "constraint checked_id_check on public.checked",
            "index public.fails",
            "rows of materialized view public.filled",
            "table public.computed",
        ]
    );
    assert_eq!(
        databases.target_lines(
            "select (select count(*) from checked), (select count(*) from indexed),
                (select count(*) from filled_well), (select count(*) from other),
                to_regclass('works') is not null, to_regclass('fails') is null,
                (select is_called from other_id_seq),
                has_table_privilege('pg_monitor', 'other', 'select')"
        )?,
        ["1|1|1|1|t|t|t|t"]
    );
    Ok(())
}

#[test]
fn sequences_that_go_on_during_a_run_are_not_behind_the_rows() -> Result<()> {
    let databases = Pair::shared()?.databases("moving_sequences")?;
    databases.execute_on_source(
        "create table t (id bigserial primary key, x int);
        create table u (id int generated always as identity, x int);
        insert into t (x) select generate_series(1, 100000);
        insert into u (x) select generate_series(1, 100000)",
    )?;
    let (dsn, name) = (databases.source_dsn(), databases.name().to_owned());
    let start = format!("select pgmig.start({}, '{{\"validation\": \"none\"}}')", quote(&dsn));
    let run = databases.target_value(&start)?;
    // Until the run has ended, whatever that takes: rows and values move all the time.
    let state = format!("select state from pgmig.runs where run_id = {run}");
    let mut rounds = 0;
    loop {
        databases.pair().source.execute(
            &name,
            "insert into t (x) select generate_series(1, 100);
            insert into u (x) select generate_series(1, 100)",
        )?;
        rounds += 1;
        let state = databases.target_value(&state)?;
        if !matches!(state.as_str(), "planning" | "running") {
            ensure!(state == "done", "{state}");
            break;
        }
    }
    ensure!(rounds > 0);
    let behind = "select (select max(id) from t) > (select last_value from t_id_seq),
        (select max(id) from u) > (select last_value from u_id_seq)";
    assert_eq!(databases.target_value(behind)?, "f|f");
    databases.execute_on_target("insert into t (x) values (0); insert into u (x) values (0)")
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[test]
fn object_names_in_rows_arrive_when_they_name_tables_and_are_refused_by_name_otherwise()
-> Result<()> {
    let databases = Pair::shared()?.databases("names_in_rows")?;
    databases.execute_on_source(
        "create table t (id int primary key);
        create view early as select 1 as one;
        create table names (of regclass, op regoperator, by regprocedure);
        create function f() returns int language sql as 'select 1';
        insert into names values ('t', '+(int,int)', 'f()'), ('early', null, null)",
    )?;
    databases.migrate_and_match("{}")?;
    databases.expect_same_data()?;
    // An index comes after the rows.
    databases
        .execute_on_source("create index later on t (id); insert into names values ('later')")?;
    let error = databases.migrate_in_vain("{}")?;
    ensure!(error.message().contains("public.names"), "{error:?}");
    ensure!(error.message().contains("\"public.later\" does not exist"), "{error:?}");
    Ok(())
}

/// Materialized views of every kind: over tables, over each other, over what may read anything.
const FILLED: &str = r#"
    create role waiting_owner;
    create schema "M %";
    create table g (id int);
    insert into g select generate_series(1, 10);
    grant select on g to waiting_owner;
    grant create on schema public to waiting_owner;
    create type "M %".mood as enum ('sad', 'ok');
    create table "M %"."T'" (id int primary key, m "M %".mood not null, x numeric) partition by hash (id);
    create table "M %".t0 partition of "M %"."T'" for values with (modulus 2, remainder 0);
    create table "M %".t1 partition of "M %"."T'" for values with (modulus 2, remainder 1);
    insert into "M %"."T'" select i, 'ok', i from generate_series(1, 30000) i;
    create table guarded (id int);
    insert into guarded select generate_series(1, 100);
    alter table guarded enable row level security;
    create function count_all() returns bigint language sql stable as 'select count(*) from public.guarded';
    create view "V %" as select m, sum(x) as total, count(*) as n from "M %"."T'" group by m;
    create materialized view "a %" as select * from "V %" where m >= 'ok'::"M %".mood;
    create materialized view "b %" as select n + 1 as n from "a %";
    create unique index on "b %" (n);
    create materialized view c as select count_all() as n, (select n from "b %") as m;
    create materialized view d as select count(*) as n from guarded;
    create materialized view e as select pg_catalog.query_to_xml('select count(*) from public.guarded', true, false, '') as x;
    create materialized view h as select nentry from ts_stat('select to_tsvector(''simple'', id::text) from public.g');
    create materialized view f as select n from c;
    create materialized view "by key" as select id, x from "M %"."T'" group by id;
    set role waiting_owner;
    create materialized view "Own" as select id from g;
    reset role;
    create materialized view empty as select * from "V %" with no data;"#;

#[test]
fn materialized_views_are_filled_once_what_they_read_is_there() -> Result<()> {
    let databases = Pair::shared()?.databases("filled")?;
    databases.execute_on_source(FILLED)?;
    databases.execute_on_target("create role waiting_owner")?;
    for _ in 0..2 {
        databases.migrate_and_match("{}")?;
        databases.expect_same_schema()?;
        for (query, expected) in [
            (r#"select m, total, n from "a %""#, "ok|450015000|30000"),
            (r#"select n from "b %""#, "30001"),
            ("select n, m from c", "100|30001"),
            ("select n from d", "100"),
            ("select x::text like '%100%' from e", "t"),
            ("select n from f", "100"),
            ("select sum(nentry) from h", "10"),
            (r#"select count(*) from "Own""#, "10"),
            (r#"select sum(x), count(*) from "by key""#, "450015000|30000"),
        ] {
            assert_eq!(databases.target_lines(query)?, [expected], "{query}");
        }
        // All others wait for everything, and what reads what is not known, too.
        let early = "
            with recursive waits (task_id, object, depends_on) as (
                select t.task_id, t.object, t.depends_on from pgmig.tasks t
                where t.kind = 'refresh' and t.run_id = (select max(run_id) from pgmig.runs)
                union
                select w.task_id, w.object, t.depends_on
                from waits w join pgmig.tasks t on t.task_id = any (w.depends_on)
                where t.run_id = (select max(run_id) from pgmig.runs))
            select w.object
            from waits w join pgmig.tasks t on t.task_id = any (w.depends_on)
            where t.run_id = (select max(run_id) from pgmig.runs)
            group by 1
            having not bool_or(t.object = 'all rows and keys are in place')
            order by 1";
        let expected =
            ["rows of materialized view public.a %", "rows of materialized view public.b %"];
        assert_eq!(databases.target_lines(early)?, expected);
    }
    Ok(())
}
