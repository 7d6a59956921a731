//! What a connection string or a foreign server says about the source.
//!
//! Comes in: libpq's connection string or URI, or a foreign server's options. Goes out: a `Dsn` in
//! which every parameter given is either carried out or was refused by name. Parameters that would
//! borrow files or identity of the server's operating-system user (`passfile`, `service`, `sslkey`,
//! …) are never honoured. The password is wiped when the value is dropped, and nothing here prints it.

mod conninfo;
mod parameter;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use self::parameter::{
    invalid_value, parse, parse_count, parse_list, parse_seconds, parse_target_session, split_list,
};
use crate::{Error, Result};

/// PostgreSQL's port.
const DEFAULT_PORT: u16 = 5432;

/// Where Debian's and the original build put their sockets, tried in this order.
const DEFAULT_SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Time for one host to answer, up to the end of the login, when the string does not say: the
/// system's own two minutes would look like a hang.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle seconds before the first keepalive: below the few minutes after which NAT forgets a socket.
const DEFAULT_KEEPALIVES_IDLE: Duration = Duration::from_secs(60);

/// One place where the source may be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A host by name, or by an address that spares the lookup.
    Tcp { host: String, address: Option<IpAddr>, port: u16 },
    /// A Unix socket, by its directory.
    Unix { directory: PathBuf, port: u16 },
}

impl Endpoint {
    /// The host as the connection string gives it.
    pub fn host(&self) -> String {
        match self {
            Endpoint::Tcp { host, .. } => host.clone(),
            Endpoint::Unix { directory, .. } => directory.display().to_string(),
        }
    }

    /// The TCP port, or the number in the socket's name.
    pub fn port(&self) -> u16 {
        match self {
            Endpoint::Tcp { port, .. } | Endpoint::Unix { port, .. } => *port,
        }
    }
}

/// `"host", port 5432`, for messages.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\", port {}", self.host(), self.port())
    }
}

/// The state a server must be in to be used, as libpq defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSession {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// How a silent TCP connection is found to be dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpOptions {
    /// Whether keepalives are sent at all.
    pub keepalives: bool,
    /// Idle time before the first keepalive.
    pub keepalives_idle: Duration,
    /// Time between two keepalives; None is the system's.
    pub keepalives_interval: Option<Duration>,
    /// Unanswered keepalives before the connection is given up; None is the system's.
    pub keepalives_count: Option<u32>,
    /// Time that sent data may stay unacknowledged; None is the system's.
    pub user_timeout: Option<Duration>,
}

/// A parsed connection string.
#[derive(Clone)]
pub struct Dsn {
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
    user: Option<String>,
    dbname: Option<String>,
    password: Option<Zeroizing<Vec<u8>>>,
    options: Option<String>,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
    target_session: TargetSession,
    tcp: TcpOptions,
}

impl Dsn {
    /// Parses a connection string or URI.
    pub fn parse(text: &str) -> Result<Dsn> {
        Dsn::from_pairs(conninfo::split(text)?)
    }

    /// Takes the options of a foreign server and its user mapping.
    pub fn from_options<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Dsn> {
        let pairs = options
            .into_iter()
            .filter(|(key, _)| !parameter::is_of_wrapper(key))
            .map(|(key, value)| (key.to_owned(), Zeroizing::new(value.as_bytes().to_vec())));
        Dsn::from_pairs(pairs)
    }

    /// Builds the value from parameters in order; a later one replaces an earlier one.
    fn from_pairs(pairs: impl IntoIterator<Item = (String, conninfo::Value)>) -> Result<Dsn> {
        let mut dsn = Dsn {
            hosts: Vec::new(),
            addresses: Vec::new(),
            ports: Vec::new(),
            user: None,
            dbname: None,
            password: None,
            options: None,
            application_name: None,
            connect_timeout: Some(DEFAULT_CONNECT_TIMEOUT),
            target_session: TargetSession::Any,
            tcp: TcpOptions {
                keepalives: true,
                keepalives_idle: DEFAULT_KEEPALIVES_IDLE,
                keepalives_interval: None,
                keepalives_count: None,
                user_timeout: None,
            },
        };
        for (key, value) in pairs {
            dsn.set(&key, value)?;
        }
        dsn.check_counts()?;
        Ok(dsn)
    }

    /// Carries out one parameter or refuses it.
    fn set(&mut self, key: &str, value: conninfo::Value) -> Result<()> {
        if value.contains(&0) {
            return Err(invalid_value(key, "It contains a zero byte."));
        }
        if key == "password" {
            self.password = Some(value).filter(|password| !password.is_empty());
            return Ok(());
        }
        let text =
            std::str::from_utf8(&value).map_err(|_| invalid_value(key, "It is not UTF-8."))?;
        let non_empty = || Some(text.to_owned()).filter(|text| !text.is_empty());
        match key {
            "host" => self.hosts = split_list(text).map(str::to_owned).collect(),
            "hostaddr" => self.addresses = parse_list(key, text)?,
            "port" => {
                self.ports = split_list(text)
                    .map(|port| if port.is_empty() { Ok(DEFAULT_PORT) } else { parse(key, port) })
                    .collect::<Result<_>>()?;
                if self.ports.contains(&0) {
                    return Err(invalid_value(key, "A port is a number from 1 to 65535."));
                }
            }
            "user" => self.user = non_empty(),
            "dbname" => self.dbname = non_empty(),
            "options" => self.options = non_empty(),
            "application_name" => self.application_name = non_empty(),
            "fallback_application_name" => {
                self.application_name = self.application_name.take().or_else(non_empty);
            }
            "connect_timeout" => self.connect_timeout = parse_seconds(key, text)?,
            "keepalives" => self.tcp.keepalives = parse::<i32>(key, text)? != 0,
            "keepalives_idle" => {
                self.tcp.keepalives_idle =
                    parse_seconds(key, text)?.unwrap_or(DEFAULT_KEEPALIVES_IDLE);
            }
            "keepalives_interval" => self.tcp.keepalives_interval = parse_seconds(key, text)?,
            "keepalives_count" => {
                self.tcp.keepalives_count = Some(parse(key, text)?).filter(|count| *count > 0);
            }
            "tcp_user_timeout" => {
                self.tcp.user_timeout = parse_count(key, text)?.map(Duration::from_millis);
            }
            "target_session_attrs" => self.target_session = parse_target_session(text)?,
            "sslmode" if matches!(text, "disable" | "allow" | "prefer") => {}
            "gssencmode" | "channel_binding" if matches!(text, "disable" | "prefer") => {}
            "sslnegotiation" if text == "postgres" => {}
            "load_balance_hosts" if text == "disable" => {}
            _ => return Err(parameter::refuse(key, self.has_password())),
        }
        Ok(())
    }

    /// Refuses lists of hosts, addresses and ports that cannot be paired.
    fn check_counts(&self) -> Result<()> {
        let count = self.hosts.len().max(self.addresses.len()).max(1);
        let is_paired = |length: usize| length == 0 || length == count;
        if is_paired(self.hosts.len())
            && is_paired(self.addresses.len())
            && (is_paired(self.ports.len()) || self.ports.len() == 1)
        {
            return Ok(());
        }
        Err(Error::ConnectionString {
            message: "numbers of hosts, addresses and ports do not match".to_owned(),
            hint: Some("Give one port for all hosts, or one for each.".to_owned()),
        })
    }

    /// The places to try, in this order; never empty.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let port =
            |i: usize| self.ports.get(i).or(self.ports.first()).copied().unwrap_or(DEFAULT_PORT);
        let count = self.hosts.len().max(self.addresses.len()).max(1);
        let mut endpoints = Vec::with_capacity(count);
        for i in 0..count {
            let host = self.hosts.get(i).map_or("", String::as_str);
            let address = self.addresses.get(i).copied();
            match address {
                Some(address) => endpoints.push(Endpoint::Tcp {
                    host: if host.is_empty() { address.to_string() } else { host.to_owned() },
                    address: Some(address),
                    port: port(i),
                }),
                None if host.is_empty() => {
                    endpoints.extend(DEFAULT_SOCKET_DIRECTORIES.map(|directory| Endpoint::Unix {
                        directory: directory.into(),
                        port: port(i),
                    }));
                }
                None if host.starts_with('/') => {
                    endpoints.push(Endpoint::Unix { directory: host.into(), port: port(i) });
                }
                None => endpoints.push(Endpoint::Tcp {
                    host: host.to_owned(),
                    address: None,
                    port: port(i),
                }),
            }
        }
        endpoints
    }

    /// Sets the user to log in as when the string names none.
    pub fn set_default_user(&mut self, user: &str) {
        if self.user.is_none() {
            self.user = Some(user.to_owned());
        }
    }

    /// The user to log in as.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The database; the server takes the user's name when there is none.
    pub fn dbname(&self) -> Option<&str> {
        self.dbname.as_deref()
    }

    /// Whether a password was given.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The password, for the login only.
    pub(super) fn password(&self) -> Option<&[u8]> {
        self.password.as_deref().map(Vec::as_slice)
    }

    /// Command-line options for the server process, such as `-c geqo=off`.
    pub fn options(&self) -> Option<&str> {
        self.options.as_deref()
    }

    /// The name the user wants the sessions to have.
    pub fn application_name(&self) -> Option<&str> {
        self.application_name.as_deref()
    }

    /// Time for one host to answer, up to the end of the login; None waits for ever.
    pub fn connect_timeout(&self) -> Option<Duration> {
        self.connect_timeout
    }

    /// The state the server must be in.
    pub fn target_session(&self) -> TargetSession {
        self.target_session
    }

    /// Keepalives and timeouts of the TCP connection.
    pub fn tcp(&self) -> &TcpOptions {
        &self.tcp
    }

    /// Host, port, database and user: all that messages and tables may show.
    pub fn redacted(&self) -> String {
        let endpoints = self.endpoints();
        let join = |each: &dyn Fn(&Endpoint) -> String| {
            endpoints.iter().map(each).collect::<Vec<_>>().join(",")
        };
        let mut text =
            format!("host={} port={}", join(&Endpoint::host), join(&|e| e.port().to_string()));
        for (key, value) in [("dbname", &self.dbname), ("user", &self.user)] {
            if let Some(value) = value {
                text.push_str(&format!(" {key}={value}"));
            }
        }
        text
    }
}

/// Shows what `redacted` shows.
impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dsn({})", self.redacted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp { host: host.to_owned(), address: None, port }
    }

    fn message(text: &str) -> String {
        let error = Dsn::parse(text).unwrap_err();
        format!("{error} {}", error.hint().unwrap_or(""))
    }

    #[test]
    fn pairs_and_uris_say_the_same() {
        for text in [
            "host=h port=5433 dbname='my db' user=u password='it\\'s\\\\'",
            " host = h port=5433 dbname=my\\ db user=u  password=it\\'s\\\\ ",
            "postgresql://u:it's%5C@h:5433/my%20db",
            "postgres://h/my%20db?user=u&password=it's%5c&port=5433",
        ] {
            let dsn = Dsn::parse(text).unwrap();
            assert_eq!(dsn.endpoints(), [tcp("h", 5433)], "{text}");
            assert_eq!(dsn.dbname(), Some("my db"), "{text}");
            assert_eq!(dsn.user(), Some("u"), "{text}");
            assert_eq!(dsn.password(), Some(&b"it's\\"[..]), "{text}");
        }
    }

    #[test]
    fn hosts_addresses_and_sockets_are_tried_in_order() {
        let unix = |directory: &str, port| Endpoint::Unix { directory: directory.into(), port };
        let v6 = Endpoint::Tcp { host: "b".into(), address: Some("::1".parse().unwrap()), port: 2 };
        let v4 =
            Endpoint::Tcp { host: "a".into(), address: Some("10.0.0.1".parse().unwrap()), port: 1 };
        for (text, expected) in [
            ("host=a,/s,b port=1,,3", vec![tcp("a", 1), unix("/s", 5432), tcp("b", 3)]),
            ("host=a,b port=7", vec![tcp("a", 7), tcp("b", 7)]),
            ("host=a,b hostaddr=10.0.0.1,::1 port=1,2", vec![v4, v6]),
            ("postgresql://[::1]:9,%2Fs/", vec![tcp("::1", 9), unix("/s", 5432)]),
            ("postgresql:///x?host=/s&port=4", vec![unix("/s", 4)]),
            ("dbname=x", vec![unix("/var/run/postgresql", 5432), unix("/tmp", 5432)]),
        ] {
            assert_eq!(Dsn::parse(text).unwrap().endpoints(), expected, "{text}");
        }
        assert!(message("host=a,b port=1,2,3").contains("do not match"));
        assert!(message("host=a,b hostaddr=10.0.0.1").contains("do not match"));
    }

    #[test]
    fn timeouts_have_the_units_of_libpq() {
        let dsn = Dsn::parse("connect_timeout=3 tcp_user_timeout=1500 keepalives_count=4").unwrap();
        assert_eq!(dsn.connect_timeout(), Some(Duration::from_secs(3)));
        assert_eq!(dsn.tcp().user_timeout, Some(Duration::from_millis(1500)));
        assert_eq!(dsn.tcp().keepalives_count, Some(4));
        assert_eq!(Dsn::parse("connect_timeout=0").unwrap().connect_timeout(), None);
        assert_eq!(Dsn::parse("").unwrap().connect_timeout(), Some(DEFAULT_CONNECT_TIMEOUT));
    }

    #[test]
    fn what_is_not_carried_out_is_refused_by_name() {
        for (text, expected) in [
            ("sslmode=require", "\"sslmode\""),
            ("sslmode=nonsense", "\"sslmode\""),
            ("passfile=/root/.pgpass", "\"passfile\""),
            ("postgresql://h/d?service=x", "\"service\""),
            ("hots=x", "\"hots\""),
            ("port=x", "\"port\""),
            ("port=0", "\"port\""),
            ("port=65536", "\"port\""),
            ("target_session_attrs=x", "prefer-standby"),
            ("host", "without \"=\""),
            ("password='x", "closing quote"),
            ("postgresql://u:a%zz@h", "hexadecimal"),
            ("postgresql://[::1", "bracket"),
        ] {
            assert!(message(text).contains(expected), "{text}: {}", message(text));
        }
        for text in ["sslmode=prefer", "sslmode=disable gssencmode=disable channel_binding=prefer"]
        {
            assert!(Dsn::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn no_output_repeats_a_piece_of_the_password() {
        for text in [
            "user=u password=top secret=1 host=h",
            "user=u password=top secret",
            "password='top secret",
            "postgresql://u:top@secret@h/d",
            "postgresql://u:top/secret@h/d",
            "postgresql://u:secret%0@h/d",
            "postgresql://h/d?password=top&secret=1",
            "password=secret port=secret",
        ] {
            assert!(!message(text).contains("secret"), "{text}: {}", message(text));
        }
        let dsn = Dsn::parse("host=h user=u dbname=d password=secret").unwrap();
        assert!(dsn.has_password());
        assert_eq!(format!("{dsn:?}"), "Dsn(host=h port=5432 dbname=d user=u)");
    }

    #[test]
    fn a_foreign_server_gives_the_connection_and_its_own_options_are_left_alone() {
        let dsn = Dsn::from_options([
            ("host", "h"),
            ("fetch_size", "100"),
            ("dbname", "d"),
            ("password", "p"),
        ])
        .unwrap();
        assert_eq!(dsn.redacted(), "host=h port=5432 dbname=d");
        assert!(Dsn::from_options([("sslmode", "verify-full")]).is_err());
    }

    #[test]
    fn a_default_user_never_replaces_a_given_one() {
        let mut dsn = Dsn::parse("").unwrap();
        dsn.set_default_user("a");
        dsn.set_default_user("b");
        assert_eq!(dsn.user(), Some("a"));
    }
}
