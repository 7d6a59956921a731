//! Throw-away PostgreSQL clusters for the tests of this crate.
//!
//! A cluster lives in a temporary directory, listens on a socket there and, if asked to, on a free port
//! of 127.0.0.1, and is stopped and removed when dropped. Servers do not run as root: then everything
//! is done as user postgres.

#![allow(dead_code, reason = "no test program needs all of this")]

pub mod certificates;

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running cluster.
pub struct Cluster {
    directory: PathBuf,
    binaries: PathBuf,
    pub port: u16,
}

impl Cluster {
    /// Starts a cluster with these lines of pg_hba.conf before those that trust the superuser `postgres`
    /// on the socket, and these lines of postgresql.conf.
    pub fn start(hba: &str, settings: &str) -> Cluster {
        let cluster = Cluster::prepare();
        let arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
        output(cluster.tool("initdb").arg("-D").arg(cluster.data()).args(arguments));
        cluster.write(
            "pg_hba.conf",
            &format!("{hba}\nlocal all postgres trust\nlocal replication postgres trust\n"),
        );
        cluster.launch(settings);
        cluster
    }

    /// Starts a standby of this cluster.
    pub fn start_standby(&self) -> Cluster {
        let standby = Cluster::prepare();
        let port = self.port.to_string();
        output(
            self.tool("pg_basebackup")
                .arg("-h")
                .arg(&self.directory)
                .args(["-p", &port, "-U", "postgres", "-R", "-c", "fast", "--no-sync", "-D"])
                .arg(standby.data()),
        );
        standby.launch("hot_standby = on");
        standby
    }

    /// A cluster with a directory and a port.
    fn prepare() -> Cluster {
        let directory = output(command("mktemp").args(["-d", "/tmp/pgmig-core.XXXXXX"]));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Cluster { directory: directory.trim().into(), binaries: find_binaries(), port }
    }

    /// Configures and starts the server.
    fn launch(&self, settings: &str) {
        let directory = self.directory.display();
        let mut conf = std::fs::read_to_string(self.data().join("postgresql.auto.conf")).unwrap();
        conf.push_str(&format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nfsync = off\n\
             unix_socket_directories = '{directory}'\n{settings}\n",
            self.port
        ));
        self.write("postgresql.auto.conf", &conf);
        let log = self.directory.join("log");
        output(
            self.tool("pg_ctl").arg("-D").arg(self.data()).arg("-l").arg(log).args(["-w", "start"]),
        );
    }

    /// The directory of the socket.
    pub fn socket(&self) -> &Path {
        &self.directory
    }

    /// Sets parameters and waits until new sessions see them.
    pub fn configure(&self, settings: &[(&str, &str)]) {
        let mut client = self.client();
        for (name, value) in settings {
            client.batch_execute(&format!("alter system set {name} = '{value}'")).unwrap();
        }
        client.batch_execute("select pg_reload_conf()").unwrap();
        for (name, value) in settings {
            let is_seen = || {
                let row = self.client().query_one(&format!("show {name}"), &[]).unwrap();
                row.get::<_, &str>(0) == *value
            };
            let tries = (0..1000).take_while(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                !is_seen()
            });
            assert!(tries.count() < 1000, "{name} does not become {value}");
        }
    }

    /// A client of the superuser, independent of the code under test.
    pub fn client(&self) -> postgres::Client {
        let mut config = postgres::Config::new();
        config.host_path(&self.directory).port(self.port).user("postgres").dbname("postgres");
        config.connect(postgres::NoTls).unwrap()
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn tool(&self, name: &str) -> Command {
        command(self.binaries.join(name))
    }

    /// Replaces a file of the data directory, keeping its owner.
    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.data().join(name), content).unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stopped = self
            .tool("pg_ctl")
            .arg("-D")
            .arg(self.data())
            .args(["-m", "immediate", "-w", "stop"])
            .stdout(Stdio::null())
            .status();
        let removed = std::fs::remove_dir_all(&self.directory);
        if !std::thread::panicking() {
            assert!(stopped.unwrap().success());
            removed.unwrap();
        }
    }
}

/// A command run as user postgres if we are root.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let is_root = output(Command::new("id").arg("-u")).trim() == "0";
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

/// Runs a command that must succeed and returns what it prints.
pub fn output(command: &mut Command) -> String {
    let output = command.current_dir("/").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The directory that `PG_CONFIG` names, or the newest one of Debian's.
fn find_binaries() -> PathBuf {
    if let Ok(pg_config) = std::env::var("PG_CONFIG") {
        return output(Command::new(pg_config).arg("--bindir")).trim().into();
    }
    let version = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()).unwrap_or(0)
    };
    std::fs::read_dir("/usr/lib/postgresql")
        .expect("PG_CONFIG is not set and /usr/lib/postgresql does not exist")
        .map(|entry| entry.unwrap().path())
        .max_by_key(version)
        .expect("/usr/lib/postgresql is empty")
        .join("bin")
}
