//! PostgreSQL's own regression database: everything that its developers thought of.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use pgmig_tests::{Cluster, ClusterOptions, Installation, Pair, run};

/// Tables of the regression database of any version, at least.
const FEWEST_TABLES: usize = 400;

/// What a materialized view holds is of the time of its last REFRESH, and the run's is the latest.
const REFRESH: &str = "
    do $$
    declare
        name regclass;
    begin
        for name in
            select c.oid from pg_catalog.pg_class c
            where c.relkind = 'm' and c.relispopulated order by c.oid
        loop
            execute format('refresh materialized view %s', name);
        end loop;
    end $$";

/// Runs PostgreSQL's regression tests, whose last act leaves the database as it is.
fn make_regression_database(cluster: &Cluster) -> Result<()> {
    let installation = cluster.installation();
    let pg_config = installation.bin_dir().join("pg_config");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/regression-tests");
    let tests = run(Command::new(script).arg(&pg_config))?;
    let pgxs = run(Command::new(&pg_config).arg("--pgxs"))?;
    let pg_regress = Path::new(pgxs.trim()).with_file_name("../test/regress/pg_regress");
    // The server reads the tests' data, and writes beside it.
    let directory = cluster.directory().join("regress");
    let mut copy = installation.foreign_program(Path::new("cp"))?;
    run(copy.args(["-r", tests.trim()]).arg(&directory))?;
    let mut regress = installation.foreign_program(&pg_regress)?;
    regress
        .current_dir(&directory)
        .args(["--inputdir=.", "--schedule=parallel_schedule", "--max-concurrent-tests=20"])
        .arg(format!("--dlpath={}", directory.display()))
        .arg(format!("--bindir={}", installation.bin_dir().display()))
        .arg(format!("--host={}", cluster.directory().display()))
        .arg(format!("--port={}", cluster.port()))
        .arg("--user=postgres");
    // Some results depend on the minor version and on the machine; none matters here.
    regress.output()?;
    Ok(())
}

#[test]
#[ignore = "make regression"]
fn the_regression_database_arrives_without_a_line_of_difference() -> Result<()> {
    let installation = Installation::of_extension()?;
    let options = |side| {
        ClusterOptions::new(installation.clone(), &format!("regression-{side}"))
            .setting("max_worker_processes", "16")
    };
    let pair = Pair::start(options("source"), options("target"))?;
    make_regression_database(&pair.source)?;
    let databases = pair.databases_of_source("regression")?;
    databases.execute_on_source(REFRESH)?;
    for options in [r#"{"roles": true, "database_properties": true}"#, "{}"] {
        let rows = databases.migrate_and_match(options)?;
        ensure!(rows.len() > FEWEST_TABLES, "only {} tables", rows.len());
        databases.expect_same_schema()?;
        databases.expect_same_data()?;
    }
    Ok(())
}
