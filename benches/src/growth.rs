//! How a run grows with the number of tables.

use anyhow::Result;
use pgmig_tests::Pair;
use pgmig_tests::data::Script;

use crate::contest::hold_contest;
use crate::parameters::Parameters;
use crate::subject::{Content, Subject};
use crate::targets::Results;
use crate::tool::{Task, Tool, Variant};

/// The name in `ONLY`.
pub const NAME: &str = "growth";

/// Numbers of tables, with 3 indexes each: twice as many every time.
const COUNTS: [(&str, &[(&str, &str)]); 4] = [
    ("growth_500", &[("table_count", "500")]),
    ("growth_1000", &[("table_count", "1000")]),
    ("growth_2000", &[("table_count", "2000")]),
    ("growth_4000", &[("table_count", "4000")]),
];

/// Measures them all; false if a copy failed.
pub fn run(pair: &Pair, parameters: &Parameters, results: &mut Results) -> Result<bool> {
    let tool = Tool::Pgmig(Variant { name: "pgmig".to_owned(), ..Variant::default() });
    let mut all_succeeded = true;
    let mut per_table = Vec::new();
    println!("\n### {NAME}: tables of 50 rows with 3 indexes each, pgmig alone\n");
    println!("| tables | seconds (median) | ms per table | CPU s, source | CPU s, target |");
    println!("|--:|--:|--:|--:|--:|");
    for (name, variables) in COUNTS {
        eprintln!("{name}: fill the source");
        let content = Content::Script(Script::SmallTables, variables);
        let size = Subject { name, content }.fill(&pair.source, parameters.scale)?;
        let job_count = parameters.job_count;
        let task = Task { pair, database: name, job_count, route: None };
        let tools = std::slice::from_ref(&tool);
        let contestants = hold_contest(task, tools, parameters.round_count, true);
        for contestant in &contestants {
            let Some(seconds) = contestant.median_seconds() else {
                all_succeeded = false;
                continue;
            };
            let each = seconds / size.table_count as f64;
            println!(
                "| {} | {seconds:.2} | {:.2} | {:.1} | {:.1} |",
                size.table_count,
                each * 1e3,
                contestant.median(|m| m.source_seconds),
                contestant.median(|m| m.target_seconds),
            );
            per_table.push(each);
        }
        pair.source.drop_database(name)?;
    }
    if let [first, .., last] = per_table.as_slice() {
        results.growth = Some(last / first);
    }
    Ok(all_succeeded)
}
