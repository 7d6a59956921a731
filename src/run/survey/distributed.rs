//! Tables of the target that are not where they seem to be: Citus keeps the rows of a distributed table on
//! other servers and leaves an ordinary, empty table behind, past which its own COPY writes. Rows that are
//! put into that table's pages would be seen by nobody.

use std::collections::{HashMap, HashSet};

use pgmig_core::model::Catalog;
use pgmig_core::plan::existing::Existing;
use pgmig_core::{Error, Result};

use super::source::list_names;
use super::target::names;

/// Whether the target's database has distributed tables at all.
const HAS_CITUS: &str = "select r::text from pg_catalog.to_regclass('pg_catalog.pg_dist_partition') r where r is not null";

/// OIDs of all distributed tables.
const LIST: &str =
    "select p.logicalrelid::pg_catalog.oid::text from pg_catalog.pg_dist_partition p";

/// OIDs of the target's distributed tables; inside a transaction.
pub(super) fn read() -> Result<HashSet<u32>> {
    if names(HAS_CITUS)?.is_empty() {
        return Ok(HashSet::new());
    }
    let oids = names(LIST)?;
    oids.iter()
        .map(|oid| oid.parse().map_err(|_| Error::Internal(format!("\"{oid}\" is not an OID"))))
        .collect()
}

/// Refuses to load rows into distributed tables.
pub(super) fn check(
    existing: &Existing,
    loaded: &[u32],
    target: &Catalog,
    distributed: &HashSet<u32>,
) -> Result<()> {
    if distributed.is_empty() {
        return Ok(());
    }
    let by_oid: HashMap<u32, _> = target.tables.iter().map(|table| (table.oid, table)).collect();
    let mut refused: Vec<String> = loaded
        .iter()
        .filter_map(|table| existing.tables.get(table))
        .filter(|oid| distributed.contains(oid))
        .filter_map(|oid| by_oid.get(oid))
        .map(|table| format!("\"{}.{}\"", table.schema, table.name))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    refused.sort_unstable();
    Err(Error::Preflight {
        message: format!("{} tables of the target are distributed by Citus", refused.len()),
        detail: Some(format!("The tables are {}.", list_names(&refused))),
        hint: Some(
            "Load them as ordinary tables and distribute them afterwards, which moves their rows."
                .to_owned(),
        ),
        sqlstate: "0A000",
    })
}
