//! The source's side of planning: locks and snapshot first, then the catalog.

use std::collections::HashMap;

use pgmig_core::Result;
use pgmig_core::error::Error;
use pgmig_core::model::Catalog;
use pgmig_core::name::QualifiedName;
use pgmig_core::options::Options;
use pgmig_core::plan::select::{Candidate, Selection};
use pgmig_core::source::catalog::{self, Batch, Keys, Rows};
use pgmig_core::source::snapshot::{self, Snapshot, SnapshotSource, SourceTable};
use pgmig_core::source::wire::Connection;
use serde::Deserialize;

use super::NamesByOid;
use crate::pg::thread::{Actor, Pending};
use crate::run::coordinator::Run;
use crate::run::source_wait;

/// Tables and sequences that an error lists at most.
const MAX_NAMED: usize = 20;

/// The source, locked under a snapshot.
pub(in crate::run) struct LockedSource {
    pub snapshot: Snapshot,
    /// Process id of the session on the source.
    pub process_id: i32,
    pub version_num: u32,
}

/// What was read of the source.
pub(in crate::run) struct SourceReading {
    pub snapshot: Snapshot,
    pub catalog: Catalog,
    pub names: NamesByOid,
    /// What tells the database from any other.
    pub identity: String,
    /// Number of the file of each table's rows, by OID.
    pub file_nodes: HashMap<u32, u32>,
}

/// A table of the source as the list of tables has it.
#[derive(Deserialize)]
struct ListedTable {
    oid: u32,
    schema: String,
    name: String,
    parent_schema: Option<String>,
    parent_name: Option<String>,
    can_select: bool,
    is_filtered: bool,
}

impl ListedTable {
    fn candidate(&self) -> Candidate {
        let parent = self.parent_schema.as_ref().zip(self.parent_name.as_ref());
        Candidate {
            name: QualifiedName::new(&self.schema, &self.name),
            has_rows: true,
            parent: parent.map(|(schema, name)| QualifiedName::new(schema, name)),
        }
    }
}

/// A view, materialized view, foreign table or sequence of the source.
#[derive(Deserialize)]
struct ListedRelation {
    schema: String,
    name: String,
}

impl ListedRelation {
    fn candidate(self) -> Candidate {
        let name = QualifiedName::new(self.schema, self.name);
        Candidate { name, has_rows: false, parent: None }
    }
}

/// A sequence of the source whose value cannot be read.
#[derive(Deserialize)]
struct UnreadableSequence {
    schema: String,
    name: String,
    table_schema: Option<String>,
    table_name: Option<String>,
}

impl UnreadableSequence {
    /// Whether the run would read it: with its table, else with its schema.
    fn is_selected(&self, selection: &Selection) -> bool {
        if selection.excludes(&self.schema, &self.name)
            || selection.excludes_data(&self.schema, &self.name)
        {
            return false;
        }
        match (&self.table_schema, &self.table_name) {
            (Some(schema), Some(table)) => selection.selects_table(schema, table),
            _ => selection.selects_table(&self.schema, &self.name),
        }
    }
}

/// Locks the selected tables and takes the snapshot.
pub(in crate::run) fn lock(
    run: &Run,
    session: &Actor<Connection>,
    selection: &mut Selection,
    options: &Options,
) -> Result<LockedSource> {
    let mut chosen = selection.clone();
    let reads_rows = !options.schema_only;
    let (locked, chosen) = source_wait::call(run, session, move |connection| {
        let mut list =
            |connection: &mut Connection| list_tables(connection, &mut chosen, reads_rows);
        let snapshot = snapshot::establish(connection, &SnapshotSource::Own, &mut list)?;
        let process_id = connection.process_id();
        Ok((
            LockedSource { snapshot, process_id, version_num: connection.server().version_num },
            chosen,
        ))
    })?;
    *selection = chosen;
    Ok(locked)
}

/// A reading of the source under way.
pub(in crate::run) struct Reading {
    snapshot: Snapshot,
    objects: Pending<Result<Objects>>,
    keys: Pending<Result<Keys>>,
    /// The session that reads the keys, if it is another one.
    _beside: Option<Actor<Connection>>,
}

/// What the session that holds the snapshot reads.
struct Objects {
    catalog: Catalog,
    identity: String,
    file_nodes: Vec<FileNode>,
}

impl LockedSource {
    /// Begins to read the catalog, on a second session too if the source lets it in.
    pub fn begin_reading(
        self,
        session: &Actor<Connection>,
        beside: Pending<Result<Connection>>,
    ) -> Result<Reading> {
        let objects = session.begin(|connection| {
            let catalog = catalog::read_objects(connection)?;
            let mut batch = Batch::new(connection);
            let identity = batch.add(IDENTIFY);
            let file_nodes = batch.add(include_str!("list_files.sql"));
            batch.run(connection)?;
            let identity = only_identity(identity.take())?;
            Ok(Objects { catalog, identity, file_nodes: file_nodes.take() })
        })?;
        let (id, xids) = (self.snapshot.id.clone(), self.snapshot.xids.clone());
        let beside = beside.wait()?.and_then(|mut beside| {
            Actor::start("pgmig source", move || {
                snapshot::import_any(&mut beside, &[id], &xids)?;
                Ok(beside)
            })
        });
        let beside = match beside {
            Ok(beside) => Some(beside),
            Err(error) if error.remedy().is_about_source() => None,
            Err(error) => return Err(error),
        };
        let reader = beside.as_ref().unwrap_or(session);
        let keys = reader.begin(|connection| catalog::read_keys(connection))?;
        Ok(Reading { snapshot: self.snapshot, objects, keys, _beside: beside })
    }
}

impl Reading {
    /// Waits until everything is read.
    pub fn finish(self) -> Result<SourceReading> {
        let Objects { mut catalog, identity, file_nodes } = self.objects.wait()??;
        self.keys.wait()??.join(&mut catalog);
        let names = catalog
            .tables
            .iter()
            .map(|table| (table.oid, QualifiedName::new(&table.schema, &table.name)))
            .collect();
        let file_nodes = file_nodes.into_iter().map(|file| (file.oid, file.file_node)).collect();
        Ok(SourceReading { snapshot: self.snapshot, catalog, names, identity, file_nodes })
    }
}

/// Asks what tells the database from any other.
const IDENTIFY: &str = include_str!("identify_database.sql");

#[derive(Deserialize)]
struct Identity {
    identity: String,
}

/// What tells the source's database from any other.
pub(in crate::run) fn read_identity(connection: &mut Connection) -> Result<String> {
    let mut batch = Batch::new(connection);
    let identity = batch.add(IDENTIFY);
    batch.run(connection)?;
    only_identity(identity.take())
}

fn only_identity(mut rows: Vec<Identity>) -> Result<String> {
    rows.pop()
        .map(|row| row.identity)
        .ok_or_else(|| Error::Protocol("the source does not tell its identity".to_owned()))
}

/// The file that holds a table's rows.
#[derive(Deserialize)]
struct FileNode {
    oid: u32,
    file_node: u32,
}

/// A schema of the source.
#[derive(Deserialize)]
struct ListedSchema {
    name: String,
}

/// The tables that the run reads, after a check that it may.
fn list_tables(
    connection: &mut Connection,
    selection: &mut Selection,
    reads_rows: bool,
) -> Result<Vec<SourceTable>> {
    let mut batch = Batch::new(connection);
    let schemas = batch.add::<ListedSchema>(include_str!("list_schemas.sql"));
    let tables = batch.add::<ListedTable>(include_str!("list_tables.sql"));
    let others = batch.add::<ListedRelation>(include_str!("list_relations.sql"));
    let sequences = reads_rows
        .then(|| batch.add::<UnreadableSequence>(include_str!("list_unreadable_sequences.sql")));
    batch.run(connection)?;
    let (schemas, mut tables, others) = (schemas.take(), tables.take(), others.take());
    let schemas: Vec<&str> = schemas.iter().map(|schema| schema.name.as_str()).collect();
    let candidates: Vec<_> = tables
        .iter()
        .map(ListedTable::candidate)
        .chain(others.into_iter().map(ListedRelation::candidate))
        .collect();
    selection.resolve(&schemas, &candidates)?;
    tables.retain(|table| selection.selects_table(&table.schema, &table.name));
    if let Some(sequences) = sequences.map(Rows::take) {
        let sequences = sequences.iter().filter(|sequence| sequence.is_selected(selection));
        let unreadable: Vec<_> = tables
            .iter()
            .filter(|table| !table.can_select && selection.selects_data(&table.schema, &table.name))
            .map(|table| format!("table \"{}.{}\"", table.schema, table.name))
            .chain(sequences.map(|s| format!("sequence \"{}.{}\"", s.schema, s.name)))
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

/// Names tables and sequences up to a limit.
pub(super) fn list_names(names: &[String]) -> String {
    let mut list = names[..names.len().min(MAX_NAMED)].join(", ");
    if names.len() > MAX_NAMED {
        list.push_str(&format!(" and {} more", names.len() - MAX_NAMED));
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

fn refuse_unreadable(names: &[String]) -> Error {
    let list = list_names(names);
    Error::Preflight {
        message: format!("permission denied for {} tables or sequences of the source", names.len()),
        detail: Some(format!("SELECT is needed on {list}.")),
        hint: Some(
            "Grant SELECT on them and USAGE on their schemas (or membership in pg_read_all_data) to \
             the source's user, or leave them out with \"exclude_tables\"."
                .to_owned(),
        ),
        sqlstate: "42501",
    }
}

/// Refuses when the source turns out to be this very database: the session just opened is then among
/// its own sessions.
pub(super) fn check_not_same(run: &Run, source: &LockedSource) -> Result<()> {
    let name = &run.login.settings.application_name;
    if !run.state.is_session_here(source.process_id, name)? {
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
