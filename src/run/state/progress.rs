//! How far a run has come, read from its marks when it is taken up again.

use std::collections::HashMap;

use pgmig_core::name::QualifiedName;
use pgmig_core::plan::task::{Task, TaskKind, TaskLock, Work};
use pgmig_core::{Error, Result};
use serde::Deserialize;
use serde_json::json;

use super::{RunId, State, decode};
use crate::pg::owner::AsOwner;
use crate::pg::spi;

/// What is done of a run.
#[derive(Debug, Default)]
pub struct Progress {
    /// Tasks with a mark, and whether statements of theirs are still to be done.
    marks: HashMap<i32, bool>,
    /// Rows copied by task and table.
    copied: HashMap<(i32, i32), i64>,
}

impl Progress {
    /// Whether there is nothing left to do of a task.
    pub fn is_done(&self, task: &Task) -> bool {
        match &task.work {
            Work::Copy { loads } => {
                loads.iter().all(|load| self.copied.contains_key(&(task.id, load.table_id)))
            }
            _ => self.marks.get(&task.id) == Some(&false),
        }
    }

    /// How many rows of a table a task has copied, if it has.
    pub fn copied(&self, task: i32, table_id: i32) -> Option<i64> {
        self.copied.get(&(task, table_id)).copied()
    }
}

/// A task as its row has it.
#[derive(Deserialize)]
struct TaskRow {
    task_id: i32,
    kind: TaskKind,
    object: String,
    table_schema: Option<String>,
    table_name: Option<String>,
    work: String,
    locks: String,
    depends_on: Vec<i32>,
    rows_expected: i64,
    bytes_expected: i64,
}

impl TaskRow {
    fn task(self) -> Result<Task> {
        let unreadable =
            |error| Error::Internal(format!("task {} cannot be read: {error}", self.task_id));
        let work: Work = serde_json::from_str(&self.work).map_err(unreadable)?;
        let locks: Vec<TaskLock> = serde_json::from_str(&self.locks).map_err(unreadable)?;
        Ok(Task {
            id: self.task_id,
            kind: self.kind,
            object: self.object,
            table: self
                .table_schema
                .zip(self.table_name)
                .map(|(schema, name)| QualifiedName::new(schema, name)),
            work,
            depends_on: self.depends_on,
            locks,
            rows: self.rows_expected,
            bytes: self.bytes_expected,
        })
    }
}

impl State {
    /// The recorded plan, in order; empty if the run did not come so far.
    pub fn read_tasks(&self, run: RunId) -> Result<Vec<Task>> {
        let _owner = AsOwner::begin(self.owner);
        let query = format!(
            "select pg_catalog.row_to_json(q)::text
             from (select t.task_id, t.kind, t.object, t.table_schema, t.table_name, t.work,
                       t.locks, t.depends_on, t.rows_expected, t.bytes_expected
                   from pgmig.task t
                   where t.run_id = {run}
                   order by t.task_id) q"
        );
        let mut tasks = Vec::new();
        spi::for_each_text(&query, &mut |row| {
            tasks.push(decode::<TaskRow>(row)?.task()?);
            Ok(())
        })?;
        Ok(tasks)
    }

    /// What is done of the run.
    pub fn read_progress_marks(&self, run: RunId) -> Result<Progress> {
        let marks = self.query_one::<String>(
            "select coalesce(
                 pg_catalog.json_agg(
                     pg_catalog.json_build_array(m.task_id, m.failed <> '{}')), '[]')::text
             from (
                 select task_id, failed from pgmig.mark where run_id = $1
                 union all
                 select task_id, failed from pgmig.mark_unlogged where run_id = $1
             ) m",
            &[run.into()],
        )?;
        let marks: Vec<(i32, bool)> = decode(&marks.unwrap_or_default())?;
        let copied = self.query_one::<String>(
            "select coalesce(
                 pg_catalog.json_agg(
                     pg_catalog.json_build_array(c.task_id, c.table_id, c.rows)), '[]')::text
             from pgmig.copied_all c
             where c.run_id = $1",
            &[run.into()],
        )?;
        let copied: Vec<(i32, i32, i64)> = decode(&copied.unwrap_or_default())?;
        Ok(Progress {
            marks: marks.into_iter().collect(),
            copied: copied.into_iter().map(|(task, table, rows)| ((task, table), rows)).collect(),
        })
    }

    /// Puts the states of the run's tasks right: those in `done` are done, all others are to come.
    pub fn reset_tasks(&self, run: RunId, done: &[i32]) -> Result<()> {
        self.execute(
            "update pgmig.task t
             set state = j.state, sqlstate = null, message = null, worker_pid = null,
                 started_at = case when j.state = 'done' then t.started_at end,
                 finished_at = case when j.state = 'done' then t.finished_at end
             from (
                 select x.task_id,
                     case when x.task_id = any ($2) then 'done' else 'pending' end as state
                 from pgmig.task x
                 where x.run_id = $1
             ) j
             where t.run_id = $1 and t.task_id = j.task_id and t.state <> j.state",
            &[run.into(), done.to_vec().into()],
        )?;
        Ok(())
    }

    /// Whether crash recovery has emptied unlogged tables since `notice_crash`.
    pub fn has_crashed(&self, run: RunId) -> Result<bool> {
        let is_marked = self.query_one::<bool>(
            "select exists (
                 select from pgmig.mark_unlogged m where m.run_id = $1 and m.task_id = 0)",
            &[run.into()],
        )?;
        Ok(is_marked == Some(false))
    }

    /// Records that all crashes so far are known of.
    pub fn notice_crash(&self, run: RunId) -> Result<()> {
        self.execute(
            "insert into pgmig.mark_unlogged (run_id, task_id, finished_at, failed)
             values ($1, 0, pg_catalog.clock_timestamp(), '{}')
             on conflict do nothing",
            &[run.into()],
        )?;
        Ok(())
    }

    /// Tables with unlogged relations whose copies had begun.
    pub fn read_emptied(&self, run: RunId) -> Result<Vec<i32>> {
        let tables = self.query_one::<String>(
            "select coalesce(pg_catalog.json_agg(b.table_id), '[]')::text
             from pgmig.run_table b
             where b.run_id = $1
               and exists (
                   select
                   from pgmig.part p
                   join pg_catalog.pg_namespace n on n.nspname = p.target_schema
                   join pg_catalog.pg_class c
                       on c.relnamespace = n.oid
                       and c.relname = p.target_name
                   where p.run_id = b.run_id
                     and p.table_id = b.table_id
                     and c.relpersistence = 'u')
               and exists (
                   select
                   from pgmig.task t
                   where t.run_id = b.run_id
                     and t.task_id between b.first_copy and b.last_copy
                     and t.state <> 'pending')",
            &[run.into()],
        )?;
        decode(&tables.unwrap_or_default())
    }

    /// A trigger of these tables on the target that fires for rows which this session copies.
    pub fn find_firing_trigger(&self, run: RunId, tables: &[i32]) -> Result<Option<String>> {
        self.query_one::<String>(
            "select pg_catalog.format('\"%s\" on \"%s.%s\"', t.tgname, n.nspname, c.relname)
             from pgmig.part p
             join pg_catalog.pg_namespace n on n.nspname = p.target_schema
             join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = p.target_name
             join pg_catalog.pg_trigger t on t.tgrelid = c.oid
             where p.run_id = $1
               and p.table_id = any ($2)
               and not t.tgisinternal
               and (t.tgenabled = 'A'
                    or pg_catalog.current_setting('session_replication_role') <> 'replica'
                       and t.tgenabled = 'O'
                    or pg_catalog.current_setting('session_replication_role') = 'replica'
                       and t.tgenabled = 'R')
             order by n.nspname, c.relname, t.tgname
             limit 1",
            &[run.into(), tables.to_vec().into()],
        )
    }

    /// Processes of earlier workers of the run that are still there.
    pub fn count_old_workers(&self, run: RunId) -> Result<i64> {
        let count = self.query_one::<i64>(
            "select count(*)
             from pg_catalog.pg_stat_activity a
             where a.backend_type = 'pgmig worker'
               and a.datid = (
                   select d.oid from pg_catalog.pg_database d
                   where d.datname = pg_catalog.current_database())
               and a.application_name like pg_catalog.format('pgmig run %s worker %%', $1)",
            &[run.into()],
        )?;
        Ok(count.unwrap_or(0))
    }

    /// The last of the runs that were planned over the run's tables since it was.
    pub fn find_later_run(&self, run: RunId) -> Result<Option<RunId>> {
        self.query_one::<i64>(
            "select r.superseded_by[pg_catalog.cardinality(r.superseded_by)]
             from pgmig.run r
             where r.run_id = $1 and r.superseded_by <> '{}'",
            &[run.into()],
        )
    }

    /// Tables of the run, as names on the target.
    pub fn read_table_names(&self, run: RunId) -> Result<Vec<QualifiedName>> {
        let rows = self.query_one::<String>(
            "select coalesce(
                 pg_catalog.json_agg(
                     pg_catalog.json_build_object('schema', b.table_schema, 'name', b.table_name)),
                 '[]')::text
             from pgmig.run_table b
             where b.run_id = $1",
            &[run.into()],
        )?;
        decode(&rows.unwrap_or_default())
    }

    /// Appends tasks to a recorded plan.
    pub fn append_tasks(&self, run: RunId, tasks: &[Task]) -> Result<()> {
        self.insert_tasks(run, tasks, pgmig_core::plan::graph::estimate_cost)
    }

    /// Positions of the statements of a task that failed when it was done; None if it was not.
    pub fn read_failed_statements(&self, run: RunId, task: i32) -> Result<Option<Vec<i32>>> {
        let failed = self.query_one::<String>(
            "select pg_catalog.to_json(m.failed)::text
             from pgmig.mark m
             where m.run_id = $1 and m.task_id = $2",
            &[run.into(), task.into()],
        )?;
        failed.map(|failed| decode(&failed)).transpose()
    }

    /// The tables of a task whose rows are in already.
    pub fn read_copied_tables(&self, run: RunId, task: i32) -> Result<Vec<i32>> {
        let tables = self.query_one::<String>(
            "select coalesce(pg_catalog.json_agg(c.table_id), '[]')::text
             from pgmig.copied_all c
             where c.run_id = $1 and c.task_id = $2",
            &[run.into(), task.into()],
        )?;
        decode(&tables.unwrap_or_default())
    }
}

/// A JSON array of OIDs or numbers, for parameters.
pub(super) fn json_list<T: serde::Serialize>(values: &[T]) -> String {
    json!(values).to_string()
}
