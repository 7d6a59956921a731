//! SQL clients: every way in which programs run a query and take its rows.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use pgmig_tests::{Databases, Pair, run};

fn databases(name: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source("create table t (id int); insert into t values (1), (2), (3)")?;
    Ok(databases)
}

#[test]
fn columns_are_well_named_and_well_typed_in_the_extended_protocol() -> Result<()> {
    let databases = databases("clients_extended")?;
    let mut target = databases.target()?;
    let statement = target.prepare("select * from pgmig.migrate($1, $2)")?;
    let columns: Vec<_> =
        statement.columns().iter().map(|c| format!("{} {}", c.name(), c.type_().name())).collect();
    ensure!(
        columns
            == [
                "table_schema text",
                "table_name text",
                "source_rows int8",
                "target_rows int8",
                "source_checksum text",
                "target_checksum text",
                "bytes_copied int8",
                "elapsed interval",
                "status text",
                "detail text",
            ],
        "{columns:?}"
    );
    let statement = target.prepare(
        "select source_rows, target_rows, bytes_copied > 0, elapsed > '0', status, detail is null
         from pgmig.migrate($1)",
    )?;
    for _ in 0..2 {
        let row = target.query_one(&statement, &[&databases.source_dsn()])?;
        ensure!(row.get::<_, i64>(0) == 3 && row.get::<_, i64>(1) == 3);
        ensure!(row.get::<_, bool>(2) && row.get::<_, bool>(3));
        ensure!(row.get::<_, &str>(4) == "match" && row.get::<_, bool>(5));
    }
    Ok(())
}

#[test]
fn the_call_works_through_a_cursor_and_into_a_table() -> Result<()> {
    let databases = databases("clients_cursor")?;
    let mut target = databases.target()?;
    let dsn = databases.source_dsn();
    target.batch_execute(&format!(
        "begin;
        declare c cursor for select table_name, target_rows from pgmig.migrate('{dsn}')"
    ))?;
    let row = target.query_one("fetch 1 from c", &[])?;
    ensure!(row.get::<_, &str>(0) == "t" && row.get::<_, i64>(1) == 3);
    ensure!(target.query("fetch all from c", &[])?.is_empty());
    target.batch_execute("close c; commit")?;

    target.batch_execute(&format!(
        "create table report as select * from pgmig.migrate('{dsn}');
        insert into report select * from pgmig.migrate('{dsn}')"
    ))?;
    let row = target.query_one("select count(*) from report where status = 'match'", &[])?;
    ensure!(row.get::<_, i64>(0) == 2);
    target.batch_execute("drop table report")?;
    target.batch_execute(&format!(
        "do $$
        declare
            found record;
        begin
            for found in select * from pgmig.migrate('{dsn}') loop
                if found.status <> 'match' then
                    raise exception '% does not match', found.table_name;
                end if;
            end loop;
        end $$"
    ))?;
    databases.expect_same_data()
}

#[test]
fn psycopg_works_with_autocommit_on_and_off() -> Result<()> {
    let databases = databases("clients_psycopg")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/clients.py");
    let target = databases.pair().target.dsn(databases.name());
    // Debian's interpreter, which its package of psycopg is for.
    let printed =
        run(Command::new("/usr/bin/python3").arg(script).arg(target).arg(databases.source_dsn()))?;
    ensure!(printed == "ok\n", "{printed}");
    Ok(())
}
