//! The plan: tables, tasks, and what will be dropped and built again.

use std::collections::HashMap;

use pgmig_core::name::QualifiedName;
use pgmig_core::plan::existing::Drop;
use pgmig_core::plan::task::{Format, RunPart, RunTable, Task};
use pgmig_core::{Error, Result};
use serde_json::json;

use super::{INSERT_ROWS, RunId, RunKind, State, decode};

impl State {
    /// Inserts the run's tables; an error if another live run writes one of them.
    ///
    /// `file_nodes` has the number of the source's file for each OID.
    pub fn insert_tables(
        &self,
        run: RunId,
        tables: &[RunTable],
        file_nodes: &HashMap<u32, u32>,
        kind: RunKind,
    ) -> Result<()> {
        self.take_turns()?;
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
            self.insert_parts(run, chunk, file_nodes)?;
        }
        if kind != RunKind::Migrate {
            return Ok(());
        }
        self.check_overlap(run, tables.iter().map(|table| &table.target))?;
        self.supersede_others(run)
    }

    /// Has this transaction look for overlaps alone: of two runs that want the same tables the second
    /// one sees the first.
    pub fn take_turns(&self) -> Result<()> {
        self.execute("lock table pgmig.run_table in share row exclusive mode", &[])?;
        Ok(())
    }

    /// Notes with the other runs over these tables that this one goes over them from now on. That concerns
    /// only those that somebody could still resume or clean up.
    fn supersede_others(&self, run: RunId) -> Result<()> {
        self.execute("update pgmig.run set superseded_by = '{}' where run_id = $1", &[run.into()])?;
        self.execute(
            "update pgmig.run r
             set superseded_by = r.superseded_by || $1
             where r.run_id <> $1
               and r.kind = 'migrate'
               and r.has_details
               and r.state <> 'done'
               and not exists (
                   select
                   from pgmig.run later
                   where later.run_id = any (r.superseded_by) and later.state = 'done')
               and exists (
                   select
                   from pgmig.run_table theirs
                   join pgmig.run_table mine
                       on mine.run_id = $1
                       and mine.table_schema = theirs.table_schema
                       and mine.table_name = theirs.table_name
                   where theirs.run_id = r.run_id)",
            &[run.into()],
        )?;
        Ok(())
    }

    fn insert_parts(
        &self,
        run: RunId,
        tables: &[RunTable],
        file_nodes: &HashMap<u32, u32>,
    ) -> Result<()> {
        let parts = tables.iter().flat_map(|table| {
            (1..).zip(&table.parts).map(move |(position, part): (i32, &RunPart)| {
                json!({
                    "run_id": run,
                    "table_id": table.table_id,
                    "position": position,
                    "source_schema": part.source.schema,
                    "source_name": part.source.name,
                    "target_schema": part.target.schema,
                    "target_name": part.target.name,
                    "file_node": file_nodes.get(&part.oid),
                })
            })
        });
        let parts: Vec<_> = parts.collect();
        self.execute(
            "insert into pgmig.part
             select j.*
             from pg_catalog.json_populate_recordset(null::pgmig.part, $1::json) j",
            &[json!(parts).to_string().into()],
        )?;
        Ok(())
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
            "select pg_catalog.format('%s, table \"%s.%s\"',
                 case
                     when pg_catalog.pg_has_role(session_user, other.role_id, 'usage')
                     then pg_catalog.format('run %s', other.run_id)
                     else 'a run of another role'
                 end,
                 mine.table_schema, mine.table_name)
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
             using (
                 select b.table_schema, b.table_name from pgmig.run_table b where b.run_id = $1
                 union
                 select j.table_schema, j.table_name
                 from pg_catalog.json_populate_recordset(null::pgmig.dropped, $2::json) j
             ) t
             where t.table_schema = d.table_schema
               and t.table_name = d.table_name",
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

    /// Forgets what the run has dropped: it is there again, but for what could not be built.
    pub fn clear_dropped(&self, run: RunId) -> Result<()> {
        self.execute(
            "delete from pgmig.dropped where run_id = $1 and failure is null",
            &[run.into()],
        )?;
        Ok(())
    }

    /// Records that something which was owed could not be built this time either.
    pub fn fail_dropped(&self, run: RunId, object: &str, error: &Error) -> Result<()> {
        self.execute(
            "update pgmig.dropped set failure = $3 where run_id = $1 and object = $2",
            &[run.into(), object.into(), error.to_string().into()],
        )?;
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
                     work, locks, depends_on, rows_expected, bytes_expected, weight, state)
                 select j.run_id, j.task_id, j.kind, j.object, j.table_schema, j.table_name, j.work,
                     j.locks, j.depends_on, j.rows_expected, j.bytes_expected, j.weight, 'pending'
                 from pg_catalog.json_populate_recordset(null::pgmig.task, $1::json) j
                 order by j.task_id",
                &[json!(rows).to_string().into()],
            )?;
        }
        Ok(())
    }
}

fn run_table_json(run: RunId, table: &RunTable) -> serde_json::Value {
    let (format, reason) = match &table.format {
        Format::Binary => ("binary", None),
        Format::Text { reason, .. } => ("text", Some(reason)),
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
    let unfit = |error| Error::Internal(format!("a task cannot be stored: {error}"));
    let work = serde_json::to_string(&task.work).map_err(unfit)?;
    let locks = serde_json::to_string(&task.locks).map_err(unfit)?;
    Ok(json!({
        "run_id": run,
        "task_id": task.id,
        "kind": task.kind,
        "object": task.object,
        "table_schema": task.table.as_ref().map(|table| &table.schema),
        "table_name": task.table.as_ref().map(|table| &table.name),
        "work": work,
        "locks": locks,
        "depends_on": task.depends_on,
        "rows_expected": task.rows,
        "bytes_expected": task.bytes,
        "weight": weight,
    }))
}
