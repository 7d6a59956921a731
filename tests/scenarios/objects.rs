//! Every class of object that pg_dump carries, large objects, roles, and what must stay secret.

use std::collections::BTreeSet;

use anyhow::{Error, Result, ensure};
use pgmig_tests::data::Script;
use pgmig_tests::{ClusterOptions, Databases, Installation, Pair};

/// Large objects with what they can have: privileges, an owner, a comment, holes, nothing at all.
const LARGE_OBJECTS: &str = "
    do $$
    begin
        if not exists (select from pg_catalog.pg_roles r where r.rolname = 'objects_owner') then
            create role objects_owner;
        end if;
    exception when duplicate_object or unique_violation then null;
    end $$;";

/// The same on the source alone.
const FILLED: &str = r"
    select count(lo_from_bytea(10000 + i, convert_to(repeat(i::text, i * 5), 'UTF8')))
    from generate_series(1, 600) i;
    select lo_create(20000);
    select lo_from_bytea(20001, '\x01');
    select lo_put(20001, 1000000, '\x0203');
    select lo_truncate64(lo_open(20000, 131072), 40960);
    select lo_create(20002);
    alter large object 20001 owner to objects_owner;
    grant select on large object 20000 to public;
    comment on large object 20000 is 'it''s 100%';
    select lo_from_bytea(20003, convert_to(repeat('0123456789abcdef', 300000), 'UTF8'))";

/// What large objects are, besides their contents.
fn describe_large_objects(databases: &Databases<'_>) -> Result<[String; 2]> {
    let query =
        "select m.oid, m.lomowner::regrole, m.lomacl, obj_description(m.oid, 'pg_largeobject')
        from pg_catalog.pg_largeobject_metadata m order by m.oid";
    let pair = databases.pair();
    Ok([pair.source.psql(databases.name(), query)?, pair.target.psql(databases.name(), query)?])
}

fn large_objects(name: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source(LARGE_OBJECTS)?;
    databases.execute_on_target(LARGE_OBJECTS)?;
    databases.execute_on_source(FILLED)?;
    Ok(databases)
}

#[test]
fn everything_arrives_and_does_so_again() -> Result<()> {
    let pair = own_pair("everything")?;
    let databases = pair.databases("everything")?;
    Script::Everything.load(&pair.source, databases.name(), &[])?;
    for options in [r#"{"roles": true}"#, "{}"] {
        if options == "{}" {
            // Nobody can rebuild an index over a function that the table's owner may not call.
            let grant = "grant execute on function shop.double(integer) to public";
            databases.execute_on_source(grant)?;
            databases.execute_on_target(grant)?;
        }
        let rows = databases.migrate(options)?;
        let wrong: Vec<_> = rows.iter().filter(|row| row.status != "match").collect();
        ensure!(wrong.is_empty(), "with {options}: {wrong:?}");
        databases.expect_same_schema()?;
        databases.expect_same_data()?;
    }
    Ok(())
}

#[test]
fn large_objects_keep_oid_owner_privileges_comment_and_holes() -> Result<()> {
    let databases = large_objects("large_objects")?;
    let rows = databases.migrate(r#"{"validation": "checksum"}"#)?;
    ensure!(rows.len() == 1, "{rows:?}");
    assert_eq!(rows[0].table_name, "pg_largeobject");
    assert_eq!((rows[0].target_rows, rows[0].status.as_str()), (Some(604), "match"));
    databases.expect_same_data()?;
    let [source, target] = describe_large_objects(&databases)?;
    assert_eq!(source, target);
    Ok(())
}

#[test]
fn a_second_run_replaces_the_large_objects_of_the_first_and_no_others() -> Result<()> {
    let databases = large_objects("large_objects_again")?;
    databases.execute_on_target("select lo_from_bytea(5, 'own')")?;
    databases.migrate("{}")?;
    databases.execute_on_source("select lo_unlink(10001), lo_put(10002, 0, 'changed')")?;
    databases.migrate("{}")?;
    databases.execute_on_target("select lo_get(5)")?;
    databases.execute_on_target("select lo_unlink(5)")?;
    databases.expect_same_data()?;
    databases.execute_on_target("select lo_create(6)")?;
    databases.execute_on_source("select lo_from_bytea(6, 'theirs')")?;
    let refusal = databases.migrate("{}").expect_err("refused");
    assert!(format!("{refusal:#}").contains("large objects"), "{refusal:#}");
    databases.migrate(r#"{"overwrite": true}"#)?;
    databases.expect_same_data()
}

/// A configuration table, registered by hand where an extension's script would do it.
const CONFIGURATION: &str = "
    create extension citext;
    create table conf (id serial, name text);
    alter extension citext add table conf;
    alter extension citext add sequence conf_id_seq;
    insert into conf (name) values ('shipped');
    update pg_catalog.pg_extension
    set extconfig = array['conf'::regclass, 'conf_id_seq'::regclass],
        extcondition = array['where name <> ''shipped''', '']
    where extname = 'citext'";

#[test]
fn rows_of_configuration_tables_are_copied_and_the_targets_own_are_left_alone() -> Result<()> {
    let databases = Pair::shared()?.databases("configuration")?;
    databases.execute_on_source(CONFIGURATION)?;
    databases.execute_on_target(CONFIGURATION)?;
    databases.execute_on_source("insert into conf (name) values ('mine'), ('too')")?;
    let read = || {
        let query = "select string_agg(id || name, ' ' order by id) from conf";
        databases.pair().target.psql(databases.name(), query)
    };
    databases.migrate("{}")?;
    assert_eq!(read()?.trim(), "1shipped 2mine 3too");
    databases.execute_on_target("insert into conf (name) values ('own')")?;
    databases.migrate("{}")?;
    assert_eq!(read()?.trim(), "1shipped 2mine 3too 4own");
    databases.migrate(r#"{"overwrite": true}"#)?;
    assert_eq!(read()?.trim(), "1shipped 2mine 3too");
    Ok(())
}

/// Roles with what roles can have, and a database of theirs.
const ROLES: &str = r#"
    create role "Boss ""1""" superuser createrole createdb replication bypassrls;
    create role team noinherit connection limit 7;
    create role app login password 'app-secret-1' valid until '2099-01-01 00:00:00+00' in role team;
    create role helper;
    grant team to helper with admin option;
    grant pg_read_all_data to app;
    alter role app set search_path = "$user", 'Odd, name';
    alter role app set work_mem = '7MB';
    alter role app set role = 'team';
    set role helper;
    grant team to "Boss ""1""";
    reset role;
    comment on role app is 'the application''s';"#;

/// What the catalogs say of roles, passwords included.
const ROLES_QUERY: &str = "
    select a.rolname, a.rolsuper, a.rolinherit, a.rolcreaterole, a.rolcreatedb, a.rolcanlogin,
        a.rolreplication, a.rolbypassrls, a.rolconnlimit, a.rolpassword, a.rolvaliduntil,
        r.rolconfig, pg_catalog.shobj_description(a.oid, 'pg_authid'),
        array(
            select row(m.roleid::regrole, m.admin_option, m.grantor::regrole)::text
            from pg_catalog.pg_auth_members m where m.member = a.oid order by 1)
    from pg_catalog.pg_authid a
    join pg_catalog.pg_roles r on r.oid = a.oid
    where a.rolname !~ '^pg_'
    order by a.rolname";

/// Objects with secrets.
const SECRETS: &str = r#"
    create extension postgres_fdw;
    create server far foreign data wrapper postgres_fdw options (host 'nowhere.invalid');
    create user mapping for app server far options (user 'me', password 'mapping-secret-2');
    create user mapping for public server far options (password 'mapping-secret-3');
    create subscription sub connection 'host=nowhere.invalid password=subscription-secret-4'
        publication "p %", q with (
            connect = false, slot_name = none, binary, streaming, two_phase, disable_on_error,
            synchronous_commit = 'local')"#;

/// A pair that no other test makes roles in, which writes into its logs what it can.
fn own_pair(name: &str) -> Result<Pair> {
    let options = |side| {
        Ok::<_, Error>(
            ClusterOptions::new(Installation::of_extension()?, &format!("{name}-{side}"))
                .setting("max_worker_processes", "16")
                .setting("log_statement", "all")
                .setting("log_error_verbosity", "verbose"),
        )
    };
    Pair::start(options("source")?, options("target")?)
}

/// Everything that pgmig's tables and views hold, as text.
fn dump_own_tables(databases: &Databases<'_>) -> Result<String> {
    let target = &databases.pair().target;
    let tables = target.psql(
        databases.name(),
        "select c.oid::regclass from pg_catalog.pg_class c
        where c.relnamespace = 'pgmig'::regnamespace and c.relkind in ('r', 'v') order by 1",
    )?;
    let mut dump = String::new();
    for table in tables.lines() {
        dump += &target.psql(databases.name(), &format!("select t::text from {table} t"))?;
    }
    Ok(dump)
}

#[test]
fn roles_and_secrets_arrive_and_the_secrets_are_seen_nowhere() -> Result<()> {
    let pair = own_pair("secrets")?;
    let databases = pair.databases("secrets")?;
    databases.execute_on_source(ROLES)?;
    databases.execute_on_source(SECRETS)?;
    databases.execute_on_source(
        "alter database secrets set work_mem = '9MB';
        alter role app in database secrets set datestyle = 'ISO, DMY';
        comment on database secrets is 'this one';
        revoke temporary on database secrets from public;
        grant create on database secrets to app;
        alter database secrets is_template true",
    )?;
    databases.migrate(r#"{"roles": true, "database_properties": true, "on_error": "continue"}"#)?;

    let compare = |query| -> Result<()> {
        let (name, pair) = (databases.name(), databases.pair());
        assert_eq!(pair.source.psql(name, query)?, pair.target.psql(name, query)?);
        Ok(())
    };
    compare(ROLES_QUERY)?;
    compare("select srvname, usename, umoptions from pg_catalog.pg_user_mappings order by 1, 2")?;
    compare(
        "select subname, subconninfo, subpublications, subbinary, substream, subtwophasestate,
            subdisableonerr, subsynccommit
        from pg_catalog.pg_subscription",
    )?;
    compare(
        "select d.datacl, d.datistemplate, pg_catalog.shobj_description(d.oid, 'pg_database'), array(
            select row(s.setrole::regrole, s.setconfig)::text
            from pg_catalog.pg_db_role_setting s where s.setdatabase = d.oid order by 1)
        from pg_catalog.pg_database d where d.datname = 'secrets'",
    )?;
    let subscription = "select subenabled, subslotname from pg_catalog.pg_subscription";
    assert_eq!(pair.target.psql(databases.name(), subscription)?.trim(), "f|");

    let seen = dump_own_tables(&databases)? + &pair.target.log()?;
    let password = pair.target.psql(
        databases.name(),
        "select rolpassword from pg_catalog.pg_authid where rolname = 'app'",
    )?;
    for secret in [
        "app-secret-1",
        "mapping-secret-2",
        "mapping-secret-3",
        "subscription-secret-4",
        password.trim(),
    ] {
        // Neither server writes what the test itself reads of them.
        assert!(!seen.contains(secret), "\"{secret}\" is seen");
    }
    assert!(seen.contains("'********'"));
    let free = "drop subscription sub; alter database secrets is_template false";
    free.split(';').try_for_each(|sql| databases.execute_on_source(sql))?;
    free.split(';').try_for_each(|sql| databases.execute_on_target(sql))
}

#[test]
fn roles_that_are_missing_are_named_and_the_rest_is_kept() -> Result<()> {
    let databases = Pair::shared()?.databases("no_roles")?;
    databases.execute_on_source(
        "create role objects_absent;
        create table t (i int);
        insert into t values (1);
        alter table t owner to objects_absent;
        create policy p on t to objects_absent;
        select lo_create(7);
        alter large object 7 owner to objects_absent",
    )?;
    databases.migrate("{}")?;
    databases.expect_same_data()?;
    let events = databases.pair().target.psql(
        databases.name(),
        "select object from pgmig.events where message ~ 'objects_absent' order by 1",
    )?;
    let objects: BTreeSet<&str> = events.lines().collect();
    for object in ["large object 7", "policy p on public.t", "table public.t"] {
        assert!(objects.iter().any(|named| named.contains(object)), "{object}: {events}");
    }
    databases.execute_on_source(
        "drop owned by objects_absent; select lo_unlink(oid) from pg_largeobject_metadata; drop role objects_absent",
    )
}
