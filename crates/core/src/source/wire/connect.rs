//! From a `Dsn` to a session: the hosts in turn, each within the connect timeout, each with and without
//! TLS as `sslmode` has it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::CancelToken;
use super::channel::Channel;
use super::connection::{Connection, Server};
use super::login::{self, INVALID_AUTHORIZATION, PROTOCOL_VIOLATION, Security};
use super::socket::{Address, PlainStream, Socket};
use super::tls::{self, TlsConnector};
use crate::error::TOO_MANY_CONNECTIONS;
use crate::source::dsn::{Dsn, Endpoint, TargetSession, TlsMode};
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
    let mut endpoints = dsn.endpoints();
    if dsn.balances_hosts() {
        shuffle(&mut endpoints, application_name);
    }
    let mut failures = Vec::new();
    for &wanted in passes {
        for endpoint in &endpoints {
            match connect_endpoint(dsn, endpoint, application_name, wanted) {
                Ok(connection) => return Ok(connection),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::TryNext(error)) => failures.push(error),
            }
        }
    }
    Err(join_failures(failures))
}

/// Puts hosts or addresses in an order that differs from run to run and is the same for all sessions
/// of a run, which bear one name: they share a snapshot of one server.
fn shuffle<T: Hash>(places: &mut [T], session_name: &str) {
    places.sort_by_cached_key(|place| {
        let mut hasher = DefaultHasher::new();
        (session_name, place).hash(&mut hasher);
        hasher.finish()
    });
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

/// What goes on a socket first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Encrypted,
}

/// A way that led nowhere.
struct DeadEnd {
    failure: Failure,
    /// Whether `sslmode` lets us try the other way.
    may_try_other: bool,
}

impl DeadEnd {
    /// One that every way to this endpoint has in common.
    fn common(failure: Failure) -> DeadEnd {
        DeadEnd { failure, may_try_other: false }
    }
}

/// Opens a session on one endpoint.
fn connect_endpoint(
    dsn: &Dsn,
    endpoint: &Endpoint,
    application_name: &str,
    wanted: TargetSession,
) -> std::result::Result<Connection, Failure> {
    let ways: &[Way] = match (endpoint, dsn.tls().mode) {
        // There is nobody to listen in, and libpq does the same.
        (Endpoint::Unix { .. }, _) | (_, TlsMode::Disable) => &[Way::Plain],
        (_, TlsMode::Allow) => &[Way::Plain, Way::Encrypted],
        (_, TlsMode::Prefer) => &[Way::Encrypted, Way::Plain],
        (_, TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull) => &[Way::Encrypted],
    };
    let tls = match ways {
        [Way::Plain] => None,
        _ => Some(TlsConnector::new(dsn.tls(), endpoint).map_err(Failure::Final)?),
    };
    let attempt = Attempt {
        dsn,
        endpoint,
        tls: tls.as_ref(),
        application_name,
        wanted,
        deadline: dsn.connect_timeout().map(|timeout| Instant::now() + timeout),
    };
    let mut first = None;
    for &way in ways {
        match (attempt.run(way), first.take()) {
            (Ok(connection), _) => return Ok(connection),
            (Err(end), None) if end.may_try_other => first = Some(end.failure),
            (Err(end), None) => return Err(end.failure),
            (Err(end), Some(before)) => return Err(before.and(end.failure)),
        }
    }
    Err(first.unwrap_or(Failure::Final(Error::Internal("no way to connect".to_owned()))))
}

impl Failure {
    /// Both failures as one, final if the later one is.
    fn and(self, later: Failure) -> Failure {
        let first = match self {
            Failure::TryNext(error) | Failure::Final(error) => error,
        };
        match later {
            Failure::TryNext(error) => Failure::TryNext(join_failures(vec![first, error])),
            Failure::Final(error) => Failure::Final(join_failures(vec![first, error])),
        }
    }
}

/// All that the ways to one endpoint have in common.
struct Attempt<'a> {
    dsn: &'a Dsn,
    endpoint: &'a Endpoint,
    tls: Option<&'a TlsConnector>,
    application_name: &'a str,
    wanted: TargetSession,
    deadline: Option<Instant>,
}

impl Attempt<'_> {
    /// Tries one way.
    fn run(&self, way: Way) -> std::result::Result<Connection, DeadEnd> {
        let (socket, address) = self.open_socket().map_err(|cause| {
            DeadEnd::common(self.fail(
                &cause,
                Some(
                    "Check host and port, that the server is running there, and that it and \
                         the firewalls between accept connections.",
                ),
            ))
        })?;
        let socket = Arc::new(socket);
        let (channel, security) = self.secure(way, &socket)?;
        let cancel = CancelToken {
            address,
            tcp: self.dsn.tcp().clone(),
            tls: self.tls.filter(|_| security.is_encrypted).cloned(),
            process_id: 0,
            secret_key: 0,
        };
        let connection = self.start_session(channel, &security, cancel).map_err(|error| {
            let may_try_other = match (self.dsn.tls().mode, &error) {
                (TlsMode::Allow, Error::Remote(_)) => !security.is_encrypted,
                (TlsMode::Prefer, Error::Remote(_) | Error::Lost(_)) => security.is_encrypted,
                _ => false,
            };
            // A wrong password is not tried in clear what it was not in secret.
            let is_about_way = match &error {
                Error::Remote(remote) => remote.sqlstate == INVALID_AUTHORIZATION,
                _ => true,
            };
            DeadEnd {
                failure: classify(self.endpoint, error),
                may_try_other: may_try_other && is_about_way,
            }
        })?;
        if !suits(connection.server(), self.wanted) {
            return Err(DeadEnd::common(
                self.fail(
                    "the server is not in the state that target_session_attrs asks for",
                    None,
                ),
            ));
        }
        Ok(connection)
    }

    /// Opens the endpoint's socket, trying each address of its name.
    fn open_socket(&self) -> std::result::Result<(Socket, Address), String> {
        let mut cause = "the host name has no address".to_owned();
        let mut addresses = resolve(self.endpoint)?;
        if self.dsn.balances_hosts() {
            shuffle(&mut addresses, self.application_name);
        }
        for address in addresses {
            let left =
                self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err("no answer within the time allowed".to_owned());
            }
            match Socket::open(&address, left, self.dsn.tcp()) {
                Ok(socket) => return Ok((socket, address)),
                Err(error) => cause = error.to_string(),
            }
        }
        Err(cause)
    }

    /// A failure of this endpoint alone.
    fn fail(&self, cause: &str, hint: Option<&str>) -> Failure {
        Failure::TryNext(Error::Connect {
            message: place(self.endpoint, cause),
            sqlstate: None,
            hint: hint.map(str::to_owned),
        })
    }

    /// Puts the channel over the socket, or over TLS over the socket.
    fn secure(
        &self,
        way: Way,
        socket: &Arc<Socket>,
    ) -> std::result::Result<(Channel, Security), DeadEnd> {
        let is_preference = self.dsn.tls().mode == TlsMode::Prefer;
        let started = match (way, self.tls) {
            (Way::Encrypted, Some(tls)) => Some(tls.start(socket, self.deadline)),
            _ => None,
        };
        match started {
            Some(Ok(encrypted)) => {
                let security = Security { is_encrypted: true, end_point: encrypted.end_point };
                let stream = Box::new(encrypted.stream);
                Ok((Channel::new(stream, Arc::clone(socket), self.deadline), security))
            }
            Some(Err(tls::Failure::Broken(why))) => {
                Err(DeadEnd { failure: self.fail(&why, None), may_try_other: is_preference })
            }
            Some(Err(tls::Failure::Refused)) if !is_preference => Err(DeadEnd::common(self.fail(
                "the server does not support TLS, and sslmode wants it",
                Some("Turn ssl on in the source's configuration, or choose another sslmode."),
            ))),
            Some(Err(tls::Failure::Refused)) | None => {
                let stream = Box::new(PlainStream(Arc::clone(socket)));
                let channel = Channel::new(stream, Arc::clone(socket), self.deadline);
                Ok((channel, Security::default()))
            }
        }
    }

    /// Logs in and asks the server who it is.
    fn start_session(
        &self,
        mut channel: Channel,
        security: &Security,
        cancel: CancelToken,
    ) -> Result<Connection> {
        let greeting =
            login::log_in(&mut channel, security, self.dsn, self.endpoint, self.application_name)
                .inspect_err(|error| await_end(&mut channel, error))?;
        let cancel = CancelToken {
            process_id: greeting.process_id,
            secret_key: greeting.secret_key,
            ..cancel
        };
        let endpoint = at_address(self.endpoint, &cancel.address);
        let mut connection = Connection::new(channel, cancel, endpoint, greeting.password_used);
        let rows = connection.query(IDENTIFY)?;
        let server = rows.first().and_then(|row| Server::from_row(row));
        connection.begin_service(server.ok_or_else(|| {
            Error::Protocol("the server does not tell its version as PostgreSQL does".to_owned())
        })?)?;
        Ok(connection)
    }
}

/// Waits until the server has closed a session for which it has no room: until then it counts as
/// one itself, and the next attempt would be refused because of this one.
fn await_end(channel: &mut Channel, refusal: &Error) {
    if refusal.sqlstate() == TOO_MANY_CONNECTIONS {
        let _closed = channel.receive();
    }
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

/// The endpoint with the address that answered, of those that its name may have.
fn at_address(endpoint: &Endpoint, found: &Address) -> Endpoint {
    match (endpoint, found) {
        (Endpoint::Tcp { host, port, .. }, Address::Tcp(found)) => {
            Endpoint::Tcp { host: host.clone(), address: Some(found.ip()), port: *port }
        }
        _ => endpoint.clone(),
    }
}

/// Puts the place in front of a cause.
fn place(endpoint: &Endpoint, cause: &str) -> String {
    format!("could not connect to the source at {endpoint}: {cause}")
}

/// Turns an error of the login into one that names the place and what to do.
fn classify(endpoint: &Endpoint, error: Error) -> Failure {
    let (cause, sqlstate, hint, is_final) = match error {
        Error::Remote(remote) => {
            let is_final = !matches!(remote.sqlstate.as_str(), "57P03" | TOO_MANY_CONNECTIONS);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sessions_of_a_run_try_hosts_in_one_order_and_runs_in_different_ones() {
        let hosts = |name: &str| {
            let mut hosts = vec!["a", "b", "c"];
            shuffle(&mut hosts, name);
            hosts
        };
        let names: Vec<_> = (0..100).map(|run| format!("pgmig run {run}")).collect();
        assert!(names.iter().all(|name| hosts(name) == hosts(name)));
        for first in ["a", "b", "c"] {
            let count = names.iter().filter(|name| hosts(name)[0] == first).count();
            assert!(count > 10, "{first} comes first {count} times");
        }
    }
}
