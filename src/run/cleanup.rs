//! Removing what a run has made: in the caller's own transaction, with the caller's rights.
//!
//! Objects go one by one, the latest first, and only as the run has left them: whatever somebody has
//! changed, filled, added to or built upon stays, with the reason. Existing tables are emptied of the
//! rows that the run has copied, and get back what the run had dropped from them.

use std::collections::{HashMap, HashSet};

use pgmig_core::name::quote_ident;
use pgmig_core::{Error, Result};

use super::state::{CreatedObject, FilledTable, RunId, RunKind, State};
use super::{launch, own_rows};
use crate::pg::{created, process, spi, transaction};

/// SQLSTATE of a drop that something depends upon.
const DEPENDENT_OBJECTS: &str = "2BP01";

/// SQLSTATEs of what is there already, and of what cannot be because its table or schema is not.
const NOTHING_TO_RESTORE: [&str; 5] = ["42P07", "42710", "42P16", "42P01", "3F000"];

/// What has become of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Removed,
    Emptied,
    Restored,
    Kept,
}

impl Action {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Removed => "removed",
            Action::Emptied => "emptied",
            Action::Restored => "restored",
            Action::Kept => "kept",
        }
    }
}

/// An object, what has become of it, and why it was kept.
pub type Line = (String, Action, Option<String>);

/// Removes what a run that did not end well has made.
///
/// # Errors
/// `Error::Preflight` if the run is under way or has ended well.
pub fn clean_up(run: RunId) -> Result<Vec<Line>> {
    let state = State::open()?;
    launch::find(&state, run)?;
    // Nobody is to take the run up while its objects go.
    state.lock_run(run)?;
    check_run(&state, run)?;
    let is_superseded = state.find_later_run(run)?.is_some();
    let _settings = process::SearchPathEmpty::begin();
    let settings = process::LocalSettings::new();
    // A policy would hide rows, and their table would seem to be as it was.
    settings.set("row_security", "off");
    let mut lines = Vec::new();
    let written = state.read_written(run)?;
    let filled = state.read_filled(run)?;
    let mut kept: HashMap<u32, String> = HashMap::new();
    for table in &filled {
        if let Some(reason) = find_changed_rows(table, &written, is_superseded)? {
            kept.extend(table.relations.iter().map(|relation| (relation.oid, reason.clone())));
        }
    }
    let filled_oids: HashSet<u32> =
        filled.iter().flat_map(|table| &table.relations).map(|relation| relation.oid).collect();
    let mut due = Vec::new();
    for object in state.read_created(run)? {
        match find_reason(&object, &kept, &filled_oids)? {
            Some(reason) => lines.push((describe(&object), Action::Kept, Some(reason))),
            None => due.push(object),
        }
    }
    lines.extend(drop_all(due)?);
    lines.extend(empty_existing(&filled, &kept)?);
    lines.extend(remove_large_objects(&state, run)?);
    lines.extend(restore(&state, run)?);
    state.forget_run(run)?;
    Ok(lines)
}

fn check_run(state: &State, run: RunId) -> Result<()> {
    let status = launch::find(state, run)?;
    let refuse = |message: String, sqlstate| {
        Err(Error::Preflight {
            message,
            detail: None,
            hint: Some("The view pgmig.runs shows the runs and their states.".to_owned()),
            sqlstate,
        })
    };
    if status.kind != RunKind::Migrate {
        return refuse(format!("run {run} has made nothing"), "55000");
    }
    if status.is_live() || state.count_old_workers(run)? > 0 {
        return refuse(format!("run {run} is under way"), "55006");
    }
    if status.state == "done" {
        return refuse(
            format!("run {run} has ended well, so there is nothing to clean up"),
            "55000",
        );
    }
    if let Some(later) = state.find_successor(run)? {
        return Err(Error::Preflight {
            message: format!("a later run, {later}, has written the same tables"),
            detail: Some(format!("It may rely on what run {run} has made.")),
            hint: Some(format!("Clean up after run {later} first, unless it has ended well.")),
            sqlstate: "55000",
        });
    }
    if status.phase != "cleaned up" && !state.has_details(run)? {
        return refuse(
            format!("what run {run} has made is not recorded any more (option \"keep_history\")"),
            "55000",
        );
    }
    Ok(())
}

/// Why an object has to stay.
fn find_reason(
    object: &CreatedObject,
    kept: &HashMap<u32, String>,
    filled: &HashSet<u32>,
) -> Result<Option<String>> {
    if object.is_changed {
        return Ok(Some("its definition has changed since".to_owned()));
    }
    if let Some(part) = &object.extended_by {
        return Ok(Some(format!("{part} was added to it")));
    }
    if !object.is_table {
        return Ok(None);
    }
    if let Some(reason) = kept.get(&object.oid) {
        return Ok(Some(reason.clone()));
    }
    if !filled.contains(&object.oid) {
        let query = format!("select 'x' from only {} limit 1", object.identity);
        let mut has_rows = false;
        spi::for_each_text(&query, &mut |_| {
            has_rows = true;
            Ok(())
        })?;
        return Ok(has_rows.then(|| "it has rows that the run did not copy".to_owned()));
    }
    Ok(None)
}

/// Why the rows of a table are not just those that the run has copied.
/// Those of a run whose place another one had taken have gone when that one was cleaned up.
fn find_changed_rows(
    table: &FilledTable,
    written: &[i64],
    is_superseded: bool,
) -> Result<Option<String>> {
    if table.is_existing && table.rows.is_none() {
        return Ok(Some("it is as it was before".to_owned()));
    }
    let (mut rows, mut others) = (0, 0);
    for relation in &table.relations {
        let (count, other) = own_rows::count(&relation.name, written)?;
        rows += count;
        others += other;
    }
    let are_gone = rows == 0 && is_superseded;
    Ok((others > 0 || rows != table.rows.unwrap_or(0) && !are_gone)
        .then(|| "its rows have changed since".to_owned()))
}

fn describe(object: &CreatedObject) -> String {
    format!("{} {}", object.kind, object.identity)
}

/// Drops objects until no more of them can be, the latest first.
fn drop_all(mut due: Vec<CreatedObject>) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    loop {
        let mut left = Vec::new();
        let before = due.len();
        for object in due {
            let line = |action, reason| (describe(&object), action, reason);
            let Some(statements) = render_drop(&object) else {
                let reason = "objects of this kind are left alone".to_owned();
                lines.push(line(Action::Kept, Some(reason)));
                continue;
            };
            let dropped = transaction::run_nested(|| {
                for sql in &statements {
                    spi::execute(sql);
                }
                Ok(())
            });
            match dropped {
                Ok(()) => lines.push(line(Action::Removed, None)),
                Err(error) if error.sqlstate() == DEPENDENT_OBJECTS => left.push((object, error)),
                // It has gone with another one.
                Err(error) if error.sqlstate() == "42704" || error.sqlstate() == "42P01" => {}
                Err(error) => lines.push(line(Action::Kept, Some(error.to_string()))),
            }
        }
        if left.len() == before && drop_circle(&left) {
            let removed =
                |(object, _): (CreatedObject, Error)| (describe(&object), Action::Removed, None);
            lines.extend(left.into_iter().map(removed));
            return Ok(lines);
        }
        if left.is_empty() || left.len() == before {
            lines.extend(left.into_iter().map(|(object, error)| {
                let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
                (describe(&object), Action::Kept, Some(reason))
            }));
            return Ok(lines);
        }
        due = left.into_iter().map(|(object, _)| object).collect();
    }
}

/// Drops objects that depend on each other all at once, such as a type and its functions; false if
/// something else depends on them. No statement can do that, and this way nobody looks at whose they
/// are, so it is for superusers.
fn drop_circle(left: &[(CreatedObject, Error)]) -> bool {
    if !process::is_superuser(process::current_user()) {
        return false;
    }
    let addresses: Vec<_> = left.iter().map(|(object, _)| (object.class, object.oid)).collect();
    transaction::run_nested(|| {
        created::drop_together(&addresses);
        Ok(())
    })
    .is_ok()
}

/// The statements that drop an object; None for what cannot be dropped by itself.
fn render_drop(object: &CreatedObject) -> Option<Vec<String>> {
    let identity = &object.identity;
    let noun = match object.kind.as_str() {
        "table constraint" => {
            let (table, name) = (object.table.as_ref()?, object.name.as_ref()?);
            return Some(vec![format!(
                "alter table {table} drop constraint {}",
                quote_ident(name)
            )]);
        }
        "user mapping" => {
            let (user, server) = identity.split_once(" on server ")?;
            return Some(vec![format!("drop user mapping for {user} server {server}")]);
        }
        "aggregate" if identity.ends_with("()") => {
            let name = identity.trim_end_matches("()");
            return Some(vec![format!("drop aggregate {name}(*)")]);
        }
        "transform" => {
            // The server does not quote the language's name here.
            let (data_type, language) = identity.split_once(" on language ")?;
            return Some(vec![format!(
                "drop transform {data_type} language {}",
                quote_ident(language)
            )]);
        }
        "subscription" => {
            return Some(vec![
                format!("alter subscription {identity} disable"),
                format!("alter subscription {identity} set (slot_name = none)"),
                format!("drop subscription {identity}"),
            ]);
        }
        "foreign-data wrapper" => "foreign data wrapper",
        "statistics object" => "statistics",
        "composite type" => "type",
        "default value"
        | "default acl"
        | "domain constraint"
        | "publication relation"
        | "publication namespace"
        | "operator of access method"
        | "function of access method" => {
            return None;
        }
        noun => noun,
    };
    Some(vec![format!("drop {noun} {identity}")])
}

/// Takes the run's rows out of tables that were there before.
fn empty_existing(filled: &[FilledTable], kept: &HashMap<u32, String>) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for table in filled.iter().filter(|table| table.is_existing && table.rows.is_some()) {
        for relation in &table.relations {
            let object = format!("table {}", relation.name.quoted());
            lines.push(match kept.get(&relation.oid) {
                Some(reason) => (object, Action::Kept, Some(reason.clone())),
                None => {
                    let sql = format!("truncate only {}", relation.name.quoted());
                    let done = transaction::run_nested(|| {
                        spi::execute(&sql);
                        Ok(())
                    });
                    match done {
                        Ok(()) => (object, Action::Emptied, None),
                        Err(error) => (object, Action::Kept, Some(error.to_string())),
                    }
                }
            });
        }
    }
    Ok(lines)
}

fn remove_large_objects(state: &State, run: RunId) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut removed = Vec::new();
    for (oid, is_changed) in state.read_made_large_objects(run)? {
        let object = format!("large object {oid}");
        if is_changed {
            let reason = "it has changed since".to_owned();
            lines.push((object, Action::Kept, Some(reason)));
            continue;
        }
        let done = transaction::run_nested(|| {
            spi::execute(&format!("select pg_catalog.lo_unlink({oid})"));
            Ok(())
        });
        match done {
            Ok(()) => {
                removed.push(oid);
                lines.push((object, Action::Removed, None));
            }
            Err(error) => lines.push((object, Action::Kept, Some(error.to_string()))),
        }
    }
    state.delete_large_objects(&removed)?;
    Ok(lines)
}

/// Builds again what the run had dropped; what cannot be built stays owed.
fn restore(state: &State, run: RunId) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for dropped in state.read_dropped(run)? {
        let built = transaction::run_nested(|| {
            for sql in &dropped.definition {
                spi::execute(sql);
                transaction::increment_command_counter();
            }
            Ok(())
        });
        match built {
            Ok(()) => {
                state.delete_dropped(run, dropped.position)?;
                lines.push((dropped.object, Action::Restored, None));
            }
            // The run had not come to drop it, or the table it is part of has just gone.
            Err(error) if NOTHING_TO_RESTORE.contains(&error.sqlstate()) => {
                state.delete_dropped(run, dropped.position)?;
            }
            Err(error) => {
                state.fail_dropped(run, &dropped.object, &error)?;
                let reason = format!("it could not be built again: {error}");
                lines.push((dropped.object, Action::Kept, Some(reason)));
            }
        }
    }
    Ok(lines)
}
