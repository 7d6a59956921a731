//! The one error type: a variant per cause that somebody can act on, its SQLSTATE chosen here.
//!
//! Messages read like PostgreSQL's own: lower case, no period, names in double quotes. Detail and
//! hint are whole sentences. No variant ever carries a connection string or a row's values.

use std::fmt;

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
            Error::Lost(_) => "08006",
            Error::Preflight { sqlstate, .. } => sqlstate,
            Error::Cancelled(_) => "57014",
            Error::Target(target) => &target.sqlstate,
            Error::Internal(_) => "XX000",
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
            Error::Internal(what) => write!(f, "internal error: {what}"),
        }
    }
}

impl std::error::Error for Error {}
