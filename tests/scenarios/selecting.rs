//! What patterns and switches choose, and what becomes of that which depends on something left out.

use anyhow::{Result, ensure};
use pgmig_tests::{Databases, Pair};

fn databases(name: &str, source: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source(source)?;
    Ok(databases)
}

/// Names of the relations of the target that a user made.
fn relations(databases: &Databases<'_>) -> Result<Vec<String>> {
    databases.target_lines(
        "select c.oid::regclass::text from pg_class c
        where c.relnamespace::regnamespace::text !~ '^(pg_|pgmig|information_schema)'
        and c.relkind <> 'i' order by 1",
    )
}

/// Migrates twice, since the second run finds what the first one made.
fn migrate_twice(databases: &Databases<'_>, options: &str) -> Result<()> {
    for _ in 0..2 {
        for table in databases.migrate(options)? {
            ensure!(matches!(table.status.as_str(), "match" | "skipped"), "{table:?}");
        }
    }
    Ok(())
}

/// Tables whose parts need what another schema holds.
const PARTS: &str = r#"
    create schema "Other ""1""";
    create sequence "Other ""1""".seq start 50;
    create function "Other ""1""".twice(int) returns int language sql immutable as 'select 2 * $1';
    create function "Other ""1""".is_fine(int) returns boolean language internal
        immutable strict as 'int4_bool';
    create type "Other ""1""".kind as enum ('a');
    create domain positive as int constraint "is %fine" check ("Other ""1""".is_fine(value));
    create table "Kept.table" (
        id int default nextval('"Other ""1""".seq') primary key,
        plain int default 7,
        "twi""ce" int generated always as ("Other ""1""".twice(plain)) stored,
        small positive,
        constraint "fine %" check ("Other ""1""".is_fine(plain)),
        constraint own check (plain < 100));
    create table parent (id int default nextval('"Other ""1""".seq'),
        constraint inherited check ("Other ""1""".is_fine(id)));
    create table child () inherits (parent);
    create table of_kind (kind "Other ""1""".kind);
    create view over_parts as select * from "Kept.table";
    create view over_kind as select * from of_kind;
    create index by_twice on "Kept.table" ("Other ""1""".twice(id));
    insert into "Kept.table" (plain, small) values (1, 1), (2, 2);
    insert into child values (3);"#;

#[test]
fn a_default_check_or_expression_over_something_excluded_is_left_out_without_its_table()
-> Result<()> {
    let databases = databases("parts", PARTS)?;
    migrate_twice(&databases, r#"{"exclude_schemas": "\"Other \"\"1\"\"\""}"#)?;
    assert_eq!(relations(&databases)?, ["\"Kept.table\"", "child", "over_parts", "parent"]);
    assert_eq!(
        databases.target_lines("select * from \"Kept.table\" order by 1")?,
        ["50|1|2|1", "51|2|4|2"]
    );
    assert_eq!(
        databases.target_lines("select conname from pg_constraint where connamespace = 'public'::regnamespace order by 1"
        )?,
        ["Kept.table_pkey", "own"]
    );
    databases.execute_on_target("insert into \"Kept.table\" (id) values (1)")?;
    let expected = |object: &str, what: &str, missing: &str| {
        format!("{object}: {what}left out, since {missing} is left out")
    };
    let function = |name| format!("function Other \"1\".{name}(integer)");
    let (table, sequence) = ("table public.Kept.table", "sequence Other \"1\".seq");
    let computed = "column \"twi\"ce\" is not generated but has the values of the source, since";
    let expected = [
        expected("domain public.positive", "constraint \"is %fine\" is ", &function("is_fine")),
        expected("index public.by_twice", "", &function("twice")),
        format!("{table}: {computed} {} is left out", function("twice")),
        expected(table, "constraint \"fine %\" is ", &function("is_fine")),
        expected(table, "the default of column \"id\" is ", sequence),
        expected("table public.child", "constraint \"inherited\" is ", &function("is_fine")),
        expected("table public.child", "the default of column \"id\" is ", sequence),
        expected("table public.of_kind", "", "type Other \"1\".kind"),
        expected("table public.parent", "constraint \"inherited\" is ", &function("is_fine")),
        expected("table public.parent", "the default of column \"id\" is ", sequence),
        expected("view public.over_kind", "", "type Other \"1\".kind"),
    ];
    assert_eq!(databases.events()?, expected);
    Ok(())
}

/// Relations of every kind.
const RELATIONS: &str = r#"
    create extension postgres_fdw;
    create server far foreign data wrapper postgres_fdw;
    create table "T.1" (id serial primary key, x int references "T.1");
    create table other (id int generated always as identity, t_id int references "T.1");
    create foreign table away (x int) server far;
    create view "View %" as select * from "T.1";
    create view above as select * from "View %";
    create materialized view stored as select count(*) from other;
    create sequence alone start 5;
    create sequence owned owned by other.id;
    insert into "T.1" select;
    insert into other (t_id) values (1);
    refresh materialized view stored;
    select nextval('alone');"#;

#[test]
fn a_foreign_key_to_an_excluded_table_is_left_out_with_an_event() -> Result<()> {
    let databases = databases("key_to_excluded", RELATIONS)?;
    migrate_twice(&databases, r#"{"exclude_tables": "\"T.1\""}"#)?;
    assert_eq!(
        databases.events()?,
        [
            "constraint other_t_id_fkey on public.other: left out, since table public.T.1 is left out",
            "view public.View %: left out, since table public.T.1 is left out",
            "view public.above: left out, since view public.View % is left out",
        ]
    );
    // As with pg_dump, a sequence stays although the table that owns it does not.
    assert!(relations(&databases)?.contains(&"\"T.1_id_seq\"".to_owned()));
    Ok(())
}

#[test]
fn views_foreign_tables_and_sequences_are_left_out_by_name() -> Result<()> {
    let databases = databases("excluded_kinds", RELATIONS)?;
    migrate_twice(
        &databases,
        r#"{"exclude_tables": ["\"View %\"", "away", "public.alone", "stored", "T.1_id_seq", "\"T.1_id_seq\""]}"#,
    )
    .expect_err("a pattern that fits nothing");
    migrate_twice(
        &databases,
        r#"{"exclude_tables": ["\"View %\"", "away", "public.alone", "stored", "\"T.1_id_seq\""]}"#,
    )?;
    assert_eq!(relations(&databases)?, ["\"T.1\"", "other", "other_id_seq", "owned"]);
    assert_eq!(
        databases.events()?,
        [
            "table public.T.1: the default of column \"id\" is left out, since sequence \
             public.T.1_id_seq is left out",
            "view public.above: left out, since view public.View % is left out",
        ]
    );
    databases.migrate_in_vain(r#"{"exclude_tables": "nothing"}"#)?;
    Ok(())
}

#[test]
fn rows_of_materialized_views_and_values_of_sequences_can_be_left_out() -> Result<()> {
    let databases = databases("excluded_values", RELATIONS)?;
    migrate_twice(&databases, r#"{"exclude_table_data": ["stored", "alone"]}"#)?;
    databases.expect_same_schema()?;
    assert_eq!(databases.target_lines("select is_called from alone")?, ["f"]);
    assert_eq!(
        databases.target_lines("select relispopulated from pg_class where relname = 'stored'")?,
        ["f"]
    );
    Ok(())
}

#[test]
fn chosen_relations_come_with_what_they_cannot_do_without_and_their_privileges() -> Result<()> {
    let databases = databases("chosen_kinds", RELATIONS)?;
    databases.execute_on_source(r#"grant select on "T.1", "View %" to public"#)?;
    migrate_twice(&databases, r#"{"tables": ["\"T.1\"", "\"View %\"", "away", "alone"]}"#)?;
    assert_eq!(
        relations(&databases)?,
        ["\"T.1\"", "\"T.1_id_seq\"", "\"View %\"", "alone", "away"]
    );
    assert_eq!(databases.target_lines("select last_value from alone")?, ["5"]);
    assert_eq!(
        databases.target_lines(
            r#"select has_table_privilege('pg_monitor', r, 'select')
            from unnest(array['"T.1"', '"View %"', 'away']) r"#
        )?,
        ["t", "t", "f"]
    );
    Ok(())
}

/// What lives in no schema, about two schemas.
const PLACELESS: &str = r#"
    create schema "A.1"; create schema b; create schema ext;
    create extension hstore schema ext;
    create extension cube schema public;
    grant create on schema public to public;
    comment on schema public is 'theirs';
    create extension citext schema b;
    create type "A.1".kind as enum ('x');
    create type b.kind as enum ('x');
    create function "A.1".to_int("A.1".kind) returns int language sql immutable as 'select 1';
    create function b.to_int(b.kind) returns int language sql immutable as 'select 1';
    create cast ("A.1".kind as int) with function "A.1".to_int;
    create cast (b.kind as int) with function b.to_int;
    create table "A.1".t (id int primary key, h ext.hstore, k "A.1".kind, c cube);
    create table b.t (id int);
    create publication of_a for table "A.1".t;
    create publication of_both for table "A.1".t, b.t;
    create publication of_all for all tables;
    create publication of_schema for tables in schema "A.1";
    create function "A.1".on_ddl() returns event_trigger language plpgsql as 'begin end';
    create event trigger on_ddl on ddl_command_end execute function "A.1".on_ddl();
    create foreign data wrapper handmade;
    create server far foreign data wrapper handmade;
    grant usage on foreign server far to public;
    insert into "A.1".t values (1, 'a=>1', 'x');"#;

#[test]
fn of_what_lives_in_no_schema_only_that_comes_which_the_chosen_schemas_need() -> Result<()> {
    let databases = databases("placeless", PLACELESS)?;
    migrate_twice(&databases, r#"{"schemas": "\"A.1\""}"#)?;
    assert_eq!(
        databases.target_lines(
            "select nspname from pg_namespace where nspname !~ '^pg_|information_schema|pgmig'
            union all select extname from pg_extension
            union all select format_type(castsource, null) from pg_cast
            where oid >= 16384 and casttarget = 'int'::regtype
            union all select pubname from pg_publication
            union all select evtname from pg_event_trigger
            union all select srvname from pg_foreign_server
            order by 1"
        )?,
        [
            "\"A.1\".kind",
            "A.1",
            "cube",
            "ext",
            "hstore",
            "of_a",
            "of_schema",
            "pgmig",
            "plpgsql",
            "public"
        ]
    );
    // Nobody asked for the schema that the extension lives in.
    assert_eq!(
        databases.target_lines(
            "select has_schema_privilege('pg_monitor', 'public', 'create'),
                obj_description('public'::regnamespace) = 'theirs'"
        )?,
        ["f|f"]
    );
    assert_eq!(
        databases.events()?,
        ["publication of_both: left out, since it publishes more than what is copied"]
    );
    Ok(())
}

/// What each class switch is about, on the source alone.
const SWITCHED: &str = r#"
    create table "T" (id int primary key, x text compression pglz);
    create unlogged table "U" (id int);
    create table referring (id int references "T");
    alter table "T" owner to pg_database_owner;
    grant select on "T" to public;
    comment on table "T" is 'a comment';
    create policy p on "T" using (true);
    alter table "T" enable row level security;
    create publication pub for table "T";
    create extension citext;
    create access method "heap %" type table handler heap_tableam_handler;
    create table elsewhere (id int) using "heap %";
    select lo_from_bytea(77, 'x');
    insert into "T" values (1, 'x');
    insert into "U" values (1);
    insert into referring values (1);"#;

/// What a query per class says of the target.
const SWITCHED_QUERIES: [(&str, &str); 11] = [
    ("owner", "select relowner = 'pg_database_owner'::regrole from pg_class where relname = 'T'"),
    ("privileges", "select has_table_privilege('pg_monitor', '\"T\"', 'select')"),
    ("comments", "select obj_description('\"T\"'::regclass) is not null"),
    ("extensions", "select exists (select from pg_extension where extname = 'citext')"),
    (
        "policies",
        "select relrowsecurity and exists (select from pg_policy) from pg_class where relname = 'T'",
    ),
    ("publications", "select exists (select from pg_publication)"),
    (
        "table_access_methods",
        "select am.amname <> 'heap' from pg_class c join pg_am am on am.oid = c.relam
        where c.relname = 'elsewhere'",
    ),
    ("unlogged_table_data", "select exists (select from \"U\")"),
    ("large_objects", "select exists (select from pg_largeobject_metadata)"),
    (
        "toast_compression",
        "select attcompression = 'p' from pg_attribute
        where attrelid = '\"T\"'::regclass and attname = 'x'",
    ),
    ("foreign_keys", "select exists (select from pg_constraint where contype = 'f')"),
];

#[test]
fn a_class_that_is_switched_off_is_left_out_and_no_other() -> Result<()> {
    let pair = Pair::shared()?;
    for (switch, _) in SWITCHED_QUERIES {
        let databases = databases(&format!("no_{switch}"), SWITCHED)?;
        let value = if switch == "foreign_keys" { "\"skip\"" } else { "false" };
        databases.migrate(&format!("{{\"{switch}\": {value}}}"))?;
        for (class, query) in SWITCHED_QUERIES {
            let found = pair.target.psql(databases.name(), query)?;
            let expected = if class == switch { "f" } else { "t" };
            ensure!(found.trim() == expected, "{class} without {switch}: {found}");
        }
    }
    Ok(())
}
