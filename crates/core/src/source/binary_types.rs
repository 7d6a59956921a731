//! The built-in types that a server can read and write in binary.

use std::collections::HashSet;

use serde::Deserialize;

use super::CatalogSession;
use crate::Result;
use crate::error::Error;

/// Finds the types.
const BINARY_TYPES: &str = include_str!("binary_types.sql");

/// A row of the query.
#[derive(Deserialize)]
struct BinaryType {
    name: String,
}

/// Reads the names of the types; meant for the target, whose user types are made by the run.
pub fn read_binary_types(session: &mut dyn CatalogSession) -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    session.query_json(BINARY_TYPES, &mut |json| {
        let row: BinaryType = serde_json::from_str(json)
            .map_err(|e| Error::Internal(format!("cannot decode a binary type: {e}")))?;
        names.insert(row.name);
        Ok(())
    })?;
    Ok(names)
}
