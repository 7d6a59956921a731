//! A worker's session with the source: opened when first needed, under the run's snapshot.

use pgmig_core::error::RemoteError;
use pgmig_core::name::QualifiedName;
use pgmig_core::source::dsn::Dsn;
use pgmig_core::source::session::{self, SessionSettings};
use pgmig_core::source::snapshot::{self, LockOutcome};
use pgmig_core::source::wire::{Connection, ShutdownHandle, TransactionStatus};
use pgmig_core::{Error, Result};

use crate::pg::thread::Actor;

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
    snapshot: String,
    open: Option<OpenSession>,
}

struct OpenSession {
    actor: Actor<Connection>,
    shutdown: ShutdownHandle,
}

impl SourceSession {
    /// A session that will be opened on first use.
    pub fn new(login: SourceLogin, snapshot: String) -> Self {
        SourceSession { login, snapshot, open: None }
    }

    /// The open session, in a transaction under the run's snapshot; a session whose transaction has
    /// failed is replaced.
    pub fn get(&mut self) -> Result<&Actor<Connection>> {
        let usable = match &self.open {
            Some(open) => open.actor.call(|connection| {
                let status = connection.transaction_status();
                Ok(!connection.is_closed() && status == TransactionStatus::InTransaction)
            })?,
            None => false,
        };
        if !usable {
            self.open = None;
            let actor = self.login.open()?;
            let snapshot = self.snapshot.clone();
            let shutdown = actor.call(move |connection| {
                snapshot::import(connection, &snapshot)?;
                Ok(connection.shutdown_handle())
            })?;
            self.open = Some(OpenSession { actor, shutdown });
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

    /// Locks a table before it is read, without waiting: whoever waits for a stronger lock waits for
    /// the run's own locks, so waiting behind them would never end.
    pub fn lock(&mut self, table: &QualifiedName) -> Result<()> {
        let name = table.clone();
        match self.get()?.call(move |connection| snapshot::lock_nowait(connection, &name))? {
            LockOutcome::Locked => Ok(()),
            LockOutcome::Busy => Err(Error::Remote(Box::new(RemoteError {
                context: format!("table \"{table}\""),
                sqlstate: "55P03".to_owned(),
                message: "another session wants to lock the table exclusively".to_owned(),
                detail: Some(
                    "It waits for this run, so the run cannot wait for it in turn.".to_owned(),
                ),
                hint: Some(
                    "Cancel that session's ALTER, DROP, TRUNCATE, VACUUM FULL or LOCK on the source \
                     and start again."
                        .to_owned(),
                ),
            }))),
        }
    }

    /// Ends the session and with it its share of the snapshot.
    pub fn close(&mut self) {
        self.open = None;
    }
}
