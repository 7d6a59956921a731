//! What pgmig is to reach, and whether it does.

use crate::contest::Contestant;
use crate::parts::Parts;

/// Medians in seconds by database and tool.
#[derive(Debug, Default)]
pub struct Results {
    medians: Vec<(String, String, f64)>,
    pub parts: Option<Parts>,
    /// Seconds with a skewed key as a share of those with an even one: `auto`, and cut by the key.
    pub skew: Option<(f64, f64)>,
    /// Seconds per table with the most tables as a share of those with the fewest.
    pub growth: Option<f64>,
}

impl Results {
    /// Takes in the medians of all tools.
    pub fn add_all(&mut self, subject: &str, contestants: &[Contestant]) {
        for contestant in contestants {
            if let Some(seconds) = contestant.median_seconds() {
                self.add(subject, contestant.tool.name(), seconds);
            }
        }
    }

    /// Takes in the median of a tool.
    fn add(&mut self, subject: &str, tool: &str, seconds: f64) {
        self.medians.push((subject.to_owned(), tool.to_owned(), seconds));
    }

    /// What `tool` took; None if it took no part.
    fn seconds(&self, subject: &str, tool: &str) -> Option<f64> {
        let found = self.medians.iter().find(|(of, by, _)| of == subject && by == tool);
        found.map(|(.., seconds)| *seconds)
    }

    /// What `tool` took as a share of what `other` took; None if one of them took no part.
    fn ratio(&self, subject: &str, tool: &str, other: &str) -> Option<f64> {
        Some(self.seconds(subject, tool)? / self.seconds(subject, other)?)
    }

    /// Prints the targets as Markdown, with what was measured.
    pub fn print(&self) {
        println!("\n### targets\n");
        println!("| | at most | measured | |");
        println!("|---|--:|--:|---|");
        for (what, most, measured) in self.targets() {
            let verdict = match measured {
                None => "not measured",
                Some(measured) if measured <= most => "pass",
                Some(_) => "miss",
            };
            let measured = measured.map_or_else(String::new, |measured| format!("{measured:.2}"));
            println!("| {what} | {most} | {measured} | {verdict} |");
        }
    }

    fn targets(&self) -> Vec<(&'static str, f64, Option<f64>)> {
        let large = |tool, other| self.ratio("stackoverflow", tool, other);
        let index = |position: usize| {
            self.parts.map(|parts| parts.index[position][0] / parts.index[position][1])
        };
        vec![
            ("stackoverflow against pgcopydb", 0.55, large("pgmig", "pgcopydb")),
            (
                "stackoverflow, foreign keys trusted, against pgcopydb",
                0.45,
                large("pgmig_trust", "pgcopydb"),
            ),
            ("stackoverflow against pg_dump \\| psql", 0.35, large("pgmig", "pg_dump")),
            ("index against CREATE INDEX, CPU, 1 GB", 0.5, index(0)),
            ("index against CREATE INDEX, CPU, 64 MB", 0.8, index(1)),
            (
                "rows against binary COPY pipes of psql",
                0.8,
                self.parts.map(|parts| parts.rows[0] / parts.rows[1]),
            ),
            (
                "small_tables against pg_dump \\| psql",
                0.25,
                self.ratio("small_tables", "pgmig", "pg_dump"),
            ),
            (
                "target's CPU seconds per million narrow rows",
                0.22,
                self.parts.map(|parts| parts.target_seconds_per_million),
            ),
            (
                "worker's memory outside shared buffers while copying, MB",
                64.0,
                self.parts.map(|parts| parts.worker_megabytes),
            ),
            ("a skewed key against an even one, by default", 1.1, self.skew.map(|skew| skew.0)),
            ("a skewed key against an even one, cut by key", 1.1, self.skew.map(|skew| skew.1)),
            ("seconds per table, 4,000 tables against 500", 1.1, self.growth),
            (
                "round trips of 20 ms, one row, against pgcopydb",
                0.55,
                self.ratio("one_row 20 ms", "pgmig", "pgcopydb"),
            ),
            (
                "round trips of 20 ms, 200 tables, against pgcopydb",
                0.55,
                self.ratio("tables_200 20 ms", "pgmig", "pgcopydb"),
            ),
            ("a database of one row, seconds", 0.5, self.seconds("one_row 0 ms", "pgmig")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_measured_only_by_those_who_took_part() {
        let mut results = Results::default();
        results.add("stackoverflow", "pgmig", 10.0);
        results.add("stackoverflow", "pg_dump", 40.0);
        let measured: Vec<_> =
            results.targets().into_iter().filter_map(|(_, _, measured)| measured).collect();
        assert_eq!(measured, [0.25]);
    }
}
