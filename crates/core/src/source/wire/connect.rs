//! From a `Dsn` to a session: the hosts in turn, each within the connect timeout.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::CancelToken;
use super::channel::Channel;
use super::connection::{Connection, Server};
use super::login::{self, PROTOCOL_VIOLATION};
use super::socket::{Address, Socket};
use crate::source::dsn::{Dsn, Endpoint, TargetSession};
use crate::{Error, Result};

/// Asks the server who it is.
const IDENTIFY: &str = include_str!("identify.sql");

/// Opens a session on the first endpoint that will do.
pub(super) fn connect(dsn: &Dsn, application_name: &str) -> Result<Connection> {
    let passes: &[TargetSession] = match dsn.target_session() {
        TargetSession::PreferStandby => &[TargetSession::Standby, TargetSession::Any],
        TargetSession::ReadWrite => &[TargetSession::ReadWrite],
        TargetSession::ReadOnly => &[TargetSession::ReadOnly],
        TargetSession::Primary => &[TargetSession::Primary],
        TargetSession::Standby => &[TargetSession::Standby],
        TargetSession::Any => &[TargetSession::Any],
    };
    let mut failures = Vec::new();
    for &wanted in passes {
        for endpoint in dsn.endpoints() {
            match connect_endpoint(dsn, &endpoint, application_name, wanted) {
                Ok(connection) => return Ok(connection),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::TryNext(error)) => failures.push(error),
            }
        }
    }
    Err(join_failures(failures))
}

/// Why an endpoint gave no session, and whether another one may.
enum Failure {
    TryNext(Error),
    Final(Error),
}

/// One error that tells of every endpoint; SQLSTATE and hint are the last one's.
fn join_failures(mut failures: Vec<Error>) -> Error {
    let Some(last) = failures.pop() else {
        return Error::Internal("a connection string without endpoints".to_owned());
    };
    let mut messages: Vec<_> = failures.iter().map(Error::to_string).collect();
    messages.push(last.to_string());
    messages.dedup();
    Error::Connect {
        message: messages.join("; "),
        sqlstate: Some(last.sqlstate().to_owned()),
        hint: last.hint().map(str::to_owned),
    }
}

/// Opens a session on one endpoint.
fn connect_endpoint(
    dsn: &Dsn,
    endpoint: &Endpoint,
    application_name: &str,
    wanted: TargetSession,
) -> std::result::Result<Connection, Failure> {
    let deadline = dsn.connect_timeout().map(|timeout| Instant::now() + timeout);
    let (socket, address) = open_socket(dsn, endpoint, deadline).map_err(|cause| {
        Failure::TryNext(Error::Connect {
            message: place(endpoint, &cause),
            sqlstate: None,
            hint: Some(
                "Check host and port, that the server is running there, and that it and the \
                 firewalls between accept connections."
                    .to_owned(),
            ),
        })
    })?;
    let connection = start_session(dsn, socket, address, deadline, application_name)
        .map_err(|error| classify(endpoint, error))?;
    if !suits(connection.server(), wanted) {
        return Err(Failure::TryNext(Error::Connect {
            message: place(
                endpoint,
                "the server is not in the state that target_session_attrs asks for",
            ),
            sqlstate: None,
            hint: None,
        }));
    }
    Ok(connection)
}

/// Opens the endpoint's socket, trying each address of its name.
fn open_socket(
    dsn: &Dsn,
    endpoint: &Endpoint,
    deadline: Option<Instant>,
) -> std::result::Result<(Socket, Address), String> {
    let mut cause = "the host name has no address".to_owned();
    for address in resolve(endpoint)? {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err("no answer within the time allowed".to_owned());
        }
        match Socket::open(&address, left, dsn.tcp()) {
            Ok(socket) => return Ok((socket, address)),
            Err(error) => cause = error.to_string(),
        }
    }
    Err(cause)
}

/// The addresses of an endpoint.
fn resolve(endpoint: &Endpoint) -> std::result::Result<Vec<Address>, String> {
    match endpoint {
        Endpoint::Unix { directory, port } => {
            Ok(vec![Address::Unix(directory.join(format!(".s.PGSQL.{port}")))])
        }
        Endpoint::Tcp { address: Some(address), port, .. } => {
            Ok(vec![Address::Tcp(SocketAddr::new(*address, *port))])
        }
        Endpoint::Tcp { host, address: None, port } => (host.as_str(), *port)
            .to_socket_addrs()
            .map(|addresses| addresses.map(Address::Tcp).collect())
            .map_err(|error| error.to_string()),
    }
}

/// Logs in over a socket and asks the server who it is.
fn start_session(
    dsn: &Dsn,
    socket: Socket,
    address: Address,
    deadline: Option<Instant>,
    application_name: &str,
) -> Result<Connection> {
    let mut channel = Channel::new(socket, deadline);
    let greeting = login::log_in(&mut channel, dsn, application_name)?;
    let cancel = CancelToken {
        address,
        tcp: dsn.tcp().clone(),
        process_id: greeting.process_id,
        secret_key: greeting.secret_key,
    };
    let mut connection = Connection::new(channel, cancel, greeting.password_used);
    let rows = connection.query(IDENTIFY)?;
    let server = rows.first().and_then(|row| Server::from_row(row));
    connection.begin_service(server.ok_or_else(|| {
        Error::Protocol("the server does not tell its version as PostgreSQL does".to_owned())
    })?)?;
    Ok(connection)
}

/// Puts the place in front of a cause.
fn place(endpoint: &Endpoint, cause: &str) -> String {
    format!("could not connect to the source at {endpoint}: {cause}")
}

/// Turns an error of the login into one that names the place and what to do.
fn classify(endpoint: &Endpoint, error: Error) -> Failure {
    let (cause, sqlstate, hint, is_final) = match error {
        Error::Remote(remote) => {
            let is_final = !matches!(remote.sqlstate.as_str(), "57P03" | "53300");
            let hint = login::hint_for(&remote);
            (remote.message, Some(remote.sqlstate), hint, is_final)
        }
        Error::Protocol(what) => (
            format!("the server does not answer as PostgreSQL does: {what}"),
            Some(PROTOCOL_VIOLATION.to_owned()),
            Some("Check that host and port are those of a PostgreSQL server.".to_owned()),
            false,
        ),
        Error::Lost(why) => (why, None, None, false),
        Error::Connect { message, sqlstate, hint } => (message, sqlstate, hint, true),
        other => return Failure::Final(other),
    };
    let error = Error::Connect { message: place(endpoint, &cause), sqlstate, hint };
    if is_final { Failure::Final(error) } else { Failure::TryNext(error) }
}

/// Whether the server is in the state wanted.
fn suits(server: &Server, wanted: TargetSession) -> bool {
    match wanted {
        TargetSession::Any | TargetSession::PreferStandby => true,
        TargetSession::ReadWrite => !server.is_read_only,
        TargetSession::ReadOnly => server.is_read_only,
        TargetSession::Primary => !server.is_in_recovery,
        TargetSession::Standby => server.is_in_recovery,
    }
}
