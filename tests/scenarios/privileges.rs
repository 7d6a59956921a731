//! Privileges on what the system and extensions bring, of which the target may have another version.

use anyhow::{Result, ensure};
use pgmig_tests::{ClusterOptions, Databases, Installation, Pair};

/// Object, severity and message of the events about an object, a line each.
fn events_about(databases: &Databases<'_>, pattern: &str) -> Result<String> {
    databases.target_value(&format!(
        "select concat_ws(' | ', e.object, e.severity, e.message)
        from pgmig.events e
        where e.run_id = (select max(r.run_id) from pgmig.runs r) and e.object ~ '{pattern}'
        order by 1"
    ))
}

#[test]
fn privileges_on_system_functions_that_the_target_lost_are_named_and_the_others_arrive()
-> Result<()> {
    let options = |installation, side| ClusterOptions::new(installation, &format!("acl-{side}"));
    let pair = Pair::start(
        options(Installation::of_major(13)?, "source"),
        options(Installation::of_extension()?, "target"),
    )?;
    let databases = pair.databases("system_privileges")?;
    databases.execute_on_source(
        "create role \"re %ader\";
        grant execute on function pg_catalog.pg_start_backup(text, boolean, boolean) to \"re %ader\";
        grant execute on function pg_catalog.pg_ls_waldir() to \"re %ader\" with grant option;
        grant select on pg_catalog.pg_authid to \"re %ader\";
        create table t (i int);
        insert into t values (1)",
    )?;
    databases.migrate_and_match(r#"{"roles": true}"#)?;
    assert_eq!(
        events_about(&databases, "pg_start_backup")?,
        "privileges on routine pg_catalog.pg_start_backup(text, boolean, boolean) | warning | \
         left out, since the target has no such object"
    );
    let has =
        "select has_function_privilege('re %ader', 'pg_ls_waldir()', 'execute with grant option'),
                   has_table_privilege('re %ader', 'pg_authid', 'select')";
    assert_eq!(databases.target_value(has)?, "t|t");
    Ok(())
}

/// An extension with members that its script of the target does not make.
const OLDER_EXTENSION: &str = r#"
    create extension fuzzystrmatch;
    create function "lost %"(integer, "b y" text) returns integer language sql as 'select 1';
    create view "lost.view" as select 1 as a;
    alter extension fuzzystrmatch add function "lost %"(integer, text);
    alter extension fuzzystrmatch add view "lost.view";
    grant execute on function "lost %"(integer, text) to public;
    revoke execute on function "lost %"(integer, text) from public;
    grant select on "lost.view" to public;
    revoke execute on function soundex(text) from public"#;

#[test]
fn privileges_on_members_that_an_extension_lost_are_left_out_with_an_event() -> Result<()> {
    let databases = Pair::shared()?.databases("member_privileges")?;
    databases.execute_on_source(OLDER_EXTENSION)?;
    databases.execute_on_source("create table t (i int); insert into t values (1)")?;
    // First as the extension is created by the run, then as it is there.
    for message in ["does not exist", "left out, since the target has no such object"] {
        databases.migrate_and_match("{}")?;
        let events = events_about(&databases, "lost")?;
        ensure!(events.lines().count() == 2, "{events}");
        ensure!(events.lines().all(|line| line.contains(" | warning | ")), "{events}");
        ensure!(events.lines().all(|line| line.contains(message)), "{message}: {events}");
        let kept = "select not has_function_privilege('pg_monitor', 'soundex(text)', 'execute')";
        assert_eq!(databases.target_value(kept)?, "t");
    }
    Ok(())
}
