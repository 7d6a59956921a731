//! What pgmig lays out without a type's receive function is what COPY stores, byte by byte.

use anyhow::{Result, ensure};
use pgmig_tests::data::Script;
use pgmig_tests::{Databases, Pair};

/// What is stored of every row of a table, as far as it does not depend on who wrote it and when.
fn stored_rows(databases: &Databases<'_>, table: &str) -> Result<String> {
    databases.target_value(&format!(
        "select md5(string_agg(concat_ws(' ', t_infomask & 7, t_infomask2 & 2047, t_hoff, t_bits, t_data), ','
             order by page, lp)) || ' ' || count(*)
         from generate_series(0, pg_relation_size('{table}') / 8192 - 1) page,
             public.heap_page_items(public.get_raw_page('{table}', page::int))
         where t_data is not null"
    ))
}

/// Copies every table of schema `t` whose rows are short a second time, by COPY alone, and compares what
/// is stored; returns how many there are.
pub(super) fn compare_with_copy(databases: &Databases<'_>) -> Result<usize> {
    databases.execute_on_target("create extension pageinspect; create schema again")?;
    // Values that are compressed or out of line may be so in another way.
    let tables = databases.target()?.query(
        "select quote_ident(c.relname)
         from pg_class c left join pg_class o on o.oid = c.reltoastrelid
         where c.relnamespace = 't'::regnamespace and c.relkind = 'r'
           and coalesce(pg_relation_size(o.oid), 0) = 0 and pg_relation_size(c.oid) > 0
           and c.relname in (select p.table_name from pgmig.tables p where p.format = 'binary')
           and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attgenerated <> '')
         order by c.relname",
        &[],
    )?;
    let file = databases.pair().target.directory().join("again.copy");
    let mut compared = 0;
    for table in tables.iter().map(|row| row.get::<_, String>(0)) {
        let is_short = databases.target_value(&format!(
            "select not exists (select from t.{table} r where octet_length(r::text) > 1900)"
        ))?;
        if is_short != "t" {
            continue;
        }
        databases.execute_on_target(&format!(
            "copy t.{table} to '{file}' (format binary);
             create table again.{table} (like t.{table} including storage);
             copy again.{table} from '{file}' (format binary)",
            file = file.display()
        ))?;
        let (ours, theirs) = (
            stored_rows(databases, &format!("t.{table}"))?,
            stored_rows(databases, &format!("again.{table}"))?,
        );
        ensure!(ours == theirs, "{table} is stored in another way: {ours}, {theirs}");
        compared += 1;
    }
    Ok(compared)
}

#[test]
fn values_laid_out_here_are_those_that_copy_stores() -> Result<()> {
    let databases = Pair::shared()?.databases("conversions")?;
    Script::Conversions.load(&databases.pair().source, databases.name(), &[])?;
    databases.migrate_and_match(r#"{"chunk_by": "none"}"#)?;
    databases.expect_same_data()?;
    let compared = compare_with_copy(&databases)?;
    ensure!(compared == 6, "{compared} tables were compared");
    // What is compressed in another way holds the same.
    databases.execute_on_target(&format!(
        "create table again.long_documents (like t.long_documents);
         copy t.long_documents to '{file}' (format binary);
         copy again.long_documents from '{file}' (format binary)",
        file = databases.pair().target.directory().join("long.copy").display()
    ))?;
    let values = |table: &str| {
        databases.target_value(&format!(
            "select md5(string_agg(encode(value, 'hex'), ',' order by page, lp, place)) || count(*)
             from generate_series(0, pg_relation_size('{table}') / 8192 - 1) page,
                 heap_page_item_attrs(get_raw_page('{table}', page::int), '{table}'::regclass, true),
                 unnest(t_attrs) with ordinality as attributes (value, place)"
        ))
    };
    let (ours, theirs) = (values("t.long_documents")?, values("again.long_documents")?);
    ensure!(ours == theirs, "documents differ: {ours}, {theirs}");
    ensure!(ours.ends_with("1200"), "{ours}");
    Ok(())
}
