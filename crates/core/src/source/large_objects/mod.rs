//! Large objects of the source: found in batches, described, and read piece by piece.
//!
//! A role that may read `pg_largeobject` reads its pages, and holes stay holes. Any other role reads
//! through the server's functions what it has been granted, by pages of the same size. Variables in
//! the queries are psql's, so that they run there too.

mod pieces;

use serde::Deserialize;

pub use pieces::{Piece, PieceReader};

use super::CatalogSession;
use super::catalog::read_rows;
use crate::model::LargeObject;
use crate::{Error, Result};

/// Large objects of one task: each may take a lock until the task's commit, so that this many fit into
/// the lock table with many workers at it.
const MAX_OBJECTS: u32 = 256;

/// Bytes of one task: enough to hide the costs of a task, few enough to keep every worker busy. One
/// object is never divided.
const MAX_BYTES: u32 = 64 << 20;

/// Neighbouring large objects that one task copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Batch {
    /// The first OID.
    pub first: u32,
    /// The last OID.
    pub last: u32,
    pub objects: i64,
    pub bytes: i64,
    /// How many of them the session's role may not read.
    #[serde(default)]
    pub unreadable: i64,
}

#[derive(Deserialize)]
struct AccessRow {
    can_select: bool,
}

/// Finds all large objects.
pub fn read_batches(session: &mut dyn CatalogSession) -> Result<Vec<Batch>> {
    let query = if can_select(session)? {
        include_str!("batches.sql")
    } else {
        include_str!("batches_without_sizes.sql")
    };
    let query = query
        .replace(":max_count", &MAX_OBJECTS.to_string())
        .replace(":max_bytes", &MAX_BYTES.to_string());
    read_rows(session, &query)
}

/// Which of these OIDs are large objects.
pub fn find_existing(session: &mut dyn CatalogSession, oids: &[u32]) -> Result<Vec<u32>> {
    #[derive(Deserialize)]
    struct Row {
        oid: u32,
    }
    let list: Vec<String> = oids.iter().map(u32::to_string).collect();
    let query = format!(
        "select m.oid::int8 as oid
         from pg_catalog.pg_largeobject_metadata m
         where m.oid = any ('{{{}}}'::pg_catalog.oid[])
         order by m.oid",
        list.join(",")
    );
    Ok(read_rows::<Row>(session, &query)?.into_iter().map(|row| row.oid).collect())
}

/// Describes the large objects of a range of OIDs.
pub fn read_metadata(
    session: &mut dyn CatalogSession,
    first: u32,
    last: u32,
) -> Result<Vec<LargeObject>> {
    read_rows(session, &set_range(include_str!("metadata.sql"), first, last))
}

/// The `copy … to stdout` that sends what a `PieceReader` takes, or a digest.
pub fn copy_out_statement(
    session: &mut dyn CatalogSession,
    first: u32,
    last: u32,
) -> Result<String> {
    let query = if can_select(session)? {
        include_str!("pages.sql")
    } else {
        include_str!("pages_by_calls.sql")
    };
    let query = set_range(query, first, last);
    Ok(format!("copy (\n{query}) to stdout (format binary)"))
}

/// Whether the session's role may read the pages of all large objects.
fn can_select(session: &mut dyn CatalogSession) -> Result<bool> {
    let query = "select pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'select')
                     as can_select";
    read_rows::<AccessRow>(session, query)?
        .pop()
        .map(|row| row.can_select)
        .ok_or_else(|| Error::Protocol("no answer to a question about privileges".to_owned()))
}

/// Puts a range of OIDs into a query.
fn set_range(query: &str, first: u32, last: u32) -> String {
    query.replace(":first", &first.to_string()).replace(":last", &last.to_string())
}
