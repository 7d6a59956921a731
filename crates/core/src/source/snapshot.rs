//! One consistent view of the source, shared by all sessions of a run.
//!
//! The order is the point. Tables are listed in a transaction of their own; a new transaction locks them
//! (LOCK takes no snapshot) and only then takes the snapshot; the list is read again under it, and
//! anything that differs means starting over. The other way round a TRUNCATE between snapshot and lock
//! would leave an empty table whose counts agree. Locks and snapshot live as long as the transaction of
//! the session that holds them; every session that imports the snapshot exports it again, so that any
//! of them may be lost.
//!
//! Locking: `access share` on every table listed, held by the session of `establish`; it conflicts with
//! `access exclusive` only.

use super::wire::{Connection, TransactionStatus};
use crate::error::{Remedy, RemoteError};
use crate::name::{QualifiedName, quote_literal};
use crate::{Error, Result};

/// How often the list may change under our hands before we give up.
const MAX_ATTEMPTS: u32 = 10;

/// Tables per LOCK statement: keeps statements short, round trips few.
const LOCK_BATCH: usize = 500;

/// Begins a transaction that has no snapshot yet.
const BEGIN: &str = "begin isolation level repeatable read, read only";

/// Exports the transaction's snapshot.
const EXPORT: &str = include_str!("export_snapshot.sql");

/// SQLSTATE of a table or schema that is gone.
const UNDEFINED: [&str; 2] = ["42P01", "3F000"];

/// SQLSTATE of a lock that would have to be waited for.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// A table of the source as the list has it; a table that was dropped and created again has another oid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTable {
    pub oid: u32,
    pub name: QualifiedName,
}

/// Where the snapshot comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotSource {
    /// We take it ourselves.
    Own,
    /// Somebody holds it open under this name, and sees to it that no table listed is truncated or
    /// rewritten between its snapshot and our locks.
    Named(String),
}

/// A snapshot held open by a session's transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The name to import it under.
    pub id: String,
    /// The tables that are locked, as the snapshot sees them.
    pub tables: Vec<SourceTable>,
    /// Position in the write-ahead log: nothing the snapshot sees was written after it.
    pub lsn: String,
    /// The timeline that the position is on: another one after a standby has taken over.
    pub timeline: i32,
    /// Whether the source is a standby.
    pub is_in_recovery: bool,
    /// Bounds and transactions in progress, `xmin:xmax:xip`: what tells it from any other snapshot.
    pub xids: String,
}

/// Whether a server that was at position `lost` of its write-ahead log, on a timeline, may have come from
/// there to where `current` was taken: after going back in time it may have other rows by the same
/// transactions.
pub fn has_gone_on(lost: &str, timeline: i32, current: &Snapshot) -> bool {
    let position = |lsn: &str| -> Option<(u64, u64)> {
        let (high, low) = lsn.split_once('/')?;
        Some((u64::from_str_radix(high, 16).ok()?, u64::from_str_radix(low, 16).ok()?))
    };
    match (position(lost), position(&current.lsn)) {
        (Some(lost), Some(now)) => timeline == current.timeline && lost <= now,
        _ => false,
    }
}

/// Whether a lock was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockOutcome {
    Locked,
    /// Somebody holds or waits for a lock that conflicts.
    Busy,
}

/// Locks the tables that `list` returns and establishes the run's snapshot in a transaction that
/// remains open on `connection`; waits for conflicting locks without limit. After an error no
/// transaction is open.
pub fn establish(
    connection: &mut Connection,
    source: &SnapshotSource,
    list: &mut dyn FnMut(&mut Connection) -> Result<Vec<SourceTable>>,
) -> Result<Snapshot> {
    attempt_repeatedly(connection, source, list).map_err(|error| roll_back(connection, error))
}

/// Tries until the list holds still.
fn attempt_repeatedly(
    connection: &mut Connection,
    source: &SnapshotSource,
    list: &mut dyn FnMut(&mut Connection) -> Result<Vec<SourceTable>>,
) -> Result<Snapshot> {
    for _ in 0..MAX_ATTEMPTS {
        let tables = list(connection)?;
        if let Some(snapshot) = lock_and_export(connection, source, tables)?
            && list(connection)? == snapshot.tables
        {
            return Ok(snapshot);
        }
        connection.execute("rollback")?;
    }
    Err(Error::Preflight {
        message: "tables of the source keep changing while they are being locked".to_owned(),
        detail: Some(format!("{MAX_ATTEMPTS} attempts found tables created, dropped or renamed.")),
        hint: Some("Start again when no definitions are being changed on the source.".to_owned()),
        sqlstate: "55006",
    })
}

/// Begins a transaction that uses the snapshot `id`, exports it again and returns it under its new name,
/// without tables. After an error no transaction is open.
pub fn import(connection: &mut Connection, id: &str) -> Result<Snapshot> {
    let sql = format!("{BEGIN}; {}; {EXPORT}", adopt_sql(id));
    export(connection, &sql, Vec::new())
        .map_err(|error| name_snapshot(id, error))
        .map_err(|error| roll_back(connection, error))
}

/// Begins a transaction that uses a snapshot under one of its names, exports it again and returns the
/// new name. Names may have been given to other snapshots since; `xids` tells. After an error no
/// transaction is open.
///
/// # Errors
/// `Error::SnapshotGone` if no session holds it any more under any of the names.
pub fn import_any(connection: &mut Connection, names: &[String], xids: &str) -> Result<String> {
    for name in names {
        match import(connection, name) {
            Ok(snapshot) if snapshot.xids == xids => return Ok(snapshot.id),
            Ok(_) => connection.execute("rollback").map(drop)?,
            // Nobody holds it any more, or names have started over and it is another database's now.
            Err(error @ Error::Remote(_)) if error.remedy() == Remedy::None => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::SnapshotGone)
}

/// Locks tables in the open transaction if nobody has to be waited for, all or none; returns their
/// files' numbers, which change when a table is truncated or rewritten.
pub fn lock_nowait(
    connection: &mut Connection,
    tables: &[QualifiedName],
) -> Result<(LockOutcome, Vec<Option<u32>>)> {
    let mut files = Vec::with_capacity(tables.len());
    for batch in tables.chunks(LOCK_BATCH) {
        let names: Vec<_> = batch.iter().map(|table| format!("only {}", table.quoted())).collect();
        let literals: Vec<_> = batch.iter().map(|table| quote_literal(&table.quoted())).collect();
        let sql = format!(
            "savepoint pgmig_lock; lock table {} in access share mode nowait; \
             release savepoint pgmig_lock; \
             select pg_catalog.pg_relation_filenode(t.name) \
             from pg_catalog.unnest(array[{}]::pg_catalog.regclass[]) with ordinality t (name, n) \
             order by t.n",
            names.join(", "),
            literals.join(", ")
        );
        match connection.query(&sql) {
            Ok(rows) if rows.len() == batch.len() => {
                let numbers = rows.into_iter().map(|row| row.into_iter().flatten().next());
                files.extend(numbers.map(|file| file.and_then(|file| file.parse().ok())));
            }
            Ok(_) => return Err(Error::Protocol("not one file per table".to_owned())),
            Err(Error::Remote(error)) if error.sqlstate == LOCK_NOT_AVAILABLE => {
                let sql = "rollback to savepoint pgmig_lock; release savepoint pgmig_lock";
                connection.execute(sql)?;
                return Ok((LockOutcome::Busy, Vec::new()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((LockOutcome::Locked, files))
}

/// Locks those of the tables in the open transaction that are there and for which nobody has to be waited
/// for.
pub fn lock_available(connection: &mut Connection, tables: &[QualifiedName]) -> Result<()> {
    let mut try_lock = |tables: &[QualifiedName]| match lock_nowait(connection, tables) {
        Ok((outcome, _)) => Ok(outcome == LockOutcome::Locked),
        Err(Error::Remote(error)) if UNDEFINED.contains(&error.sqlstate.as_str()) => {
            let sql = "rollback to savepoint pgmig_lock; release savepoint pgmig_lock";
            connection.execute(sql)?;
            Ok(false)
        }
        Err(error) => Err(error),
    };
    if !try_lock(tables)? {
        for table in tables {
            try_lock(std::slice::from_ref(table))?;
        }
    }
    Ok(())
}

/// Begins a transaction that has no snapshot yet, locks all tables in it and only then takes the snapshot;
/// none when one of the tables is gone. The source is waited for once.
fn lock_and_export(
    connection: &mut Connection,
    source: &SnapshotSource,
    tables: Vec<SourceTable>,
) -> Result<Option<Snapshot>> {
    let mut sql = BEGIN.to_owned();
    for batch in tables.chunks(LOCK_BATCH) {
        let names: Vec<_> =
            batch.iter().map(|table| format!("only {}", table.name.quoted())).collect();
        sql += &format!("; lock table {} in access share mode", names.join(", "));
    }
    let result = match source {
        SnapshotSource::Own => export(connection, &format!("{sql}; {EXPORT}"), tables),
        SnapshotSource::Named(id) => {
            let sql = format!("{sql}; {}; {EXPORT}", adopt_sql(id));
            export(connection, &sql, tables).map_err(|error| name_snapshot(id, error))
        }
    };
    match result {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(Error::Remote(error)) if UNDEFINED.contains(&error.sqlstate.as_str()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn adopt_sql(id: &str) -> String {
    format!("set transaction snapshot {}", quote_literal(id))
}

/// Says of which snapshot the server's error is.
fn name_snapshot(id: &str, error: Error) -> Error {
    match error {
        Error::Remote(remote) => {
            let context = format!("snapshot \"{id}\"");
            Error::Remote(Box::new(RemoteError { context, ..*remote }))
        }
        other => other,
    }
}

/// Exports the snapshot with the last statement of `sql`, which takes it if there is none, and reads the
/// position in the write-ahead log.
fn export(connection: &mut Connection, sql: &str, tables: Vec<SourceTable>) -> Result<Snapshot> {
    let rows = connection.query(sql)?;
    match rows.first().map(Vec::as_slice) {
        Some([Some(id), Some(lsn), Some(is_in_recovery), Some(xids), Some(timeline)]) => {
            Ok(Snapshot {
                id: id.clone(),
                tables,
                lsn: lsn.clone(),
                timeline: timeline.parse().unwrap_or(0),
                is_in_recovery: is_in_recovery == "t",
                xids: xids.clone(),
            })
        }
        _ => Err(Error::Protocol("a snapshot was exported without name or position".to_owned())),
    }
}

/// Leaves the transaction, if one is open, and returns the error that failed it.
fn roll_back(connection: &mut Connection, error: Error) -> Error {
    if !connection.is_closed() && connection.transaction_status() != TransactionStatus::Idle {
        // Should this fail, the session is lost, and its next use says so.
        let _ = connection.execute("rollback");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_has_gone_back_in_time_is_told_by_timeline_and_position() {
        let current = Snapshot {
            id: String::new(),
            tables: Vec::new(),
            lsn: "1/F0".to_owned(),
            timeline: 2,
            is_in_recovery: false,
            xids: String::new(),
        };
        for lost in ["0/FFFFFFFF", "1/F", "1/F0"] {
            assert!(has_gone_on(lost, 2, &current), "{lost}");
            assert!(!has_gone_on(lost, 1, &current), "{lost}");
        }
        for lost in ["1/F1", "10/0", "", "x/y"] {
            assert!(!has_gone_on(lost, 2, &current), "{lost}");
        }
    }
}
