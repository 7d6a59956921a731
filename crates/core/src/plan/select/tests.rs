use serde_json::{Value, json};

use super::*;

const SCHEMAS: &[&str] = &["public", "My.Schema", "audit", "pg_catalog"];

fn tables() -> Vec<Candidate> {
    let plain = [
        ("public", "users"),
        ("public", "votes"),
        ("public", "q\"q"),
        ("My.Schema", "Users"),
        ("My.Schema", "a.b\n%"),
        ("audit", "votes"),
        ("pg_catalog", "pg_class"),
    ];
    plain.map(|(schema, name)| candidate(schema, name, None)).to_vec()
}

fn candidate(schema: &str, name: &str, parent: Option<&str>) -> Candidate {
    Candidate {
        name: QualifiedName::new(schema, name),
        has_rows: true,
        parent: parent.map(|parent| QualifiedName::new("public", parent)),
    }
}

/// A partitioned table with two levels of partitions, one of them in another schema.
fn partitions() -> Vec<Candidate> {
    let mut tables = tables();
    tables.push(candidate("public", "log", None));
    tables.push(candidate("public", "log_2024", Some("log")));
    tables.push(candidate("audit", "log_2024_1", Some("log_2024")));
    tables
}

fn select(options: Value) -> Selection {
    let options = Options::parse(&options).expect("valid options");
    Selection::new(&options).expect("valid patterns")
}

/// Names of the tables for which `is_chosen` holds, as `schema.name`.
fn names(is_chosen: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let tables = partitions().into_iter().map(|table| table.name);
    let tables = tables.filter(|table| is_chosen(&table.schema, &table.name));
    tables.map(|table| table.to_string()).filter(|name| !name.contains(".log")).collect()
}

fn refuse(options: Value) -> Error {
    select(options).resolve(SCHEMAS, &tables()).expect_err("refused")
}

#[test]
fn everything_but_the_system_is_selected_by_default() {
    let selection = select(json!({}));
    assert_eq!(names(|s, n| selection.selects_table(s, n)).len(), 6);
    assert!(!selection.selects_schema("information_schema"));
    assert!(selection.selects_schema("my_pgmig_x"));
}

#[test]
fn schemas_and_tables_narrow_each_other() {
    let selection = select(json!({
        "schemas": ["public", "\"My.Schema\""],
        "exclude_schemas": "pub*",
        "tables": ["Users", "votes"],
    }));
    assert_eq!(names(|s, n| selection.selects_table(s, n)), ["My.Schema.Users"]);
    let selection = select(json!({"source_schema": "public", "exclude_tables": "*\"\"\"\"*"}));
    let chosen = names(|s, n| selection.selects_table(s, n));
    assert_eq!(chosen, ["public.users", "public.votes"]);
}

#[test]
fn excluded_data_leaves_the_table_selected() {
    let selection = select(json!({"exclude_table_data": "audit.*"}));
    assert!(selection.selects_table("audit", "votes"));
    assert!(!selection.selects_data("audit", "votes"));
    assert!(selection.selects_data("public", "votes"));
}

#[test]
fn a_pattern_that_matches_nothing_is_an_error_that_names_it() {
    let error = refuse(json!({"tables": ["public.*", "Votes"], "exclude_schemas": "pg_*"}));
    assert_eq!(
        error.to_string(),
        "pattern \"pg_*\" in option \"exclude_schemas\" matches no schema"
    );
    assert_eq!(
        error.detail(),
        Some(
            "Likewise, pattern \"Votes\" in option \"tables\" matches no table, view or sequence."
        )
    );
    refuse(json!({"schemas": "publc"}));
    refuse(json!({"exclude_tables": "x"}));
    refuse(json!({"exclude_table_data": "public.x"}));
    refuse(json!({"source_schema": "Public"}));
    // Its only tables lie outside of the schemas chosen.
    refuse(json!({"schemas": "public", "tables": "audit.votes"}));
}

#[test]
fn an_exclusion_may_name_what_is_not_chosen_anyway() {
    let mut selection = select(json!({"schemas": "public", "exclude_tables": "audit.votes"}));
    assert!(selection.resolve(SCHEMAS, &tables()).is_ok());
}

#[test]
fn conditions_are_found_by_table() {
    let mut selection = select(json!({"where": {
        "public.votes": "a", "Users": "b", "\"My.Schema\".\"a.b\n%\"": "c", "public.\"q\"\"q\"": "d"
    }}));
    selection.resolve(SCHEMAS, &tables()).expect("resolved");
    selection.resolve(SCHEMAS, &tables()).expect("resolved again");
    let condition =
        |schema, name| selection.condition(&QualifiedName::new(schema, name)).unwrap_or("-");
    assert_eq!(condition("public", "votes"), "a");
    assert_eq!(condition("audit", "votes"), "-");
    assert_eq!(condition("My.Schema", "Users"), "b");
    assert_eq!(condition("My.Schema", "a.b\n%"), "c");
    assert_eq!(condition("public", "q\"q"), "d");
}

#[test]
fn a_condition_must_be_for_exactly_one_copied_table() {
    let error = refuse(json!({"where": {"votes": "a"}}));
    assert_eq!(error.detail(), Some("It matches \"public.votes\", \"audit.votes\"."));
    assert!(refuse(json!({"where": {"x": "a"}})).to_string().ends_with("matches no table"));
    let error = refuse(json!({"where": {"users": "a"}, "exclude_table_data": "users"}));
    assert!(error.to_string().ends_with("whose rows are copied"));
    let error = refuse(json!({"where": {"users": "a", "public.users": "b"}}));
    assert!(error.to_string().contains("two conditions"));
    // An unambiguous choice of schemas makes a bare name unambiguous.
    let mut selection = select(json!({"schemas": "audit", "where": {"votes": "a"}}));
    assert!(selection.resolve(SCHEMAS, &tables()).is_ok());
}

#[test]
fn partitions_go_with_their_partitioned_table() {
    let resolved = |options| {
        let mut selection = select(options);
        selection.resolve(SCHEMAS, &partitions()).expect("resolved");
        selection
    };
    let selection = resolved(json!({"tables": "log", "where": {"log*": "a"}}));
    assert!(selection.selects_table("audit", "log_2024_1"));
    assert!(!selection.selects_table("audit", "votes"));
    let condition = |schema, name| selection.condition(&QualifiedName::new(schema, name));
    assert_eq!(condition("public", "log"), Some("a"));
    assert_eq!(condition("public", "log_2024"), None);
    let selection = resolved(json!({"exclude_tables": "log_2024"}));
    assert!(selection.selects_table("public", "log"));
    assert!(!selection.selects_table("audit", "log_2024_1"));
    let selection = resolved(json!({"exclude_table_data": "public.log"}));
    assert!(selection.selects_table("audit", "log_2024_1"));
    assert!(!selection.selects_data("audit", "log_2024_1"));
}

#[test]
fn a_malformed_pattern_is_named_with_its_option() {
    let options = Options::parse(&json!({"exclude_tables": "a.b.c"})).expect("valid options");
    let error = Selection::new(&options).expect_err("refused");
    assert_eq!(error.to_string(), "invalid pattern in option \"exclude_tables\": \"a.b.c\"");
}

#[test]
fn relations_without_rows_are_chosen_by_patterns_and_take_no_conditions() {
    let mut relations = tables();
    let view = |name| Candidate { has_rows: false, ..candidate("audit", name, None) };
    relations.extend(["over \"votes\"", "votes_seq"].map(view));
    let mut selection = select(json!({
        "exclude_tables": "audit.\"over \"\"votes\"\"\"", "exclude_table_data": "votes_s*"
    }));
    selection.resolve(SCHEMAS, &relations).expect("resolved");
    assert!(selection.excludes("audit", "over \"votes\""));
    assert!(selection.excludes_data("audit", "votes_seq"));
    let mut selection = select(json!({"where": {"votes_seq": "true"}}));
    let error = selection.resolve(SCHEMAS, &relations).expect_err("refused");
    assert!(error.to_string().ends_with("matches no table"), "{error}");
}
