//! A catalog that lies: any value in any row may be another one, and a plan's statements are an error or
//! statements, but never a panic.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/session.rs"]
mod session;

use std::collections::HashMap;

use cluster::Cluster;
use pgmig_core::Result;
use pgmig_core::ddl::{self, DdlOptions};
use pgmig_core::model::Catalog;
use pgmig_core::plan::order;
use pgmig_core::source::{CatalogSession, catalog};
use serde_json::{Value, json};
use session::Session;

/// A schema with one of everything and hostile names.
const EVERYTHING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/sql/everything.sql");

/// Lies told, each to a reader of its own.
const ROUNDS: usize = 60;

/// The rows of every query.
type Rows = HashMap<String, Vec<Value>>;

/// Keeps what a session answers.
struct Recorder {
    session: Session,
    rows: Rows,
}

impl CatalogSession for Recorder {
    fn query_json(&mut self, query: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let rows = self.rows.entry(query.to_owned()).or_default();
        self.session.query_json(query, &mut |json| {
            rows.push(serde_json::from_str(json).expect("not JSON"));
            each(json)
        })
    }

    fn version_num(&self) -> u32 {
        self.session.version_num()
    }
}

/// Answers what it is given.
struct Player {
    rows: Rows,
    version_num: u32,
}

impl CatalogSession for Player {
    fn query_json(&mut self, query: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let rows = self.rows.get(query).map(Vec::as_slice).unwrap_or_default();
        rows.iter().try_for_each(|row| each(&row.to_string()))
    }

    fn version_num(&self) -> u32 {
        self.version_num
    }
}

/// The places of all values in a row that are no containers.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                leaves(value, &format!("{path}/{key}"), found);
            }
        }
        Value::Array(elements) => {
            for (i, value) in elements.iter().enumerate() {
                leaves(value, &format!("{path}/{i}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// What may stand in the place of a value: of its own type, so that it is believed, or of another.
fn lie_about(value: &Value, number: usize) -> Value {
    let texts = ["", "\"", "'; drop table x; --", "\u{1b}[2J\n%s", "pg_catalog", "0", "\u{fffd}"];
    let numbers = [
        json!(0),
        json!(-1),
        json!(1),
        json!(16384),
        json!(u32::MAX),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(1e300),
    ];
    match value {
        Value::String(_) if number % 4 != 0 => json!(texts[number % texts.len()]),
        Value::Number(_) if number % 4 != 0 => numbers[number % numbers.len()].clone(),
        Value::Bool(value) if number % 4 != 0 => json!(!value),
        _ => [json!(null), json!([]), json!({}), json!("x"), json!(7)][number % 5].clone(),
    }
}

/// Reads a catalog and renders it; what can be read at all.
fn render(mut player: Player) -> Option<(Catalog, usize)> {
    let catalog = catalog::read(&mut player).ok()?;
    let options = DdlOptions::all(catalog.server.version_num);
    let items = order::sort(ddl::render(&catalog, &options), &catalog.depends);
    let count = items.len();
    Some((catalog, count))
}

#[test]
fn no_value_in_a_catalog_makes_the_planner_panic() {
    let cluster = Cluster::start();
    cluster.output_of("psql", "postgres", &["-qc", "create database source"]);
    cluster.output_of("psql", "source", &["-qXv", "ON_ERROR_STOP=1", "-f", EVERYTHING]);
    let session = Session::connect(&cluster.dsn("source"));
    let mut recorder = Recorder { session, rows: Rows::new() };
    catalog::read(&mut recorder).expect("no catalog");
    let version_num = recorder.version_num();
    let told = recorder.rows;
    let truth = render(Player { rows: told.clone(), version_num }).expect("the truth is readable");

    let mut queries: Vec<_> = told.keys().filter(|query| !told[*query].is_empty()).collect();
    queries.sort();
    let mut believed = 0;
    for round in 0..ROUNDS {
        let mut rows = told.clone();
        let query = queries[round % queries.len()];
        let lies = rows.get_mut(query).expect("the query was recorded");
        // Numbers without a common measure reach every row and every column in time.
        let row = round * 7919 % lies.len();
        let mut places = Vec::new();
        leaves(&lies[row], "", &mut places);
        let place = &places[round * 104_729 / 31 % places.len()];
        match round % 10 {
            0 => drop(lies.remove(row)),
            1 => lies.push(lies[row].clone()),
            _ => {
                let value = lies[row].pointer_mut(place).expect("the place was found there");
                *value = lie_about(value, round / 10 + round);
            }
        }
        believed += usize::from(render(Player { rows, version_num }).is_some());
    }
    assert!(truth.1 > 100 && believed > ROUNDS / 4, "{believed} of {ROUNDS} lies were believed");
}
