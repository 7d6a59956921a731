//! A run's own row and its events.

use pgmig_core::{Error, Result};

use super::{Event, FinalState, NewRun, RunId, State};
use crate::pg::process;

/// The tables that say how a run does its work.
const DETAILS: [&str; 11] = [
    "task",
    "mark",
    "copied",
    "mark_unlogged",
    "copied_unlogged",
    "checked",
    "run_table",
    "part",
    "snapshot",
    "created",
    "written",
];

impl State {
    /// Inserts the row of a new run and removes details of runs that ended long ago.
    pub fn insert_run(&self, run: &NewRun<'_>, keep_s: f64) -> Result<RunId> {
        self.prune(keep_s)?;
        let run_id = self.query_one::<i64>(
            "insert into pgmig.run (kind, state, phase, role_id, role_name, source, options,
                 coordinator_pid, coordinator_start, server, started_at)
             select $1, 'planning', 'connect', $2, r.rolname, $3, $4::jsonb, $5, a.backend_start,
                 $6::text::name, pg_catalog.clock_timestamp()
             from pg_catalog.pg_stat_get_activity($5) a, pg_catalog.pg_roles r
             where r.oid = $2
             returning run_id",
            &[
                run.kind.as_str().into(),
                run.role.into(),
                run.source.into(),
                run.options.into(),
                process::my_pid().into(),
                run.server.into(),
            ],
        )?;
        run_id.ok_or_else(|| Error::Internal("could not record the run".to_owned()))
    }

    /// Makes this process the one that serves a run which nobody serves any more; false if somebody
    /// does, or if it has ended well.
    pub fn take_over(&self, id: RunId, run: &NewRun<'_>) -> Result<bool> {
        self.execute("select from pgmig.run where run_id = $1 for update", &[id.into()])?;
        let taken = self.execute(
            "update pgmig.run r
             set state = case
                     when exists (select from pgmig.task t where t.run_id = r.run_id)
                     then 'running'
                     else 'planning'
                 end,
                 phase = 'connect', source = $3, options = $4::jsonb, server = $6::text::name,
                 coordinator_pid = $5, coordinator_start = a.backend_start,
                 resumed = r.resumed + 1, finished_at = null, tables = null, rows_copied = null,
                 bytes_copied = null, sqlstate = null, message = null, detail = null, hint = null
             from pg_catalog.pg_stat_get_activity($5) a
             where r.run_id = $1
               and r.kind = $2
               and r.state not in ('done', 'mismatch')
               and not exists (
                   select
                   from pg_catalog.pg_stat_activity b
                   where r.finished_at is null
                     and b.pid = r.coordinator_pid
                     and b.backend_start = r.coordinator_start)",
            &[
                id.into(),
                run.kind.as_str().into(),
                run.source.into(),
                run.options.into(),
                process::my_pid().into(),
                run.server.into(),
            ],
        )?;
        Ok(taken > 0)
    }

    /// Removes tasks, marks, tables and events of runs that ended, or that began and that nobody serves
    /// any more, more than `keep_s` seconds ago.
    pub(super) fn prune(&self, keep_s: f64) -> Result<()> {
        for table in DETAILS.into_iter().chain(["event"]) {
            self.execute(
                &format!(
                    "delete from pgmig.{table} d
                     using pgmig.run r
                     where r.run_id = d.run_id
                       and coalesce(r.finished_at, r.started_at)
                           < pg_catalog.now() - pg_catalog.make_interval(secs => $1)
                       and not exists (
                           select
                           from pg_catalog.pg_stat_activity a
                           where r.finished_at is null
                             and a.pid = r.coordinator_pid
                             and a.backend_start = r.coordinator_start)"
                ),
                &[keep_s.into()],
            )?;
        }
        Ok(())
    }

    /// Forgets plan and marks of a run that was cleaned up.
    pub fn forget_run(&self, run: RunId) -> Result<()> {
        for table in DETAILS {
            self.execute(
                &format!("delete from pgmig.{table} d where d.run_id = $1"),
                &[run.into()],
            )?;
        }
        self.execute(
            "update pgmig.run
             set phase = 'cleaned up',
                 state = case when finished_at is null then 'failed' else state end,
                 message = case when finished_at is null then 'interrupted' else message end,
                 finished_at = coalesce(finished_at, pg_catalog.clock_timestamp())
             where run_id = $1",
            &[run.into()],
        )?;
        Ok(())
    }

    /// Records what the run does at the moment; `running` once the plan is made.
    pub fn set_phase(&self, run: RunId, phase: &str, is_planned: bool) -> Result<()> {
        let state = if is_planned { "running" } else { "planning" };
        self.execute(
            "update pgmig.run set phase = $2, state = $3 where run_id = $1",
            &[run.into(), phase.into(), state.into()],
        )?;
        Ok(())
    }

    /// Free slots for background workers, less those that one parallel index build takes.
    pub fn count_free_worker_slots(&self) -> Result<usize> {
        let count = self.query_one::<i64>(
            "select pg_catalog.current_setting('max_worker_processes')::bigint
                 - pg_catalog.current_setting('max_parallel_maintenance_workers')::bigint
                 - (select count(*)
                    from pg_catalog.pg_stat_activity a
                    where a.backend_type not in ('archiver', 'autovacuum launcher',
                        'autovacuum worker', 'background writer', 'checkpointer', 'client backend',
                        'io worker', 'slotsync worker', 'startup', 'walreceiver', 'walsender',
                        'walsummarizer', 'walwriter'))",
            &[],
        )?;
        Ok(usize::try_from(count.unwrap_or(0)).unwrap_or(0))
    }

    /// Records how many workers the run has got.
    pub fn set_workers(&self, run: RunId, workers: i32) -> Result<()> {
        self.execute(
            "update pgmig.run set workers = $2 where run_id = $1",
            &[run.into(), workers.into()],
        )?;
        Ok(())
    }

    /// Records the version of the source.
    pub fn set_source_version(&self, run: RunId, version_num: i32) -> Result<()> {
        self.execute(
            "update pgmig.run set source_version = $2 where run_id = $1",
            &[run.into(), version_num.into()],
        )?;
        Ok(())
    }

    /// Inserts an event.
    pub fn insert_event(&self, run: RunId, event: &Event) -> Result<()> {
        self.execute(
            "insert into pgmig.event (run_id, at, severity, object, sqlstate, message, detail,
                 statement)
             values ($1, pg_catalog.clock_timestamp(), $2, $3, $4, $5, $6, $7)",
            &[
                run.into(),
                event.severity.as_str().into(),
                event.object.as_deref().into(),
                event.sqlstate.as_deref().into(),
                event.message.as_str().into(),
                event.detail.as_deref().into(),
                event.statement.as_deref().into(),
            ],
        )?;
        Ok(())
    }

    /// Ends a run.
    pub fn finish_run(&self, run: RunId, state: FinalState, error: Option<&Error>) -> Result<()> {
        self.execute(
            "update pgmig.run
             set state = $2, finished_at = pg_catalog.clock_timestamp(),
                 phase = case when $2 in ('done', 'mismatch') then 'end' else phase end,
                 sqlstate = $3, message = $4, detail = $5, hint = $6,
                 tables = (select count(*) from pgmig.run_table b where b.run_id = $1),
                 rows_copied = (
                     select coalesce(sum(c.rows), 0) from pgmig.copied_all c where c.run_id = $1),
                 bytes_copied = (
                     select coalesce(sum(c.bytes), 0) from pgmig.copied_all c where c.run_id = $1)
             where run_id = $1",
            &[
                run.into(),
                state.as_str().into(),
                error.map(Error::sqlstate).into(),
                error.map(Error::to_string).into(),
                error.and_then(Error::detail).into(),
                error.and_then(Error::hint).into(),
            ],
        )?;
        Ok(())
    }
}
