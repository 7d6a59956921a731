//! Small databases over a link with and without delay, where round trips are what counts.

use std::thread;

use anyhow::{Result, anyhow};
use pgmig_tests::data::Script;
use pgmig_tests::{ClusterOptions, Installation};

use crate::contest::{Contestant, hold_contest, measure};
use crate::link::{Link, ROUND_TRIP};
use crate::parameters::Parameters;
use crate::report::{print_contest, print_heading};
use crate::subject::{Content, Size, Subject};
use crate::targets::Results;
use crate::tool::{Task, Tool};

/// The name in `ONLY`.
pub const NAME: &str = "latency";

/// What is copied; sizes at which moving the rows takes no time to speak of, and a second or two.
const SUBJECTS: [Subject; 3] = [
    Subject {
        name: "one_row",
        content: Content::Sql(
            "create table only_one (id integer primary key); insert into only_one values (1)",
        ),
    },
    Subject {
        name: "tables_200",
        content: Content::Script(Script::SmallTables, &[("table_count", "200")]),
    },
    Subject {
        name: "small_stackoverflow",
        content: Content::Script(Script::StackOverflow, &[("scale", "0.2")]),
    },
];

/// The tools that take part; pg_dump with jobs is no better here.
const TOOLS: [&str; 3] = ["pgmig", "pg_dump", "pgcopydb"];

/// Measures on clusters of its own; false if a tool failed.
pub fn run(
    installation: &Installation,
    settings: &[(&str, &str)],
    tools: &[Tool],
    parameters: &Parameters,
    results: &mut Results,
) -> Result<bool> {
    let options = |name| ClusterOptions::new(installation.clone(), name).settings(settings);
    let tools: Vec<Tool> =
        tools.iter().filter(|tool| TOOLS.contains(&tool.name())).cloned().collect();
    // Whatever enters a namespace stays in it.
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let link = Link::open(options("source"), options("target"))?;
            measure_all(&link, &tools, parameters, results)
        });
        thread.join().map_err(|_| anyhow!("the thread of the benchmark panicked"))?
    })
}

fn measure_all(
    link: &Link,
    tools: &[Tool],
    parameters: &Parameters,
    results: &mut Results,
) -> Result<bool> {
    let Link { pair, .. } = link;
    println!("\n## latency\n\n- {}", link.describe());
    println!("- everything but the source is on the target's side");
    let mut all_succeeded = true;
    for subject in SUBJECTS {
        eprintln!("{}: fill the source", subject.name);
        let size = subject.fill(&pair.source, parameters.scale)?;
        print_heading(subject.name, size);
        let baseline =
            if tools.iter().any(|tool| tool.name() == "pgcopydb") { "pgcopydb" } else { "pg_dump" };
        let turns = count_turns(link, subject.name, tools, parameters.job_count)?;
        let mut medians = Vec::new();
        for is_delayed in [false, true] {
            let (address, port) = link.set_delay(is_delayed)?;
            let task = Task {
                pair,
                database: subject.name,
                job_count: parameters.job_count,
                route: Some((&address, port)),
            };
            let contestants = hold_contest(task, tools, parameters.round_count, false);
            all_succeeded &= contestants.iter().all(|contestant| contestant.failure.is_none());
            let round_trip = if is_delayed { ROUND_TRIP.as_millis() } else { 0 };
            println!("\nround trips of {round_trip} ms:");
            print_contest(&contestants, baseline, size, parameters.job_count);
            let name = format!("{} {round_trip} ms", subject.name);
            results.add_all(&name, &contestants);
            medians.push(contestants);
        }
        print_turns(tools, &turns, &medians, size);
        pair.source.drop_database(subject.name)?;
        pair.target.drop_database(subject.name)?;
    }
    Ok(all_succeeded)
}

/// How often each tool waits for the source to say something, on all its connections together.
fn count_turns(
    link: &Link,
    database: &str,
    tools: &[Tool],
    job_count: usize,
) -> Result<Vec<Option<u64>>> {
    link.set_delay(false)?;
    let counter = link.open_counter()?;
    let task =
        Task { pair: &link.pair, database, job_count, route: Some(("127.0.0.1", counter.port())) };
    let count = |tool| {
        let before = counter.turn_count();
        let measured = measure(tool, task, None);
        measured.is_ok().then(|| counter.turn_count() - before)
    };
    Ok(tools.iter().map(count).collect())
}

/// Prints how often tools wait, and what the delay costs them.
fn print_turns(tools: &[Tool], turns: &[Option<u64>], medians: &[Vec<Contestant>], size: Size) {
    println!("\nwaits for the source of all connections together, {} tables:\n", size.table_count);
    println!("| tool | waits | seconds that the delay adds |\n|---|--:|--:|");
    for (position, (tool, turns)) in tools.iter().zip(turns).enumerate() {
        let median = |delayed: usize| medians.get(delayed)?.get(position)?.median_seconds();
        let turns = turns.map_or_else(|| "failed".to_owned(), |turns| turns.to_string());
        let added = median(1).zip(median(0)).map(|(with, without)| with - without);
        let added = added.map_or_else(String::new, |added| format!("{added:.2}"));
        println!("| {} | {turns} | {added} |", tool.name());
    }
}
