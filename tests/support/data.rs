//! Databases to migrate, made by the scripts in `tests/sql`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cluster::Cluster;

/// A script in `tests/sql`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// A database in the shape of Stack Overflow's; variable `scale`.
    StackOverflow,
    /// Three tables with keys that are hard to cut into ranges; variable `scale`.
    Ranges,
    /// A schema with one of everything and hostile names.
    Everything,
    /// What versions after 15 brought.
    Newer,
    /// Every type, with extremes, in binary and in text.
    Types,
    /// Many values of types that are stored without their receive functions.
    Conversions,
    /// Tables of 50 rows with 3 indexes; variable `table_count`.
    SmallTables,
}

impl Script {
    /// The script's name without its ending.
    pub fn name(self) -> &'static str {
        match self {
            Script::StackOverflow => "stackoverflow",
            Script::Ranges => "ranges",
            Script::Everything => "everything",
            Script::Newer => "newer",
            Script::Types => "types",
            Script::Conversions => "conversions",
            Script::SmallTables => "small_tables",
        }
    }

    /// The script's file.
    pub fn file(self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("sql")
            .join(self.name())
            .with_extension("sql")
    }

    /// Whether this checkout has the script.
    pub fn is_present(self) -> bool {
        self.file().exists()
    }

    /// Runs the script in a database, with psql variables.
    pub fn load(self, cluster: &Cluster, database: &str, variables: &[(&str, &str)]) -> Result<()> {
        cluster
            .psql_file(database, &self.file(), variables)
            .with_context(|| format!("could not load \"{}\"", self.name()))
    }
}
