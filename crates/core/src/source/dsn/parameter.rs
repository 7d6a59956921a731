//! The parameters of a connection string: which are refused and why, and how values are read.
//!
//! No error repeats a value, since a misquoted password may have ended up in any of them.

use std::str::FromStr;
use std::time::Duration;

use super::TargetSession;
use crate::{Error, Result};

/// Parameters that libpq knows and pgmig refuses, with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("client_encoding", "pgmig sets the encoding itself; leave it out."),
    ("gssencmode", "GSSAPI is not supported."),
    ("gssdelegation", "GSSAPI is not supported."),
    ("gsslib", "GSSAPI is not supported."),
    ("krbsrvname", "Kerberos is not supported."),
    ("replication", "pgmig opens ordinary sessions; leave it out."),
    ("requirepeer", "It is not supported; leave it out."),
    ("service", "Write out what the service file says."),
    ("servicefile", "Write out what the service file says."),
    ("sslcompression", "Compression makes TLS unsafe; leave it out."),
    ("sslcrldir", "Put the lists into one file and name it in sslcrl."),
    ("sslkeylogfile", "Keys are not logged; leave it out."),
    ("sslpassword", "Encrypted key files are not read; decrypt the key, or leave this out."),
];

/// Options of foreign servers and user mappings that speak to the wrapper and not of the connection.
const WRAPPER_OPTIONS: &[&str] = &[
    "analyze_sampling",
    "async_capable",
    "batch_size",
    "extensions",
    "fdw_startup_cost",
    "fdw_tuple_cost",
    "fetch_size",
    "keep_connections",
    "parallel_abort",
    "parallel_commit",
    "password_required",
    "truncatable",
    "updatable",
    "use_remote_estimate",
    "use_scram_passthrough",
];

/// Whether an option of a foreign server speaks to the wrapper and not of the connection.
pub(super) fn is_of_wrapper(key: &str) -> bool {
    WRAPPER_OPTIONS.contains(&key)
}

/// Whether a parameter makes pgmig read a file as the server's operating-system user.
pub(super) fn names_file(key: &str, value: &[u8]) -> bool {
    match key {
        "sslrootcert" => !value.is_empty() && value != b"system",
        "sslcert" | "sslkey" | "sslcrl" | "passfile" => !value.is_empty(),
        _ => false,
    }
}

/// The error for a parameter that is not carried out.
///
/// A name that libpq does not know is shown only if it can be one and no password stands before it:
/// it may be a piece of a password that lacks its quotes, or a URI whose scheme is misspelt.
pub(super) fn refuse(key: &str, has_password: bool) -> Error {
    if let Some((_, hint)) = REFUSED.iter().find(|(name, _)| *name == key) {
        return Error::ConnectionString {
            message: format!("connection parameter \"{key}\" is not supported as given"),
            hint: Some((*hint).to_owned()),
        };
    }
    let is_name = key.len() <= 63 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let message = match (has_password, is_name) {
        (true, _) => "unknown connection parameter after \"password\"".to_owned(),
        (false, true) => format!("unknown connection parameter \"{key}\""),
        (false, false) => "malformed connection string: a parameter without a name".to_owned(),
    };
    let hint = "Parameters are named as in libpq; values that contain spaces or \"&\" must be \
                quoted, in a URI as %XX.";
    Error::ConnectionString { message, hint: Some(hint.to_owned()) }
}

/// The elements of a comma-separated list; an empty text has none.
pub(super) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(move |_| !text.is_empty()).map(str::trim)
}

/// Parses every element of a comma-separated list.
pub(super) fn parse_list<T: FromStr>(key: &str, text: &str) -> Result<Vec<T>> {
    split_list(text).map(|element| parse(key, element)).collect()
}

/// Parses one value; the error names the parameter and not the value.
pub(super) fn parse<T: FromStr>(key: &str, text: &str) -> Result<T> {
    text.trim().parse().map_err(|_| invalid_value(key, "It cannot be read as what it stands for."))
}

/// Parses a number of which zero and less mean "none".
pub(super) fn parse_count(key: &str, text: &str) -> Result<Option<u64>> {
    let count = parse::<i64>(key, text)?;
    Ok(u64::try_from(count).ok().filter(|count| *count > 0))
}

/// Parses a number of seconds; zero and less mean "none".
pub(super) fn parse_seconds(key: &str, text: &str) -> Result<Option<Duration>> {
    Ok(parse_count(key, text)?.map(Duration::from_secs))
}

/// Parses `target_session_attrs`.
pub(super) fn parse_target_session(text: &str) -> Result<TargetSession> {
    Ok(match text {
        "any" => TargetSession::Any,
        "read-write" => TargetSession::ReadWrite,
        "read-only" => TargetSession::ReadOnly,
        "primary" => TargetSession::Primary,
        "standby" => TargetSession::Standby,
        "prefer-standby" => TargetSession::PreferStandby,
        _ => {
            return Err(invalid_value(
                "target_session_attrs",
                "It is any, read-write, read-only, primary, standby or prefer-standby.",
            ));
        }
    })
}

/// The error for a value that a parameter cannot have.
pub(super) fn invalid_value(key: &str, hint: &str) -> Error {
    Error::ConnectionString {
        message: format!("invalid value for connection parameter \"{key}\""),
        hint: Some(hint.to_owned()),
    }
}

/// The error for parameters that cannot go together.
pub(super) fn invalid_values(keys: &str, hint: &str) -> Error {
    Error::ConnectionString {
        message: format!("connection parameters {keys} do not go together"),
        hint: Some(hint.to_owned()),
    }
}
