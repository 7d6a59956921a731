//! Taking a run up again: what is done, what is to come, and under which snapshot.
//!
//! ```text
//!   the old workers are gone ─ nobody else writes the tables ─ plan and marks are read
//!     a session still holds the snapshot ──> the same one; all that was copied is right
//!     else a new one ──> what has not changed stays, the rest is emptied and copied again
//! ```
//!
//! What a crash has emptied is copied again in any case. The rows that go, their marks, and the foreign
//! keys that are in the way go in one transaction; tasks that bring the keys back are part of it.

mod recopy;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use pgmig_core::model::{Catalog, Table};
use pgmig_core::name::QualifiedName;
use pgmig_core::options::condition::is_steady;
use pgmig_core::plan::data_table::combine_tree_conditions;
use pgmig_core::plan::select::Selection;
use pgmig_core::plan::task::{Load, Task, Work};
use pgmig_core::source::large_objects;
use pgmig_core::source::snapshot::{self, Snapshot};
use pgmig_core::source::unchanged::{self, Doubt};
use pgmig_core::source::wire::Connection;
use pgmig_core::{Error, Result};

use self::recopy::{give_up, sweep_large_objects};
use super::coordinator::Run;
use super::own_rows;
use super::state::{Progress, RecordedPart, RecordedSnapshot, RunKind};
use super::survey::{self, Survey, definitions, source};
use crate::pg::thread::Actor;
use crate::pg::{latch, transaction};

/// How long the workers of the run's earlier coordinator get to be gone.
const OLD_WORKERS_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads what is recorded of the run and gets it ready to go on; a run that has no plan yet is planned.
pub(super) fn survey(run: &Run) -> Result<Survey> {
    await_old_workers(run)?;
    let tasks = transaction::run(|| run.state.read_tasks(run.id))?;
    if tasks.is_empty() {
        return survey::survey(run);
    }
    transaction::run(|| {
        run.state.set_phase(run.id, "resume", true)?;
        check_tables(run)
    })?;
    let recorded = transaction::run(|| run.state.read_snapshot(run.id))?;
    let session = run.login.open()?;
    check_identity(&session, &recorded)?;
    check_rows(run, &tasks)?;
    let xids = match find_snapshot(run, &session, &recorded)? {
        Some(xids) => {
            give_up(run, &tasks, &emptied(run)?, None)?;
            xids
        }
        None => renew(run, &session, &tasks, &recorded)?,
    };
    let tasks = transaction::run(|| run.state.read_tasks(run.id))?;
    let progress = transaction::run(|| run.state.read_progress_marks(run.id))?;
    sweep_large_objects(run, &tasks, &progress)?;
    let done: Vec<i32> =
        tasks.iter().filter(|task| progress.is_done(task)).map(|task| task.id).collect();
    transaction::run(|| run.state.reset_tasks(run.id, &done))?;
    Ok(Survey { tasks, done, xids, session: Some(session), has_progressed: false })
}

/// Waits until no worker of the run is left: none may commit anything behind our back.
fn await_old_workers(run: &Run) -> Result<()> {
    let begun = Instant::now();
    while transaction::run(|| run.state.count_old_workers(run.id))? > 0 {
        if begun.elapsed() > OLD_WORKERS_TIMEOUT {
            return Err(Error::Preflight {
                message: "workers of the run are still there".to_owned(),
                detail: None,
                hint: Some(
                    "pg_terminate_backend ends them; pg_stat_activity shows them as \"pgmig worker\"."
                        .to_owned(),
                ),
                sqlstate: "55006",
            });
        }
        latch::wait(Duration::from_millis(100));
    }
    Ok(())
}

/// Refuses when somebody else writes, or has written since, the tables of the run.
fn check_tables(run: &Run) -> Result<()> {
    if run.request.kind != RunKind::Migrate {
        return Ok(());
    }
    run.state.take_turns()?;
    run.state.check_overlap(run.id, run.state.read_table_names(run.id)?.iter())?;
    match run.state.find_later_run(run.id)? {
        None => Ok(()),
        Some(later) => Err(Error::Preflight {
            message: format!("a later run, {later}, has written the same tables"),
            detail: Some("What this one has copied may be gone or changed.".to_owned()),
            hint: Some(format!("Resume run {later}, or start a new one.")),
            sqlstate: "55000",
        }),
    }
}

/// Refuses another database than the one that the plan was made of.
fn check_identity(session: &Actor<Connection>, recorded: &RecordedSnapshot) -> Result<()> {
    let identity = session.call(source::read_identity)?;
    if recorded.identity.as_ref().is_none_or(|recorded| *recorded == identity) {
        return Ok(());
    }
    Err(Error::Preflight {
        message: "the source is not the database that the run was started with".to_owned(),
        detail: None,
        hint: Some("Name that one, or start a new run.".to_owned()),
        sqlstate: "55000",
    })
}

/// Refuses when tables of which nothing has been copied so far have got rows in the meantime.
fn check_rows(run: &Run, tasks: &[Task]) -> Result<()> {
    if run.request.kind != RunKind::Migrate {
        return Ok(());
    }
    let progress = transaction::run(|| run.state.read_progress_marks(run.id))?;
    let copied = count_copied(tasks, &progress);
    let loads = tasks.iter().filter_map(|task| match &task.work {
        Work::Copy { loads } => Some(loads),
        _ => None,
    });
    let loads = loads.flatten().filter(|load| !copied.contains(&load.table_id));
    transaction::run(|| own_rows::check(run, loads.map(|load| &load.target)))
}

/// Puts the session under the run's snapshot, if anybody still holds it; returns what tells it from
/// others.
fn find_snapshot(
    run: &Run,
    session: &Actor<Connection>,
    recorded: &RecordedSnapshot,
) -> Result<Option<String>> {
    let Some(xids) = recorded.xids.clone() else {
        return Ok(None);
    };
    let names = transaction::run(|| run.state.read_snapshot_names(run.id))?;
    let wanted = xids.clone();
    let found = session.call(move |connection| snapshot::import_any(connection, &names, &wanted));
    let name = match found {
        Ok(name) => name,
        Err(Error::SnapshotGone) => return Ok(None),
        Err(error) => return Err(error),
    };
    let parts = transaction::run(|| {
        run.state.insert_snapshot_name(run.id, &name)?;
        run.state.read_parts(run.id)
    })?;
    // Where somebody waits for a stronger lock, whoever reads the table will be told.
    let tables: Vec<_> = parts.into_iter().map(|part| part.source).collect();
    session.call(move |connection| snapshot::lock_available(connection, &tables))?;
    Ok(Some(xids))
}

/// Takes a new snapshot, decides what of the rows copied so far is right under it, and gives up the
/// rest; returns what tells the snapshot from others.
fn renew(
    run: &Run,
    session: &Actor<Connection>,
    tasks: &[Task],
    recorded: &RecordedSnapshot,
) -> Result<String> {
    let mut selection = Selection::new(&run.options)?;
    let locked = source::lock(run, session, &mut selection, &run.options)?;
    let reading = locked.begin_reading(session, run.login.begin_open()?)?.finish()?;
    let now = definitions::hash(&reading.catalog, &selection, &run.options);
    if recorded.tables.as_ref().is_some_and(|tables| *tables != now.tables) {
        return Err(Error::Preflight {
            message:
                "tables of the source have been created, changed or dropped since the run was \
                      planned"
                    .to_owned(),
            detail: Some("The run's snapshot of the source is lost.".to_owned()),
            hint: Some("Start a new run with pgmig.migrate.".to_owned()),
            sqlstate: "55000",
        });
    }
    check_large_objects(run, session, tasks)?;
    let parts = transaction::run(|| run.state.read_parts(run.id))?;
    let files: HashMap<QualifiedName, u32> = reading
        .names
        .iter()
        .filter_map(|(oid, name)| Some((name.clone(), *reading.file_nodes.get(oid)?)))
        .collect();
    let progress = transaction::run(|| run.state.read_progress_marks(run.id))?;
    let has_gone_on = recorded
        .lsn
        .as_ref()
        .zip(recorded.timeline)
        .is_some_and(|(lsn, timeline)| snapshot::has_gone_on(lsn, timeline, &reading.snapshot));
    let lost = recorded.xids.as_ref().filter(|_| has_gone_on);
    let doubt = lost.and_then(|lost| Doubt::between(lost, &reading.snapshot.xids));
    let mut changed = find_changed(session, tasks, &progress, &parts, &files, doubt)?;
    let copied = count_copied(tasks, &progress);
    changed.extend(find_conditional(&reading.catalog, &selection, &parts).intersection(&copied));
    let mut given_up = emptied(run)?;
    given_up.extend(&changed);
    let new = NewSnapshot {
        snapshot: &reading.snapshot,
        files: &files,
        changed: &changed,
        copied,
        are_definitions_same: recorded.definitions.as_ref() == Some(&now.all),
    };
    give_up(run, tasks, &given_up, Some(&new))?;
    Ok(reading.snapshot.xids)
}

/// Refuses when the source has got large objects of which the plan knows nothing.
fn check_large_objects(run: &Run, session: &Actor<Connection>, tasks: &[Task]) -> Result<()> {
    let is_planned = tasks.iter().any(|task| matches!(task.work, Work::LargeObjects { .. }));
    if is_planned || !run.options.copies_large_objects() || run.options.schema_only {
        return Ok(());
    }
    if session.call(|connection| large_objects::read_batches(connection))?.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        message: "the source had no large objects when the run was planned, and has some now"
            .to_owned(),
        detail: Some("The run's snapshot of the source is lost.".to_owned()),
        hint: Some("Start a new run with pgmig.migrate.".to_owned()),
        sqlstate: "55000",
    })
}

/// A snapshot that takes the place of the one that was lost.
struct NewSnapshot<'a> {
    snapshot: &'a Snapshot,
    files: &'a HashMap<QualifiedName, u32>,
    changed: &'a BTreeSet<i32>,
    /// Tables with rows that had been copied.
    copied: BTreeSet<i32>,
    are_definitions_same: bool,
}

/// Tables with conditions of the user's under which rows may come and go while the table stays as it is.
fn find_conditional(
    catalog: &Catalog,
    selection: &Selection,
    parts: &[RecordedPart],
) -> BTreeSet<i32> {
    let by_oid = catalog.tables.iter().map(|table| (table.oid, table)).collect();
    let name = |table: &Table| QualifiedName::new(&table.schema, &table.name);
    let is_unsteady = |table: &&Table| {
        let condition =
            combine_tree_conditions(table, &by_oid, |table| selection.condition(&name(table)));
        condition.is_some_and(|condition| !is_steady(&condition))
    };
    let names: BTreeSet<_> = catalog.tables.iter().filter(is_unsteady).map(name).collect();
    parts.iter().filter(|part| names.contains(&part.source)).map(|part| part.table_id).collect()
}

/// Tables of which any rows were copied.
fn count_copied(tasks: &[Task], progress: &Progress) -> BTreeSet<i32> {
    copied_loads(tasks, progress).map(|(_, load, _)| load.table_id).collect()
}

/// Loads whose rows are in, with their task and the rows of all its loads of the same table.
fn copied_loads<'a>(
    tasks: &'a [Task],
    progress: &'a Progress,
) -> impl Iterator<Item = (i32, &'a Load, i64)> {
    tasks.iter().flat_map(move |task| {
        let loads: &[Load] = match &task.work {
            Work::Copy { loads } => loads,
            _ => &[],
        };
        loads
            .iter()
            .filter_map(move |load| Some((task.id, load, progress.copied(task.id, load.table_id)?)))
    })
}

/// Tables with rows that were copied and that are not, or not certainly, the source's any more.
fn find_changed(
    session: &Actor<Connection>,
    tasks: &[Task],
    progress: &Progress,
    parts: &[RecordedPart],
    files: &HashMap<QualifiedName, u32>,
    doubt: Option<Doubt>,
) -> Result<BTreeSet<i32>> {
    let copied = count_copied(tasks, progress);
    let Some(doubt) = doubt else {
        return Ok(copied);
    };
    let is_rewritten = |part: &&RecordedPart| files.get(&part.source).copied() != part.file_node;
    let mut changed: BTreeSet<i32> =
        parts.iter().filter(is_rewritten).map(|part| part.table_id).collect();
    changed.retain(|table| copied.contains(table));
    let mut counted: HashMap<(i32, i32), (i64, i64)> = HashMap::new();
    for (task, load, rows) in copied_loads(tasks, progress) {
        if changed.contains(&load.table_id) {
            continue;
        }
        let (name, predicate) = (load.source.quoted(), load.predicate.clone());
        let count = session.call(move |connection| {
            unchanged::count_rows(connection, &name, predicate.as_deref(), doubt)
        })?;
        match count {
            Some((count, 0)) => {
                let sum = counted.entry((task, load.table_id)).or_insert((rows, 0));
                sum.1 += count;
            }
            _ => {
                changed.insert(load.table_id);
            }
        }
    }
    let differs = |(_, (rows, count)): &(&(i32, i32), &(i64, i64))| rows != count;
    changed.extend(counted.iter().filter(differs).map(|((_, table), _)| *table));
    Ok(changed)
}

/// Tables that crash recovery may have emptied, unless no crash has happened.
fn emptied(run: &Run) -> Result<BTreeSet<i32>> {
    transaction::run(|| match run.state.has_crashed(run.id)? {
        true => Ok(run.state.read_emptied(run.id)?.into_iter().collect()),
        false => Ok(BTreeSet::new()),
    })
}
