//! What pgmig's own sessions on the target set before they do anything.

use pgmig_core::options::Options;
use pgmig_core::{Error, Result};
use pgrx::prelude::*;

use crate::pg::process;

/// Settings of every worker and coordinator: role and database defaults reach background workers
/// too, and must not change what a run does.
const FIXED: [(&str, &str); 20] = [
    ("search_path", ""),
    ("check_function_bodies", "off"),
    ("row_security", "off"),
    ("default_tablespace", ""),
    ("default_table_access_method", "heap"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("xmloption", "content"),
    ("lc_monetary", "C"),
    ("jit", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// Timeouts that came later, with the versions that brought them.
const LATER_TIMEOUTS: [(u32, &str); 1] = [(170_000, "transaction_timeout")];

/// Applies pgmig's settings and then the user's; inside a transaction, for the session.
pub fn apply(options: &Options) -> Result<()> {
    for (name, value) in FIXED {
        process::set_config(name, value);
    }
    for (since, name) in LATER_TIMEOUTS {
        if pgrx::pg_sys::PG_VERSION_NUM >= since {
            process::set_config(name, "0");
        }
    }
    if !options.lock_timeout.is_zero() {
        process::set_config("lock_timeout", &format!("{}s", options.lock_timeout.as_secs()));
    }
    // Text is read and written as the database stores it, whatever client_encoding is by default.
    process::set_config("client_encoding", &database_encoding()?);
    // Event triggers of the target stay out of it, where the role may say so; before 17 those that are
    // enabled always or as replica do not.
    if may_set("session_replication_role")? {
        process::set_config("session_replication_role", "replica");
    }
    if silences_event_triggers() && may_set("event_triggers")? {
        process::set_config("event_triggers", "off");
    }
    // Rows and the record of them are in one WAL: a crash loses both or neither.
    process::set_config("synchronous_commit", "off");
    for (name, value) in &options.settings {
        process::set_config(name, value);
    }
    Ok(())
}

/// Options from their canonical JSON, as the caller has checked them.
pub fn parse_options(json: &str) -> Result<Options> {
    let json = serde_json::from_str(json)
        .map_err(|error| Error::Internal(format!("options cannot be read: {error}")))?;
    Options::parse(&json)
}

/// The name of the role this session acts as.
pub fn current_role() -> Result<String> {
    one("select current_user::text")
}

/// The encoding of this database, by the server's name for it.
pub fn database_encoding() -> Result<String> {
    one("select pg_catalog.getdatabaseencoding()::text")
}

/// Whether the server can be told to fire no event trigger at all.
pub fn silences_event_triggers() -> bool {
    pgrx::pg_sys::PG_VERSION_NUM >= 170_000
}

/// Whether the current role may set a parameter that others may not.
fn may_set(parameter: &str) -> Result<bool> {
    one(&format!("select pg_catalog.has_parameter_privilege('{parameter}', 'set')::text"))
        .map(|verdict| verdict == "true")
}

fn one(query: &str) -> Result<String> {
    Spi::get_one::<String>(query)
        .ok()
        .flatten()
        .ok_or_else(|| Error::Internal(format!("no answer to \"{query}\"")))
}
