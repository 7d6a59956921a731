//! What callers read, under the newest snapshot.

use pgmig_core::Result;
use pgrx::pg_sys;

use super::{PlanRow, RunId, RunStatus, State, ValidationRow, decode};
use crate::pg::owner::AsOwner;
use crate::pg::spi;

impl State {
    /// Where the run stands, under the newest snapshot; None if the current user may not see it or
    /// there is none.
    ///
    /// The view's state may be newer than the rest of its row: then the row is read again.
    pub fn read_status(&self, run: RunId) -> Result<Option<RunStatus>> {
        let status = self.look_at_status(run)?;
        match &status {
            Some(seen) if !seen.has_ended && !seen.is_live() && seen.state != "interrupted" => {
                self.look_at_status(run)
            }
            _ => Ok(status),
        }
    }

    fn look_at_status(&self, run: RunId) -> Result<Option<RunStatus>> {
        let rows = spi::select_latest(&format!(
            "select pg_catalog.row_to_json(q)::text
             from (select r.kind, r.state, r.phase, r.finished_at is not null as has_ended, r.options, r.server, r.coordinator_pid, r.sqlstate, r.error as message,
                       r.error_detail as detail, r.error_hint as hint
                   from pgmig.runs r where r.run_id = {run}) q"
        ));
        rows.first().map(|row| decode(row)).transpose()
    }

    /// The state of a run that `reader` may see, under the newest snapshot.
    ///
    /// A run that has not ended is interrupted when nobody serves it. Its process may have ended well
    /// between the look at the row and the look at the processes, so the row is looked at again once
    /// the process is known to be gone.
    pub fn read_state(&self, run: RunId, reader: pg_sys::Oid) -> Option<String> {
        let _owner = AsOwner::begin(self.owner);
        let live = spi::select_latest(&format!(
            "select r.state
             from pgmig.run r
             join pg_catalog.pg_stat_activity a
                 on a.pid = r.coordinator_pid
                 and a.backend_start = r.coordinator_start
             where r.run_id = {run}
               and r.finished_at is null
               and pg_catalog.pg_has_role({reader}, r.role_id, 'usage')",
            reader = reader.to_u32()
        ));
        if !live.is_empty() {
            return live.into_iter().next();
        }
        let row = spi::select_latest(&format!(
            "select case when r.finished_at is null then 'interrupted' else r.state end
             from pgmig.run r
             where r.run_id = {run}
               and pg_catalog.pg_has_role({reader}, r.role_id, 'usage')",
            reader = reader.to_u32()
        ));
        row.into_iter().next()
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
