//! What the target grants by default must not reach what a run makes.

use anyhow::Result;
use pgmig_tests::Pair;

/// Objects of every kind that default privileges are for.
const OBJECTS: &str = r#"
    create schema "S 1";
    create table "S 1"."T" (id serial primary key, other int generated always as identity, "x y" int);
    create view "S 1".v as select 1 as one;
    create materialized view "S 1".m as select 1 as one;
    create function "S 1".f(a int, out b int) language sql as 'select 1';
    create procedure "S 1".p(a int) language sql as 'select 1';
    create aggregate "S 1".total(int) (sfunc = int4pl, stype = int);
    create type "S 1".kind as enum ('a');
    create domain "S 1".dom as int;
    create table public.granted (id int);
    insert into "S 1"."T" default values;
    grant select on public.granted to pg_monitor;
    grant insert on public.granted to public;"#;

#[test]
fn default_privileges_of_the_target_do_not_reach_what_a_run_makes() -> Result<()> {
    let pair = Pair::shared()?;
    let databases = pair.databases("leaks")?;
    databases.execute_on_source(OBJECTS)?;
    let defaults = r"
        alter default privileges grant all on tables to pg_monitor;
        alter default privileges grant select on tables to public;
        alter default privileges grant usage on sequences to pg_monitor;
        alter default privileges revoke execute on functions from public;
        alter default privileges grant execute on functions to pg_monitor;
        alter default privileges grant usage on types to pg_monitor;
        alter default privileges grant all on schemas to pg_monitor;
        alter default privileges in schema public grant delete on tables to pg_signal_backend";
    // Once those of the target alone, once what an earlier run carried over.
    databases.execute_on_target(defaults)?;
    databases.migrate("{}")?;
    let privileges = "select coalesce(string_agg(x.acl, ' ' order by x.acl), '') from (
        select c.relname || a::text as acl from pg_class c, aclexplode(c.relacl) a
            where c.relnamespace in ('public'::regnamespace, '\"S 1\"'::regnamespace) and a.grantee <> c.relowner
        union all
        select p.proname || a::text from pg_proc p, aclexplode(p.proacl) a
            where p.pronamespace = '\"S 1\"'::regnamespace and a.grantee not in (0, p.proowner)
        union all
        select 'no execute ' || p.proname from pg_proc p
            where p.pronamespace = '\"S 1\"'::regnamespace and not has_function_privilege('pg_monitor', p.oid, 'execute')
        union all
        select t.typname || a::text from pg_type t, aclexplode(t.typacl) a
            where t.typnamespace = '\"S 1\"'::regnamespace and a.grantee not in (0, t.typowner)
        union all
        select n.nspname || a::text from pg_namespace n, aclexplode(n.nspacl) a
            where n.nspname = 'S 1' and a.grantee <> n.nspowner) x";
    let compare = || -> Result<()> {
        let name = databases.name();
        assert_eq!(pair.source.psql(name, privileges)?, pair.target.psql(name, privileges)?);
        Ok(())
    };
    compare()?;
    databases.execute_on_source(defaults)?;
    for options in ["{}", r#"{"drop_existing_tables": true}"#, "{}"] {
        databases.migrate(options)?;
        compare()?;
    }
    databases.expect_same_schema()
}
