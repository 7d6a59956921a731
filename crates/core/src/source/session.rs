//! Sessions as every part of pgmig uses them: settings that do not depend on the role's or database's
//! defaults, on a server that can be a source.
//!
//! Comes in: a `Dsn` and what this session is for. Goes out: a connection with all settings below in
//! force, or an error before anything was read.

use std::time::Duration;

use super::dsn::Dsn;
use super::wire::Connection;
use crate::error::TOO_MANY_CONNECTIONS;
use crate::name::{quote_ident, quote_literal};
use crate::{Error, Result};

/// Oldest version of a source: the first with declarative partitions, identity and today's numbering.
const OLDEST_VERSION_NUM: u32 = 100_000;

/// Time for a look at whether a server that says nothing is at work.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// SQLSTATE of what a server cannot do.
const FEATURE_NOT_SUPPORTED: &str = "0A000";

/// Settings of every session, with the version that brought them. Text forms of values must not depend
/// on the server's configuration; rows must not be filtered in silence; scans start at the first page,
/// so that ranges are read in order; compiling catalog queries takes longer than running them; nothing
/// ends a session but pgmig.
const SETTINGS: &[(u32, &str, &str)] = &[
    (0, "search_path", ""),
    (0, "DateStyle", "ISO, YMD"),
    (0, "IntervalStyle", "postgres"),
    (0, "TimeZone", "UTC"),
    (0, "extra_float_digits", "3"),
    (0, "bytea_output", "hex"),
    (0, "standard_conforming_strings", "on"),
    (0, "xmloption", "content"),
    (0, "lc_monetary", "C"),
    (0, "row_security", "off"),
    (0, "synchronize_seqscans", "off"),
    (0, "quote_all_identifiers", "off"),
    (110_000, "jit", "off"),
    // Nobody reads them.
    (0, "client_min_messages", "error"),
    (0, "statement_timeout", "0"),
    (0, "lock_timeout", "0"),
    (0, "idle_in_transaction_session_timeout", "0"),
    (140_000, "idle_session_timeout", "0"),
    (170_000, "transaction_timeout", "0"),
];

/// Lets a server that can do so (14 and later, on most systems) notice while it works on a statement
/// that the target has gone, however that came about.
const WATCH_CLIENT: &str = "set client_connection_check_interval = '1s'";

/// What a session is to be, beyond the settings that all share.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// Shown in `pg_stat_activity` of the source.
    pub application_name: String,
    /// PostgreSQL's name of the encoding in which COPY delivers text: the target's. Catalogs and
    /// statements are UTF-8 always.
    pub copy_encoding: String,
    /// Longest wait for a lock; zero: for ever.
    pub lock_timeout: Duration,
}

/// Opens a session and makes it independent of the defaults of role and database.
pub fn open(dsn: &Dsn, settings: &SessionSettings) -> Result<Connection> {
    let mut connection = Connection::connect(dsn, &settings.application_name)?;
    check_server(&connection)?;
    watch(&mut connection, dsn, &settings.application_name)?;
    let mut sql = settings_sql(connection.server().version_num);
    if !settings.lock_timeout.is_zero() {
        sql += &format!("set lock_timeout = '{}s';\n", settings.lock_timeout.as_secs());
    }
    let [set, watching] = connection.execute_both(&sql, WATCH_CLIENT)?;
    set?;
    // Servers on systems that cannot watch a socket refuse; then statements just run to their end.
    match watching {
        Ok(()) | Err(Error::Remote(_)) => {}
        Err(error) => return Err(error),
    }
    connection.set_copy_encoding(&settings.copy_encoding);
    Ok(connection)
}

/// Has a silent server looked at over another connection.
fn watch(connection: &mut Connection, dsn: &Dsn, application_name: &str) -> Result<()> {
    let (mut dsn, name) = (dsn.clone(), application_name.to_owned());
    dsn.limit_connect_timeout(LOOK_TIMEOUT);
    dsn.pin(connection.endpoint().clone());
    // Servers that do not track activities say `disabled` of every session.
    let query = format!(
        "select a.state in ('active', 'disabled') and a.wait_event_type is distinct from 'Client' \
         from pg_catalog.pg_stat_activity a where a.pid = {}",
        connection.process_id()
    );
    connection.watch(Box::new(move || {
        let look = || {
            let mut other = Connection::connect(&dsn, &name)?;
            other.watch(Box::new(|| false))?;
            other.query(&query)
        };
        match look() {
            Ok(rows) => rows.first().is_some_and(|row| row[0].as_deref() == Some("t")),
            // A server without a place for another session is there.
            Err(error) => error.sqlstate() == TOO_MANY_CONNECTIONS,
        }
    }))
}

/// Refuses servers that cannot be a source.
fn check_server(connection: &Connection) -> Result<()> {
    let server = connection.server();
    let refuse = |message: String, hint: &str| {
        Err(Error::Preflight {
            message,
            detail: Some(format!("The server says it is: {}.", server.version)),
            hint: Some(hint.to_owned()),
            sqlstate: FEATURE_NOT_SUPPORTED,
        })
    };
    if !server.version.starts_with("PostgreSQL ") && !server.version.starts_with("EnterpriseDB ") {
        return refuse(
            "the source is not a PostgreSQL server".to_owned(),
            "It speaks PostgreSQL's protocol, but its catalogs cannot be relied on.",
        );
    }
    if server.version_num < OLDEST_VERSION_NUM {
        return refuse(
            format!("the source's version {} is too old", server.version_num),
            "The source must be PostgreSQL 10 or newer; upgrade it first.",
        );
    }
    if server.backend_pid != connection.process_id() {
        return refuse(
            "the source is behind a connection pooler".to_owned(),
            "Snapshots, locks and settings need sessions of one server; connect to it directly.",
        );
    }
    Ok(())
}

/// The statements that put the settings into force, sent as one.
fn settings_sql(version_num: u32) -> String {
    SETTINGS
        .iter()
        .filter(|(since, _, _)| version_num >= *since)
        .map(|(_, name, value)| format!("set {} = {};\n", quote_ident(name), quote_literal(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::source::wire::fake;

    #[test]
    fn a_server_is_not_asked_for_settings_that_came_later() {
        assert!(!settings_sql(100_023).contains("idle_session_timeout"));
        assert!(settings_sql(140_000).contains("idle_session_timeout"));
        assert!(!settings_sql(160_009).contains("transaction_timeout"));
        assert!(settings_sql(180_000).contains("\"transaction_timeout\" = '0'"));
        // What a value of type money reads like is a matter of the locale.
        assert!(settings_sql(100_023).contains("\"lc_monetary\" = 'C'"));
    }

    #[test]
    fn a_server_that_falls_silent_right_after_the_login_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            // Nobody who wants to look is let in.
            drop(listener);
            client.write_all(&fake::greeting()).unwrap();
            let identity = fake::identity("150001", "PostgreSQL 15.1", fake::PROCESS_ID);
            client.write_all(&identity).unwrap();
            io::copy(&mut client, &mut io::sink()).unwrap();
        });
        let settings = SessionSettings {
            application_name: "test".to_owned(),
            copy_encoding: "UTF8".to_owned(),
            lock_timeout: Duration::ZERO,
        };
        let dsn = format!("host=127.0.0.1 port={port} sslmode=disable user=u");
        let error = open(&Dsn::parse(&dsn).unwrap(), &settings).err().unwrap();
        assert!(error.to_string().contains("stopped passing bytes"), "{error}");
        server.join().unwrap();
    }

    #[test]
    fn servers_that_cannot_be_a_source_are_refused_before_anything_is_read() {
        let settings = SessionSettings {
            application_name: "test".to_owned(),
            copy_encoding: "UTF8".to_owned(),
            lock_timeout: Duration::ZERO,
        };
        let pid = fake::PROCESS_ID;
        for (version_num, version, pid, expected) in [
            ("90624", "PostgreSQL 9.6.24", pid, "too old"),
            ("150001", "PostgreSQL 15.1", pid + 1, "pooler"),
            ("130000", "CockroachDB CCL v23", pid, "not a PostgreSQL server"),
        ] {
            let (port, server) =
                fake::serve(vec![fake::greeting(), fake::identity(version_num, version, pid)]);
            let dsn =
                Dsn::parse(&format!("host=127.0.0.1 port={port} sslmode=disable user=u")).unwrap();
            let error = open(&dsn, &settings).err().unwrap();
            assert!(matches!(error, Error::Preflight { .. }));
            assert!(error.to_string().contains(expected), "{error}");
            server.join().unwrap();
        }
    }
}
