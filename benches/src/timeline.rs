//! What the workers of a run did, second by second: a line of letters for each.

use anyhow::Result;
use pgmig_tests::Cluster;

/// Letters of a line.
const WIDTH: usize = 100;

/// Tasks that took this share of the run are listed by name.
const LONG: f64 = 0.02;

/// A task of the run.
struct Spell {
    worker: i32,
    kind: String,
    object: String,
    /// Seconds since the first task began.
    begin: f64,
    end: f64,
}

/// Draws the only run in the database.
pub fn draw(target: &Cluster, database: &str) -> Result<String> {
    Ok(render(&read(target, database)?))
}

/// Seconds from the beginning of the first task to the end of the last, if there are any.
pub fn read_seconds(target: &Cluster, database: &str) -> Result<Option<f64>> {
    Ok(read(target, database)?.iter().map(|spell| spell.end).max_by(f64::total_cmp))
}

fn read(target: &Cluster, database: &str) -> Result<Vec<Spell>> {
    let rows = target.client(database)?.query(include_str!("timeline.sql"), &[])?;
    let spells = rows
        .iter()
        .map(|row| Spell {
            worker: row.get(0),
            kind: row.get(1),
            object: row.get(2),
            begin: row.get(3),
            end: row.get(4),
        })
        .collect();
    Ok(spells)
}

fn render(spells: &[Spell]) -> String {
    let whole = spells.iter().map(|spell| spell.end).fold(0.0, f64::max);
    let mut workers: Vec<i32> = spells.iter().map(|spell| spell.worker).collect();
    workers.sort_unstable();
    workers.dedup();
    let mut text = String::new();
    for worker in workers {
        let own = || spells.iter().filter(|spell| spell.worker == worker);
        let line: String = (0..WIDTH)
            .map(|column| {
                let moment = (column as f64 + 0.5) / WIDTH as f64 * whole;
                let spell = own().find(|spell| spell.begin <= moment && moment < spell.end);
                spell.map_or('.', |spell| letter(&spell.kind))
            })
            .collect();
        let busy: f64 = own().map(|spell| spell.end - spell.begin).sum();
        text += &format!("worker {worker} {line} idle {:.2} s of {whole:.2}\n", whole - busy);
    }
    for spell in spells.iter().filter(|spell| spell.end - spell.begin >= LONG * whole) {
        text += &format!(
            "{:7.2} to {:6.2} s  worker {}  {:<12} {}\n",
            spell.begin, spell.end, spell.worker, spell.kind, spell.object
        );
    }
    text
}

/// The letter of a kind of task.
fn letter(kind: &str) -> char {
    match kind {
        "ddl" => 'd',
        "copy" => 'c',
        "index" => 'i',
        "constraint" => 'k',
        "foreign_key" => 'f',
        "check" => 'v',
        "analyze" => 'a',
        _ => 'o',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_has_a_line_and_long_tasks_have_names() {
        let spell = |worker, kind: &str, begin, end| Spell {
            worker,
            kind: kind.to_owned(),
            object: "x".to_owned(),
            begin,
            end,
        };
        let text = render(&[
            spell(1, "copy", 0.0, 5.0),
            spell(2, "copy", 0.0, 0.1),
            spell(1, "index", 5.0, 10.0),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with(&format!("worker 1 {}{}", "c".repeat(50), "i".repeat(50))));
        assert!(lines[1].starts_with("worker 2 c.") && lines[1].ends_with("idle 9.90 s of 10.00"));
        assert!(lines[3].contains("index"));
    }
}
