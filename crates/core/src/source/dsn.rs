//! What a connection string or a foreign server says about the source.
//!
//! Comes in: libpq's connection string or URI, or a foreign server's options. Goes out: a `Dsn` in
//! which every parameter given is either carried out or was refused by name. Parameters that name
//! files are told apart, since only a superuser may read files as the server's operating-system user;
//! no file is read that is not named. The password is wiped when the value is dropped, and nothing
//! here prints it.

mod authentication;
mod conninfo;
mod endpoint;
mod parameter;
mod passfile;
mod tls;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

pub use self::authentication::{AuthenticationOptions, ChannelBinding, Method};
pub use self::endpoint::Endpoint;
use self::parameter::{
    invalid_value, parse, parse_count, parse_list, parse_seconds, parse_target_session, split_list,
};
use self::tls::TlsParameters;
pub use self::tls::{
    ClientCertificateMode, Negotiation, RootCertificates, TlsMode, TlsOptions, TlsVersion,
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
    /// The one place to go to, of several.
    pin: Option<Endpoint>,
    user: Option<String>,
    dbname: Option<String>,
    password: Option<Zeroizing<Vec<u8>>>,
    options: Option<String>,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
    target_session: TargetSession,
    balances_hosts: bool,
    tcp: TcpOptions,
    tls: TlsOptions,
    authentication: AuthenticationOptions,
    /// The first parameter that names a file.
    file_parameter: Option<String>,
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
            pin: None,
            user: None,
            dbname: None,
            password: None,
            options: None,
            application_name: None,
            connect_timeout: Some(DEFAULT_CONNECT_TIMEOUT),
            target_session: TargetSession::Any,
            balances_hosts: false,
            tcp: TcpOptions {
                keepalives: true,
                keepalives_idle: DEFAULT_KEEPALIVES_IDLE,
                keepalives_interval: None,
                keepalives_count: None,
                user_timeout: None,
            },
            tls: TlsParameters::default().combine()?,
            authentication: AuthenticationOptions::new(),
            file_parameter: None,
        };
        let mut tls = TlsParameters::default();
        for (key, value) in pairs {
            if parameter::names_file(&key, &value) {
                dsn.file_parameter.get_or_insert(key.clone());
            }
            dsn.set(&mut tls, &key, value)?;
        }
        dsn.check_counts()?;
        dsn.tls = tls.combine()?;
        Ok(dsn)
    }

    /// Carries out one parameter or refuses it.
    fn set(&mut self, tls: &mut TlsParameters, key: &str, value: conninfo::Value) -> Result<()> {
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
            "gssencmode" if matches!(text, "disable" | "prefer") => {}
            "load_balance_hosts" => {
                self.balances_hosts = match text {
                    "disable" => false,
                    "random" => true,
                    _ => return Err(invalid_value(key, "It is disable or random.")),
                }
            }
            _ if tls.set(key, text)? || self.authentication.set(key, text)? => {}
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
        if let Some(pin) = &self.pin {
            return vec![pin.clone()];
        }
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

    /// Has every further session opened in the same place: snapshots belong to one server.
    pub fn pin(&mut self, endpoint: Endpoint) {
        self.pin = Some(endpoint);
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

    /// The password for a host, for the login only: the one given, else the password file's.
    pub(super) fn password(&self, endpoint: &Endpoint) -> Result<Option<Zeroizing<Vec<u8>>>> {
        match (&self.password, &self.authentication.passfile, self.user()) {
            (Some(password), _, _) => Ok(Some(password.clone())),
            (None, Some(path), Some(user)) => {
                passfile::find_password(path, endpoint, self.dbname().unwrap_or(user), user)
            }
            _ => Ok(None),
        }
    }

    /// A parameter that names a file of the server's operating-system user, if one was given.
    pub fn file_parameter(&self) -> Option<&str> {
        self.file_parameter.as_deref()
    }

    /// Whether and how the connection is encrypted.
    pub fn tls(&self) -> &TlsOptions {
        &self.tls
    }

    /// What a login may be like.
    pub fn authentication(&self) -> &AuthenticationOptions {
        &self.authentication
    }

    /// Command-line options for the server process, such as `-c geqo=off`.
    pub fn options(&self) -> Option<&str> {
        self.options.as_deref()
    }

    /// The name the user wants the sessions to have.
    pub fn application_name(&self) -> Option<&str> {
        self.application_name.as_deref()
    }

    /// Allows no more than this for opening a connection.
    pub fn limit_connect_timeout(&mut self, limit: Duration) {
        self.connect_timeout = Some(self.connect_timeout.map_or(limit, |given| given.min(limit)));
    }

    /// Time for one host to answer, up to the end of the login; None waits for ever.
    pub fn connect_timeout(&self) -> Option<Duration> {
        self.connect_timeout
    }

    /// The state the server must be in.
    pub fn target_session(&self) -> TargetSession {
        self.target_session
    }

    /// Whether the order of hosts is left to chance.
    pub fn balances_hosts(&self) -> bool {
        self.balances_hosts
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

/// The first of these options of a foreign server or user mapping that names a file.
pub fn file_option<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    options
        .into_iter()
        .find(|(key, value)| parameter::names_file(key, value.as_bytes()))
        .map(|(key, _)| key)
}

/// Whether sockets are looked for in this directory when no host is named.
fn is_default_directory(directory: &Path) -> bool {
    DEFAULT_SOCKET_DIRECTORIES.iter().any(|default| directory == Path::new(default))
}

#[cfg(test)]
mod tests;
