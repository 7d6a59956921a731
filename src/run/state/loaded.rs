//! What is in the target's tables, so that a later run can tell whether somebody has written to them.

use pgmig_core::Result;
use serde::{Deserialize, Serialize};

use super::progress::json_list;
use super::{RunId, State, decode};

/// A table whose rows are the run's if they tell so themselves.
#[derive(Debug, Clone, Deserialize)]
pub struct UnprovenTable {
    /// Rows that were copied.
    pub rows: i64,
    /// The relations that hold them.
    pub parts: Vec<UnprovenPart>,
}

/// A relation with the change counters that it had before its rows were looked at.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct UnprovenPart {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub inserts: i64,
    pub changes: i64,
    pub file_node: u32,
}

impl State {
    /// Remembers what is in the target's tables now, so that a later run can tell whether somebody
    /// has written to them since. Tables whose counters do not add up are forgotten instead; where a
    /// failed attempt has moved the count of inserts, a later run has to count the rows.
    pub fn record_loaded(&self, run: RunId) -> Result<()> {
        self.execute(include_str!("record_loaded.sql"), &[run.into()])?;
        Ok(())
    }

    /// Tables that the run has filled without the counters proving that nobody else has.
    pub fn read_unproven(&self, run: RunId) -> Result<Vec<UnprovenTable>> {
        let rows = self.query_one::<String>(include_str!("read_unproven.sql"), &[run.into()])?;
        decode(&rows.unwrap_or_default())
    }

    /// Remembers what is in such a table, now that its rows have proved it.
    pub fn insert_proven(&self, run: RunId, table: &UnprovenTable) -> Result<()> {
        self.execute(
            "insert into pgmig.loaded (table_oid, run_id, table_schema, table_name, rows, file_node,
                 inserts, changes, statistics_reset, recorded_at)
             select j.oid, $1, j.schema, j.name, $2, j.file_node, j.inserts, j.changes,
                 e.statistics_reset, pg_catalog.clock_timestamp()
             from pg_catalog.json_to_recordset($3::json)
                 j (oid oid, schema name, name name, file_node oid, inserts bigint, changes bigint)
             cross join pgmig.statistics_epoch e
             on conflict (table_oid) do update
             set run_id = excluded.run_id,
                 table_schema = excluded.table_schema,
                 table_name = excluded.table_name,
                 rows = excluded.rows,
                 file_node = excluded.file_node,
                 inserts = excluded.inserts,
                 changes = excluded.changes,
                 statistics_reset = excluded.statistics_reset,
                 recorded_at = excluded.recorded_at",
            &[run.into(), table.rows.into(), json_list(&table.parts).into()],
        )?;
        Ok(())
    }

    /// Ids of the transactions that have written for any run, as far as that is recorded.
    pub fn read_all_written(&self) -> Result<Vec<i64>> {
        let ids = self.query_one::<String>(
            "select coalesce(pg_catalog.json_agg(distinct w.xid), '[]')::text from pgmig.written w",
            &[],
        )?;
        decode(&ids.unwrap_or_default())
    }

    /// OIDs of the target's tables that hold exactly what an earlier run loaded, with the number of
    /// rows that they must have where only that can tell.
    pub fn read_unchanged(&self) -> Result<Vec<(u32, Option<i64>)>> {
        let rows = self.query_one::<String>(include_str!("read_unchanged.sql"), &[])?;
        decode(&rows.unwrap_or_default())
    }
}
