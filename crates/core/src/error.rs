//! The one error type: a variant per cause that somebody can act on, its SQLSTATE chosen here.
//!
//! Messages read like PostgreSQL's own: lower case, no period, names in double quotes. Detail and
//! hint are whole sentences. No variant ever carries a connection string or a row's values.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong, in terms of what the user can do about it.
#[derive(Debug, Clone)]
pub enum Error {
    /// An option is unknown, of the wrong type, out of range or contradicts another one.
    Option { message: String, detail: Option<String>, hint: Option<String> },
    /// The connection string or foreign server cannot be used as a source.
    ConnectionString { message: String, hint: Option<String> },
    /// No session with the source could be had.
    Connect { message: String, sqlstate: Option<String>, hint: Option<String> },
    /// The source answered a statement with an error.
    Remote(Box<RemoteError>),
    /// The source speaks the protocol in a way that cannot be followed.
    Protocol(String),
    /// The connection to the source was lost in mid-conversation.
    Lost(String),
    /// No session of the run holds its snapshot any more.
    SnapshotGone,
    /// The run cannot start with the two databases as they are; nothing has been changed.
    Preflight {
        message: String,
        detail: Option<String>,
        hint: Option<String>,
        sqlstate: &'static str,
    },
    /// The run was cancelled.
    Cancelled(String),
    /// A statement failed on the target.
    Target(Box<TargetError>),
    /// pgmig contradicts itself; a bug.
    Internal(String),
}

/// An ErrorResponse of the source, with the place it happened at.
#[derive(Debug, Clone, Default)]
pub struct RemoteError {
    /// What was being read or done, such as `table "public.votes", range 3 of 8`.
    pub context: String,
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// An error raised by the target's server while it did a task.
#[derive(Debug, Clone, Default)]
pub struct TargetError {
    /// The object or range at work.
    pub context: String,
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// The statement that failed, with secrets left out.
    pub statement: Option<String>,
}

/// What may help after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Remedy {
    /// Nothing that pgmig could do.
    #[default]
    None,
    /// The same again: the transaction lost a race.
    Repeat,
    /// Another attempt to open a session with the source, after a while.
    Connect,
    /// Another session with the source.
    Reconnect,
    /// Another snapshot of the source.
    Snapshot,
    /// That the session which holds the lock already does the work.
    LockHolder,
}

impl Remedy {
    /// Whether the source is what it takes.
    pub fn is_about_source(self) -> bool {
        matches!(self, Remedy::Connect | Remedy::Reconnect | Remedy::Snapshot)
    }

    /// Whether the same may succeed a while later.
    pub fn is_another_attempt(self) -> bool {
        self.is_about_source() || self == Remedy::Repeat
    }
}

/// SQLSTATEs of a server that is going down or coming up, or that ended the session; and of standbys
/// that did so for the sake of recovery.
const SESSION_ENDED: [&str; 7] = ["57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "40001"];

/// SQLSTATE of a server that has as many sessions as it can.
pub const TOO_MANY_CONNECTIONS: &str = "53300";

/// SQLSTATE of a lock that would have to be waited for.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// SQLSTATE of the victim of a deadlock.
const DEADLOCK_DETECTED: &str = "40P01";

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Five characters of the SQLSTATE under which the error is raised.
    pub fn sqlstate(&self) -> &str {
        match self {
            Error::Option { .. } => "22023",
            Error::ConnectionString { .. } => "08001",
            Error::Connect { sqlstate, .. } => sqlstate.as_deref().unwrap_or("08001"),
            Error::Remote(remote) => &remote.sqlstate,
            Error::Protocol(_) => "08P01",
            Error::Lost(_) | Error::SnapshotGone => "08006",
            Error::Preflight { sqlstate, .. } => sqlstate,
            Error::Cancelled(_) => "57014",
            Error::Target(target) => &target.sqlstate,
            Error::Internal(_) => "XX000",
        }
    }

    /// What may help.
    pub fn remedy(&self) -> Remedy {
        let is_ended = |sqlstate: &str| {
            sqlstate.starts_with("08") && sqlstate != "08P01" || SESSION_ENDED.contains(&sqlstate)
        };
        match self {
            Error::Lost(_) => Remedy::Reconnect,
            Error::SnapshotGone => Remedy::Snapshot,
            Error::Connect { .. } => match self.sqlstate() {
                sqlstate if is_ended(sqlstate) || sqlstate == TOO_MANY_CONNECTIONS => {
                    Remedy::Connect
                }
                _ => Remedy::None,
            },
            Error::Remote(remote)
                if is_ended(&remote.sqlstate) || remote.sqlstate == DEADLOCK_DETECTED =>
            {
                Remedy::Reconnect
            }
            Error::Remote(remote) if remote.sqlstate == LOCK_NOT_AVAILABLE => Remedy::LockHolder,
            Error::Target(target) if target.sqlstate == DEADLOCK_DETECTED => Remedy::Repeat,
            _ => Remedy::None,
        }
    }

    /// A sentence or two with the particulars, if there are any.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Error::Option { detail, .. } | Error::Preflight { detail, .. } => detail.as_deref(),
            Error::Remote(remote) => remote.detail.as_deref(),
            Error::Target(target) => target.detail.as_deref(),
            _ => None,
        }
    }

    /// What to do next, if that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Option { hint, .. }
            | Error::ConnectionString { hint, .. }
            | Error::Connect { hint, .. }
            | Error::Preflight { hint, .. } => hint.as_deref(),
            Error::Remote(remote) => remote.hint.as_deref(),
            Error::Target(target) => target.hint.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Option { message, .. }
            | Error::ConnectionString { message, .. }
            | Error::Connect { message, .. }
            | Error::Preflight { message, .. }
            | Error::Cancelled(message) => f.write_str(message),
            Error::Remote(remote) if remote.context.is_empty() => {
                write!(f, "source: {}", remote.message)
            }
            Error::Remote(remote) => write!(f, "{}: source: {}", remote.context, remote.message),
            Error::Target(target) if target.context.is_empty() => f.write_str(&target.message),
            Error::Target(target) => write!(f, "{}: {}", target.context, target.message),
            Error::Protocol(what) => write!(f, "source does not follow the protocol: {what}"),
            Error::Lost(what) => write!(f, "lost the connection to the source: {what}"),
            Error::SnapshotGone => {
                f.write_str("no session with the source holds the run's snapshot any more")
            }
            Error::Internal(what) => write!(f, "internal error: {what}"),
        }
    }
}

impl std::error::Error for Error {}
