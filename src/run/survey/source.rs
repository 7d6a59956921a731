//! The source's side of planning: locks and snapshot first, then the catalog.

use pgmig_core::Result;
use pgmig_core::error::Error;
use pgmig_core::model::Catalog;
use pgmig_core::name::QualifiedName;
use pgmig_core::plan::select::Selection;
use pgmig_core::source::CatalogSession;
use pgmig_core::source::catalog;
use pgmig_core::source::snapshot::{self, Snapshot, SnapshotSource, SourceTable};
use pgmig_core::source::wire::Connection;
use pgrx::prelude::*;
use serde::Deserialize;

use super::NamesByOid;
use crate::pg::thread::Actor;

/// Tables that an error lists at most.
const MAX_NAMED: usize = 20;

/// What was read of the source.
pub(super) struct SourceReading {
    pub snapshot: Snapshot,
    pub catalog: Catalog,
    pub names: NamesByOid,
    /// Process id of the session on the source.
    pub process_id: i32,
}

/// A table of the source as the list of tables has it.
#[derive(Deserialize)]
struct ListedTable {
    oid: u32,
    schema: String,
    name: String,
    can_select: bool,
    is_filtered: bool,
}

/// Locks the selected tables, takes the snapshot, reads the catalog under it.
pub(super) fn read(
    session: &Actor<Connection>,
    selection: &mut Selection,
) -> Result<SourceReading> {
    let mut chosen = selection.clone();
    let (reading, chosen) = session.call(move |connection| {
        let schemas = list_schemas(connection)?;
        let mut list = |connection: &mut Connection| list_tables(connection, &schemas, &mut chosen);
        let snapshot = snapshot::establish(connection, &SnapshotSource::Own, &mut list)?;
        let catalog = catalog::read(connection)?;
        let names = catalog
            .tables
            .iter()
            .map(|table| (table.oid, QualifiedName::new(&table.schema, &table.name)))
            .collect();
        let process_id = connection.process_id();
        Ok((SourceReading { snapshot, catalog, names, process_id }, chosen))
    })?;
    *selection = chosen;
    Ok(reading)
}

fn list_schemas(connection: &mut Connection) -> Result<Vec<String>> {
    let rows = connection.query(include_str!("list_schemas.sql"))?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// The tables that the run reads, after a check that it may.
fn list_tables(
    connection: &mut Connection,
    schemas: &[String],
    selection: &mut Selection,
) -> Result<Vec<SourceTable>> {
    let mut tables: Vec<ListedTable> = Vec::new();
    connection.query_json(include_str!("list_tables.sql"), &mut |row| {
        let table = serde_json::from_str(row)
            .map_err(|error| Error::Protocol(format!("a table's row cannot be read: {error}")))?;
        tables.push(table);
        Ok(())
    })?;
    let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
    let names: Vec<_> =
        tables.iter().map(|table| QualifiedName::new(&table.schema, &table.name)).collect();
    *selection = {
        let mut fresh = selection.clone();
        fresh.resolve(&schemas, &names)?;
        fresh
    };
    tables.retain(|table| selection.selects_table(&table.schema, &table.name));
    let unreadable: Vec<_> = tables
        .iter()
        .filter(|table| !table.can_select && selection.selects_data(&table.schema, &table.name))
        .map(|table| format!("\"{}.{}\"", table.schema, table.name))
        .collect();
    if !unreadable.is_empty() {
        return Err(refuse_unreadable(&unreadable));
    }
    let filtered: Vec<_> = tables
        .iter()
        .filter(|table| table.is_filtered && selection.selects_data(&table.schema, &table.name))
        .map(|table| format!("\"{}.{}\"", table.schema, table.name))
        .collect();
    if !filtered.is_empty() {
        return Err(refuse_filtered(&filtered));
    }
    Ok(tables
        .into_iter()
        .filter(|table| table.can_select)
        .map(|table| SourceTable {
            oid: table.oid,
            name: QualifiedName::new(table.schema, table.name),
        })
        .collect())
}

/// Names tables up to a limit.
fn list_names(tables: &[String]) -> String {
    let mut list = tables[..tables.len().min(MAX_NAMED)].join(", ");
    if tables.len() > MAX_NAMED {
        list.push_str(&format!(" and {} more", tables.len() - MAX_NAMED));
    }
    list
}

fn refuse_filtered(tables: &[String]) -> Error {
    Error::Preflight {
        message: format!(
            "row-level security would hide rows of {} tables from the source's user",
            tables.len()
        ),
        detail: Some(format!("The tables are {}.", list_names(tables))),
        hint: Some(
            "Connect to the source as the tables' owner or as a role with BYPASSRLS, or leave them \
             out with \"exclude_table_data\"."
                .to_owned(),
        ),
        sqlstate: "42501",
    }
}

fn refuse_unreadable(tables: &[String]) -> Error {
    let list = list_names(tables);
    Error::Preflight {
        message: format!("permission denied for {} tables of the source", tables.len()),
        detail: Some(format!("SELECT is needed on {list}.")),
        hint: Some(
            "Grant SELECT on them (or membership in pg_read_all_data) to the source's user, or leave \
             them out with \"exclude_tables\"."
                .to_owned(),
        ),
        sqlstate: "42501",
    }
}

/// Refuses when the source turns out to be this very database: the session just opened is then among
/// its own sessions.
pub(super) fn check_not_same(source: &SourceReading, application_name: &str) -> Result<()> {
    let is_same = Spi::get_one_with_args::<bool>(
        "select exists (
             select from pg_catalog.pg_stat_activity a
             where a.pid = $1
               and a.application_name = $2
               and a.datname = pg_catalog.current_database())",
        &[source.process_id.into(), application_name.into()],
    );
    if !matches!(is_same, Ok(Some(true))) {
        return Ok(());
    }
    Err(Error::Preflight {
        message: "source and target are the same database".to_owned(),
        detail: None,
        hint: Some(
            "Connect to the database to be filled and name the other one as source.".to_owned(),
        ),
        sqlstate: "55000",
    })
}
