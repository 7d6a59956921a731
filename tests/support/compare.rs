//! What differs between two databases, found without pgmig.
//!
//! Data: every row is read as text on both sides, hashed here and added up, so that order does not
//! matter and duplicates do; the values of sequences and the pages of large objects are compared as
//! rows are. Schema: the output of pg_dump, line by line. An empty list of differences means equal.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::BufRead;
use std::thread;

use anyhow::{Context, Result, anyhow};
use postgres::Client;
use similar::TextDiff;

use crate::cluster::{Cluster, quote_identifier};
use crate::dialect::translate;
use crate::process::run;

/// Makes values read the same on both sides, whatever the defaults of role and database.
const SESSION_SETTINGS: &str = "
    set search_path = '';
    set datestyle = 'ISO, YMD';
    set intervalstyle = 'postgres';
    set timezone = 'UTC';
    set bytea_output = 'hex';
    set row_security = off;
    set statement_timeout = 0;
    set default_transaction_isolation = 'repeatable read'";

/// Rows of a table up to which a difference is shown row by row.
const ROWS_TO_SHOW_FROM: u64 = 200_000;

/// Differing rows of a table that are shown for each side.
const ROWS_SHOWN: usize = 5;

/// Differing lines of the schema that are shown.
const CONTEXT_LINES: usize = 3;

/// What no dump says: which indexes are not valid. Those of the source that are no partitioned ones
/// are left behind, as pg_dump leaves them.
const INVALID_INDEXES: &str = "
    select 'invalid: ' || i.indexrelid::pg_catalog.regclass
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    where not i.indisvalid";

/// A relation's content, whatever the order of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Digest {
    row_count: u64,
    sum: u64,
}

/// What a digest was made of, with the query that reads it, one text column.
#[derive(Debug)]
struct Content {
    query: String,
    digest: Digest,
}

/// Returns what differs in rows, sequences and large objects; two superuser sessions.
pub fn compare_data(source: &mut Client, target: &mut Client) -> Result<Vec<String>> {
    // Before 12 all digits of a floating-point number are printed, since then as many as it takes;
    // both know the old way with fewer digits.
    let has_old_floats = read_version(source)?.min(read_version(target)?) < 120_000;
    for client in [&mut *source, &mut *target] {
        let digits = if has_old_floats { 0 } else { 3 };
        client.batch_execute(&format!("set extra_float_digits = {digits}"))?;
    }
    let (source_contents, target_contents) = thread::scope(|scope| {
        let reader = scope.spawn(|| read_contents(source));
        let target_contents = read_contents(target).context("on the target");
        let source_contents = reader.join().map_err(|_| anyhow!("the source's reader panicked"))?;
        anyhow::Ok((source_contents.context("on the source")?, target_contents?))
    })?;
    let mut differences = Vec::new();
    for (name, expected) in &source_contents {
        match target_contents.get(name) {
            None => differences.push(format!("{name}: missing on the target")),
            Some(found) if found.digest != expected.digest => {
                let rows = show_rows(source, target, expected, found)?;
                differences.push(format!(
                    "{name}: {} rows on the source, {} on the target{rows}",
                    expected.digest.row_count, found.digest.row_count
                ));
            }
            Some(_) => {}
        }
    }
    for name in target_contents.keys().filter(|name| !source_contents.contains_key(*name)) {
        differences.push(format!("{name}: missing on the source"));
    }
    Ok(differences)
}

fn read_version(client: &mut Client) -> Result<i32> {
    let query = "select pg_catalog.current_setting('server_version_num')::pg_catalog.int4";
    Ok(client.query_one(query, &[])?.get(0))
}

/// Digests everything that has content, by a name for people.
fn read_contents(client: &mut Client) -> Result<BTreeMap<String, Content>> {
    client.batch_execute(SESSION_SETTINGS)?;
    let mut queries = vec![(
        "large objects".to_owned(),
        "select row(loid, pageno, data)::text from pg_catalog.pg_largeobject".to_owned(),
    )];
    for row in client.query(include_str!("tables.sql"), &[])? {
        let (schema, table): (String, String) = (row.get(0), row.get(1));
        let columns: Vec<String> = row.get(2);
        let columns: Vec<String> = columns.iter().map(|column| quote_identifier(column)).collect();
        queries.push((
            format!("table {schema}.{table} ({})", columns.join(", ")),
            format!(
                "select row({})::text from only {}.{}",
                columns.join(", "),
                quote_identifier(&schema),
                quote_identifier(&table)
            ),
        ));
    }
    for row in client.query(include_str!("sequences.sql"), &[])? {
        let (schema, sequence): (String, String) = (row.get(0), row.get(1));
        queries.push((
            format!("sequence {schema}.{sequence}"),
            format!(
                "select row(last_value, is_called)::text from {}.{}",
                quote_identifier(&schema),
                quote_identifier(&sequence)
            ),
        ));
    }
    let mut contents = BTreeMap::new();
    for (name, query) in queries {
        let mut digest = Digest::default();
        for_each_row(client, &query, |row| {
            let mut hasher = DefaultHasher::new();
            row.hash(&mut hasher);
            digest.row_count += 1;
            digest.sum = digest.sum.wrapping_add(hasher.finish());
        })
        .with_context(|| format!("could not read {name}"))?;
        contents.insert(name, Content { query, digest });
    }
    Ok(contents)
}

/// Streams the single text column of `query`, a row a call, as COPY writes it.
fn for_each_row(client: &mut Client, query: &str, mut visit: impl FnMut(&[u8])) -> Result<()> {
    let mut reader = client.copy_out(&format!("copy ({query}) to stdout"))?;
    let mut row = Vec::new();
    while reader.read_until(b'\n', &mut row)? > 0 {
        visit(&row);
        row.clear();
    }
    Ok(())
}

/// The first rows that only one side has, a line each; nothing for a table too large to look at.
fn show_rows(
    source: &mut Client,
    target: &mut Client,
    expected: &Content,
    found: &Content,
) -> Result<String> {
    if expected.digest.row_count.max(found.digest.row_count) > ROWS_TO_SHOW_FROM {
        return Ok(String::new());
    }
    let mut surplus: HashMap<Vec<u8>, i64> = HashMap::new();
    for_each_row(source, &expected.query, |row| *surplus.entry(row.to_vec()).or_default() += 1)?;
    for_each_row(target, &found.query, |row| *surplus.entry(row.to_vec()).or_default() -= 1)?;
    let show = |sign: char, is_wanted: fn(i64) -> bool| {
        let mut rows: Vec<String> = surplus
            .iter()
            .filter(|(_, count)| is_wanted(**count))
            .map(|(row, _)| format!("\n  {sign} {}", String::from_utf8_lossy(row).trim_end()))
            .collect();
        rows.sort();
        rows.truncate(ROWS_SHOWN);
        rows.concat()
    };
    Ok(show('-', |count| count > 0) + &show('+', |count| count < 0))
}

/// Returns the unified diff of both sides' pg_dump, without pgmig itself and what the versions of
/// the servers explain; empty when equal.
pub fn compare_schema(source: (&Cluster, &str), target: (&Cluster, &str)) -> Result<String> {
    let majors = [source.0.installation().major()?, target.0.installation().major()?];
    let newer = if majors[0] > majors[1] { source.0 } else { target.0 };
    let dump_schema = |(cluster, database): (&Cluster, &str), kinds| {
        let mut pg_dump = newer.installation().client("pg_dump");
        pg_dump.args(["--schema-only", "--exclude-schema=pgmig", "-d", &cluster.dsn(database)]);
        let dump = run(&mut pg_dump).map(|dump| without_pgmig(&dump))?;
        let invalid = format!("{INVALID_INDEXES} and c.relkind in ({kinds}) order by 1");
        anyhow::Ok(dump + &cluster.psql(database, &invalid)?)
    };
    let mut dumps = [dump_schema(source, "'I'")?, dump_schema(target, "'i', 'I'")?];
    if majors[0] != majors[1] {
        dumps = [
            translate(&dumps[0], majors[0], majors[1]),
            translate(&dumps[1], majors[1], majors[0]),
        ];
    }
    Ok(TextDiff::from_lines(&dumps[0], &dumps[1])
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header("source", "target")
        .to_string())
}

/// Takes the extension, its comment and what differs between any two dumps out of a dump.
fn without_pgmig(dump: &str) -> String {
    const ENTRY: &str = "--\n-- Name: ";
    let mut entries = dump.split(ENTRY);
    let head = entries.next().unwrap_or_default();
    let kept = entries.map(|entry| {
        let is_pgmig = entry.starts_with("pgmig; Type: EXTENSION;")
            || entry.starts_with("EXTENSION pgmig; Type: COMMENT;");
        match is_pgmig {
            false => format!("{ENTRY}{entry}"),
            // What follows for the sake of the next entry stays.
            true => entry.find("SET default_").map_or("", |tail| &entry[tail..]).to_owned(),
        }
    });
    let text: String = std::iter::once(head.to_owned()).chain(kept).collect();
    text.lines()
        .filter(|line| {
            !line.starts_with("-- Dumped ")
                && !line.starts_with("\\restrict ")
                && !line.starts_with("\\unrestrict ")
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pgmig_itself_is_taken_out_of_a_dump() {
        let dump = "--\n-- head\n--\n\n\\restrict abc\n-- Dumped by pg_dump version 15\n\
                    --\n-- Name: pgmig; Type: EXTENSION; Schema: -; Owner: -\n--\n\nCREATE EXTENSION pgmig;\n\n\
                    --\n-- Name: EXTENSION pgmig; Type: COMMENT; Schema: -; Owner: \n--\n\nCOMMENT;\n\n\
                    SET default_tablespace = '';\n\n\
                    --\n-- Name: pgmig2; Type: EXTENSION; Schema: -; Owner: -\n--\n\nCREATE EXTENSION pgmig2;\n";
        assert_eq!(
            without_pgmig(dump),
            "--\n-- head\n--\n\nSET default_tablespace = '';\n\n\
             --\n-- Name: pgmig2; Type: EXTENSION; Schema: -; Owner: -\n--\n\nCREATE EXTENSION pgmig2;\n"
        );
    }
}
