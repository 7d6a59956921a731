//! Sources of other versions than the target's. `make test` runs the ends and the middle of what can
//! be a source, `make test-matrix` all of them into all targets.

use anyhow::{Result, ensure};
use pgmig_tests::data::Script;
use pgmig_tests::pair::find_db_error;
use pgmig_tests::{Cluster, ClusterOptions, Installation, Pair};

/// Succeeds on a server that was built with ICU.
const USES_ICU: &str =
    "select 1 / count(*) from pg_catalog.pg_collation where collname = 'und-x-icu'";

/// Succeeds on a server that was built with libxml.
const USES_XML: &str = "select xmlparse(content 'x')";

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

/// Whether statements succeed, as psql writes it.
fn works(cluster: &Cluster, sql: &str) -> &'static str {
    if cluster.execute("postgres", sql).is_ok() { "true" } else { "false" }
}

fn not(boolean: &str) -> &'static str {
    if boolean == "true" { "false" } else { "true" }
}

/// Whether statements succeed on both sides.
fn works_on_both(pair: &Pair, sql: &str) -> &'static str {
    match works(&pair.source, sql) {
        "true" => works(&pair.target, sql),
        other => other,
    }
}

/// Copies what `everything.sql` makes on a source of that version, twice, and compares.
fn expect_everything_from(major: u32) -> Result<()> {
    let pair = pair_from(major, "everything")?;
    let databases = pair.databases("everything")?;
    let variables =
        [("icu", works_on_both(&pair, USES_ICU)), ("xml", works_on_both(&pair, USES_XML))];
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
    let variables = [
        ("xml", works_on_both(&pair, USES_XML)),
        ("finite_extremes", not(works(&pair.target, "select interval 'infinity'"))),
    ];
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
    (16, "table new %.unicode_text", "collation pg_catalog.\"und-x-icu\" stands for"),
    (16, "view new %.any_view", "view new %.any_view: function any_value(text) does not exist"),
    (16, "view new %.json_view", "view new %.json_view: syntax error"),
    (16, "view new %.on_json_view", "view new %.on_json_view: relation"),
    (17, "collation \"new %\".\"built.in\"", "made with provider libc"),
    (17, "default privileges of role postgres on tables in schema \"new %\"", "the target has no"),
    (17, "domain new %.named", "NOT NULL constraint \"need %\" has no name"),
    (17, "event trigger \"log.in\"", "left out, since the target has no event \"login\""),
    (17, "privileges on table \"new %\".maintained", "the target has no privilege"),
    (18, "publication with_generated", "publishes no generated columns"),
    (18, "table new %.computed", "column \"twice\" is stored"),
    (18, "table new %.in_period", "constraint \"within\" is left out"),
    (18, "table new %.late_not_null", "NOT NULL of column \"a\" is left out"),
    (18, "table new %.named_child", "NOT NULL constraint \"c first\" has no name"),
    (18, "table new %.named_child", "NOT NULL constraint \"need a\" has no name"),
    (18, "table new %.named_not_null", "NOT NULL constraint \"c first\" has no name"),
    (18, "table new %.named_not_null", "NOT NULL constraint \"need a\" has no name"),
    (18, "table new %.named_not_null", "NOT NULL of column \"d\" is left out"),
    (18, "table new %.parts_of", "constraint \"late\" is left out"),
    (18, "table new %.periods", "constraint \"no overlaps\" is left out"),
    (18, "table new %.unenforced", "constraint \"not yet\" is left out"),
    (18, "table new %.unenforced", "constraint \"reference\" is left out"),
    (18, "view new %.folded", "view new %.folded: "),
];

/// The events of a database's runs, but for those that the same privilege on every table leads to.
const EVENTS: &str = "
    select e.object, e.message
    from pgmig.events e
    where e.object !~ '^privileges' or e.object ~ 'maintained'
    order by e.object collate \"C\", e.message collate \"C\"";

#[test]
fn what_an_older_target_cannot_express_is_named_and_all_else_arrives() -> Result<()> {
    let pair = pair_from(18, "newer")?;
    let databases = pair.databases("newer")?;
    let icu_target = works(&pair.target, USES_ICU);
    let variables = [("icu", works_on_both(&pair, USES_ICU)), ("icu_target", icu_target)];
    Script::Newer.load(&pair.source, databases.name(), &variables)?;
    let target_major = pair.target.installation().major()?;
    let mut expected: Vec<_> = NEWER.iter().filter(|(since, ..)| *since > target_major).collect();
    expected.sort_by_key(|(_, object, start)| (*object, *start));

    let outcome = databases.migrate(r#"{"on_error": "continue"}"#);
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
    match expected.iter().filter(|(_, object, _)| object.starts_with("view")).count() {
        0 => outcome.map(drop)?,
        failed => {
            let message = find_db_error(outcome.expect_err("views failed"))?.message().to_owned();
            ensure!(message.contains(" tasks failed"), "{failed}: {message}");
        }
    }
    if expected.is_empty() {
        databases.expect_same_schema()?;
    }
    Ok(())
}
