//! What option `foreign_keys` does, and whom it trusts.

use anyhow::{Result, ensure};
use pgmig_tests::{Databases, Pair};

/// Keys that can be trusted and keys that cannot.
const KEYS: &str = r#"
    create table parent (id int primary key);
    create table child (id int primary key, parent_id int constraint "fine %" references parent);
    create table doubtful (id int primary key, parent_id int constraint disabled references parent);
    create table p (id int, parent_id int constraint of_partitions references parent)
        partition by list (id);
    create table p1 partition of p for values in (1);
    create table q (id int, parent_id int constraint of_others references parent)
        partition by list (id);
    create table q1 partition of q for values in (1);
    insert into parent values (1);
    insert into child values (1, 1);
    insert into doubtful values (1, 1);
    insert into p values (1, 1);
    insert into q values (1, 1);"#;

fn keys(name: &str) -> Result<Databases<'static>> {
    let databases = Pair::shared()?.databases(name)?;
    databases.execute_on_source(KEYS)?;
    Ok(databases)
}

#[test]
fn keys_are_trusted_unless_rows_could_have_come_past_them() -> Result<()> {
    let databases = keys("trusted")?;
    databases.execute_on_source(
        "alter table doubtful disable trigger all; alter table q1 disable trigger all",
    )?;
    databases.migrate(r#"{"foreign_keys": "trust"}"#)?;
    let doubted = "select object || ': ' || message from pgmig.events where message ~ 'not trusted' order by 1";
    let why = "validated and not trusted: its triggers do not fire on the source";
    assert_eq!(
        databases.target_lines(doubted)?,
        [
            format!("constraint disabled on public.doubtful: {why}"),
            format!("constraint of_others on public.q: {why}"),
        ]
    );
    let valid = "select bool_and(convalidated) from pg_constraint where contype = 'f'";
    assert_eq!(databases.target_lines(valid)?, ["t"]);
    // Enforced from now on.
    databases.execute_on_target("insert into child values (2, 2)").expect_err("an orphan");
    // A row that came past the key is found where the key is doubted.
    databases.execute_on_source("insert into doubtful values (2, 2)")?;
    let error = databases.migrate_in_vain(r#"{"foreign_keys": "trust", "overwrite": true}"#)?;
    ensure!(error.message().contains("disabled"), "{error:?}");
    Ok(())
}

#[test]
fn keys_can_be_left_unvalidated_or_out() -> Result<()> {
    for (option, expected) in [
        ("validate", "disabled true, fine % true, of_others true, of_partitions true"),
        ("not_valid", "disabled false, fine % false, of_others true, of_partitions true"),
        ("skip", ""),
    ] {
        let databases = keys(&format!("keys_{option}"))?;
        databases.migrate_and_match(&format!(r#"{{"foreign_keys": "{option}"}}"#))?;
        let found = "select string_agg(conname || ' ' || convalidated, ', ' order by conname)
            from pg_constraint where contype = 'f' and conparentid = 0";
        assert_eq!(databases.target_value(found)?, expected, "{option}");
    }
    Ok(())
}
