//! The run's snapshot of the source: under which names it is held, and what it was taken of.

use std::collections::HashMap;

use pgmig_core::Result;
use pgmig_core::name::QualifiedName;
use pgmig_core::source::snapshot::Snapshot;
use serde::Deserialize;

use super::progress::json_list;
use super::{RunId, State, decode};
use crate::run::survey::definitions::Definitions;

/// The snapshot as it is recorded.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RecordedSnapshot {
    /// Bounds and transactions in progress; None if none was taken so far.
    pub xids: Option<String>,
    /// Where the source's write-ahead log was then, and on which of its timelines.
    pub lsn: Option<String>,
    pub timeline: Option<i32>,
    /// What tells the source's database from others.
    pub identity: Option<String>,
    /// Hash of the definitions of the tables.
    pub tables: Option<String>,
    /// Hash of all definitions.
    pub definitions: Option<String>,
}

/// A relation with rows of the run, as `pgmig.part` has it.
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedPart {
    pub table_id: i32,
    pub source: QualifiedName,
    pub target: QualifiedName,
    pub file_node: Option<u32>,
}

impl State {
    /// Adds a name under which a session holds the snapshot.
    pub fn insert_snapshot_name(&self, run: RunId, name: &str) -> Result<()> {
        self.execute(
            "insert into pgmig.snapshot (run_id, name) values ($1, $2) on conflict do nothing",
            &[run.into(), name.into()],
        )?;
        Ok(())
    }

    /// Begins with a new snapshot: the names of the one before are gone.
    pub fn replace_snapshot(&self, run: RunId, new: &Snapshot) -> Result<()> {
        self.execute("delete from pgmig.snapshot where run_id = $1", &[run.into()])?;
        self.insert_snapshot_name(run, &new.id)?;
        self.execute(
            "update pgmig.run
             set snapshot = $2, snapshot_xids = $3, source_lsn = $4::pg_catalog.pg_lsn,
                 source_timeline = $5, snapshots = snapshots + 1
             where run_id = $1",
            &[
                run.into(),
                new.id.as_str().into(),
                new.xids.as_str().into(),
                new.lsn.as_str().into(),
                new.timeline.into(),
            ],
        )?;
        Ok(())
    }

    /// The names under which sessions have held the snapshot, the latest first.
    pub fn read_snapshot_names(&self, run: RunId) -> Result<Vec<String>> {
        let names = self.query_one::<String>(
            "select coalesce(
                 pg_catalog.json_agg(s.name order by s.name desc), '[]')::text
             from pgmig.snapshot s
             where s.run_id = $1",
            &[run.into()],
        )?;
        decode(&names.unwrap_or_default())
    }

    /// What is recorded of the snapshot and its source.
    pub fn read_snapshot(&self, run: RunId) -> Result<RecordedSnapshot> {
        let row = self.query_one::<String>(
            "select pg_catalog.json_build_object('xids', r.snapshot_xids,
                 'lsn', r.source_lsn, 'timeline', r.source_timeline, 'identity', r.source_identity, 'tables', r.source_tables,
                 'definitions', r.source_definitions)::text
             from pgmig.run r
             where r.run_id = $1",
            &[run.into()],
        )?;
        decode(&row.unwrap_or_default())
    }

    /// Records what the plan was made of.
    pub fn set_source_definitions(
        &self,
        run: RunId,
        identity: &str,
        definitions: &Definitions,
    ) -> Result<()> {
        self.execute(
            "update pgmig.run
             set source_identity = $2, source_tables = $3, source_definitions = $4
             where run_id = $1",
            &[
                run.into(),
                identity.into(),
                definitions.tables.as_str().into(),
                definitions.all.as_str().into(),
            ],
        )?;
        Ok(())
    }

    /// The relations with rows of the run.
    pub fn read_parts(&self, run: RunId) -> Result<Vec<RecordedPart>> {
        let rows = self.query_one::<String>(
            "select coalesce(
                 pg_catalog.json_agg(
                     pg_catalog.json_build_object(
                         'table_id', p.table_id,
                         'source', pg_catalog.json_build_object(
                             'schema', p.source_schema, 'name', p.source_name),
                         'target', pg_catalog.json_build_object(
                             'schema', p.target_schema, 'name', p.target_name),
                         'file_node', p.file_node::bigint)
                     order by p.table_id, p.position),
                 '[]')::text
             from pgmig.part p
             where p.run_id = $1",
            &[run.into()],
        )?;
        decode(&rows.unwrap_or_default())
    }

    /// Records the files that the source's relations have under a new snapshot.
    pub fn set_file_nodes(&self, run: RunId, files: &HashMap<QualifiedName, u32>) -> Result<()> {
        let rows: Vec<_> =
            files.iter().map(|(name, file)| (&name.schema, &name.name, file)).collect();
        self.execute(
            "update pgmig.part p
             set file_node = (j.value->>2)::pg_catalog.oid
             from pg_catalog.json_array_elements($2::json) j
             where p.run_id = $1
               and p.source_schema = j.value->>0
               and p.source_name = j.value->>1",
            &[run.into(), json_list(&rows).into()],
        )?;
        Ok(())
    }

    /// The files that relations of the source had when the snapshot was taken, as far as that is known.
    pub fn read_file_nodes(
        &self,
        run: RunId,
        relations: &[&QualifiedName],
    ) -> Result<HashMap<QualifiedName, u32>> {
        if relations.is_empty() {
            return Ok(HashMap::new());
        }
        let names: Vec<_> = relations.iter().map(|name| (&name.schema, &name.name)).collect();
        let rows = self.query_one::<String>(
            "select coalesce(
                 pg_catalog.json_agg(
                     pg_catalog.json_build_array(p.source_schema, p.source_name,
                         p.file_node::bigint)),
                 '[]')::text
             from pg_catalog.json_array_elements($2::json) j
             join pgmig.part p
                 on p.run_id = $1
                 and p.source_name = (j.value->>1)::name
                 and p.source_schema = (j.value->>0)::name
             where p.file_node is not null",
            &[run.into(), json_list(&names).into()],
        )?;
        let rows: Vec<(String, String, u32)> = decode(&rows.unwrap_or_default())?;
        Ok(rows
            .into_iter()
            .map(|(schema, name, file)| (QualifiedName::new(schema, name), file))
            .collect())
    }
}
