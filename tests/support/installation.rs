//! A PostgreSQL installation: where its programs are, and as whom its servers run.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::{User, geteuid};

use crate::process::run;

/// The user that servers run as when we are root, which PostgreSQL refuses.
const SERVER_USER: &str = "postgres";

/// The major version whose clients serve installations that have none.
const NEWEST_CLIENTS: u32 = 18;

/// The programs of one PostgreSQL version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    bin_dir: PathBuf,
    client_dir: PathBuf,
}

impl Installation {
    /// The installation that pgmig is installed into: the one `PG_CONFIG` names, else Debian's newest.
    pub fn of_extension() -> Result<Self> {
        if let Some(pg_config) = env::var_os("PG_CONFIG") {
            let bin_dir = run(Command::new(pg_config).arg("--bindir"))?;
            return Ok(Installation::at(bin_dir.trim()));
        }
        (15..=18)
            .rev()
            .map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")))
            .find(|bin_dir| bin_dir.join("initdb").exists())
            .map(Installation::at)
            .context("found no PostgreSQL 15 to 18; PG_CONFIG can name one")
    }

    /// An installation of a major version, 10 to 18, fetched when it is missing. Where it comes
    /// without clients, those of 18 serve it.
    pub fn of_major(major: u32) -> Result<Self> {
        let mut installation = Installation::at(find_server(major)?);
        if !installation.bin_dir.join("pg_dump").exists() {
            installation.client_dir = find_server(NEWEST_CLIENTS)?;
        }
        Ok(installation)
    }

    /// The installation whose programs are in `bin_dir`, of any version that can be a source.
    pub fn at(bin_dir: impl Into<PathBuf>) -> Self {
        let bin_dir = bin_dir.into();
        Installation { client_dir: bin_dir.clone(), bin_dir }
    }

    /// The directory of the programs.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The version as the server writes it, such as `15.8`.
    pub fn version(&self) -> Result<String> {
        let line = run(Command::new(self.bin_dir.join("postgres")).arg("--version"))?;
        let version = line.split_whitespace().nth(2);
        Ok(version.with_context(|| format!("no version in \"{}\"", line.trim()))?.to_owned())
    }

    /// The major version.
    pub fn major(&self) -> Result<u32> {
        let version = self.version()?;
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().with_context(|| format!("no major version in \"{version}\""))
    }

    /// A client program, run as ourselves with messages in English and text in UTF-8.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.client_dir.join(program));
        command.env("LC_ALL", "C").env("PGCLIENTENCODING", "UTF8");
        command
    }

    /// A program that touches a data directory, run as the user that owns it.
    pub fn server_program(&self, program: &str) -> Result<Command> {
        self.foreign_program(&self.bin_dir.join(program))
    }

    /// The same for a program from elsewhere, which finds this installation's on its `PATH`.
    pub fn foreign_program(&self, program: &Path) -> Result<Command> {
        let mut command = Command::new(program);
        let path = env::var_os("PATH").unwrap_or_default();
        let path = [self.bin_dir.clone()].into_iter().chain(env::split_paths(&path));
        command.env("PATH", env::join_paths(path).context("PATH")?);
        run_as_server_user(&mut command)?;
        Ok(command)
    }
}

/// The directory of the programs of a major version, of Debian's or fetched.
fn find_server(major: u32) -> Result<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/server");
    let bin_dir = run(Command::new(script).arg(major.to_string()))?;
    Ok(PathBuf::from(bin_dir.trim()))
}

/// Makes `command` run as the user that servers run as, in a directory which that user can read.
pub(crate) fn run_as_server_user(command: &mut Command) -> Result<()> {
    command.env("LC_ALL", "C").current_dir("/");
    if geteuid().is_root() {
        let Some(user) = User::from_name(SERVER_USER)? else {
            bail!("servers do not run as root, and there is no user \"{SERVER_USER}\"");
        };
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    Ok(())
}
