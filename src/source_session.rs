//! A worker's session with the source: opened when first needed, under the run's snapshot.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgmig_core::error::RemoteError;
use pgmig_core::name::{QualifiedName, quote_literal};
use pgmig_core::source::dsn::{Dsn, Endpoint};
use pgmig_core::source::session::{self, SessionSettings};
use pgmig_core::source::snapshot::{self, LockOutcome};
use pgmig_core::source::wire::{Connection, ShutdownHandle, TransactionStatus};
use pgmig_core::{Error, Result};

use crate::pg::thread::{self, Actor, Pending};

/// How long the source may take to say that it is there: far more than it ever needs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for a word to the source about sessions that nobody reads any more; a connection attempt has
/// the larger part of it.
const END_TIMEOUT: Duration = Duration::from_secs(5);
const END_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What it takes to log in to the source, and who asks.
#[derive(Clone)]
pub struct SourceLogin {
    pub dsn: Dsn,
    pub settings: SessionSettings,
    /// Whether the calling role is a superuser; others must bring a password that was asked for.
    pub is_superuser: bool,
    /// Where the first session was opened: all others go there, since they share its snapshot.
    pub place: Place,
}

/// A place that copies of a login agree on, once there is one.
#[derive(Clone, Default)]
pub struct Place(Arc<Mutex<Option<Endpoint>>>);

impl Place {
    /// A place that is known already.
    pub fn new(endpoint: Option<Endpoint>) -> Self {
        Place(Arc::new(Mutex::new(endpoint)))
    }

    /// The place, if there is one yet.
    pub fn get(&self) -> Option<Endpoint> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Settles it, or leaves it open again.
    pub fn set(&self, endpoint: Option<Endpoint>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = endpoint;
    }
}

impl SourceLogin {
    /// Opens a session on a thread of its own.
    pub fn open(&self) -> Result<Actor<Connection>> {
        let login = self.clone();
        Actor::start("pgmig source", move || login.connect())
    }

    /// Begins to open a session, for whoever can do something else meanwhile.
    pub fn begin_open(&self) -> Result<Pending<Result<Connection>>> {
        let login = self.clone();
        let (answer, pending) = Pending::new();
        thread::spawn("pgmig source", move || answer.give(login.connect()))?;
        Ok(pending)
    }

    /// Opens a session for a look at the source, on which nothing else depends; `limit` is for the
    /// connection.
    pub fn open_within(&self, limit: Duration) -> Result<Actor<Connection>> {
        let mut login = self.clone();
        login.dsn.limit_connect_timeout(limit);
        login.open()
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
        let mut dsn = self.dsn.clone();
        if let Some(endpoint) = self.place.get() {
            dsn.pin(endpoint);
        }
        let connection = session::open(&dsn, &self.settings)?;
        self.place.set(Some(connection.endpoint().clone()));
        if !self.is_superuser && !connection.password_used() {
            return refuse("The source did not ask for the password.");
        }
        Ok(connection)
    }

    /// Terminates all sessions of the run on the source, so that no long statement runs on there and
    /// nothing stays locked; gives up after a few seconds.
    pub fn end_sessions(&self) -> Result<()> {
        let mut login = self.clone();
        login.dsn.limit_connect_timeout(END_CONNECT_TIMEOUT);
        let sql = terminate_sql(&self.settings.application_name, "true");
        let (answer, pending) = Pending::new();
        thread::spawn("pgmig source", move || {
            let ended = login.connect().and_then(|mut connection| connection.query(&sql));
            answer.give(ended.map(drop));
        })?;
        pending.wait_within(END_TIMEOUT)?.unwrap_or(Ok(()))
    }
}

/// Terminates the other sessions of a run that meet a condition. Their name tells them from those of
/// all other runs, also of other targets; the user's own may follow it.
fn terminate_sql(name: &str, condition: &str) -> String {
    format!(
        "select pg_catalog.pg_terminate_backend(a.pid) from pg_catalog.pg_stat_activity a \
         where pg_catalog.left(a.application_name, {}) = {} \
           and a.pid <> pg_catalog.pg_backend_pid() and {condition}",
        name.chars().count(),
        quote_literal(name)
    )
}

/// The session, open or not.
pub struct SourceSession {
    login: SourceLogin,
    /// What tells the run's snapshot from others.
    xids: String,
    /// The names under which it was held when that was last looked up.
    names: Vec<String>,
    open: Option<OpenSession>,
    /// Processes on the source of sessions that were given up: where the network says nothing, they
    /// would stay, with their locks and their snapshot.
    given_up: Vec<i32>,
}

struct OpenSession {
    /// Its process on the source.
    process_id: i32,
    actor: Actor<Connection>,
    shutdown: ShutdownHandle,
    /// Tables that its transaction has locked.
    locked: HashSet<QualifiedName>,
}

impl SourceSession {
    /// A session that will be opened on first use.
    pub fn new(login: SourceLogin, xids: String) -> Self {
        SourceSession { login, xids, names: Vec::new(), open: None, given_up: Vec::new() }
    }

    /// A session that is open already, in a transaction under the run's snapshot.
    pub fn over(login: SourceLogin, xids: String, actor: Actor<Connection>) -> Result<Self> {
        let (shutdown, process_id) =
            actor.call(|connection| Ok((connection.shutdown_handle(), connection.process_id())))?;
        let open = Some(OpenSession { process_id, actor, shutdown, locked: HashSet::new() });
        Ok(SourceSession { login, xids, names: Vec::new(), open, given_up: Vec::new() })
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
    /// under which this session holds it. Sessions given up before are ended.
    pub fn reopen(&mut self, names: Vec<String>) -> Result<String> {
        self.abort();
        self.names = names;
        let actor = self.login.open()?;
        let (names, xids) = (self.names.clone(), self.xids.clone());
        let ending = self.end_given_up_sql();
        let (name, shutdown, process_id) = actor.call(move |connection| {
            if let Some(sql) = ending {
                connection.query(&sql)?;
            }
            let name = snapshot::import_any(connection, &names, &xids)?;
            Ok((name, connection.shutdown_handle(), connection.process_id()))
        })?;
        self.given_up.clear();
        self.open = Some(OpenSession { process_id, actor, shutdown, locked: HashSet::new() });
        Ok(name)
    }

    /// Ends the sessions that were given up, if there are any.
    fn end_given_up_sql(&self) -> Option<String> {
        let pids: Vec<String> = self.given_up.iter().map(i32::to_string).collect();
        (!pids.is_empty()).then(|| {
            let condition = format!("a.pid in ({})", pids.join(", "));
            terminate_sql(&self.login.settings.application_name, &condition)
        })
    }

    /// Locks tables for the session to hold, as far as nobody has to be waited for.
    pub fn hold(&mut self, tables: Vec<QualifiedName>) -> Result<()> {
        self.get()?.call(move |connection| snapshot::lock_available(connection, &tables))
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
            self.given_up.push(open.process_id);
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
