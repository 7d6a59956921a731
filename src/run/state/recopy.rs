//! Copies that are given up: their marks, and what stands in the way of another one.

use pgmig_core::Result;
use pgmig_core::name::QualifiedName;
use serde::{Deserialize, Serialize};

use super::progress::json_list;
use super::{RunId, State, decode};
use crate::pg::{created, transaction};

/// A foreign key of the target that is dropped so that its tables can be emptied.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DroppedKey {
    pub table: QualifiedName,
    pub referenced: QualifiedName,
    pub name: String,
    /// As after ADD CONSTRAINT.
    pub definition: String,
    pub comment: Option<String>,
}

impl State {
    /// Foreign keys from or to the target's relations of these tables, the outermost of partitioned ones.
    pub fn read_keys(&self, run: RunId, tables: &[i32]) -> Result<Vec<DroppedKey>> {
        let rows = self.query_one::<String>(
            include_str!("read_keys.sql"),
            &[run.into(), tables.to_vec().into()],
        )?;
        decode(&rows.unwrap_or_default())
    }

    /// Records that a foreign key is gone until it is built again.
    pub fn insert_dropped_key(&self, run: RunId, key: &DroppedKey, sql: &[String]) -> Result<()> {
        self.execute(
            "insert into pgmig.dropped (run_id, position, kind, object, table_schema, table_name,
                 definition)
             select $1,
                 coalesce((select max(d.position) from pgmig.dropped d where d.run_id = $1), 0) + 1,
                 'foreign_key', $2, $3::text::name, $4::text::name,
                 array(select j.value from pg_catalog.json_array_elements_text($5::json) j)",
            &[
                run.into(),
                format!("constraint {} on {}", key.name, key.table).into(),
                key.table.schema.as_str().into(),
                key.table.name.as_str().into(),
                json_list(sql).into(),
            ],
        )?;
        Ok(())
    }

    /// Takes back the marks of these tables' copies and of what was done with their rows, and counts.
    pub fn forget_copies(&self, run: RunId, tables: &[i32]) -> Result<()> {
        let ids = || [run.into(), tables.to_vec().into()];
        for suffix in ["", "_unlogged"] {
            self.execute(
                &format!(
                    "delete from pgmig.mark{suffix} m
                     using pgmig.task t
                     where m.run_id = $1
                       and t.run_id = m.run_id
                       and t.task_id = m.task_id
                       and (t.kind = 'refresh'
                            or exists (
                                select
                                from pgmig.run_table b
                                where b.run_id = m.run_id
                                  and b.table_id = any ($2)
                                  and (t.task_id between b.first_copy and b.last_copy
                                       or t.kind in ('check', 'analyze')
                                       and exists (
                                           select
                                           from pg_catalog.unnest(t.depends_on) d
                                           where d between b.first_copy and b.last_copy))))"
                ),
                &ids(),
            )?;
            self.execute(
                &format!(
                    "delete from pgmig.copied{suffix} c
                     where c.run_id = $1 and c.table_id = any ($2)"
                ),
                &ids(),
            )?;
        }
        self.execute(
            "update pgmig.run_table set recopied = recopied + 1
             where run_id = $1 and table_id = any ($2)",
            &ids(),
        )?;
        Ok(())
    }

    /// Takes back the marks of tasks.
    pub fn forget_tasks(&self, run: RunId, tasks: &[i32]) -> Result<()> {
        for table in ["mark", "mark_unlogged", "copied", "copied_unlogged"] {
            self.execute(
                &format!("delete from pgmig.{table} where run_id = $1 and task_id = any ($2)"),
                &[run.into(), tasks.to_vec().into()],
            )?;
        }
        Ok(())
    }

    /// Large objects that the run has made and that are still there, in order.
    pub fn read_own_large_objects(&self, run: RunId) -> Result<Vec<u32>> {
        let oids = self.query_one::<String>(
            "select coalesce(pg_catalog.json_agg(l.oid::bigint order by l.oid), '[]')::text
             from pgmig.large_object l
             join pg_catalog.pg_largeobject_metadata m on m.oid = l.oid
             where l.run_id = $1",
            &[run.into()],
        )?;
        decode(&oids.unwrap_or_default())
    }

    /// Records that this transaction writes for the run, and what it has created; last in it, so that no part of it is missed.
    pub fn insert_written(&self, run: RunId) -> Result<()> {
        let ids = json_list(&transaction::ids());
        self.execute(
            "insert into pgmig.written (run_id, xid)
             select $1, j.value::bigint
             from pg_catalog.json_array_elements_text($2::json) j
             on conflict do nothing",
            &[run.into(), ids.into()],
        )?;
        self.insert_created(run, &created::take())
    }

    /// Once every relation of a table is logged, what was copied into it survives a crash.
    pub fn promote_copied(&self, run: RunId, task: i32) -> Result<()> {
        self.execute(include_str!("promote_copied.sql"), &[run.into(), task.into()])?;
        Ok(())
    }
}
