//! What a run has made, as far as it is still as the run has left it.

use pgmig_core::Result;
use pgmig_core::name::QualifiedName;
use serde::Deserialize;

use super::progress::json_list;
use super::{RunId, State, decode};

/// An object that a run has created and that is there.
#[derive(Debug, Clone, Deserialize)]
pub struct CreatedObject {
    /// As `pg_identify_object` says it.
    pub kind: String,
    pub identity: String,
    pub class: u32,
    pub oid: u32,
    /// Table and name of a constraint.
    pub table: Option<String>,
    pub name: Option<String>,
    /// Whether it has rows.
    pub is_table: bool,
    /// Whether somebody has changed its definition.
    pub is_changed: bool,
    /// What somebody else has added to it, so that it would go with it.
    pub extended_by: Option<String>,
}

/// A table that rows were, or were to be, copied into.
#[derive(Debug, Clone, Deserialize)]
pub struct FilledTable {
    pub is_existing: bool,
    /// Rows that the run has copied; None if it did not come so far.
    pub rows: Option<i64>,
    pub relations: Vec<FilledRelation>,
}

/// A relation that holds rows of such a table.
#[derive(Debug, Clone, Deserialize)]
pub struct FilledRelation {
    pub oid: u32,
    pub name: QualifiedName,
}

/// Something that a run has dropped.
#[derive(Debug, Clone, Deserialize)]
pub struct DroppedObject {
    pub position: i32,
    pub object: String,
    pub definition: Vec<String>,
}

impl State {
    /// Records what this transaction has created.
    pub fn insert_created(&self, run: RunId, created: &[(u32, u32)]) -> Result<()> {
        if created.is_empty() {
            return Ok(());
        }
        self.execute(
            "insert into pgmig.created (run_id, class_oid, object_oid)
             select $1, (j.value->>0)::pg_catalog.oid, (j.value->>1)::pg_catalog.oid
             from pg_catalog.json_array_elements($2::json) with ordinality j (value, position)
             order by j.position
             on conflict do nothing",
            &[run.into(), json_list(created).into()],
        )?;
        Ok(())
    }

    /// What the run has created, latest first.
    pub fn read_created(&self, run: RunId) -> Result<Vec<CreatedObject>> {
        let rows =
            self.query_one::<String>(include_str!("cleanup/read_created.sql"), &[run.into()])?;
        decode(&rows.unwrap_or_default())
    }

    /// The tables with rows of the run.
    pub fn read_filled(&self, run: RunId) -> Result<Vec<FilledTable>> {
        let rows =
            self.query_one::<String>(include_str!("cleanup/read_filled.sql"), &[run.into()])?;
        decode(&rows.unwrap_or_default())
    }

    /// Ids of the transactions that have written for the run.
    pub fn read_written(&self, run: RunId) -> Result<Vec<i64>> {
        let ids = self.query_one::<String>(
            "select coalesce(pg_catalog.json_agg(w.xid), '[]')::text
             from pgmig.written w
             where w.run_id = $1",
            &[run.into()],
        )?;
        decode(&ids.unwrap_or_default())
    }

    /// The large objects that the run has made, and whether they were changed since.
    pub fn read_made_large_objects(&self, run: RunId) -> Result<Vec<(u32, bool)>> {
        let rows = self
            .query_one::<String>(include_str!("cleanup/read_large_objects.sql"), &[run.into()])?;
        decode(&rows.unwrap_or_default())
    }

    /// What the run has dropped and not built again, in the order in which it can be.
    pub fn read_dropped(&self, run: RunId) -> Result<Vec<DroppedObject>> {
        let rows = self.query_one::<String>(
            "select coalesce(
                 pg_catalog.json_agg(
                     pg_catalog.json_build_object('position', d.position, 'object', d.object,
                         'definition', d.definition)
                     order by d.kind = 'foreign_key', d.kind = 'trigger', d.position desc),
                 '[]')::text
             from pgmig.dropped d
             where d.run_id = $1",
            &[run.into()],
        )?;
        decode(&rows.unwrap_or_default())
    }

    /// Forgets one of them: it is there again.
    pub fn delete_dropped(&self, run: RunId, position: i32) -> Result<()> {
        self.execute(
            "delete from pgmig.dropped where run_id = $1 and position = $2",
            &[run.into(), position.into()],
        )?;
        Ok(())
    }
}
