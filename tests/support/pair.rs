//! The two clusters of a migration, and two databases in them.

use std::sync::LazyLock;
use std::thread;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use postgres::Client;
use postgres::error::DbError;

use crate::cluster::{Cluster, ClusterOptions, SUPERUSER};
use crate::compare::{compare_data, compare_schema};
use crate::installation::Installation;
use crate::lines::expect_same_lines;

/// Settings that let the runs of as many tests as there are cores have workers and sessions, and quick
/// tests.
const SHARED_SETTINGS: [(&str, &str); 3] =
    [("max_worker_processes", "512"), ("max_connections", "1000"), ("max_wal_size", "2GB")];

/// A source and a target.
#[derive(Debug)]
pub struct Pair {
    pub source: Cluster,
    pub target: Cluster,
}

impl Pair {
    /// Makes both clusters, at once.
    pub fn start(source: ClusterOptions, target: ClusterOptions) -> Result<Self> {
        thread::scope(|scope| {
            let source = scope.spawn(|| source.start());
            let target = target.start()?;
            let source = source.join().map_err(|_| anyhow!("starting the source panicked"))??;
            Ok(Pair { source, target })
        })
    }

    /// The pair that all tests of this process use which need no settings of their own.
    pub fn shared() -> Result<&'static Pair> {
        static SHARED: LazyLock<Result<Pair>> = LazyLock::new(|| {
            let installation = Installation::of_extension()?;
            let options =
                |name| ClusterOptions::new(installation.clone(), name).settings(&SHARED_SETTINGS);
            Pair::start(options("source"), options("target"))
        });
        SHARED.as_ref().map_err(|error| anyhow!("could not start the shared clusters: {error:#}"))
    }

    /// Two empty databases; the target's has the extension. `name` is of its own for every test.
    pub fn databases(&self, name: &str) -> Result<Databases<'_>> {
        let databases = self.plain_databases(name)?;
        self.target.execute(name, "create extension pgmig")?;
        Ok(databases)
    }

    /// A database that the source has already, and an empty one with the extension.
    pub fn databases_of_source(&self, name: &str) -> Result<Databases<'_>> {
        self.target.create_database(name)?;
        self.target.execute(name, "create extension pgmig")?;
        Ok(Databases { pair: self, name: name.to_owned() })
    }

    /// Two empty databases without the extension.
    pub fn plain_databases(&self, name: &str) -> Result<Databases<'_>> {
        self.source.create_database(name)?;
        self.target.create_database(name)?;
        Ok(Databases { pair: self, name: name.to_owned() })
    }
}

/// A source that asks for passwords over TCP, with a new database that role `reader` (password
/// `geheim`) can read; the cluster is shared by the tests of this process.
pub fn guarded_source(database: &str) -> Result<&'static Cluster> {
    static SHARED: LazyLock<Result<Cluster>> = LazyLock::new(|| {
        let source = ClusterOptions::new(Installation::of_extension()?, "guarded")
            .tcp_auth("scram-sha-256")
            .start()?;
        source.execute(
            SUPERUSER,
            "create role reader login password 'geheim'; grant pg_read_all_data to reader",
        )?;
        Ok(source)
    });
    let source =
        SHARED.as_ref().map_err(|error| anyhow!("could not start the source: {error:#}"))?;
    source.create_database(database)?;
    Ok(source)
}

/// The databases of one test, under the same name on both sides, dropped with this value.
#[derive(Debug)]
pub struct Databases<'a> {
    pair: &'a Pair,
    name: String,
}

/// A row of the validation table, in the order of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    pub table_schema: String,
    pub table_name: String,
    pub source_rows: Option<i64>,
    pub target_rows: Option<i64>,
    pub source_checksum: Option<String>,
    pub target_checksum: Option<String>,
    pub status: String,
    pub detail: Option<String>,
}

impl Databases<'_> {
    /// The clusters that the databases are in.
    pub fn pair(&self) -> &Pair {
        self.pair
    }

    /// The name of both databases.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A superuser's session with the source.
    pub fn source(&self) -> Result<Client> {
        self.pair.source.client(&self.name)
    }

    /// A superuser's session with the target.
    pub fn target(&self) -> Result<Client> {
        self.pair.target.client(&self.name)
    }

    /// What `migrate` takes as its first argument.
    pub fn source_dsn(&self) -> String {
        self.pair.source.dsn(&self.name)
    }

    /// Runs statements on the source.
    pub fn execute_on_source(&self, sql: &str) -> Result<()> {
        self.pair.source.execute(&self.name, sql)
    }

    /// Runs statements on the target. The next run knows of the rows that they change: a server counts
    /// changes once the session says so, at the latest when it ends, which it does after its client.
    pub fn execute_on_target(&self, sql: &str) -> Result<()> {
        let mut client = self.target()?;
        client.batch_execute(sql).with_context(|| format!("could not execute: {sql}"))?;
        client
            .batch_execute("select pg_catalog.pg_stat_force_next_flush()")
            .with_context(|| format!("could not have the changes counted: {sql}"))
    }

    /// Calls `pgmig.migrate` with the options as JSON and returns the validation table.
    pub fn migrate(&self, options: &str) -> Result<Vec<Validation>> {
        self.call("migrate", options)
    }

    /// Calls `pgmig.validate` likewise.
    pub fn validate(&self, options: &str) -> Result<Vec<Validation>> {
        self.call("validate", options)
    }

    fn call(&self, function: &str, options: &str) -> Result<Vec<Validation>> {
        let rows = self.target()?.query(
            &format!(
                "select table_schema::text, table_name::text, source_rows, target_rows,
                     source_checksum, target_checksum, status, detail
                 from pgmig.{function}($1, $2::text::jsonb)"
            ),
            &[&self.source_dsn(), &options],
        )?;
        Ok(rows
            .iter()
            .map(|row| Validation {
                table_schema: row.get(0),
                table_name: row.get(1),
                source_rows: row.get(2),
                target_rows: row.get(3),
                source_checksum: row.get(4),
                target_checksum: row.get(5),
                status: row.get(6),
                detail: row.get(7),
            })
            .collect())
    }

    /// Calls `pgmig.migrate` and returns the ERROR with which it ends.
    pub fn migrate_in_vain(&self, options: &str) -> Result<DbError> {
        match self.migrate(options) {
            Ok(_) => bail!("migrate succeeded"),
            Err(error) => find_db_error(error),
        }
    }

    /// Calls `pgmig.migrate`, failing unless every table matches.
    pub fn migrate_and_match(&self, options: &str) -> Result<Vec<Validation>> {
        let rows = self.migrate(options)?;
        ensure!(!rows.is_empty(), "no table was compared");
        let others: Vec<_> = rows.iter().filter(|row| row.status != "match").collect();
        ensure!(others.is_empty(), "not all tables match: {others:?}");
        Ok(rows)
    }

    /// One value of the target as text.
    pub fn target_value(&self, sql: &str) -> Result<String> {
        self.pair.target.psql(&self.name, sql).map(|text| text.trim_end().to_owned())
    }

    /// Rows of a query on the target, as text.
    pub fn target_lines(&self, query: &str) -> Result<Vec<String>> {
        let rows = self.pair.target.psql(&self.name, query)?;
        Ok(rows.lines().map(str::to_owned).collect())
    }

    /// What the last run had to say, as `object: message`.
    pub fn events(&self) -> Result<Vec<String>> {
        self.target_lines(
            "select concat_ws(': ', object, message) from pgmig.events
            where run_id = (select max(run_id) from pgmig.runs) order by 1",
        )
    }

    /// Fails with the first table whose lines, as COPY writes them, differ.
    pub fn expect_same_lines(&self) -> Result<()> {
        expect_same_lines(&self.pair.source, &self.pair.target, &self.name)
    }

    /// Fails with what differs in rows, sequences and large objects.
    pub fn expect_same_data(&self) -> Result<()> {
        let differences = compare_data(&mut self.source()?, &mut self.target()?)?;
        ensure!(differences.is_empty(), "the data differ\n{}", differences.join("\n"));
        Ok(())
    }

    /// Fails with the lines of pg_dump that differ.
    pub fn expect_same_schema(&self) -> Result<()> {
        let difference =
            compare_schema((&self.pair.source, &self.name), (&self.pair.target, &self.name))?;
        ensure!(difference.is_empty(), "the schemas differ\n{difference}");
        Ok(())
    }

    /// Drops both databases; what `Drop` does, with the error.
    fn drop_both(&self) -> Result<()> {
        self.pair.source.drop_database(&self.name).context("on the source")?;
        self.pair.target.drop_database(&self.name).context("on the target")
    }
}

/// The server's ERROR in a failed call.
pub fn find_db_error(error: Error) -> Result<DbError> {
    let found = error.chain().find_map(|cause| {
        let cause = cause.downcast_ref::<postgres::Error>()?;
        cause.as_db_error().cloned()
    });
    found.ok_or(error)
}

impl Drop for Databases<'_> {
    fn drop(&mut self) {
        // The clusters go away anyway; the space is wanted earlier.
        let _ = self.drop_both();
    }
}
