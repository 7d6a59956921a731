//! Tablespaces, those that the target has and those that it lacks, and indexes that are not valid.

use anyhow::Result;
use pgmig_tests::{Databases, Pair};

/// Makes tablespaces without directories of their own; in no transaction.
fn create_tablespaces(databases: &Databases<'_>, names: [&[&str]; 2]) -> Result<()> {
    let clusters = [&databases.pair().source, &databases.pair().target];
    for (cluster, names) in clusters.into_iter().zip(names) {
        for name in names {
            let mut session = cluster.client("postgres")?;
            session.batch_execute("set allow_in_place_tablespaces = true")?;
            session.batch_execute(&format!("create tablespace {name} location ''"))?;
        }
    }
    Ok(())
}

fn drop_tablespaces(pair: &Pair, names: [&[&str]; 2]) -> Result<()> {
    for (cluster, names) in [&pair.source, &pair.target].into_iter().zip(names) {
        for name in names {
            cluster.client("postgres")?.batch_execute(&format!("drop tablespace {name}"))?;
        }
    }
    Ok(())
}

/// Everything that can be put somewhere, in a tablespace of the given name.
fn placed(place: &str) -> String {
    format!(
        r#"create extension btree_gist;
        create table t (id int, a int, r int4range, x text) tablespace {place};
        alter table t add primary key (id) with (fillfactor = 70) using index tablespace {place};
        alter table t add unique nulls not distinct (a) using index tablespace {place}
            deferrable initially deferred;
        alter table t add exclude using gist (a with =, r with &&) with (fillfactor = 60)
            using index tablespace {place} where (x <> ' WHERE ') deferrable;
        create index "i WHERE " on t (lower(x)) with (fillfactor = 50) tablespace {place}
            where x <> ' WHERE ';
        create index small on t (a) include (id) tablespace {place};
        create materialized view m tablespace {place} as select * from t;
        create index on m (id) tablespace {place};
        create table p (id int primary key using index tablespace {place}) partition by list (id)
            tablespace {place};
        create table p1 partition of p for values in (1);
        create index on p ((id + 1)) tablespace {place};
        create table plain (id int primary key);
        insert into t select i, i, int4range(i, i + 1), 'x' || i from generate_series(1, 100) i;
        insert into p values (1);
        refresh materialized view m;"#
    )
}

#[test]
fn objects_stay_in_their_tablespaces_where_the_target_has_them() -> Result<()> {
    let pair = Pair::shared()?;
    let databases = pair.databases("placed")?;
    let names: [&[&str]; 2] = [&["\"Fast \"\"1\""], &["\"Fast \"\"1\""]];
    create_tablespaces(&databases, names)?;
    databases.execute_on_source(&placed("\"Fast \"\"1\""))?;
    for options in ["{}", "{}", r#"{"drop_existing_tables": true}"#] {
        databases.migrate_and_match(options)?;
        databases.expect_same_schema()?;
    }
    assert_eq!(databases.target_lines("select message from pgmig.events")?, [""; 0]);
    drop(databases);
    drop_tablespaces(pair, names)
}

#[test]
fn objects_go_into_the_default_tablespace_where_the_target_lacks_theirs() -> Result<()> {
    let pair = Pair::shared()?;
    let databases = pair.databases("misplaced")?;
    let names: [&[&str]; 2] = [&["\"Slow %\""], &[]];
    create_tablespaces(&databases, names)?;
    databases.execute_on_source(&placed("\"Slow %\""))?;
    for _ in 0..2 {
        databases.migrate_and_match("{}")?;
        let placed = "select count(*) from pg_class where reltablespace <> 0 and oid > 16383";
        assert_eq!(databases.target_lines(placed)?, ["0"]);
        let objects = databases.target_lines("select object from pgmig.events
            where message ~ 'no tablespace \"Slow %\"' and run_id = (select max(run_id) from pgmig.runs)
            order by 1",
        )?;
        assert_eq!(
            objects,
            [
                "constraint p1_pkey on public.p1",
                "constraint p_pkey on public.p",
                "constraint t_a_key on public.t",
                "constraint t_a_r_excl on public.t",
                "constraint t_pkey on public.t",
                "index public.i WHERE ",
                "index public.m_id_idx",
                "index public.p1_expr_idx",
                "index public.p_expr_idx",
                "index public.small",
                "materialized view public.m",
                "table public.p",
                "table public.p1",
                "table public.t",
            ]
        );
    }
    databases.expect_same_data()?;
    databases.migrate(r#"{"tablespaces": false}"#)?;
    let said =
        "select count(*) from pgmig.events where run_id = (select max(run_id) from pgmig.runs)";
    assert_eq!(databases.target_lines(said)?, ["0"]);
    drop(databases);
    drop_tablespaces(pair, names)
}

#[test]
fn what_cannot_be_built_in_a_tablespace_misplaces_nothing_else() -> Result<()> {
    let pair = Pair::shared()?;
    let databases = pair.databases("unbuilt")?;
    let names: [&[&str]; 2] = [&["elsewhere"], &["elsewhere"]];
    create_tablespaces(&databases, names)?;
    databases.execute_on_source(
        "create table t (id int, a int);
        create function unreliable(int) returns int language plpgsql immutable as
            $$ begin if to_regnamespace('pgmig') is not null then raise 'no'; end if; return $1; end $$;
        create index a_first on t (unreliable(a)) tablespace elsewhere;
        create index b_then on t (a);
        insert into t values (1, 1)",
    )?;
    databases.migrate_in_vain(r#"{"on_error": "continue"}"#)?;
    let index = "select reltablespace from pg_class where relname = 'b_then'";
    assert_eq!(databases.target_lines(index)?, ["0"]);
    drop(databases);
    drop_tablespaces(pair, names)
}

#[test]
fn indexes_that_are_not_valid_are_left_out_with_an_event() -> Result<()> {
    let databases = Pair::shared()?.databases("invalid")?;
    databases.execute_on_source(
        r#"create table "T" (id int primary key);
        create index "ccnew %" on "T" (id);
        create table p (id int) partition by list (id);
        create table p1 partition of p for values in (1);
        create index on p (id);
        create index on only p ((id + 1));
        insert into "T" values (1);
        insert into p values (1);
        update pg_index set indisvalid = false
        where indexrelid::regclass::text in ('"ccnew %"', 'p1_id_idx', 'p_id_idx')"#,
    )?;
    for _ in 0..2 {
        databases.migrate_and_match("{}")?;
        databases.expect_same_schema()?;
        assert_eq!(
            databases.target_lines(
                "select object || ': ' || message from pgmig.events
                where run_id = (select max(run_id) from pgmig.runs) order by 1"
            )?,
            [
                "table public.T: index public.ccnew % is left out, since it is not valid",
                "table public.p1: index public.p1_id_idx is left out, since it is not valid",
            ]
        );
    }
    Ok(())
}
