//! The tools that are compared: each copies one database from the source to the target cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use pgmig_tests::cluster::SUPERUSER;
use pgmig_tests::{Cluster, Pair, StopMode, run};

use crate::definitions;
use crate::parameters::Parameters;
use crate::subject::SMALL_TABLES;

/// A way to copy a database.
#[derive(Debug, Clone)]
pub enum Tool {
    /// `select * from pgmig.migrate(...)`, with its default validation.
    Pgmig(Variant),
    /// `pg_dump | psql`.
    Dump,
    /// `pg_dump --format=directory` and `pg_restore`, both with jobs, without compression.
    ParallelDump,
    /// The statements of `pg_dump --schema-only` by themselves, in sessions of psql side by side.
    Definitions,
    /// `pgcopydb clone`.
    Pgcopydb { binary: PathBuf, version: String, copies_binary: bool },
}

/// pgmig with certain options, on a target with certain settings.
#[derive(Debug, Clone, Default)]
pub struct Variant {
    pub name: String,
    /// What it is about, for people; may be empty.
    pub label: String,
    /// Members of the options besides the number of jobs, as JSON without braces.
    pub options: String,
    /// Settings of the target, which is started anew with them.
    pub settings: Vec<(&'static str, &'static str)>,
}

/// Everything a tool is given: an empty database on the target, under the source's name.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    pub pair: &'a Pair,
    pub database: &'a str,
    pub job_count: usize,
    /// Address and port under which the source is reached; its Unix socket without them.
    pub route: Option<(&'a str, u16)>,
}

/// Names that `ONLY` can have.
pub const TOOL_NAMES: [&str; 6] =
    ["pgmig", "pgmig_trust", "pg_dump", "pg_dump_jobs", "definitions", "pgcopydb"];

/// The tools that can be run here.
pub fn list_tools(parameters: &Parameters) -> Result<Vec<Tool>> {
    let trusting = Variant {
        name: "pgmig_trust".to_owned(),
        label: "foreign keys trusted".to_owned(),
        options: r#""foreign_keys": "trust""#.to_owned(),
        settings: Vec::new(),
    };
    let plain = Variant { name: "pgmig".to_owned(), ..Variant::default() };
    let mut tools = vec![
        Tool::Pgmig(plain),
        Tool::Pgmig(trusting),
        Tool::Dump,
        Tool::ParallelDump,
        Tool::Definitions,
    ];
    if let Some(binary) = &parameters.pgcopydb {
        let version = run(Command::new(binary).arg("--version"))?;
        let help = Command::new(binary).args(["clone", "--help"]).output()?;
        let help = [help.stdout, help.stderr].concat();
        tools.push(Tool::Pgcopydb {
            binary: binary.clone(),
            version: version.split_whitespace().nth(2).unwrap_or("of unknown version").to_owned(),
            copies_binary: String::from_utf8_lossy(&help).contains("--use-copy-binary"),
        });
    }
    Ok(parameters.select(tools, Tool::name))
}

impl Tool {
    /// The name in `ONLY`.
    pub fn name(&self) -> &str {
        match self {
            Tool::Pgmig(variant) => &variant.name,
            Tool::Dump => "pg_dump",
            Tool::ParallelDump => "pg_dump_jobs",
            Tool::Definitions => "definitions",
            Tool::Pgcopydb { .. } => "pgcopydb",
        }
    }

    /// What is run, for the report.
    pub fn describe(&self, job_count: usize) -> String {
        match self {
            Tool::Pgmig(Variant { label, .. }) if label.is_empty() => {
                format!("pgmig, {job_count} jobs")
            }
            Tool::Pgmig(Variant { label, .. }) => format!("pgmig, {job_count} jobs, {label}"),
            Tool::Dump => "pg_dump \\| psql".to_owned(),
            Tool::ParallelDump => {
                format!("pg_dump -Fd -Z0 -j{job_count}, pg_restore -j{job_count}")
            }
            Tool::Definitions => format!("definitions alone, {job_count} sessions of psql"),
            Tool::Pgcopydb { version, copies_binary, .. } => {
                let format = if *copies_binary { ", binary" } else { "" };
                format!("pgcopydb {version}{format}, {job_count} jobs")
            }
        }
    }

    /// What has to be there before the clock starts, besides the empty database.
    pub fn prepare(&self, task: Task) -> Result<()> {
        match self {
            Tool::Pgmig(variant) => {
                variant.apply_settings(&task.pair.target)?;
                task.pair.target.execute(task.database, "create extension pgmig")
            }
            Tool::Definitions => definitions::prepare(task),
            _ => Ok(()),
        }
    }

    /// Whether it is for databases of this name.
    pub fn is_for(&self, database: &str) -> bool {
        !matches!(self, Tool::Definitions) || database == SMALL_TABLES
    }

    /// Copies the database.
    pub fn copy(&self, task: Task) -> Result<()> {
        match self {
            Tool::Pgmig(variant) => copy_with_pgmig(task, &variant.options),
            Tool::Dump => copy_with_dump(task),
            Tool::ParallelDump => copy_with_parallel_dump(task),
            Tool::Definitions => definitions::make(task),
            Tool::Pgcopydb { binary, copies_binary, .. } => {
                copy_with_pgcopydb(task, binary, *copies_binary)
            }
        }
    }

    /// Fails unless the copy is known to be good; only pgmig says so itself.
    pub fn check(&self, task: Task) -> Result<()> {
        let Tool::Pgmig(_) = self else { return Ok(()) };
        let statuses = task
            .pair
            .target
            .psql(task.database, "select distinct status from pgmig.validation order by status")?;
        ensure!(
            matches!(statuses.trim(), "match" | ""),
            "the validation says: {}",
            statuses.trim()
        );
        Ok(())
    }
}

impl Variant {
    /// Starts the target with the variant's settings, if it has any.
    fn apply_settings(&self, target: &Cluster) -> Result<()> {
        if self.settings.is_empty() {
            return Ok(());
        }
        let mut client = target.client("postgres")?;
        client.batch_execute("alter system reset all")?;
        for (name, value) in &self.settings {
            client.batch_execute(&format!("alter system set {name} = '{value}'"))?;
        }
        drop(client);
        target.stop(StopMode::Fast)?;
        target.start()
    }

    /// Starts the target with its first settings again.
    pub fn forget_settings(target: &Cluster) -> Result<()> {
        target.execute("postgres", "alter system reset all")?;
        target.stop(StopMode::Fast)?;
        target.start()
    }
}

impl Task<'_> {
    pub fn source_dsn(&self) -> String {
        match self.route {
            Some((address, port)) => {
                format!("host={address} port={port} user={SUPERUSER} dbname={}", self.database)
            }
            None => self.pair.source.dsn(self.database),
        }
    }

    fn target_dsn(&self) -> String {
        self.pair.target.dsn(self.database)
    }

    /// A place for files, run as and owned by the servers' user, gone with the cluster.
    pub fn scratch_dir(&self) -> PathBuf {
        self.pair.target.directory().join("scratch")
    }

    pub fn program(&self, name: &str) -> Result<Command> {
        self.pair.target.installation().server_program(name)
    }

    /// psql on the target, without output, stopping at the first error.
    pub fn psql(&self) -> Result<Command> {
        let mut psql = self.program("psql")?;
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.target_dsn()]);
        psql.stdout(Stdio::null());
        Ok(psql)
    }
}

/// Copies with options besides the number of jobs: members of a JSON object, or nothing.
pub fn copy_with_pgmig(task: Task, options: &str) -> Result<()> {
    let source = task.source_dsn().replace('\'', "''");
    let comma = if options.is_empty() { "" } else { ", " };
    let call = format!(
        r#"select * from pgmig.migrate('{source}', '{{"jobs": {}{comma}{options}}}')"#,
        task.job_count
    );
    run(task.psql()?.args(["-c", "set client_min_messages = warning", "-c", &call])).map(drop)
}

fn copy_with_dump(task: Task) -> Result<()> {
    let mut dump = task
        .program("pg_dump")?
        .args(["-d", &task.source_dsn()])
        .stdout(Stdio::piped())
        .spawn()
        .context("pg_dump")?;
    let pipe = dump.stdout.take().context("pg_dump has no output")?;
    let restored = run(task.psql()?.stdin(pipe));
    let status = dump.wait()?;
    restored?;
    ensure!(status.success(), "pg_dump ended with {status}");
    Ok(())
}

fn copy_with_parallel_dump(task: Task) -> Result<()> {
    let scratch = task.scratch_dir();
    let jobs = format!("-j{}", task.job_count);
    let mut dump = task.program("pg_dump")?;
    dump.args(["-Fd", "-Z0", &jobs, "-d", &task.source_dsn(), "-f"]).arg(&scratch);
    run(&mut dump)?;
    let mut restore = task.program("pg_restore")?;
    restore.args([&jobs, "--exit-on-error", "-d", &task.target_dsn()]).arg(&scratch);
    run(&mut restore)?;
    Ok(())
}

fn copy_with_pgcopydb(task: Task, binary: &Path, copies_binary: bool) -> Result<()> {
    let jobs = task.job_count.to_string();
    let mut pgcopydb = task.pair.target.installation().foreign_program(binary)?;
    pgcopydb
        .args(["clone", "--table-jobs", &jobs, "--index-jobs", &jobs])
        .args(["--source", &task.source_dsn(), "--target", &task.target_dsn()])
        .arg("--dir")
        .arg(task.scratch_dir());
    if copies_binary {
        pgcopydb.arg("--use-copy-binary");
    }
    run(&mut pgcopydb).map(drop)
}

/// An empty database on the target with the extension, and nothing left to be written on both sides.
pub fn start_anew(pair: &Pair, database: &str) -> Result<()> {
    pair.target.drop_database(database)?;
    pair.target.create_database(database)?;
    pair.target.execute(database, "create extension pgmig")?;
    for cluster in [&pair.source, &pair.target] {
        cluster.execute("postgres", "checkpoint")?;
    }
    Ok(())
}

/// Removes what a tool left outside the target.
pub fn remove_scratch(target: &Cluster) -> Result<()> {
    let scratch = target.directory().join("scratch");
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch).context("could not remove the scratch directory")?;
    }
    Ok(())
}
