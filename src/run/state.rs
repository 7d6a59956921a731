//! The only SQL on pgmig's own tables.
//!
//! Every function switches to the extension's owner around fixed statements, so that users can
//! neither forge nor read other people's runs. Callers are inside a transaction; coordinator and
//! worker choose its bounds, since a mark must commit together with its effect.
//!
//! Locking: rows only, never a whole table, except in `insert_tables`, which takes turns with other
//! runs for the moment in which it looks for overlaps.

mod large_objects;

use pgmig_core::digest::Digest;
use pgmig_core::name::QualifiedName;
use pgmig_core::plan::existing::Drop;
use pgmig_core::plan::task::{Format, RunTable, Task, Work};
use pgmig_core::{Error, Result};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use crate::pg::owner::AsOwner;
use crate::pg::{process, spi};

/// Tasks and tables are inserted this many at a time: large enough to hide the call, small enough
/// for the JSON that carries them.
const INSERT_ROWS: usize = 500;

/// A run's number, as `pgmig.runs.run_id` shows it.
pub type RunId = i64;

/// Access to pgmig's tables for this process.
#[derive(Debug, Clone, Copy)]
pub struct State {
    owner: pg_sys::Oid,
}

/// The states in which a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalState {
    Done,
    Mismatch,
    Failed,
    Cancelled,
}

impl FinalState {
    fn as_str(self) -> &'static str {
        match self {
            FinalState::Done => "done",
            FinalState::Mismatch => "mismatch",
            FinalState::Failed => "failed",
            FinalState::Cancelled => "cancelled",
        }
    }
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    Migrate,
    Validate,
    Plan,
}

impl RunKind {
    fn as_str(self) -> &'static str {
        match self {
            RunKind::Migrate => "migrate",
            RunKind::Validate => "validate",
            RunKind::Plan => "plan",
        }
    }
}

/// Where a run stands, as other sessions see it.
#[derive(Debug, Clone, Deserialize)]
pub struct RunStatus {
    /// As in `pgmig.runs.state`.
    pub state: String,
    pub coordinator_pid: i32,
    pub sqlstate: Option<String>,
    pub message: Option<String>,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl RunStatus {
    /// Whether a process still works on the run.
    pub fn is_live(&self) -> bool {
        matches!(self.state.as_str(), "planning" | "running")
    }
}

/// One row of the validation table.
#[derive(Debug, Clone, Deserialize)]
pub struct ValidationRow {
    pub table_schema: String,
    pub table_name: String,
    pub source_rows: Option<i64>,
    pub target_rows: Option<i64>,
    pub source_checksum: Option<String>,
    pub target_checksum: Option<String>,
    pub bytes_copied: i64,
    /// Seconds between the table's first byte and its last.
    pub elapsed_s: Option<f64>,
    pub status: String,
    pub detail: Option<String>,
}

/// One row of a dry run.
#[derive(Debug, Clone, Deserialize)]
pub struct PlanRow {
    pub step: i32,
    pub kind: String,
    pub object: String,
    pub work: Work,
    pub rows_expected: i64,
    pub bytes_expected: i64,
    pub depends_on: Vec<i32>,
}

impl PlanRow {
    /// Which part of the run the step belongs to.
    pub fn phase(&self) -> &'static str {
        match self.kind.as_str() {
            "ddl" => "schema",
            "copy" | "large_object" | "sequence" => "data",
            "check" => "validation",
            _ => "keys and indexes",
        }
    }

    /// The statements of the step, one a line.
    pub fn sql(&self) -> Option<String> {
        let lines = self.work.statements();
        Some(lines.join("\n")).filter(|sql| !sql.is_empty())
    }
}

/// What a copy task wrote to one table.
#[derive(Debug, Clone, Serialize)]
pub struct CopiedTable {
    pub table_id: i32,
    pub rows: i64,
    pub bytes: i64,
    #[serde(rename = "checksum", serialize_with = "serialize_digest")]
    pub digest: Option<Digest>,
    /// Whether crash recovery would empty the table.
    #[serde(skip)]
    pub is_unlogged: bool,
}

fn serialize_digest<S: Serializer>(
    digest: &Option<Digest>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    digest.map(|digest| digest.to_string()).serialize(serializer)
}

/// The comparison of one table on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct CheckedTable {
    pub table_id: i32,
    pub source_rows: Option<i64>,
    pub target_rows: Option<i64>,
    pub source_checksum: Option<String>,
    pub target_checksum: Option<String>,
    pub status: &'static str,
    pub detail: Option<String>,
}

/// How bad an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Warning,
    Error,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Something a run has to say.
#[derive(Debug, Clone)]
pub struct Event {
    pub severity: Severity,
    pub object: Option<String>,
    pub sqlstate: Option<String>,
    pub message: String,
    pub detail: Option<String>,
    pub statement: Option<String>,
}

impl Event {
    /// An event without an error behind it.
    pub fn new(severity: Severity, object: Option<String>, message: impl Into<String>) -> Self {
        Event {
            severity,
            object,
            sqlstate: None,
            message: message.into(),
            detail: None,
            statement: None,
        }
    }

    /// The failure of a statement or task.
    pub fn failure(object: &str, error: &Error) -> Self {
        let statement = match error {
            Error::Target(target) => target.statement.clone(),
            _ => None,
        };
        Event {
            severity: Severity::Error,
            object: Some(object.to_owned()),
            sqlstate: Some(error.sqlstate().to_owned()),
            message: error.to_string(),
            detail: error.detail().map(str::to_owned),
            statement,
        }
    }
}

/// A new run's row.
pub struct NewRun<'a> {
    pub kind: RunKind,
    pub role: pg_sys::Oid,
    /// The source without secrets.
    pub source: &'a str,
    /// Options in canonical JSON.
    pub options: &'a str,
}

/// What is known once the source has been read.
pub struct SourceFacts<'a> {
    pub version_num: i32,
    pub snapshot: Option<&'a str>,
    pub lsn: Option<&'a str>,
}

impl State {
    /// Finds the extension's owner; an error if the extension is not (or no longer) there.
    pub fn open() -> Result<Self> {
        let owner = Spi::get_one::<pg_sys::Oid>(
            "select extowner from pg_catalog.pg_extension where extname = 'pgmig'",
        )
        .ok()
        .flatten()
        .ok_or_else(|| Error::Preflight {
            message: "extension \"pgmig\" does not exist in this database".to_owned(),
            detail: None,
            hint: Some("Create it, and commit before you call it.".to_owned()),
            sqlstate: "42704",
        })?;
        Ok(State { owner })
    }

    fn execute(&self, sql: &str, arguments: &[DatumWithOid<'_>]) -> Result<u64> {
        let _owner = AsOwner::begin(self.owner);
        Spi::connect_mut(|client| {
            let done = client.update(sql, None, arguments).map_err(spi::spi_error)?;
            Ok(u64::try_from(done.len()).unwrap_or(u64::MAX))
        })
    }

    fn query_one<T: pgrx::FromDatum + pgrx::IntoDatum>(
        &self,
        sql: &str,
        arguments: &[DatumWithOid<'_>],
    ) -> Result<Option<T>> {
        let _owner = AsOwner::begin(self.owner);
        Spi::connect_mut(|client| {
            let rows = client.update(sql, Some(1), arguments).map_err(spi::spi_error)?;
            if rows.is_empty() {
                return Ok(None);
            }
            rows.first().get_one::<T>().map_err(spi::spi_error)
        })
    }

    /// Inserts the row of a new run and removes details of runs that ended long ago.
    pub fn insert_run(&self, run: &NewRun<'_>, keep_s: f64) -> Result<RunId> {
        self.prune(keep_s)?;
        let run_id = self.query_one::<i64>(
            "insert into pgmig.run (kind, state, phase, role_id, role_name, source, options,
                 coordinator_pid, coordinator_start, started_at)
             select $1, 'planning', 'connect', $2, r.rolname, $3, $4::jsonb, $5, a.backend_start,
                 pg_catalog.clock_timestamp()
             from pg_catalog.pg_stat_get_activity($5) a, pg_catalog.pg_roles r
             where r.oid = $2
             returning run_id",
            &[
                run.kind.as_str().into(),
                run.role.into(),
                run.source.into(),
                run.options.into(),
                process::my_pid().into(),
            ],
        )?;
        run_id.ok_or_else(|| Error::Internal("could not record the run".to_owned()))
    }

    /// Removes tasks, marks, tables and events of runs that ended, or that began and that nobody serves
    /// any more, more than `keep_s` seconds ago.
    fn prune(&self, keep_s: f64) -> Result<()> {
        for table in [
            "task",
            "mark",
            "copied",
            "mark_unlogged",
            "copied_unlogged",
            "checked",
            "event",
            "run_table",
        ] {
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

    /// Records version, snapshot and position of the source.
    pub fn set_source(&self, run: RunId, facts: &SourceFacts<'_>) -> Result<()> {
        self.execute(
            "update pgmig.run
             set source_version = $2, snapshot = $3, source_lsn = $4::pg_catalog.pg_lsn
             where run_id = $1",
            &[run.into(), facts.version_num.into(), facts.snapshot.into(), facts.lsn.into()],
        )?;
        Ok(())
    }

    /// Inserts the run's tables; an error if another live run writes one of them.
    pub fn insert_tables(&self, run: RunId, tables: &[RunTable], kind: RunKind) -> Result<()> {
        self.execute("lock table pgmig.run_table in share row exclusive mode", &[])?;
        for chunk in tables.chunks(INSERT_ROWS) {
            let rows: Vec<_> = chunk.iter().map(|table| run_table_json(run, table)).collect();
            self.execute(
                "insert into pgmig.run_table (run_id, table_id, source_schema, source_name,
                     table_schema, table_name, table_oid, is_existing, is_unlogged, copies_data,
                     first_copy, last_copy, format, reason, rows_expected, bytes_expected,
                     inserts_before, changes_before)
                 select j.run_id, j.table_id, j.source_schema, j.source_name, j.table_schema,
                     j.table_name, c.oid, j.is_existing, j.is_unlogged, j.copies_data,
                     j.first_copy, j.last_copy, j.format, j.reason, j.rows_expected,
                     j.bytes_expected, s.inserts, s.changes
                 from pg_catalog.json_populate_recordset(null::pgmig.run_table, $1::json) j
                 left join pg_catalog.pg_namespace n on n.nspname = j.table_schema
                 left join pg_catalog.pg_class c
                     on c.relnamespace = n.oid
                     and c.relname = j.table_name
                 left join lateral (
                     select sum(x.inserts)::bigint as inserts, sum(x.changes)::bigint as changes
                     from pgmig.part_counters x
                     where x.table_oid = c.oid
                 ) s on true
                 order by j.table_id",
                &[json!(rows).to_string().into()],
            )?;
        }
        if kind != RunKind::Migrate {
            return Ok(());
        }
        self.check_overlap(run, tables.iter().map(|table| &table.target))
    }

    /// Refuses tables that another live run writes.
    pub fn check_overlap<'a>(
        &self,
        run: RunId,
        tables: impl Iterator<Item = &'a QualifiedName>,
    ) -> Result<()> {
        let tables: Vec<_> = tables
            .map(|table| json!({"table_schema": table.schema, "table_name": table.name}))
            .collect();
        let overlap = self.query_one::<String>(
            "select pg_catalog.format('run %s, table \"%s.%s\"', other.run_id, mine.table_schema,
                 mine.table_name)
             from pg_catalog.json_to_recordset($2::json) mine(table_schema name, table_name name)
             join pgmig.run_table theirs
                 on theirs.table_schema = mine.table_schema
                 and theirs.table_name = mine.table_name
                 and theirs.run_id <> $1
             join pgmig.run other on other.run_id = theirs.run_id and other.kind = 'migrate'
             join pg_catalog.pg_stat_activity a
                 on a.pid = other.coordinator_pid
                 and a.backend_start = other.coordinator_start
             where other.finished_at is null
             order by other.run_id, mine.table_schema, mine.table_name
             limit 1",
            &[run.into(), json!(tables).to_string().into()],
        )?;
        match overlap {
            None => Ok(()),
            Some(overlap) => Err(Error::Preflight {
                message: "another run is writing the same tables".to_owned(),
                detail: Some(format!("The first of them: {overlap}.")),
                hint: Some(
                    "Wait for that run with pgmig.wait, or stop it with pgmig.cancel.".to_owned(),
                ),
                sqlstate: "55006",
            }),
        }
    }

    /// Records what the run is going to drop and build again, instead of what earlier runs have left
    /// behind for the same tables.
    pub fn insert_dropped(&self, run: RunId, drops: &[Drop]) -> Result<()> {
        self.execute(
            "delete from pgmig.dropped d
             where exists (
                    select from pgmig.run_table b
                    where b.run_id = $1
                      and b.table_schema = d.table_schema
                      and b.table_name = d.table_name)
                or exists (
                    select from pg_catalog.json_populate_recordset(null::pgmig.dropped, $2::json) j
                    where j.table_schema = d.table_schema
                      and j.table_name = d.table_name)",
            &[
                run.into(),
                json!(drops.iter().map(dropped_json).collect::<Vec<_>>()).to_string().into(),
            ],
        )?;
        for (chunk, first) in drops.chunks(INSERT_ROWS).zip((1_i32..).step_by(INSERT_ROWS)) {
            let rows: Vec<_> = chunk.iter().map(dropped_json).collect();
            self.execute(
                "insert into pgmig.dropped (run_id, position, kind, object, table_schema,
                     table_name, definition)
                 select $1, $2 - 1 + j.position, j.kind, j.object, j.table_schema, j.table_name,
                     j.definition
                 from rows from (
                         pg_catalog.json_to_recordset($3::json) as (
                             kind text, object text, table_schema name, table_name name,
                             definition text[])
                     ) with ordinality j (kind, object, table_schema, table_name, definition,
                         position)
                 where pg_catalog.cardinality(j.definition) > 0",
                &[run.into(), first.into(), json!(rows).to_string().into()],
            )?;
        }
        Ok(())
    }

    /// Forgets what the run has dropped: it is there again.
    pub fn clear_dropped(&self, run: RunId) -> Result<()> {
        self.execute("delete from pgmig.dropped where run_id = $1", &[run.into()])?;
        Ok(())
    }

    /// What earlier runs dropped and did not live to build again, latest first.
    pub fn read_owed(&self) -> Result<Vec<Drop>> {
        let rows = self.query_one::<String>(
            "select coalesce(
                 pg_catalog.json_agg(
                     pg_catalog.json_build_object(
                         'kind', d.kind,
                         'object', d.object,
                         'table', pg_catalog.json_build_object(
                             'schema', d.table_schema, 'name', d.table_name),
                         'definition', d.definition)
                     order by d.run_id desc, d.position),
                 '[]')::text
             from pgmig.dropped d",
            &[],
        )?;
        decode(&rows.unwrap_or_default())
    }

    /// Inserts the plan.
    pub fn insert_tasks(
        &self,
        run: RunId,
        tasks: &[Task],
        weight: impl Fn(&Task) -> u64,
    ) -> Result<()> {
        for chunk in tasks.chunks(INSERT_ROWS) {
            let rows = chunk
                .iter()
                .map(|task| task_json(run, task, weight(task)))
                .collect::<Result<Vec<_>>>()?;
            self.execute(
                "insert into pgmig.task (run_id, task_id, kind, object, table_schema, table_name,
                     work, depends_on, rows_expected, bytes_expected, weight, state)
                 select j.run_id, j.task_id, j.kind, j.object, j.table_schema, j.table_name, j.work,
                     j.depends_on, j.rows_expected, j.bytes_expected, j.weight, 'pending'
                 from pg_catalog.json_populate_recordset(null::pgmig.task, $1::json) j
                 order by j.task_id",
                &[json!(rows).to_string().into()],
            )?;
        }
        Ok(())
    }

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
        let suffix = if is_unlogged { "_unlogged" } else { "" };
        self.execute(
            &format!(
                "insert into pgmig.mark{suffix} (run_id, task_id, finished_at)
                 values ($1, $2, pg_catalog.clock_timestamp())"
            ),
            &[run.into(), task.into()],
        )?;
        if copied.is_empty() {
            return Ok(());
        }
        self.execute(
            &format!(
                "insert into pgmig.copied{suffix} (run_id, task_id, table_id, rows, bytes, checksum)
                 select $1, $2, j.table_id, j.rows, j.bytes, j.checksum
                 from pg_catalog.json_populate_recordset(null::pgmig.copied, $3::json) j
                 order by j.table_id"
            ),
            &[run.into(), task.into(), json!(copied).to_string().into()],
        )?;
        Ok(())
    }

    /// Rows and checksums that the copies of a table reported, in no order.
    pub fn read_copied(&self, run: RunId, table_id: i32) -> Result<Vec<(i64, Option<String>)>> {
        let rows = self.query_one::<String>(
            "select coalesce(pg_catalog.json_agg(
                 pg_catalog.json_build_array(c.rows, c.checksum)), '[]')::text
             from pgmig.run_table b
             join pgmig.copied_all c
                 on c.run_id = b.run_id
                 and c.task_id between b.first_copy and b.last_copy
                 and c.table_id = b.table_id
             where b.run_id = $1 and b.table_id = $2",
            &[run.into(), table_id.into()],
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
             order by j.table_id",
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

    /// Remembers what is in the target's tables now, so that a later run can tell whether somebody
    /// has written to them since. Tables whose counters do not add up are forgotten instead; where a
    /// failed attempt has moved the count of inserts, a later run has to count the rows.
    pub fn record_loaded(&self, run: RunId) -> Result<()> {
        self.execute(include_str!("state/record_loaded.sql"), &[run.into()])?;
        Ok(())
    }

    /// OIDs of the target's tables that hold exactly what an earlier run loaded, with the number of
    /// rows that they must have where only that can tell.
    pub fn read_unchanged(&self) -> Result<Vec<(u32, Option<i64>)>> {
        let rows = self.query_one::<String>(include_str!("state/read_unchanged.sql"), &[])?;
        decode(&rows.unwrap_or_default())
    }

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

    fn look_at_status(&self, run: RunId) -> Result<Option<RunStatus>> {
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

fn decode<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| {
        Error::Internal(format!("pgmig's own tables hold the unexpected: {error}"))
    })
}

fn run_table_json(run: RunId, table: &RunTable) -> serde_json::Value {
    let (format, reason) = match &table.format {
        Format::Binary => ("binary", None),
        Format::Text { reason } => ("text", Some(reason)),
    };
    json!({
        "run_id": run,
        "table_id": table.table_id,
        "source_schema": table.source.schema,
        "source_name": table.source.name,
        "table_schema": table.target.schema,
        "table_name": table.target.name,
        "is_existing": table.is_existing,
        "is_unlogged": table.is_unlogged,
        "copies_data": table.copies_data,
        "first_copy": table.copies.map(|(first, _)| first),
        "last_copy": table.copies.map(|(_, last)| last),
        "format": format,
        "reason": reason,
        "rows_expected": table.rows,
        "bytes_expected": table.bytes,
    })
}

fn dropped_json(drop: &Drop) -> serde_json::Value {
    json!({
        "kind": drop.kind,
        "object": drop.object,
        "table_schema": drop.table.schema,
        "table_name": drop.table.name,
        "definition": drop.definition,
    })
}

fn task_json(run: RunId, task: &Task, weight: u64) -> Result<serde_json::Value> {
    let work = serde_json::to_string(&task.work)
        .map_err(|error| Error::Internal(format!("a task cannot be stored: {error}")))?;
    Ok(json!({
        "run_id": run,
        "task_id": task.id,
        "kind": task.kind,
        "object": task.object,
        "table_schema": task.table.as_ref().map(|table| &table.schema),
        "table_name": task.table.as_ref().map(|table| &table.name),
        "work": work,
        "depends_on": task.depends_on,
        "rows_expected": task.rows,
        "bytes_expected": task.bytes,
        "weight": weight,
    }))
}
