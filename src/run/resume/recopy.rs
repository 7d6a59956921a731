//! Copies that are given up: rows, marks and what hangs on them go in one transaction.

use std::collections::BTreeSet;

use pgmig_core::name::{QualifiedName, quote_ident, quote_literal};
use pgmig_core::plan::task::{LockMode, Statement, Task, TaskKind, TaskLock, Work};
use pgmig_core::{Error, Result};

use super::NewSnapshot;
use crate::pg::{spi, transaction};
use crate::run::coordinator::Run;
use crate::run::own_rows;
use crate::run::state::{DroppedKey, Event, Progress, RunKind, Severity};

/// Tables that an event lists at most.
const MAX_NAMED: usize = 20;

/// Large objects removed in one transaction: each takes a lock until its commit.
const REMOVALS_PER_TRANSACTION: usize = 256;

/// Gives up the copies of these tables and, under a new snapshot, what else is as of the old one.
pub(super) fn give_up(
    run: &Run,
    tasks: &[Task],
    tables: &BTreeSet<i32>,
    new: Option<&NewSnapshot<'_>>,
) -> Result<()> {
    let (state, id) = (run.state, run.id);
    let numbers: Vec<i32> = tables.iter().copied().collect();
    transaction::run(|| {
        state.notice_crash(id)?;
        if let Some(new) = new {
            state.replace_snapshot(id, new.snapshot)?;
            state.set_file_nodes(id, new.files)?;
            let kept = delete_configurations(run, tasks)?;
            let is_stale = |task: &&Task| is_stale(run, task) && !kept.contains(&task.id);
            let stale = tasks.iter().filter(is_stale).map(|task| task.id);
            state.forget_tasks(id, &stale.collect::<Vec<_>>())?;
            for event in new.events(&names_of(run, tables)?) {
                state.insert_event(id, &event)?;
            }
        }
        if tables.is_empty() {
            return Ok(());
        }
        check_triggers(run, &numbers)?;
        drop_keys(run, tasks, &numbers)?;
        let parts = state.read_parts(id)?;
        let parts = || parts.iter().filter(|part| tables.contains(&part.table_id));
        own_rows::check(run, parts().map(|part| &part.target))?;
        for part in parts() {
            if exists(&part.target)? {
                spi::execute(&format!("truncate only {}", part.target.quoted()));
            }
        }
        state.forget_copies(id, &numbers)?;
        state.insert_written(id)
    })
}

impl NewSnapshot<'_> {
    /// What people should know about it.
    fn events(&self, again: &[String]) -> Vec<Event> {
        let kept = self.copied.difference(self.changed).count();
        let mut message = format!(
            "the snapshot was lost and another one was taken: {kept} tables that have not changed \
             since keep their rows, {} are copied again",
            again.len()
        );
        if !again.is_empty() {
            let named: Vec<_> = again.iter().take(MAX_NAMED).cloned().collect();
            message.push_str(&format!(" ({}", named.join(", ")));
            message.push_str(if again.len() > MAX_NAMED { " and others)" } else { ")" });
        }
        let mut events = vec![Event::new(Severity::Warning, Some("snapshot".to_owned()), message)];
        if !self.are_definitions_same {
            let message = "definitions have changed on the source since the run was planned; it \
                           carries them as they were then";
            events.push(Event::new(Severity::Warning, Some("snapshot".to_owned()), message));
        }
        events
    }
}

/// Names of the tables with these numbers, for people.
fn names_of(run: &Run, tables: &BTreeSet<i32>) -> Result<Vec<String>> {
    let parts = run.state.read_parts(run.id)?;
    let mut names: Vec<(i32, String)> =
        parts.iter().map(|part| (part.table_id, part.target.to_string())).collect();
    names.retain(|(table, _)| tables.contains(table));
    names.dedup_by_key(|(table, _)| *table);
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

/// Whether what a task did was as of the snapshot, or of the moment: it is done again under another one.
fn is_stale(run: &Run, task: &Task) -> bool {
    match task.work {
        Work::Sequences { .. }
        | Work::Configuration { .. }
        | Work::LargeObjects { .. }
        | Work::CheckLargeObjects { .. } => true,
        _ => run.request.kind != RunKind::Migrate,
    }
}

/// Takes back the rows that the run has copied into extensions' configuration tables. Where others have
/// added some meanwhile all stay, since they could not be copied again; returns the tasks of such tables.
fn delete_configurations(run: &Run, tasks: &[Task]) -> Result<BTreeSet<i32>> {
    let mut kept = BTreeSet::new();
    let mut written = None;
    for task in tasks {
        let Work::Configuration { loads, .. } = &task.work else { continue };
        let written: &String = match &mut written {
            Some(written) => written,
            none => none.insert(list_written(run)?),
        };
        let mut are_there = Vec::new();
        for load in loads {
            if exists(&load.target)? {
                let condition = load.predicate.as_deref().unwrap_or("true");
                let from = format!("from only {} where ({condition}\n)", load.target.quoted());
                are_there.push((load, from));
            }
        }
        let ours = format!("xmin::pg_catalog.text::pg_catalog.int8 = any ('{{{written}}}')");
        let mut added = None;
        for (load, from) in &are_there {
            spi::for_each_text(&format!("select '' {from} and not {ours} limit 1"), &mut |_| {
                added = Some(*load);
                Ok(())
            })?;
        }
        if let Some(load) = added {
            let message = "has rows that others have added, so the extension's configuration stays as \
                           it was under the lost snapshot";
            let event =
                Event::new(Severity::Warning, Some(format!("table {}", load.target)), message);
            run.state.insert_event(run.id, &event)?;
            kept.insert(task.id);
            continue;
        }
        // Tables that refer to others come after them.
        for (_, from) in are_there.iter().rev() {
            spi::execute(&format!("delete {from} and {ours}"));
            transaction::increment_command_counter();
        }
    }
    Ok(kept)
}

/// The transactions in which the run has written, as an array's elements.
fn list_written(run: &Run) -> Result<String> {
    let ids: Vec<String> = run.state.read_written(run.id)?.iter().map(i64::to_string).collect();
    Ok(ids.join(","))
}

/// Refuses when triggers would fire for rows that are copied again.
fn check_triggers(run: &Run, tables: &[i32]) -> Result<()> {
    match run.state.find_firing_trigger(run.id, tables)? {
        None => Ok(()),
        Some(trigger) => Err(Error::Preflight {
            message: "rows have to be copied again into tables with triggers that would fire"
                .to_owned(),
            detail: Some(format!("The first of them: {trigger}.")),
            hint: Some(
                "Resume as a role that may set session_replication_role, or start a new run."
                    .to_owned(),
            ),
            sqlstate: "55000",
        }),
    }
}

/// Drops the foreign keys from and to the tables and plans to add them again.
fn drop_keys(run: &Run, tasks: &[Task], tables: &[i32]) -> Result<()> {
    let needed: Vec<i32> = tasks
        .iter()
        .filter(|task| matches!(task.work, Work::Copy { .. }))
        .map(|task| task.id)
        .collect();
    let next = tasks.iter().map(|task| task.id).max().unwrap_or(0) + 1;
    let mut added = Vec::new();
    for (task_id, key) in (next..).zip(run.state.read_keys(run.id, tables)?) {
        let DroppedKey { table, referenced, name, definition, comment } = &key;
        let (relation, constraint) = (table.quoted(), quote_ident(name));
        let mut sql =
            vec![format!("alter table {relation} add constraint {constraint} {definition}")];
        sql.extend(comment.as_ref().map(|comment| {
            let text = quote_literal(comment);
            format!("comment on constraint {constraint} on {relation} is {text}")
        }));
        let object = format!("constraint {name} on {table}");
        let locks = [table, referenced]
            .map(|table| TaskLock { table: table.clone(), mode: LockMode::ShareRowExclusive });
        added.push(Task {
            id: task_id,
            kind: TaskKind::ForeignKey,
            object: object.clone(),
            table: Some(table.clone()),
            work: Work::Statements {
                statements: sql.iter().map(|sql| Statement::new(&object, sql)).collect(),
            },
            depends_on: needed.clone(),
            locks: locks.to_vec(),
            rows: 0,
            bytes: 0,
        });
        run.state.insert_dropped_key(run.id, &key, &sql)?;
        spi::execute(&format!("alter table {relation} drop constraint {constraint}"));
        transaction::increment_command_counter();
    }
    run.state.append_tasks(run.id, &added)
}

fn exists(table: &QualifiedName) -> Result<bool> {
    let mut is_there = false;
    let name = quote_literal(&table.quoted());
    spi::for_each_text(&format!("select pg_catalog.to_regclass({name})::text"), &mut |_| {
        is_there = true;
        Ok(())
    })?;
    Ok(is_there)
}

/// Removes large objects that the run has made and that are to be copied again.
pub(super) fn sweep_large_objects(run: &Run, tasks: &[Task], progress: &Progress) -> Result<()> {
    let kept: Vec<(u32, u32)> = tasks
        .iter()
        .filter(|task| progress.is_done(task))
        .filter_map(|task| match task.work {
            Work::LargeObjects { first, last, .. } => Some((first, last)),
            _ => None,
        })
        .collect();
    let mut stale = transaction::run(|| run.state.read_own_large_objects(run.id))?;
    stale.retain(|oid| !kept.iter().any(|(first, last)| (first..=last).contains(&oid)));
    for oids in stale.chunks(REMOVALS_PER_TRANSACTION) {
        transaction::run(|| {
            for oid in oids {
                spi::execute(&format!("select pg_catalog.lo_unlink({oid})"));
            }
            run.state.delete_large_objects(oids)
        })?;
    }
    Ok(())
}
