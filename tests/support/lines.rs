//! A second opinion on whether two databases hold the same rows.
//!
//! Every table is written out by `copy … to stdout`, through psql, in the order of its sorted lines:
//! nothing of this is shared with `compare` or with pgmig. For small databases only.

use anyhow::{Result, ensure};

use crate::cluster::Cluster;

/// The tables and their columns by name, a `copy` statement a line.
const STATEMENTS: &str = "
    select pg_catalog.format(
        'copy (select %s from only %I.%I) to stdout',
        (
            select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by a.attname)
            from pg_catalog.pg_attribute a
            where a.attrelid = c.oid
              and a.attnum > 0
              and not a.attisdropped
        ),
        n.nspname,
        c.relname)
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r'
      and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'pgmig')
    order by n.nspname collate \"C\", c.relname collate \"C\"";

/// Statements that make values read the same on both sides.
const SETTINGS: &str = "
    set datestyle = 'ISO, YMD';
    set timezone = 'UTC';
    set intervalstyle = 'postgres';
    set extra_float_digits = 3;
    set bytea_output = 'hex';
    set search_path = '';";

/// Fails with the first table that differs.
pub fn expect_same_lines(source: &Cluster, target: &Cluster, database: &str) -> Result<()> {
    let statements = source.psql(database, STATEMENTS)?;
    ensure!(statements == target.psql(database, STATEMENTS)?, "the tables differ");
    // A name may contain a line break.
    for statement in statements.split("to stdout\n").filter(|rest| !rest.trim().is_empty()) {
        let statement = format!("{SETTINGS} {statement} to stdout");
        let [source, target] = [source, target].map(|cluster| {
            let text = cluster.psql(database, &statement)?;
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            anyhow::Ok(lines)
        });
        ensure!(source? == target?, "the lines differ: {statement}");
    }
    Ok(())
}
