//! A throw-away server for the tests that need no more than one, and its sessions.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use pgmig_core::Result;
use pgmig_core::error::{Error, RemoteError};
use pgmig_core::source::CatalogSession;
use postgres::{Client, Config, NoTls};

/// A server in a directory of its own that listens on a socket there; stopped when dropped.
pub struct Cluster {
    directory: PathBuf,
}

/// A client that answers catalog queries.
pub struct Session {
    pub client: Client,
}

/// Where the server's programs are.
fn bin_directory() -> PathBuf {
    let pg_config = std::env::var("PG_CONFIG").unwrap_or_else(|_| "pg_config".to_owned());
    let output = Command::new(pg_config).arg("--bindir").output().expect("pg_config runs");
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

/// Runs a program of the server as a user who is not root.
fn run(program: &Path, arguments: &[&str]) {
    let mut command = match user_name() == "root" {
        true => {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        }
        false => Command::new(program),
    };
    let output = command.args(arguments).current_dir("/").output().expect("the program starts");
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The name of the user who runs the test.
fn user_name() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Cluster {
    /// Initializes and starts a server.
    pub fn start() -> Cluster {
        let bin = bin_directory();
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("pgmig-core-test-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let text = directory.to_str().expect("a path in UTF-8").to_owned();
        let data = format!("{text}/data");
        run(Path::new("/bin/mkdir"), &["-m", "700", &text]);
        run(
            &bin.join("initdb"),
            &["-D", &data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale", "C"],
        );
        let options = format!("-c listen_addresses='' -c fsync=off -k {text}");
        let log = format!("{text}/log");
        run(&bin.join("pg_ctl"), &["-D", &data, "-l", &log, "-w", "-o", &options, "start"]);
        Cluster { directory }
    }

    /// Connects to a database as the source would be connected to.
    pub fn connect(&self, database: &str) -> Session {
        let mut client = Config::new()
            .host_path(&self.directory)
            .user("postgres")
            .dbname(database)
            .connect(NoTls)
            .expect("the server answers");
        client.batch_execute("set search_path = ''; set extra_float_digits = 3").expect("set");
        Session { client }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let text = self.directory.to_str().expect("a path in UTF-8");
        let data = format!("{text}/data");
        run(&bin_directory().join("pg_ctl"), &["-D", &data, "-m", "immediate", "-w", "stop"]);
        run(Path::new("/bin/rm"), &["-rf", text]);
    }
}

impl CatalogSession for Session {
    fn query_json(&mut self, query: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let wrapped = format!("select pg_catalog.row_to_json(q)::pg_catalog.text from ({query}) q");
        let rows = self.client.query(&wrapped, &[]).map_err(|e| {
            Error::Remote(Box::new(RemoteError { message: format!("{e:?}"), ..Default::default() }))
        })?;
        rows.iter().try_for_each(|row| each(row.get(0)))
    }

    fn version_num(&self) -> u32 {
        150_000
    }
}
