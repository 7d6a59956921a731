//! A target too big for one server: what pgmig refuses, and the way it goes instead. Every shard loads its own part, and another server sees them all as
//! partitions that are foreign tables.

use anyhow::{Result, ensure};
use pgmig_tests::{Databases, Pair};

/// Rows of the table.
const ROWS: i64 = 5_000;

/// The shards and what belongs into them.
const SHARDS: [(&str, &str, &str); 2] = [
    ("shard_1", "from (minvalue) to (2000)", "id < 2000"),
    ("shard_2", "from (2000) to (maxvalue)", "id >= 2000"),
];

/// What the source has.
fn fill_source(databases: &Databases<'_>) -> Result<()> {
    databases.execute_on_source(&format!(
        "create table public.\"Ev ents\" (id bigint primary key, at timestamptz not null, note text);
         insert into public.\"Ev ents\"
         select n, timestamptz '2024-01-01 00:00:00+00' + n * interval '1 minute', 'note \\' || n
         from pg_catalog.generate_series(1, {ROWS}) n;
         create index on public.\"Ev ents\" (at);
         analyze"
    ))
}

/// Makes the target's table with the shards as its partitions.
fn attach_shards(databases: &Databases<'_>) -> Result<()> {
    let target = &databases.pair().target;
    databases.execute_on_target(
        "create extension postgres_fdw;
         create table public.\"Ev ents\" (id bigint not null, at timestamptz not null, note text)
             partition by range (id)",
    )?;
    for (shard, bounds, _) in SHARDS {
        databases.execute_on_target(&format!(
            "create server {shard} foreign data wrapper postgres_fdw
                 options (host '{}', port '{}', dbname '{shard}');
             create user mapping for current_user server {shard} options (user 'postgres');
             create foreign table public.{shard} partition of public.\"Ev ents\" for values {bounds}
                 server {shard} options (schema_name 'public', table_name 'Ev ents')",
            target.directory().display(),
            target.port()
        ))?;
    }
    Ok(())
}

#[test]
fn every_shard_loads_its_own_part_and_a_table_of_foreign_partitions_has_them_all() -> Result<()> {
    let databases = Pair::shared()?.databases("sharded")?;
    fill_source(&databases)?;
    let source = databases.source_dsn();
    for (name, _, condition) in SHARDS {
        let target = &databases.pair().target;
        target.create_database(name)?;
        target.execute(name, "create extension pgmig")?;
        let options = format!(
            r#"{{"tables": "\"Ev ents\"", "where": {{"public.Ev ents": "{condition}"}},
                 "validation": "checksum"}}"#
        );
        let statuses = target
            .client(name)?
            .query("select status from pgmig.migrate($1, $2::text::jsonb)", &[&source, &options])?;
        let statuses: Vec<String> = statuses.iter().map(|row| row.get(0)).collect();
        ensure!(statuses == ["match"], "{name}: {statuses:?}");
    }
    attach_shards(&databases)?;
    let digest = "select count(*), md5(string_agg(t::text, '|' order by id)) from \"Ev ents\" t";
    let [expected, found] = [&databases.pair().source, &databases.pair().target]
        .map(|cluster| cluster.psql(databases.name(), digest));
    ensure!(expected? == found?, "rows differ");
    SHARDS.iter().try_for_each(|(name, ..)| databases.pair().target.drop_database(name))
}

#[test]
fn a_table_whose_rows_live_on_other_servers_is_refused_before_anything_is_changed() -> Result<()> {
    let databases = Pair::shared()?.databases("not_sharded")?;
    fill_source(&databases)?;
    attach_shards(&databases)?;
    let error = databases.migrate_in_vain(r#"{"data_only": true}"#)?;
    ensure!(error.code().code() == "42804", "{error:?}");
    let detail = error.detail().unwrap_or_default();
    ensure!(detail.contains("partitioned on the target"), "{detail}");
    ensure!(databases.target_lines("select 1 from pgmig.dropped")?.is_empty(), "something is gone");
    Ok(())
}

#[test]
fn tables_that_are_distributed_by_citus_are_refused() -> Result<()> {
    let databases = Pair::shared()?.databases("distributed")?;
    fill_source(&databases)?;
    // What tells pgmig of them; Citus itself has no part in this.
    databases.execute_on_target(
        "create table public.\"Ev ents\" (id bigint primary key, at timestamptz not null, note text);
         set allow_system_table_mods = on;
         create table pg_catalog.pg_dist_partition (logicalrelid regclass primary key);
         insert into pg_catalog.pg_dist_partition values ('public.\"Ev ents\"')",
    )?;
    let error = databases.migrate_in_vain("{}")?;
    ensure!(
        error.message().contains("1 tables of the target are distributed by Citus"),
        "{error:?}"
    );
    ensure!(error.detail() == Some("The tables are \"public.Ev ents\"."), "{error:?}");
    databases.execute_on_target("delete from pg_catalog.pg_dist_partition")?;
    databases.migrate_and_match("{}")?;
    Ok(())
}
