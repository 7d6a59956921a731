//! A throw-away cluster: a server of its own in a directory of its own, gone with the value.
//!
//! It listens on a Unix socket in that directory, which only the server's user and root can enter,
//! so local trust is harmless; TCP is an option. Superuser is `postgres`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use postgres::{Client, NoTls};

use crate::installation::{Installation, run_as_server_user};
use crate::process::run;
use crate::watchdog::Watchdog;

/// The superuser of every cluster.
pub const SUPERUSER: &str = "postgres";

/// How often a new cluster takes another port, since somebody was faster: a port is found free well
/// before the server binds it.
const PORT_CHANGES: u32 = 5;

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    installation: Installation,
    name: String,
    encoding: String,
    locale: String,
    locale_path: Option<PathBuf>,
    local_auth: String,
    tcp_auth: Option<String>,
    /// Another address to listen on, and the network that may come from.
    network: Option<(String, String)>,
    settings: Vec<(String, String)>,
}

impl ClusterOptions {
    /// A cluster with UTF-8 and locale C; `name` becomes part of its directory.
    pub fn new(installation: Installation, name: &str) -> Self {
        ClusterOptions {
            installation,
            name: name.to_owned(),
            encoding: "UTF8".to_owned(),
            locale: "C".to_owned(),
            locale_path: None,
            local_auth: "trust".to_owned(),
            tcp_auth: None,
            network: None,
            settings: Vec::new(),
        }
    }

    /// Sets encoding and locale, as initdb takes them.
    pub fn locale(mut self, encoding: &str, locale: &str) -> Self {
        self.encoding = encoding.to_owned();
        self.locale = locale.to_owned();
        self
    }

    /// Has the server find locales in a directory, too.
    pub fn locale_path(mut self, directory: &Path) -> Self {
        self.locale_path = Some(directory.to_owned());
        self
    }

    /// Sets how roles other than the superuser authenticate on the Unix socket; trust by default.
    pub fn local_auth(mut self, method: &str) -> Self {
        self.local_auth = method.to_owned();
        self
    }

    /// Listens on 127.0.0.1 and ::1 too, with an authentication method of pg_hba.conf.
    pub fn tcp_auth(mut self, method: &str) -> Self {
        self.tcp_auth = Some(method.to_owned());
        self
    }

    /// Listens on `address` too, for a network as pg_hba.conf has it; needs `tcp_auth`.
    pub fn network(mut self, address: &str, network: &str) -> Self {
        self.network = Some((address.to_owned(), network.to_owned()));
        self
    }

    /// Adds a line to postgresql.conf; the last one for a name holds.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds several settings.
    pub fn settings(mut self, settings: &[(&str, &str)]) -> Self {
        for (name, value) in settings {
            self = self.setting(name, value);
        }
        self
    }

    /// Makes the cluster and starts it.
    pub fn start(self) -> Result<Cluster> {
        let mut mktemp = Command::new("mktemp");
        mktemp.args(["-d", "-t"]).arg(format!("pgmig-{}-XXXXXX", self.name));
        run_as_server_user(&mut mktemp)?;
        let directory = PathBuf::from(run(&mut mktemp)?.trim());
        let mut cluster = Cluster {
            watchdog: Watchdog::start(&self.installation, &directory)?,
            port: free_port()?,
            installation: self.installation.clone(),
            locale_path: self.locale_path.clone(),
            directory,
        };
        cluster.initialize(&self)?;
        let mut started = cluster.start();
        for _ in 0..PORT_CHANGES {
            if !cluster.has_lost_port() {
                break;
            }
            cluster.change_port()?;
            started = cluster.start();
        }
        started.map(|()| cluster)
    }

    /// The lines that are added to postgresql.conf.
    fn configuration(&self, cluster: &Cluster) -> String {
        let addresses = match (&self.tcp_auth, &self.network) {
            (None, _) => String::new(),
            (Some(_), None) => "127.0.0.1, ::1".to_owned(),
            (Some(_), Some((address, _))) => format!("127.0.0.1, ::1, {address}"),
        };
        let directory = cluster.directory.to_string_lossy();
        let port = cluster.port.to_string();
        let own = [
            ("listen_addresses", addresses.as_str()),
            ("port", &port),
            ("unix_socket_directories", &directory),
            ("fsync", "off"),
            ("log_line_prefix", "%m [%p] %b %d "),
        ];
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        own.into_iter()
            .chain(given)
            .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")))
            .collect()
    }

    /// The whole of pg_hba.conf.
    fn authentication(&self) -> String {
        let mut lines = format!(
            "local all {SUPERUSER} trust\nlocal all all {}\nlocal replication all trust\n",
            self.local_auth
        );
        if let Some(method) = &self.tcp_auth {
            lines +=
                &format!("host all all 127.0.0.1/32 {method}\nhost all all ::1/128 {method}\n");
            if let Some((_, network)) = &self.network {
                lines += &format!("host all all {network} {method}\n");
            }
        }
        lines
    }
}

/// How pg_ctl stops a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Disconnects everybody and writes a checkpoint.
    Fast,
    /// Stops as in a crash; the next start recovers.
    Immediate,
}

/// A cluster, stopped and removed when it is dropped or this process ends.
#[derive(Debug)]
pub struct Cluster {
    watchdog: Watchdog,
    installation: Installation,
    locale_path: Option<PathBuf>,
    directory: PathBuf,
    port: u16,
}

impl Cluster {
    /// Makes the data directory.
    fn initialize(&self, options: &ClusterOptions) -> Result<()> {
        let mut initdb = self.server_program("initdb")?;
        initdb
            .args(["--no-sync", "--data-checksums", "--auth=trust", "-U", SUPERUSER])
            .args(["-E", &options.encoding, "--locale", &options.locale])
            .arg("-D")
            .arg(self.data_dir());
        run(&mut initdb)?;
        append(&self.data_dir().join("postgresql.conf"), &options.configuration(self))?;
        fs::write(self.data_dir().join("pg_hba.conf"), options.authentication())?;
        Ok(())
    }

    /// Starts the server and waits until it accepts connections, at most a minute.
    pub fn start(&self) -> Result<()> {
        self.pg_ctl(&["-w", "-t", "60", "start"])
            .with_context(|| format!("the server's log ends with\n{}", self.log_tail()))
    }

    /// Whether somebody else had the port on one of the addresses. Of several addresses one is enough
    /// for a server to start.
    fn has_lost_port(&self) -> bool {
        let is_told =
            |line: &str| line.contains("could not bind") && line.contains("Address already in use");
        self.log().is_ok_and(|log| log.lines().any(is_told))
    }

    /// Chooses another port for a cluster that nobody knows yet, for the next start.
    fn change_port(&mut self) -> Result<()> {
        if self.postmaster_pid().is_ok() {
            self.stop(StopMode::Fast)?;
        }
        fs::remove_file(self.log_file()).context("the log of the old port")?;
        self.port = free_port()?;
        append(&self.data_dir().join("postgresql.conf"), &format!("port = {}\n", self.port))
    }

    /// Stops the server; `start` takes it up again.
    pub fn stop(&self, mode: StopMode) -> Result<()> {
        let mode = match mode {
            StopMode::Fast => "fast",
            StopMode::Immediate => "immediate",
        };
        self.pg_ctl(&["-w", "-m", mode, "stop"])
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<()> {
        let mut pg_ctl = self.server_program("pg_ctl")?;
        pg_ctl.arg("-D").arg(self.data_dir()).arg("-l").arg(self.log_file()).args(arguments);
        run(&mut pg_ctl).map(drop)
    }

    fn server_program(&self, program: &str) -> Result<Command> {
        let mut command = self.installation.server_program(program)?;
        if let Some(directory) = &self.locale_path {
            command.env("LOCPATH", directory);
        }
        Ok(command)
    }

    /// Leaves the server running when this value and this process are gone.
    pub fn keep(self) -> Result<()> {
        self.watchdog.dismiss()
    }

    /// The installation that the server was started from.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The directory of socket, log file and data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The port, of TCP and in the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's log file.
    pub fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// What the server has logged so far.
    pub fn log(&self) -> Result<String> {
        let bytes = fs::read(self.log_file()).context("could not read the server's log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn log_tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Process id of the running server.
    pub fn postmaster_pid(&self) -> Result<u32> {
        let file = fs::read_to_string(self.data_dir().join("postmaster.pid"))?;
        let Some(line) = file.lines().next() else { bail!("postmaster.pid is empty") };
        Ok(line.trim().parse()?)
    }

    /// A connection string for the superuser over the Unix socket.
    pub fn dsn(&self, database: &str) -> String {
        let host = self.directory.to_string_lossy();
        dsn(&host, self.port, SUPERUSER, None, database)
    }

    /// A connection string for a role over TCP; needs `ClusterOptions::tcp_auth`.
    pub fn tcp_dsn(&self, database: &str, user: &str, password: &str) -> String {
        dsn("127.0.0.1", self.port, user, Some(password), database)
    }

    /// A session of the superuser.
    pub fn client(&self, database: &str) -> Result<Client> {
        Client::connect(&self.dsn(database), NoTls).with_context(|| {
            let tail = self.log_tail();
            format!(
                "could not connect to database \"{database}\"; the server's log ends with\n{tail}"
            )
        })
    }

    /// Runs statements as the superuser; several are one transaction unless they say otherwise.
    pub fn execute(&self, database: &str, sql: &str) -> Result<()> {
        let mut client = self.client(database)?;
        client.batch_execute(sql).with_context(|| format!("could not execute: {sql}"))
    }

    /// psql without a user's start-up file, stopping at the first error.
    pub fn psql_command(&self, database: &str) -> Command {
        let mut psql = self.installation.client("psql");
        psql.args(["-X", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", "-d", &self.dsn(database)]);
        psql
    }

    /// Runs statements through psql and returns what it prints: rows only, unaligned.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        run(self.psql_command(database).args(["-q", "-A", "-t", "-c", sql]))
    }

    /// Runs a script through psql, with variables for it.
    pub fn psql_file(&self, database: &str, file: &Path, variables: &[(&str, &str)]) -> Result<()> {
        let mut psql = self.psql_command(database);
        psql.arg("-q").arg("-f").arg(file);
        for (name, value) in variables {
            psql.arg("-v").arg(format!("{name}={value}"));
        }
        run(&mut psql).map(drop)
    }

    /// Creates an empty database.
    pub fn create_database(&self, database: &str) -> Result<()> {
        self.execute(
            SUPERUSER,
            &format!("create database {} template template0", quote_identifier(database)),
        )
    }

    /// Drops a database, whoever is connected to it.
    pub fn drop_database(&self, database: &str) -> Result<()> {
        let name = quote_identifier(database);
        self.execute(SUPERUSER, &format!("drop database if exists {name} with (force)"))
    }
}

/// Returns `name` as a quoted SQL identifier.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Builds a connection string of keywords and values.
fn dsn(host: &str, port: u16, user: &str, password: Option<&str>, database: &str) -> String {
    let mut dsn = format!(
        "host={} port={port} user={} dbname={}",
        quote_value(host),
        quote_value(user),
        quote_value(database)
    );
    if let Some(password) = password {
        dsn += &format!(" password={}", quote_value(password));
    }
    dsn
}

/// Returns a connection string's value, in quotes if it needs them.
fn quote_value(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A TCP port that nothing listened on a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("could not find a free port")?;
    Ok(listener.local_addr()?.port())
}

fn append(file: &Path, text: &str) -> Result<()> {
    let mut content = fs::read_to_string(file)?;
    content.push_str(text);
    fs::write(file, content).with_context(|| format!("could not write \"{}\"", file.display()))
}
