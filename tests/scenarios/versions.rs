//! Sources of other versions than the target's. `make test` runs the ends and the middle of what can
//! be a source, `make test-matrix` all of them into all targets.

use anyhow::{Result, ensure};
use pgmig_tests::data::Script;
use pgmig_tests::{Cluster, ClusterOptions, Installation, Pair};

use super::timeouts;
use super::types::EXTENSIONS;

/// A source of a major version and the target at hand.
fn pair_from(major: u32, name: &str) -> Result<Pair> {
    let options = |installation, side| {
        ClusterOptions::new(installation, &format!("{name}-{major}-{side}"))
            .setting("max_worker_processes", "16")
    };
    Pair::start(
        options(Installation::of_major(major)?, "source"),
        options(Installation::of_extension()?, "target"),
    )
}

/// Whether both sides have something, as psql writes it.
fn on_both(pair: &Pair, has: impl Fn(&Cluster) -> bool) -> String {
    (has(&pair.source) && has(&pair.target)).to_string()
}

/// Copies what `everything.sql` makes on a source of that version, twice, and compares.
fn expect_everything_from(major: u32) -> Result<()> {
    let pair = pair_from(major, "everything")?;
    let databases = pair.databases("everything")?;
    let (icu, xml) = (on_both(&pair, Cluster::has_icu), on_both(&pair, Cluster::has_xml));
    let variables = [("icu", icu.as_str()), ("xml", xml.as_str())];
    Script::Everything.load(&pair.source, databases.name(), &variables)?;
    for options in [r#"{"roles": true}"#, "{}"] {
        if options == "{}" {
            // Nobody can rebuild an index over a function that the table's owner may not call.
            let grant = "grant execute on function shop.double(integer) to public";
            databases.execute_on_source(grant)?;
            databases.execute_on_target(grant)?;
        }
        databases.migrate_and_match(options)?;
        databases.expect_same_schema()?;
        databases.expect_same_data()?;
        let differing = databases.target_value(
            "select string_agg(e.object, ', ' order by e.object)
            from pgmig.events e where e.message ~ 'another definition'",
        )?;
        assert_eq!(differing, "");
    }
    Ok(())
}

/// Copies a table for every type, as binary and as text, from a source of that version.
fn expect_types_from(major: u32) -> Result<()> {
    let pair = pair_from(major, "types")?;
    let databases = pair.databases("types")?;
    let xml = on_both(&pair, Cluster::has_xml);
    let finite_extremes = (!pair.target.can("select interval 'infinity'")).to_string();
    let variables = [("xml", xml.as_str()), ("finite_extremes", finite_extremes.as_str())];
    Script::Types.load(&pair.source, databases.name(), &variables)?;
    let rows = databases.migrate_and_match(r#"{"validation": "checksum"}"#)?;
    // Of these the text differs, which is what they travel as.
    let incomparable = ["text_t_float4", "text_t_float8", "text_t_geometry"];
    for row in &rows {
        let is_hashed = major >= 12 || !incomparable.contains(&row.table_name.as_str());
        ensure!(row.source_checksum.is_some() == is_hashed, "{row:?}");
        ensure!(row.detail.is_none() == is_hashed, "{row:?}");
    }
    databases.expect_same_data()
}

/// Copies types and indexes of contrib extensions, whose versions differ, from a source of that version.
fn expect_extensions_from(major: u32) -> Result<()> {
    let pair = pair_from(major, "extensions")?;
    let databases = pair.databases("extensions")?;
    // Operator classes have had options since 13, and items of lquery counts.
    let script = match major {
        13.. => EXTENSIONS.to_owned(),
        _ => EXTENSIONS
            .replace(" gist_hstore_ops (siglen = 32)", "")
            .replace(" (siglen = 64)", "")
            .replace("*.b{1,2}.!c", "*{1,2}.b.!c"),
    };
    databases.execute_on_source(&script)?;
    databases.execute_on_target("create type public.shift as enum ()")?;
    databases.migrate_and_match(r#"{"validation": "checksum"}"#)?;
    databases.expect_same_data()?;
    databases.execute_on_target("drop type public.shift")?;
    databases.expect_same_schema()
}

#[test]
fn types_and_indexes_of_extensions_arrive_from_10() -> Result<()> {
    expect_extensions_from(10)
}

#[test]
#[ignore = "make test-matrix"]
fn types_and_indexes_of_extensions_arrive_from_13() -> Result<()> {
    expect_extensions_from(13)
}

#[test]
fn types_and_indexes_of_extensions_arrive_from_18() -> Result<()> {
    expect_extensions_from(18)
}

#[test]
fn values_of_every_type_arrive_from_10() -> Result<()> {
    expect_types_from(10)
}

#[test]
fn values_of_every_type_arrive_from_18() -> Result<()> {
    expect_types_from(18)
}

#[test]
#[ignore = "make test-matrix"]
fn values_of_every_type_arrive_from_all_others() -> Result<()> {
    (11..=17).try_for_each(expect_types_from)
}

#[test]
fn everything_arrives_from_10() -> Result<()> {
    expect_everything_from(10)
}

#[test]
#[ignore = "make test-matrix"]
fn everything_arrives_from_11() -> Result<()> {
    expect_everything_from(11)
}

#[test]
#[ignore = "make test-matrix"]
fn everything_arrives_from_12() -> Result<()> {
    expect_everything_from(12)
}

#[test]
fn everything_arrives_from_13() -> Result<()> {
    expect_everything_from(13)
}

#[test]
#[ignore = "make test-matrix"]
fn everything_arrives_from_14() -> Result<()> {
    expect_everything_from(14)
}

#[test]
#[ignore = "make test-matrix"]
fn everything_arrives_from_15() -> Result<()> {
    expect_everything_from(15)
}

#[test]
#[ignore = "make test-matrix"]
fn everything_arrives_from_16() -> Result<()> {
    expect_everything_from(16)
}

#[test]
#[ignore = "make test-matrix"]
fn everything_arrives_from_17() -> Result<()> {
    expect_everything_from(17)
}

#[test]
fn everything_arrives_from_18() -> Result<()> {
    expect_everything_from(18)
}

/// What `newer.sql` makes that servers before some version do not have: that version, the object, and
/// how the event about it begins.
const NEWER: &[(u32, &str, &str)] = &[
    (16, "collation \"new %\".ruled", "made without its rules"),
    (16, "index new %.by %", "left out, since the target does not know IS JSON"),
    (
        16,
        "table new %.by_system_user",
        "constraint \"is json\" is left out, since the target does not",
    ),
    (16, "table new %.by_system_user", "the default of column \"who\" is left out, since"),
    (16, "table new %.unicode_text", "collation pg_catalog.\"und-x-icu\" stands for"),
    (
        16,
        "view new %.any_view",
        "left out, since the target does not know function any_value with an",
    ),
    (16, "view new %.json_view", "left out, since the target does not know IS JSON"),
    (16, "view new %.on_json_view", "left out, since view new %.json_view is left out"),
    (17, "collation \"new %\".\"built.in\"", "made with provider libc"),
    (17, "table new %.in_bytes", "collation \"C\" stands for \"pg_c_utf8\""),
    (17, "default privileges of role postgres on tables in schema \"new %\"", "the target has no"),
    (17, "domain new %.named", "NOT NULL constraint \"need %\" has no name"),
    (17, "event trigger \"log.in\"", "left out, since the target has no event \"login\""),
    (17, "index new %.in bytes %", "collation \"C\" stands for \"pg_c_utf8\""),
    (17, "privileges on table \"new %\".maintained", "the target has no privilege"),
    (
        17,
        "table new %.chances",
        "the default of column \"n\" is left out, since the target does not",
    ),
    (17, "table new %.in_bytes", "collation \"C\" stands for \"pg_c_utf8\""),
    (17, "table new %.in_bytes", "collation pg_catalog.\"C\" stands for pg_catalog.pg_c_utf8"),
    (17, "table new %.slots", "constraint \"ex %\" is left out, since the target cannot have"),
    (17, "view new %.view_in_bytes", "collation \"C\" stands for \"pg_c_utf8\""),
    (
        18,
        "default privileges of role postgres on large objects",
        "left out, since the target knows",
    ),
    (
        18,
        "domain new %.fresh",
        "its default is left out, since the target does not know function uuidv7()",
    ),
    (
        18,
        "function new %.fold(t text)",
        "left out, since the target does not know function uuidv7()",
    ),
    (
        18,
        "index new %.fold index",
        "left out, since the target does not know function casefold with",
    ),
    (
        18,
        "materialized view new %.folded_rows",
        "left out, since the target does not know function",
    ),
    (18, "policy fold policy on new %.ids", "left out, since the target does not know function"),
    (18, "publication table \"new %\".computed in with_list", "left out as far as"),
    (18, "publication table \"new %\".ids in with_list", "left out as far as"),
    (18, "publication with_generated", "publishes no generated columns"),
    (18, "table new %.computed", "column \"twice\" is stored"),
    (18, "table new %.ids", "column \"fold %\" is not generated but has the values it has, since"),
    (18, "table new %.ids", "constraint \"new fold\" is left out, since the target does not know"),
    (18, "table new %.ids", "the default of column \"id\" is left out, since the target does not"),
    (
        18,
        "table new %.ids",
        "the target has no storage parameter \"autovacuum_vacuum_max_threshold\"",
    ),
    (18, "table new %.ids", "the target has no storage parameter \"toast.autovacuum_vacuum_max"),
    (18, "table new %.in_period", "constraint \"within\" is left out"),
    (18, "table new %.late_not_null", "NOT NULL of column \"a\" is left out"),
    (18, "table new %.named_child", "NOT NULL constraint \"c first\" has no name"),
    (18, "table new %.named_child", "NOT NULL constraint \"need a\" has no name"),
    (18, "table new %.named_not_null", "NOT NULL constraint \"c first\" has no name"),
    (18, "table new %.named_not_null", "NOT NULL constraint \"need a\" has no name"),
    (18, "table new %.named_not_null", "NOT NULL of column \"d\" is left out"),
    (18, "table new %.parts_of", "constraint \"late\" is left out"),
    (18, "table new %.period_parts", "constraint \"p %\" is left out"),
    (18, "table new %.periods", "constraint \"no overlaps\" is left out"),
    (18, "table new %.strict_parts", "NOT NULL constraint \"k %\" has no name"),
    (18, "table new %.strict_parts", "constraint \"un %\" is left out"),
    (18, "table new %.strict_parts_1", "NOT NULL constraint \"k %\" has no name"),
    (18, "table new %.strict_parts_1", "constraint \"un %\" is left out"),
    (18, "table new %.unenforced", "constraint \"not yet\" is left out"),
    (18, "table new %.unenforced", "constraint \"reference\" is left out"),
    (18, "table new %.virtual_child", "column \"twice\" is stored"),
    (18, "table new %.virtual_parts", "column \"d %\" is stored"),
    (18, "table new %.virtual_parts_1", "column \"d %\" is stored"),
    (18, "view new %.folded", "left out, since the target does not know function casefold with"),
    (18, "view new %.of_fold", "left out, since function new %.fold(t text) is left out"),
];

/// The events of a database's runs, but for those that the same privilege on every table leads to.
const EVENTS: &str = "
    select e.object, e.message
    from pgmig.events e
    where e.object !~ '^privileges' or e.object ~ 'maintained'
    order by e.object collate \"C\", e.message collate \"C\"";

/// Copies what `newer.sql` makes on a source of that version, and reads what the run says of it.
fn expect_named_from(major: u32) -> Result<()> {
    let pair = pair_from(major, "newer")?;
    let databases = pair.databases("newer")?;
    let icu = on_both(&pair, Cluster::has_icu);
    let icu_target = pair.target.has_icu().to_string();
    let variables = [("icu", icu.as_str()), ("icu_target", icu_target.as_str())];
    Script::Newer.load(&pair.source, databases.name(), &variables)?;
    let target_major = pair.target.installation().major()?;
    let has_rules = icu == "true";
    let is_expected = |(since, object, _): &&(u32, &str, &str)| {
        *since > target_major && *since <= major && (has_rules || !object.ends_with("ruled"))
    };
    let mut expected: Vec<_> = NEWER.iter().filter(is_expected).collect();
    expected.sort_by_key(|(_, object, start)| (*object, *start));

    databases.migrate_and_match("{}")?;
    let events: Vec<(String, String)> = databases
        .target()?
        .query(EVENTS, &[])?
        .iter()
        .map(|event| (event.get(0), event.get(1)))
        .filter(|(object, _)| object != "run")
        .collect();
    for ((_, object, start), event) in expected.iter().zip(&events) {
        ensure!(event.0 == *object && event.1.starts_with(start), "{object}: {event:?}");
    }
    assert_eq!(events.len(), expected.len(), "{events:#?}");
    databases.expect_same_data()?;
    if major >= 17 && target_major < 17 {
        let query = "select count(*) from pg_catalog.pg_constraint where contype = 'x'";
        assert_eq!(databases.target_value(query)?, "2", "those of the partitions stay");
    }
    if expected.is_empty() {
        databases.expect_same_schema()?;
    }
    Ok(())
}

#[test]
fn what_an_older_target_cannot_express_is_named_and_all_else_arrives() -> Result<()> {
    expect_named_from(18)
}

#[test]
fn what_an_older_target_cannot_express_is_named_from_16() -> Result<()> {
    expect_named_from(16)
}

#[test]
#[ignore = "make test-matrix"]
fn what_an_older_target_cannot_express_is_named_from_17() -> Result<()> {
    expect_named_from(17)
}

/// What servers of version 11 have and newer ones have no more.
const OLDER: &str = r#"
    create role "rea %der";
    create table "with %" (id integer, t text) with oids;
    insert into "with %" select g, 't' || g from generate_series(1, 30) g;
    create unique index "oid index" on "with %" (oid);
    alter table "with %" add constraint "oid key" unique (oid);
    create table child_with () inherits ("with %");
    create view "of oid" as select oid, id from "with %";
    create view on_of_oid as select id from "of oid";
    create index kept on "with %" (id);
    create aggregate "accum %"(anyelement) (sfunc = array_append, stype = anyarray, initcond = '{}');
    comment on aggregate "accum %"(anyelement) is 'accumulates';
    revoke execute on function "accum %"(anyelement) from public;
    grant execute on function "accum %"(anyelement) to "rea %der";
    create view accumulated as select "accum %"(id) as ids from "with %";
    create function half(integer) returns integer language sql immutable as 'select $1 / 2';
    create operator !!! (procedure = half, leftarg = integer);
    create view of_postfix as select id !!! as h from "with %";
    create function "opa %que"() returns opaque language internal as 'trigger_in'"#;

/// The events about them, in the order of objects.
const REMOVED: [(&str, &str); 9] = [
    (
        "aggregate public.accum %(anycompatible)",
        "takes anycompatible, as its function array_append does",
    ),
    ("function public.opa %que()", "left out, since the target has no type opaque"),
    ("index public.oid index", "left out, since tables have no OIDs"),
    ("operator public.!!! (integer, none)", "left out, since there are no postfix operators"),
    ("table public.child_with", "made without OIDs"),
    ("table public.with %", "constraint \"oid key\" is left out, since tables have no OIDs"),
    ("table public.with %", "made without OIDs"),
    ("view public.of oid", "left out, since tables have no OIDs"),
    ("view public.of_postfix", "left out, since operator public.!!! (integer, none) is left out"),
];

#[test]
fn what_newer_servers_have_no_more_is_named_and_all_else_arrives() -> Result<()> {
    let pair = pair_from(11, "older")?;
    let databases = pair.databases("older")?;
    databases.execute_on_source(OLDER)?;
    for options in [r#"{"roles": true}"#, "{}"] {
        databases.migrate_and_match(options)?;
        let events: Vec<(String, String)> = databases
            .target()?
            .query(
                "select e.object, e.message from pgmig.events e
                where e.run_id = (select max(r.run_id) from pgmig.runs r) and e.object <> 'run'
                order by e.object collate \"C\", e.message collate \"C\"",
                &[],
            )?
            .iter()
            .map(|event| (event.get(0), event.get(1)))
            .filter(|(object, _)| object != "view public.on_of_oid")
            .collect();
        for ((object, start), event) in REMOVED.iter().zip(&events) {
            ensure!(event.0 == *object && event.1.starts_with(start), "{object}: {event:?}");
        }
        assert_eq!(events.len(), REMOVED.len(), "{events:#?}");
        databases.expect_same_data()?;
    }
    let accumulated = "select array_length(ids, 1) from accumulated";
    assert_eq!(databases.target_value(accumulated)?, "30");
    let granted = "select obj_description(oid) || proacl::text from pg_catalog.pg_proc
                   where proname = 'accum %'";
    let granted = databases.target_value(granted)?;
    ensure!(granted.starts_with("accumulates{") && granted.contains("rea %der"), "{granted}");
    Ok(())
}

#[test]
fn columns_of_types_that_the_target_has_not_stop_the_run_before_it_begins() -> Result<()> {
    let pair = pair_from(11, "types_gone")?;
    let databases = pair.databases("types_gone")?;
    databases.execute_on_source(
        "create domain at as abstime;
        create type pair_of as (a integer, b tinterval[]);
        create table \"ti %mes\" (a at, \"b %\" pair_of, c integer);
        create table kept (id integer);
        insert into kept values (1)",
    )?;
    let error = databases.migrate_in_vain("{}")?;
    ensure!(error.message().contains("the types of 2 columns"), "{error:?}");
    let detail = error.detail().unwrap_or_default();
    ensure!(detail.contains("\"public.ti %mes\".\"a\" (abstime)"), "{detail}");
    ensure!(detail.contains("\"public.ti %mes\".\"b %\" (tinterval)"), "{detail}");
    databases.migrate_and_match(r#"{"exclude_tables": "ti %mes"}"#)?;
    let named = "select string_agg(object || ': ' || message, '; ' order by object)
                 from pgmig.events where object ~ '^(type|domain)'";
    assert_eq!(
        databases.target_value(named)?,
        "domain public.at: left out, since the target has no type abstime; \
         type public.pair_of: left out, since the target has no type tinterval"
    );
    Ok(())
}

/// What a subscription is on the target, but for options that one of the servers does not know.
const SUBSCRIPTION: &str = "
    select subname, subconninfo, subpublications, subbinary, substream <> 'f', subsynccommit, subslotname
    from pg_catalog.pg_subscription";

/// Copies a subscription with all options that a source of that version knows.
fn expect_subscription_from(major: u32) -> Result<()> {
    let pair = pair_from(major, "subscription")?;
    let databases = pair.databases("subscription")?;
    let mut options =
        "connect = false, slot_name = none, binary, synchronous_commit = 'local'".to_owned();
    options += match major {
        16.. => ", streaming = parallel, origin = none, run_as_owner, password_required = false",
        _ => ", streaming",
    };
    if major >= 15 {
        options += ", two_phase, disable_on_error";
    }
    if major >= 17 {
        options += ", failover";
    }
    databases.execute_on_source(&format!(
        r#"create subscription "su %b" connection 'host=nowhere.invalid password=secret'
            publication "p %", q with ({options})"#
    ))?;
    databases.execute_on_source("create table t (i int); insert into t values (1)")?;
    databases.migrate_and_match("{}")?;
    let (name, pair) = (databases.name(), databases.pair());
    assert_eq!(pair.target.psql(name, SUBSCRIPTION)?, pair.source.psql(name, SUBSCRIPTION)?);
    let lost = "select count(*) from pgmig.events where message ~ 'without options .*streaming = parallel'";
    let is_lost = major >= 16 && pair.target.installation().major()? < 16;
    assert_eq!(databases.target_value(lost)?, if is_lost { "1" } else { "0" });
    let drop = r#"drop subscription "su %b""#;
    databases.execute_on_source(drop)?;
    databases.execute_on_target(drop)
}

#[test]
fn subscriptions_with_every_option_arrive_from_14_and_18() -> Result<()> {
    expect_subscription_from(14)?;
    expect_subscription_from(18)
}

#[test]
#[ignore = "make test-matrix"]
fn subscriptions_with_every_option_arrive_from_all_others() -> Result<()> {
    (15..=17).try_for_each(expect_subscription_from)
}

/// Roles and a database with settings, one of which is gone since 12.
const SETTINGS: &str = r#"
    create role "se %t";
    alter role "se %t" set default_with_oids = on;
    alter role "se %t" set work_mem = '7MB';
    alter role "se %t" set role = 'se %t';
    alter database settings set default_with_oids = on;
    alter database settings set "my %".thing = 'x';
    alter database settings set my.thing = 'x';
    alter database settings set lock_timeout = '3h';
    create function "f %"(a text) returns text language plpgsql
        set default_with_oids = off set work_mem = '4MB' as 'begin
 SET default_with_oids TO ''off'';
 return a; end';
    create table t (i int);
    insert into t values (1)"#;

#[test]
fn settings_that_the_target_has_not_are_named_and_the_others_arrive() -> Result<()> {
    let pair = pair_from(11, "settings")?;
    let databases = pair.databases("settings")?;
    databases.execute_on_source(SETTINGS)?;
    databases.migrate_and_match(r#"{"roles": true, "database_properties": true}"#)?;
    let named = "select string_agg(object || ': ' || substring(message from '\"(.*)\"'), ', ' order by object, message)
                 from pgmig.events where message ~ '^the target has no setting \".*\", left out$'";
    assert_eq!(
        databases.target_value(named)?,
        "database settings: default_with_oids, database settings: my %.thing, \
         function public.f %(a text): default_with_oids, role se %t: default_with_oids"
    );
    let function = "select proconfig::text || prosrc from pg_catalog.pg_proc where proname = 'f %'";
    let function = databases.target_value(function)?;
    ensure!(function.starts_with("{work_mem=4MB}begin\n SET default_with_oids"), "{function}");
    let kept = "select string_agg(c, ', ' order by c) from pg_catalog.pg_db_role_setting, unnest(setconfig) c";
    assert_eq!(
        databases.target_value(kept)?,
        "lock_timeout=3h, my.thing=x, role=se %t, work_mem=7MB"
    );
    Ok(())
}

/// Memberships as servers from 16 on have them: one by the system, one by the role itself.
const MEMBERSHIPS: &str = r#"
    create role "ma %ker" createrole;
    grant create on database memberships to "ma %ker";
    set createrole_self_grant = 'set, inherit';
    set role "ma %ker";
    create role "ma %de";
    create role member;
    grant "ma %de" to member with inherit false;
    reset role;
    create table t (i int);
    insert into t values (1)"#;

#[test]
fn memberships_of_several_grantors_arrive_from_18() -> Result<()> {
    let pair = pair_from(18, "memberships")?;
    let databases = pair.databases("memberships")?;
    databases.execute_on_source(MEMBERSHIPS)?;
    databases.migrate_and_match(r#"{"roles": true}"#)?;
    let is_whole = pair.target.installation().major()? >= 16;
    let columns = if is_whole { ", inherit_option, set_option, grantor::regrole" } else { "" };
    let query = format!(
        "select q::text from (
             select distinct roleid::regrole, member::regrole, bool_or(admin_option) over (
                 partition by roleid, member){columns}
             from pg_catalog.pg_auth_members
             where member::regrole::text !~ '^pg_'
         ) q order by 1"
    );
    let (name, pair) = (databases.name(), databases.pair());
    assert_eq!(pair.target.psql(name, &query)?, pair.source.psql(name, &query)?);
    Ok(())
}

#[test]
fn timeouts_that_came_later_do_not_reach_a_run_from_18() -> Result<()> {
    timeouts::expect_none_reaches_a_run(&pair_from(18, "timeouts")?)
}
