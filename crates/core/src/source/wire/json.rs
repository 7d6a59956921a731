//! Catalog queries over a session: every row as one JSON object.

use super::connection::{Connection, Event, decode_row};
use super::message;
use crate::source::CatalogSession;
use crate::{Error, Result};

/// Whether a JSON text spells a zero byte, which no text of a server contains.
fn has_zero_escape(json: &str) -> bool {
    let mut rest = json.as_bytes();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        rest = &rest[at + 1..];
        if rest.starts_with(b"u0000") {
            return true;
        }
        // The escaped character may be a backslash itself.
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

/// The statement that returns a query's rows as JSON.
fn json_statement(query: &str) -> String {
    let query = query.trim_end().trim_end_matches(';');
    // The query may end with a comment line.
    format!("select pg_catalog.row_to_json(q)::pg_catalog.text\n  from (\n{query}\n) as q")
}

/// Hands the JSON of a row on.
fn take_json(row: &[Option<&str>], each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    match row {
        // What cannot be decoded is what the server has sent.
        [Some(json)] if !has_zero_escape(json) => each(json).map_err(|error| match error {
            Error::Internal(why) => Error::Protocol(message::clean(&why)),
            other => other,
        }),
        [Some(_)] => Err(Error::Protocol("a value contains a zero byte".to_owned())),
        _ => Err(Error::Protocol("a row of JSON is not one value".to_owned())),
    }
}

/// The source's catalogs, as JSON rows.
impl CatalogSession for Connection {
    fn query_json(&mut self, query: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        self.for_each_row(&json_statement(query), &mut |row| take_json(row, each))
    }

    fn query_json_each(
        &mut self,
        queries: &[String],
        each: &mut dyn FnMut(usize, &str) -> Result<()>,
    ) -> Result<()> {
        let statements: Vec<String> = queries.iter().map(|query| json_statement(query)).collect();
        let mut begun = 0;
        self.send_query(&statements.join(";\n"))?;
        self.receive(queries.len(), &mut |event| match event {
            Event::Columns => {
                begun += 1;
                Ok(())
            }
            Event::Row(body) => {
                let position = usize::checked_sub(begun, 1).filter(|at| *at < queries.len());
                let position =
                    position.ok_or_else(|| Error::Protocol("a row of no query".to_owned()))?;
                take_json(&decode_row(body)?, &mut |json| each(position, json))
            }
            Event::Complete(_) => Ok(()),
        })?;
        match begun == queries.len() {
            true => Ok(()),
            false => Err(Error::Protocol("a query has no result".to_owned())),
        }
    }

    fn version_num(&self) -> u32 {
        self.server().version_num
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::wire::fake;

    #[test]
    fn zero_bytes_are_told_from_backslashes() {
        for (json, expected) in [
            (r#"{"name": "a\u0000b"}"#, true),
            (r#"{"name": "a\\\u0000b"}"#, true),
            (r#"{"name": "a\\u0000b"}"#, false),
            (r#"{"name": "a\u00001\""}"#, true),
            (r#"{"name": "\u0001"}"#, false),
            (r"\", false),
        ] {
            assert_eq!(has_zero_escape(json), expected, "{json}");
        }
    }

    /// Answers two queries with the bytes of results and returns the rows with their queries' positions.
    fn ask_two(results: &[Vec<u8>]) -> Result<Vec<(usize, String)>> {
        let mut connection = fake::session(results.concat(), &[usize::MAX]);
        let mut rows = Vec::new();
        let queries = ["select 1".to_owned(), "select 2 -- a comment".to_owned()];
        connection.query_json_each(&queries, &mut |position, json| {
            rows.push((position, json.to_owned()));
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn rows_of_queries_asked_together_are_told_apart() {
        let row = |json: &'static str| fake::row(&[Some(json.as_bytes())]);
        let (begin, end) = (fake::columns, || fake::complete("SELECT"));
        let rows = ask_two(&[begin(), end(), begin(), row("2"), row("3"), end(), fake::ready()]);
        assert_eq!(rows.unwrap(), [(1, "2".to_owned()), (1, "3".to_owned())]);
        for lie in [
            vec![begin(), row("1"), end(), fake::ready()],
            vec![row("1"), begin(), end(), begin(), end(), fake::ready()],
            vec![begin(), end(), begin(), end(), begin(), row("1"), end(), fake::ready()],
        ] {
            assert!(matches!(ask_two(&lie), Err(Error::Protocol(_))));
        }
    }
}
