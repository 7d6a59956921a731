//! A run's own row and its events.

use pgmig_core::{Error, Result};

use pgrx::pg_sys;

use super::{Event, FinalState, NewRun, RunId, State, decode};
use crate::pg::process;

/// Seconds for which the details of a run that can be resumed or cleaned up are kept at least: its
/// objects are on the target, and nothing else tells which they are.
const UNFINISHED_KEPT_S: f64 = 90.0 * 24.0 * 60.0 * 60.0;

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
        self.prune(run.role, keep_s)?;
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
        // Whoever has locked the row takes the run up as well, or cleans up after it.
        let is_free = self.execute(
            "select from pgmig.run where run_id = $1 for update skip locked",
            &[id.into()],
        )?;
        if is_free == 0 {
            return Ok(false);
        }
        let taken = self.execute(
            "update pgmig.run r
             set state = case
                     when exists (select from pgmig.task t where t.run_id = r.run_id)
                     then 'running'
                     else 'planning'
                 end,
                 phase = 'connect', source = $3, options = $4::jsonb, server = $6::text::name,
                 coordinator_pid = $5, coordinator_start = a.backend_start,
                 resumed = r.resumed + 1, has_details = true, finished_at = null, tables = null, rows_copied = null,
                 bytes_copied = null, sqlstate = null, message = null, detail = null, hint = null,
                 source_wait = null
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

    /// Removes tasks, marks, tables and events of runs that ended more than `keep_s` seconds ago, as far
    /// as `role` may act as theirs. Runs that can be resumed or cleaned up stay for `UNFINISHED_KEPT_S` at
    /// least, unless a later one has taken their place.
    fn prune(&self, role: pg_sys::Oid, keep_s: f64) -> Result<()> {
        let pruned = self.query_one::<String>(
            "with pruned as (
                 update pgmig.run r
                 set has_details = false
                 where r.has_details
                   and pg_catalog.pg_has_role($1, r.role_id, 'usage')
                   and coalesce(r.finished_at, r.started_at)
                       < pg_catalog.now() - pg_catalog.make_interval(secs =>
                           case
                               when r.kind <> 'migrate'
                                   or r.state in ('done', 'mismatch')
                                   or r.superseded_by <> '{}'
                               then $2
                               else greatest($2, $3)
                           end)
                   and not exists (
                       select
                       from pg_catalog.pg_stat_activity a
                       where r.finished_at is null
                         and a.pid = r.coordinator_pid
                         and a.backend_start = r.coordinator_start)
                 returning r.run_id
             )
             select pg_catalog.json_agg(p.run_id)::text from pruned p",
            &[role.into(), keep_s.into(), UNFINISHED_KEPT_S.into()],
        )?;
        let Some(pruned) = pruned else {
            return Ok(());
        };
        let pruned: Vec<RunId> = decode(&pruned)?;
        for table in DETAILS.into_iter().chain(["event"]) {
            self.execute(
                &format!("delete from pgmig.{table} where run_id = any ($1)"),
                &[pruned.clone().into()],
            )?;
        }
        Ok(())
    }

    /// Locks the run's row against whoever would take it up, and waits for whoever does.
    pub fn lock_run(&self, run: RunId) -> Result<()> {
        self.execute("select from pgmig.run where run_id = $1 for update", &[run.into()])?;
        Ok(())
    }

    /// Whether what the run has made is still recorded.
    pub fn has_details(&self, run: RunId) -> Result<bool> {
        let has_details = self.query_one::<bool>(
            "select r.has_details from pgmig.run r where r.run_id = $1",
            &[run.into()],
        )?;
        Ok(has_details == Some(true))
    }

    /// A run over the same tables that came later and has not been cleaned up.
    pub fn find_successor(&self, run: RunId) -> Result<Option<RunId>> {
        self.query_one::<i64>(
            "select max(later.run_id)
             from pgmig.run r
             join pgmig.run later on later.run_id = any (r.superseded_by)
             where r.run_id = $1 and later.phase <> 'cleaned up'",
            &[run.into()],
        )
    }

    /// Forgets plan and marks of a run that this transaction has cleaned up. What either has written
    /// counts as written by the runs whose place it had taken, so that these can be cleaned up in turn.
    pub fn forget_run(&self, run: RunId) -> Result<()> {
        self.insert_written(run)?;
        self.execute(
            "insert into pgmig.written (run_id, xid)
             select r.run_id, w.xid
             from pgmig.run r
             join pgmig.written w on w.run_id = $1
             where $1 = any (r.superseded_by)
               and r.has_details
               and r.state <> 'done'
             on conflict do nothing",
            &[run.into()],
        )?;
        for table in DETAILS {
            self.execute(
                &format!("delete from pgmig.{table} d where d.run_id = $1"),
                &[run.into()],
            )?;
        }
        self.execute(
            "update pgmig.run
             set phase = 'cleaned up',
                 has_details = false,
                 state = case when finished_at is null then 'failed' else state end,
                 message = case when finished_at is null then 'interrupted' else message end,
                 finished_at = coalesce(finished_at, pg_catalog.clock_timestamp())
             where run_id = $1",
            &[run.into()],
        )?;
        Ok(())
    }

    /// Whether a process is a session of this database under that name, whoever it belongs to.
    pub fn is_session_here(&self, process_id: i32, name: &str) -> Result<bool> {
        let is_here = self.query_one::<bool>(
            "select exists (
                 select from pg_catalog.pg_stat_activity a
                 where a.pid = $1
                   and pg_catalog.starts_with(a.application_name, $2)
                   and a.datname = pg_catalog.current_database())",
            &[process_id.into(), name.into()],
        )?;
        Ok(is_here == Some(true))
    }

    /// Records for whose locks of the source the run waits.
    pub fn set_source_wait(&self, run: RunId, holders: Option<&str>) -> Result<()> {
        self.execute(
            "update pgmig.run set source_wait = $2 where run_id = $1",
            &[run.into(), holders.into()],
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

    /// Records that tasks which were under way are to come again.
    pub fn stop_tasks(&self, run: RunId) -> Result<()> {
        self.execute(
            "update pgmig.task
             set state = 'pending', worker_pid = null, started_at = null
             where run_id = $1 and state = 'running'",
            &[run.into()],
        )?;
        Ok(())
    }

    /// Ends a run.
    pub fn finish_run(&self, run: RunId, state: FinalState, error: Option<&Error>) -> Result<()> {
        self.execute(
            "update pgmig.run
             set state = $2, finished_at = pg_catalog.clock_timestamp(),
                 phase = case when $2 in ('done', 'mismatch') then 'end' else phase end,
                 sqlstate = $3, message = $4, detail = $5, hint = $6, source_wait = null,
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
