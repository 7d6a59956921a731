//! A worker's session with the source: opened when first needed, under the run's snapshot.

use std::collections::HashSet;
use std::time::Duration;

use pgmig_core::error::RemoteError;
use pgmig_core::name::QualifiedName;
use pgmig_core::source::dsn::Dsn;
use pgmig_core::source::session::{self, SessionSettings};
use pgmig_core::source::snapshot::{self, LockOutcome};
use pgmig_core::source::wire::{Connection, ShutdownHandle, TransactionStatus};
use pgmig_core::{Error, Result};

use crate::pg::thread::Actor;

/// How long the source may take to say that it is there: far more than it ever needs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What it takes to log in to the source, and who asks.
#[derive(Clone)]
pub struct SourceLogin {
    pub dsn: Dsn,
    pub settings: SessionSettings,
    /// Whether the calling role is a superuser; others must bring a password that was asked for.
    pub is_superuser: bool,
}

impl SourceLogin {
    /// Opens a session on a thread of its own.
    pub fn open(&self) -> Result<Actor<Connection>> {
        let login = self.clone();
        Actor::start("pgmig source", move || login.connect())
    }

    fn connect(&self) -> Result<Connection> {
        let refuse = |detail: &str| {
            Err(Error::Preflight {
                message: "password is required".to_owned(),
                detail: Some(detail.to_owned()),
                hint: Some(
                    "Give a password in the connection string or user mapping; only superusers may \
                     use the server's own way to log in."
                        .to_owned(),
                ),
                sqlstate: "2F003",
            })
        };
        if !self.is_superuser && !self.dsn.has_password() {
            return refuse("Non-superusers must provide a password.");
        }
        let connection = session::open(&self.dsn, &self.settings)?;
        if !self.is_superuser && !connection.password_used() {
            return refuse("The source did not ask for the password.");
        }
        Ok(connection)
    }
}

/// The session, open or not.
pub struct SourceSession {
    login: SourceLogin,
    /// What tells the run's snapshot from others.
    xids: String,
    /// The names under which it was held when that was last looked up.
    names: Vec<String>,
    open: Option<OpenSession>,
}

struct OpenSession {
    actor: Actor<Connection>,
    shutdown: ShutdownHandle,
    /// Tables that its transaction has locked.
    locked: HashSet<QualifiedName>,
}

impl SourceSession {
    /// A session that will be opened on first use.
    pub fn new(login: SourceLogin, xids: String) -> Self {
        SourceSession { login, xids, names: Vec::new(), open: None }
    }

    /// A session that is open already, in a transaction under the run's snapshot.
    pub fn over(login: SourceLogin, xids: String, actor: Actor<Connection>) -> Result<Self> {
        let shutdown = actor.call(|connection| Ok(connection.shutdown_handle()))?;
        let open = Some(OpenSession { actor, shutdown, locked: HashSet::new() });
        Ok(SourceSession { login, xids, names: Vec::new(), open })
    }

    /// Whether the session is open, in a transaction that has not failed.
    pub fn is_open(&self) -> Result<bool> {
        match &self.open {
            Some(open) => open.actor.call(|connection| {
                let status = connection.transaction_status();
                Ok(!connection.is_closed() && status == TransactionStatus::InTransaction)
            }),
            None => Ok(false),
        }
    }

    /// Whether the source still answers on the open session.
    pub fn is_alive(&mut self) -> Result<bool> {
        let Some(open) = self.open.as_ref().filter(|_| self.is_open().unwrap_or(false)) else {
            return Ok(false);
        };
        let answer = open.actor.begin(|connection| connection.query("select 1").map(drop))?;
        let is_alive = matches!(answer.wait_within(ANSWER_TIMEOUT)?, Some(Ok(())));
        if !is_alive {
            self.abort();
        }
        Ok(is_alive)
    }

    /// Opens another session under the snapshot that is held under one of `names`; returns the name
    /// under which this session holds it.
    pub fn reopen(&mut self, names: Vec<String>) -> Result<String> {
        self.open = None;
        self.names = names;
        let actor = self.login.open()?;
        let (names, xids) = (self.names.clone(), self.xids.clone());
        let (name, shutdown) = actor.call(move |connection| {
            let name = snapshot::import_any(connection, &names, &xids)?;
            Ok((name, connection.shutdown_handle()))
        })?;
        self.open = Some(OpenSession { actor, shutdown, locked: HashSet::new() });
        Ok(name)
    }

    /// The open session, in a transaction under the run's snapshot; a session whose transaction has
    /// failed is replaced.
    pub fn get(&mut self) -> Result<&Actor<Connection>> {
        if !self.is_open()? {
            self.reopen(self.names.clone())?;
        }
        let open = self.open.as_ref();
        open.map(|open| &open.actor)
            .ok_or_else(|| Error::Internal("the session vanished".to_owned()))
    }

    /// Breaks the session off whatever it is doing; the next use opens another one.
    pub fn abort(&mut self) {
        if let Some(open) = self.open.take() {
            open.shutdown.shut_down();
        }
    }

    /// Locks tables before they are read, without waiting: whoever waits for a stronger lock waits for
    /// the run's own locks, so waiting behind them would never end. With each table comes the number
    /// that its file had when the snapshot was taken, if that is known.
    pub fn lock(&mut self, tables: &[(QualifiedName, Option<u32>)]) -> Result<()> {
        self.get()?;
        let Some(open) = &mut self.open else {
            return Err(Error::Internal("the session vanished".to_owned()));
        };
        let new: Vec<_> =
            tables.iter().filter(|(table, _)| !open.locked.contains(table)).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = new.iter().map(|(table, _)| table.clone()).collect();
        let (outcome, found) =
            open.actor.call(move |connection| snapshot::lock_nowait(connection, &names))?;
        if outcome == LockOutcome::Busy {
            let [(table, _)] = new.as_slice() else {
                // One by one, to name the one that is.
                return new.iter().try_for_each(|table| self.lock(std::slice::from_ref(table)));
            };
            return refuse_lock(
                table,
                "55P03",
                "another session wants to lock the table exclusively",
                "It waits for this run, so the run cannot wait for it in turn.",
                "Cancel that session's ALTER, DROP, TRUNCATE, VACUUM FULL or LOCK on the source \
                 and resume the run.",
            );
        }
        for ((table, file_node), found) in new.iter().zip(&found) {
            if file_node.is_some() && found != file_node {
                return refuse_lock(
                    table,
                    "55000",
                    "the table was truncated or rewritten after the snapshot was taken",
                    "Its rows of that time are gone.",
                    "Resume the run with pgmig.resume: it takes another snapshot.",
                );
            }
        }
        open.locked.extend(new.into_iter().map(|(table, _)| table));
        Ok(())
    }

    /// Ends the session and with it its share of the snapshot.
    pub fn close(&mut self) {
        self.open = None;
    }
}

fn refuse_lock(
    table: &QualifiedName,
    sqlstate: &str,
    message: &str,
    detail: &str,
    hint: &str,
) -> Result<()> {
    Err(Error::Remote(Box::new(RemoteError {
        context: format!("table \"{table}\""),
        sqlstate: sqlstate.to_owned(),
        message: message.to_owned(),
        detail: Some(detail.to_owned()),
        hint: Some(hint.to_owned()),
    })))
}
