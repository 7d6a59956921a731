//! What is in the target's tables, so that a later run can tell whether somebody has written to them.

use pgmig_core::Result;

use super::{RunId, State, decode};

impl State {
    /// Remembers what is in the target's tables now, so that a later run can tell whether somebody
    /// has written to them since. Tables whose counters do not add up are forgotten instead; where a
    /// failed attempt has moved the count of inserts, a later run has to count the rows.
    pub fn record_loaded(&self, run: RunId) -> Result<()> {
        self.execute(include_str!("record_loaded.sql"), &[run.into()])?;
        Ok(())
    }

    /// OIDs of the target's tables that hold exactly what an earlier run loaded, with the number of
    /// rows that they must have where only that can tell.
    pub fn read_unchanged(&self) -> Result<Vec<(u32, Option<i64>)>> {
        let rows = self.query_one::<String>(include_str!("read_unchanged.sql"), &[])?;
        decode(&rows.unwrap_or_default())
    }
}
