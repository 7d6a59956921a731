//! A throw-away cluster of the installed PostgreSQL, run as a user other than root.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A running cluster that listens on a Unix socket only; stopped and removed when dropped.
pub struct Cluster {
    directory: PathBuf,
    binaries: PathBuf,
}

impl Cluster {
    /// Makes and starts a cluster.
    pub fn start() -> Self {
        let binaries = PathBuf::from(text_of(Command::new(pg_config()).arg("--bindir")));
        let made = text_of(Command::new("mktemp").args(["-d", "/tmp/pgmig-test.XXXXXX"]));
        let cluster = Cluster { directory: PathBuf::from(made), binaries };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&cluster.directory));
        }
        let data = cluster.data();
        run(cluster
            .as_server_user("initdb")
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data));
        let options = format!(
            "-c listen_addresses= -c fsync=off -c unix_socket_directories={}",
            cluster.directory.display()
        );
        run(cluster.as_server_user("pg_ctl").args(["-w", "-o", &options, "-l"]).args([
            cluster.directory.join("log").as_path(),
            Path::new("-D"),
            data.as_path(),
            Path::new("start"),
        ]));
        cluster
    }

    /// The connection string of a database.
    pub fn dsn(&self, database: &str) -> String {
        format!("host={} user=postgres dbname={database}", self.directory.display())
    }

    /// A client program, set up to connect to a database.
    pub fn client(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.args(["-d", &self.dsn(database)]);
        command
    }

    /// The standard output of a client program that must succeed.
    pub fn output_of(&self, program: &str, database: &str, arguments: &[&str]) -> String {
        text_of(self.client(program, database).args(arguments))
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// A server program; the server refuses to run as root.
    fn as_server_user(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let mut command = if is_root() {
            let mut runuser = Command::new("runuser");
            runuser.args(["-u", "postgres", "--"]).arg(program);
            runuser
        } else {
            Command::new(program)
        };
        command.current_dir(&self.directory);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.data();
        let mut stop = self.as_server_user("pg_ctl");
        let stopped = stop.args(["-m", "immediate", "-D"]).arg(data).arg("stop").output();
        let removed = std::fs::remove_dir_all(&self.directory);
        if stopped.is_err() || removed.is_err() {
            eprintln!("could not clean up {}", self.directory.display());
        }
    }
}

/// The `pg_config` of the PostgreSQL to test with.
fn pg_config() -> String {
    std::env::var("PG_CONFIG").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin/pg_config".to_owned())
}

fn is_root() -> bool {
    text_of(Command::new("id").arg("-u")) == "0"
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Output {
    let output = command.output().expect("could not run a program");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {errors}");
    output
}

/// Runs a command that must succeed and returns what it printed.
fn text_of(command: &mut Command) -> String {
    String::from_utf8_lossy(&run(command).stdout).trim().to_owned()
}
