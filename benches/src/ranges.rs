//! What tables are cut by, and how finely: the copying of rows alone.

use anyhow::Result;
use pgmig_tests::Pair;

use crate::parameters::Parameters;
use crate::report::median;
use crate::targets::Results;
use crate::tool::{Task, copy_with_pgmig, start_anew};

/// The name in `ONLY`, and of the database.
pub const NAME: &str = "ranges";

/// Rows of the narrow tables at `SCALE=10`, in thousands of those of `SCALE=1`.
const ROWS_PER_SCALE: f64 = 200_000.0;

/// Tables with what is special about them. `even` and `skewed` differ by their keys alone.
const TABLES: [(&str, &str); 7] = [
    ("even", "bigint keys without gaps"),
    ("skewed", "bigint keys, 98 % of them in a billionth of their span"),
    ("scattered", "bigint keys in no order of the heap"),
    ("uuid", "uuid keys"),
    ("narrow", "one int4"),
    ("wide", "rows of 2 kB"),
    ("toast", "rows of 100 bytes with 8 kB beside them, the last fiftieth of the rows only"),
];

/// Ranges per table with option `chunk_size`.
const COUNTS: [u64; 3] = [4, 16, 64];

/// One way to copy one table.
struct Trial {
    table: &'static str,
    what: String,
    options: String,
    seconds: Vec<f64>,
    /// The longest range as a multiple of the mean one.
    longest: Vec<f64>,
    range_count: i64,
}

/// Measures all tables in all ways.
pub fn run(pair: &Pair, parameters: &Parameters, results: &mut Results) -> Result<()> {
    let row_count = (ROWS_PER_SCALE * parameters.scale).round();
    eprintln!("{NAME}: fill the source");
    let script = include_str!("ranges.sql").replace(":row_count", &row_count.to_string());
    pair.source.create_database(NAME)?;
    pair.source.execute(NAME, &script)?;
    pair.source.execute(NAME, "vacuum analyze")?;
    let mut trials = list_trials(row_count as u64);
    for round in 1..=parameters.round_count {
        for trial in &mut trials {
            trial.measure(pair, parameters.job_count)?;
            let seconds = trial.seconds.last().copied().unwrap_or_default();
            let (table, what) = (trial.table, &trial.what);
            eprintln!(
                "{NAME} {round}/{} {table:<10} {what:<16}{seconds:>8.2} s",
                parameters.round_count
            );
        }
    }
    print(&trials, row_count, parameters.job_count);
    let seconds = |table: &str, what: &str| {
        let trial = trials.iter().find(|trial| trial.table == table && trial.what == what);
        trial.map(|trial| trial.seconds.as_slice()).unwrap_or_default()
    };
    // Of every round by itself: what else the machine does changes from round to round.
    let ratio = |what| {
        let pairs = seconds("skewed", what).iter().zip(seconds("even", what));
        median(pairs.map(|(skewed, even)| skewed / even).collect())
    };
    results.skew = ratio("auto").zip(ratio("pk"));
    pair.source.drop_database(NAME)?;
    pair.target.drop_database(NAME)
}

/// Every table in every way, and one table in ranges of several sizes.
fn list_trials(row_count: u64) -> Vec<Trial> {
    let trial = |table: &'static str, what: String, options: String| Trial {
        table,
        what,
        // Smaller than any default: it is a matter of seconds here.
        options: format!(
            r#""tables": "{table}", "data_only": true, "validation": "none", "partition_threshold": {}{options}"#,
            row_count / 40
        ),
        seconds: Vec::new(),
        longest: Vec::new(),
        range_count: 0,
    };
    let mut trials = Vec::new();
    // Tables that are compared follow each other closely.
    for method in ["auto", "pk", "ctid", "none"] {
        for (table, _) in TABLES {
            let row_count = if table == "wide" { row_count / 10 } else { row_count };
            let options = match method {
                "none" => r#", "chunk_by": "none""#.to_owned(),
                _ => {
                    format!(r#", "chunk_by": "{method}", "chunk_size": {}"#, row_count.div_ceil(8))
                }
            };
            trials.push(trial(table, method.to_owned(), options));
        }
    }
    for table in ["even", "toast"] {
        for count in COUNTS {
            let rows = row_count.div_ceil(count).max(1);
            let options = format!(r#", "chunk_by": "ctid", "chunk_size": {rows}"#);
            trials.push(trial(table, format!("ctid, {count} ranges"), options));
        }
    }
    trials
}

impl Trial {
    /// Copies the table once into one without indexes.
    fn measure(&mut self, pair: &Pair, job_count: usize) -> Result<()> {
        start_anew(pair, NAME)?;
        let schema = include_str!("ranges_schema.sql");
        pair.target.execute(NAME, schema)?;
        let task = Task { pair, database: NAME, job_count, route: None };
        copy_with_pgmig(task, &self.options)?;
        let row = pair.target.client(NAME)?.query_one(include_str!("range_times.sql"), &[])?;
        self.seconds.push(row.get(0));
        self.longest.push(row.get(1));
        self.range_count = row.get(2);
        Ok(())
    }
}

fn print(trials: &[Trial], row_count: f64, job_count: usize) {
    println!("\n### {NAME}: {row_count:.0} rows each, {job_count} jobs, rows alone\n");
    for (table, what) in TABLES {
        println!("- `{table}`: {what}");
    }
    println!("\n| table | cut by | ranges | seconds (median) | longest range, of the mean |");
    println!("|---|---|--:|--:|--:|");
    for trial in trials {
        println!(
            "| {} | {} | {} | {:.2} | {:.2} |",
            trial.table,
            trial.what,
            trial.range_count,
            median(trial.seconds.clone()).unwrap_or_default(),
            median(trial.longest.clone()).unwrap_or_default(),
        );
    }
}
