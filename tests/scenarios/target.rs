//! What the target's server is and does of its own.

use anyhow::{Result, ensure};
use pgmig_tests::Pair;

#[test]
fn columns_have_no_compression_of_their_own_where_that_is_not_wanted() -> Result<()> {
    let databases = Pair::shared()?.databases("toast_compression")?;
    databases.execute_on_source(
        "create table t (a text compression pglz, b text);
        create materialized view m as select 'x'::text as c;
        alter materialized view m alter column c set compression pglz;
        create table typed_parent (a text compression pglz);
        create table typed_child () inherits (typed_parent);
        insert into t values ('x', 'y')",
    )?;
    databases.migrate_and_match(r#"{"toast_compression": false}"#)?;
    let methods = "select count(*) filter (where attcompression <> '') from pg_catalog.pg_attribute
                   where attrelid = any ('{t, m, typed_parent, typed_child}'::regclass[])";
    assert_eq!(databases.target_value(methods)?, "0");
    Ok(())
}

/// An event trigger that nothing silences before 17, and that forbids what runs do.
const FORBIDDING: &str = r#"
    create function public.forbid() returns event_trigger language plpgsql as $$
    begin
        if tg_tag = 'CREATE TABLE' then
            raise exception 'no new tables';
        end if;
    end $$;
    create event trigger "for %bid" on ddl_command_start execute function public.forbid();
    alter event trigger "for %bid" enable "#;

#[test]
fn an_event_trigger_that_always_fires_arrives_last_and_is_named_by_the_next_run() -> Result<()> {
    let databases = Pair::shared()?.databases("event_triggers")?;
    databases.execute_on_source("create table t (i int); insert into t values (1)")?;
    databases.execute_on_source(&format!("{FORBIDDING} always"))?;
    databases.execute_on_source("alter default privileges grant select on tables to public")?;
    databases.migrate_and_match("{}")?;
    databases.expect_same_schema()?;
    let is_silenced = databases.pair().target.installation().major()? >= 17;
    databases.migrate_and_match("{}")?;
    let named = "select count(*) from pgmig.events
                 where object = 'event trigger for %bid' and message ~ 'fires'";
    let count = databases.target_value(named)?;
    ensure!(count == if is_silenced { "0" } else { "1" }, "{count}");
    Ok(())
}
