//! What `make bench` is told through the environment.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, anyhow};

/// The parameters, checked.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// `ROUNDS`: times that every tool copies every database.
    pub round_count: usize,
    /// `SCALE`: size of the Stack Overflow database; 10 is about 2.5 GB.
    pub scale: f64,
    /// `JOBS`: workers, processes or connections of the tools that take a number.
    pub job_count: usize,
    /// `ONLY`: names of databases and tools; empty for all.
    only: Vec<String>,
    /// `PGCOPYDB`: the binary to compare with; none without one on the `PATH` either.
    pub pgcopydb: Option<PathBuf>,
}

impl Parameters {
    /// Reads the environment; an empty variable counts as not set.
    pub fn from_environment() -> Result<Self> {
        let core_count = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Parameters {
            round_count: number("ROUNDS")?.unwrap_or(5),
            scale: number("SCALE")?.unwrap_or(10.0),
            job_count: number("JOBS")?.unwrap_or(core_count),
            only: text("ONLY")
                .map(|list| list.split(',').map(|name| name.trim().to_owned()).collect())
                .unwrap_or_default(),
            pgcopydb: text("PGCOPYDB").map(PathBuf::from).or_else(|| find_on_path("pgcopydb")),
        })
    }

    /// Takes those of `items` that `ONLY` names, or all if it names none of them.
    pub fn select<T>(&self, items: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
        let is_named = |item: &T| self.only.iter().any(|only| only == name(item));
        if !items.iter().any(is_named) {
            return items;
        }
        items.into_iter().filter(is_named).collect()
    }

    /// Those of `names` that `ONLY` names.
    pub fn named<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        let is_named = |name: &&&str| self.only.iter().any(|only| only == **name);
        names.iter().filter(is_named).copied().collect()
    }

    /// Fails if `ONLY` has a name that is not among `known`.
    pub fn check_names(&self, known: &[&str]) -> Result<()> {
        match self.only.iter().find(|only| !known.contains(&only.as_str())) {
            Some(unknown) => {
                Err(anyhow!("ONLY has \"{unknown}\", but there are only {}", known.join(", ")))
            }
            None => Ok(()),
        }
    }
}

fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn number<T: FromStr>(name: &str) -> Result<Option<T>> {
    text(name)
        .map(|value| value.parse().map_err(|_| anyhow!("{name} is not a number: \"{value}\"")))
        .transpose()
}

fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.exists())
}
