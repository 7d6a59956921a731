//! The record of large objects that runs have made, and their contents for comparison.

use pgmig_core::Result;
use pgmig_core::digest::{Digest, RowHasher};

use super::{RunId, State, decode};
use crate::pg::owner::AsOwner;
use crate::pg::scan::{self, Encoding};

impl State {
    /// OIDs of the target's large objects, in order, and whether an earlier run from the source with this
    /// identity made each and nobody has changed it since, as far as that is recorded.
    pub fn read_large_objects(&self, identity: &str) -> Result<Vec<(u32, bool)>> {
        let rows =
            self.query_one::<String>(include_str!("read_large_objects.sql"), &[identity.into()])?;
        decode(&rows.unwrap_or_default())
    }

    /// Records large objects as made by the run.
    pub fn insert_large_objects(&self, run: RunId, oids: &[u32]) -> Result<()> {
        self.execute(
            "insert into pgmig.large_object (oid, run_id)
             select j.value::pg_catalog.oid, $1
             from pg_catalog.json_array_elements_text($2::json) j
             on conflict (oid) do update set run_id = excluded.run_id",
            &[run.into(), serde_json::json!(oids).to_string().into()],
        )?;
        Ok(())
    }

    /// Forgets large objects that are going.
    pub fn delete_large_objects(&self, oids: &[u32]) -> Result<()> {
        self.execute(
            "delete from pgmig.large_object l
             using pg_catalog.json_array_elements_text($1::json) j
             where l.oid = j.value::pg_catalog.oid",
            &[serde_json::json!(oids).to_string().into()],
        )?;
        Ok(())
    }

    /// How many large objects the run has made that are still there; all of the target's without a run.
    pub fn count_large_objects(&self, run: Option<RunId>) -> Result<i64> {
        let count = self.query_one::<i64>(
            "select count(*)
             from pg_catalog.pg_largeobject_metadata m
             where $1 is null
                or exists (
                    select from pgmig.large_object l where l.oid = m.oid and l.run_id = $1)",
            &[run.into()],
        )?;
        Ok(count.unwrap_or(0))
    }

    /// The digest of their pages.
    pub fn hash_large_objects(&self, run: Option<RunId>) -> Result<Digest> {
        let _owner = AsOwner::begin(self.owner);
        let condition = match run {
            Some(run) => format!(
                "where exists (
                     select from pgmig.large_object o where o.oid = l.loid and o.run_id = {run})"
            ),
            None => String::new(),
        };
        let query = format!(
            "select l.loid, l.pageno * (pg_catalog.current_setting('block_size')::int8 / 4), l.data
             from pg_catalog.pg_largeobject l
             {condition}"
        );
        let mut hasher = RowHasher::new();
        scan::for_each_row(&query, Encoding::Binary, &mut |values| {
            hasher.begin_row();
            for value in values {
                hasher.field(*value);
            }
            hasher.end_row();
            Ok(())
        })?;
        Ok(hasher.digest())
    }
}
