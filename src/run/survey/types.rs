//! Types of columns that the target cannot have: a table without one of its columns would not be what
//! it was, so the run is refused.

use std::collections::HashSet;

use pgmig_core::model::{Catalog, TypeInfo};
use pgmig_core::plan::select::Selection;
use pgmig_core::plan::version;
use pgmig_core::{Error, Result};
use pgrx::prelude::*;

use super::source::list_names;
use super::target::TargetReading;
use crate::pg::transaction;

/// The type whose values need a library that a server can be built without.
const XML: &str = "xml";

/// Refuses when a table of the run has a column of a type that the target does not have.
pub(super) fn check(source: &Catalog, target: &TargetReading, selection: &Selection) -> Result<()> {
    let mut builtins = target.catalog.builtins.clone();
    let is_xml = |own: &TypeInfo| own.is_builtin && own.name == XML;
    if source.type_infos.iter().any(is_xml) && !knows_xml() {
        builtins.types.remove(XML);
    }
    let tables: HashSet<u32> = source
        .tables
        .iter()
        .filter(|table| selection.selects_table(&table.schema, &table.name))
        .map(|table| table.oid)
        .collect();
    let missing = version::find_missing_types(source, &builtins, &tables);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        message: format!("the target cannot have the types of {} columns", missing.len()),
        detail: Some(format!(
            "Its version or build does not have them, or not for columns: {}.",
            list_names(&missing)
        )),
        hint: Some(
            "Change the columns' types on the source, or leave the tables out with \
             \"exclude_tables\"."
                .to_owned(),
        ),
        sqlstate: "0A000",
    })
}

/// Whether the server was built with libxml.
fn knows_xml() -> bool {
    let parse = || {
        Spi::get_one::<bool>("select xmlparse(content 'x') is not null")
            .map(drop)
            .map_err(|error| Error::Internal(error.to_string()))
    };
    transaction::run(|| transaction::run_nested(parse)).is_ok()
}
