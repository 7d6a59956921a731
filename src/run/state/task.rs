//! Tasks: begun, marked done, ended; and what copies and checks found.

use pgmig_core::plan::task::Work;
use pgmig_core::{Error, Result};
use serde_json::json;

use super::{CheckedTable, CopiedTable, RunId, State, decode};

impl State {
    /// Records that a worker has been given a task.
    pub fn begin_task(&self, run: RunId, task: i32, worker: i32, worker_pid: i32) -> Result<()> {
        self.execute(
            "update pgmig.task
             set state = 'running', worker = $3, worker_pid = $4,
                 started_at = pg_catalog.clock_timestamp()
             where run_id = $1 and task_id = $2",
            &[run.into(), task.into(), worker.into(), worker_pid.into()],
        )?;
        Ok(())
    }

    /// Records how tasks ended: done, failed (with the error) or skipped (with the reason).
    pub fn end_tasks(
        &self,
        run: RunId,
        tasks: &[i32],
        state: &str,
        error: Option<&Error>,
    ) -> Result<()> {
        self.execute(
            "update pgmig.task
             set state = $3, sqlstate = $4, message = $5,
                 finished_at = case when started_at is not null
                     then pg_catalog.clock_timestamp() end
             where run_id = $1 and task_id = any ($2)",
            &[
                run.into(),
                tasks.to_vec().into(),
                state.into(),
                error.map(Error::sqlstate).into(),
                error.map(Error::to_string).into(),
            ],
        )?;
        Ok(())
    }

    /// The work of one task.
    pub fn read_work(&self, run: RunId, task: i32) -> Result<Work> {
        let work = self.query_one::<String>(
            "select t.work from pgmig.task t where t.run_id = $1 and t.task_id = $2",
            &[run.into(), task.into()],
        )?;
        let work = work.ok_or_else(|| Error::Internal(format!("task {task} is not recorded")))?;
        serde_json::from_str(&work)
            .map_err(|error| Error::Internal(format!("task {task} cannot be read: {error}")))
    }

    /// Inserts the completion mark and what was copied; last in the transaction of the effect. A
    /// second effect of the same task fails here.
    pub fn mark_done(&self, run: RunId, task: i32, copied: &[CopiedTable]) -> Result<()> {
        let is_unlogged = copied.iter().any(|table| table.is_unlogged);
        self.insert_mark(run, task, &[], if is_unlogged { "_unlogged" } else { "" })?;
        self.insert_copied(run, task, copied)
    }

    /// Records what was copied by a task that could not copy all of its tables; it has no mark then.
    pub fn mark_some_copied(&self, run: RunId, task: i32, copied: &[CopiedTable]) -> Result<()> {
        self.insert_copied(run, task, copied)?;
        self.insert_written(run)
    }

    fn insert_copied(&self, run: RunId, task: i32, copied: &[CopiedTable]) -> Result<()> {
        let (unlogged, logged): (Vec<_>, Vec<_>) = copied.iter().partition(|t| t.is_unlogged);
        for (copied, suffix) in [(logged, ""), (unlogged, "_unlogged")] {
            if copied.is_empty() {
                continue;
            }
            self.execute(
                &format!(
                    "insert into pgmig.copied{suffix} (run_id, task_id, table_id, rows, bytes,
                         checksum)
                     select $1, $2, j.table_id, j.rows, j.bytes, j.checksum
                     from pg_catalog.json_populate_recordset(null::pgmig.copied, $3::json) j
                     order by j.table_id"
                ),
                &[run.into(), task.into(), json!(copied).to_string().into()],
            )?;
        }
        Ok(())
    }

    /// Inserts the completion mark of a task of which the statements at these positions failed; last
    /// in the transaction of the effect.
    pub fn mark_partly(&self, run: RunId, task: i32, failed: &[i32]) -> Result<()> {
        self.insert_mark(run, task, failed, "")
    }

    /// Amends the mark of such a task when they have been tried again.
    pub fn amend_mark(&self, run: RunId, task: i32, failed: &[i32]) -> Result<()> {
        self.execute(
            "update pgmig.mark set failed = $3, finished_at = pg_catalog.clock_timestamp()
             where run_id = $1 and task_id = $2",
            &[run.into(), task.into(), failed.to_vec().into()],
        )?;
        self.insert_written(run)
    }

    fn insert_mark(&self, run: RunId, task: i32, failed: &[i32], suffix: &str) -> Result<()> {
        self.execute(
            &format!(
                "insert into pgmig.mark{suffix} (run_id, task_id, finished_at, failed)
                 values ($1, $2, pg_catalog.clock_timestamp(), $3)"
            ),
            &[run.into(), task.into(), failed.to_vec().into()],
        )?;
        self.insert_written(run)
    }

    /// Table, rows and checksum that each copy of these tables reported, in no order.
    pub fn read_copied(
        &self,
        run: RunId,
        tables: &[i32],
    ) -> Result<Vec<(i32, i64, Option<String>)>> {
        let rows = self.query_one::<String>(
            "select coalesce(pg_catalog.json_agg(
                 pg_catalog.json_build_array(c.table_id, c.rows, c.checksum)), '[]')::text
             from pgmig.run_table b
             join pgmig.copied_all c
                 on c.run_id = b.run_id
                 and c.task_id between b.first_copy and b.last_copy
                 and c.table_id = b.table_id
             where b.run_id = $1 and b.table_id = any ($2)",
            &[run.into(), tables.to_vec().into()],
        )?;
        decode(&rows.unwrap_or_default())
    }

    /// Records the comparison of tables.
    pub fn insert_checked(&self, run: RunId, tables: &[CheckedTable]) -> Result<()> {
        self.execute(
            "insert into pgmig.checked (run_id, table_id, source_rows, target_rows,
                 source_checksum, target_checksum, status, detail)
             select $1, j.table_id, j.source_rows, j.target_rows, j.source_checksum,
                 j.target_checksum, j.status, j.detail
             from pg_catalog.json_populate_recordset(null::pgmig.checked, $2::json) j
             order by j.table_id
             on conflict (run_id, table_id) do update
             set source_rows = excluded.source_rows,
                 target_rows = excluded.target_rows,
                 source_checksum = excluded.source_checksum,
                 target_checksum = excluded.target_checksum,
                 status = excluded.status,
                 detail = excluded.detail",
            &[run.into(), json!(tables).to_string().into()],
        )?;
        Ok(())
    }

    /// How many of the run's tables do not match.
    pub fn count_mismatches(&self, run: RunId) -> Result<i64> {
        let count = self.query_one::<i64>(
            "select count(*) from pgmig.checked where run_id = $1 and status = 'mismatch'",
            &[run.into()],
        )?;
        Ok(count.unwrap_or(0))
    }
}
