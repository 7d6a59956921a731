//! What callers read, under the newest snapshot.

use pgmig_core::Result;

use super::{PlanRow, RunId, RunStatus, State, ValidationRow, decode};
use crate::pg::owner::AsOwner;
use crate::pg::spi;

impl State {
    /// Where the run stands, under the newest snapshot; None if the current user may not see it or
    /// there is none.
    ///
    /// A run is interrupted when nobody serves it, but its process may have ended well between the
    /// look at the row and the look at the processes: then a second look at the row tells.
    pub fn read_status(&self, run: RunId) -> Result<Option<RunStatus>> {
        let status = self.look_at_status(run)?;
        match status {
            Some(status) if status.state == "interrupted" => self.look_at_status(run),
            status => Ok(status),
        }
    }

    pub(super) fn look_at_status(&self, run: RunId) -> Result<Option<RunStatus>> {
        let rows = spi::select_latest(&format!(
            "select pg_catalog.row_to_json(q)::text
             from (select r.state, r.coordinator_pid, r.sqlstate, r.error as message,
                       r.error_detail as detail, r.error_hint as hint
                   from pgmig.runs r where r.run_id = {run}) q"
        ));
        rows.first().map(|row| decode(row)).transpose()
    }

    /// One line for people about how far the run is, under the newest snapshot.
    pub fn read_progress(&self, run: RunId) -> Option<String> {
        spi::select_latest(&format!(
            "select pg_catalog.format('%s%%  %s  %s rows, %s copied, %s/s%s',
                 r.percent, r.phase, r.rows_copied, pg_catalog.pg_size_pretty(r.bytes_copied),
                 pg_catalog.pg_size_pretty(coalesce(r.bytes_per_second, 0)),
                 ', about ' || pg_catalog.date_trunc('second', r.eta) || ' left')
             from pgmig.runs r where r.run_id = {run}"
        ))
        .pop()
    }

    /// The validation table of a run, under the newest snapshot.
    pub fn read_validation(&self, run: RunId) -> Result<Vec<ValidationRow>> {
        spi::select_latest(&format!(
            "select pg_catalog.row_to_json(q)::text
             from (select v.table_schema, v.table_name, v.source_rows, v.target_rows,
                       v.source_checksum, v.target_checksum, v.bytes_copied,
                       extract(epoch from v.elapsed) as elapsed_s, v.status, v.detail
                   from pgmig.validation v where v.run_id = {run}
                   order by v.table_schema, v.table_name) q"
        ))
        .iter()
        .map(|row| decode(row))
        .collect()
    }

    /// The tasks of a dry run, under the newest snapshot.
    pub fn read_plan(&self, run: RunId) -> Result<Vec<PlanRow>> {
        let _owner = AsOwner::begin(self.owner);
        spi::select_latest(&format!(
            "select pg_catalog.row_to_json(q)::text
             from (select t.task_id as step, t.kind, t.object, t.work::json as work,
                       t.rows_expected, t.bytes_expected, t.depends_on
                   from pgmig.task t where t.run_id = {run}
                   order by t.task_id) q"
        ))
        .iter()
        .map(|row| decode(row))
        .collect()
    }
}
