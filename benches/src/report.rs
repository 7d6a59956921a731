//! The result as Markdown.

use std::fs;

use anyhow::Result;
use pgmig_tests::Pair;

use crate::contest::{Contestant, Measurement};
use crate::parameters::Parameters;
use crate::subject::Size;

/// Bytes of a megabyte, as in MB/s.
const MEGABYTE: f64 = 1e6;

/// Prints what was measured where and how.
pub fn print_setting(
    pair: &Pair,
    parameters: &Parameters,
    settings: &[(&str, &str)],
) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read_line("/proc/meminfo", "MemTotal:")
        .and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
        .map_or_else(|| "?".to_owned(), |kilobytes| format!("{:.0}", kilobytes / 1024.0 / 1024.0));
    let processor = read_line("/proc/cpuinfo", "model name").unwrap_or_else(|| "?".to_owned());
    let settings: Vec<String> =
        settings.iter().map(|(name, value)| format!("`{name} = {value}`")).collect();
    println!("- machine: {cores} cores ({processor}), {memory} GiB of memory; both clusters on it");
    println!("- PostgreSQL {} on both sides", pair.target.installation().version()?);
    println!("- both clusters: {}; otherwise defaults", settings.join(", "));
    println!("- {} rounds; every tool once a round, into a new database", parameters.round_count);
    Ok(())
}

/// Prints what is in a database, as the heading of its tables.
pub fn print_heading(name: &str, size: Size) {
    println!(
        "\n### {name}: {} tables, {} rows, {:.0} MB of tables, {:.0} MB with indexes",
        size.table_count,
        size.row_count,
        size.table_bytes as f64 / MEGABYTE,
        size.database_bytes as f64 / MEGABYTE
    );
}

/// Prints what the tools took to copy a database, as shares of what `baseline` took.
pub fn print_contest(contestants: &[Contestant], baseline: &str, size: Size, job_count: usize) {
    let baseline = contestants
        .iter()
        .find(|contestant| contestant.tool.name() == baseline)
        .and_then(Contestant::median_seconds);
    println!(
        "\n| tool | seconds (median) | ratio | fastest | slowest | rows/s | MB/s | CPU s, source \
         | CPU s, target | CPU s, tool | WAL MB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for contestant in contestants {
        let name = contestant.tool.describe(job_count);
        let measurements = &contestant.measurements;
        if let Some(failure) = &contestant.failure {
            let reason = failure.lines().next().unwrap_or_default().replace('|', "\\|");
            println!("| {name} | failed: {reason} | | | | | | | | | |");
            continue;
        }
        let Some(seconds) = contestant.median_seconds() else {
            continue;
        };
        let walls = || measurements.iter().map(|m| m.wall_seconds);
        let figure = |of: fn(&Measurement) -> f64| contestant.median(of);
        println!(
            "| {name} | {seconds:.2} | {} | {:.2} | {:.2} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} \
             | {:.0} |",
            baseline.map_or_else(String::new, |baseline| format!("{:.2}", seconds / baseline)),
            walls().fold(f64::INFINITY, f64::min),
            walls().fold(0.0, f64::max),
            size.row_count as f64 / seconds,
            size.table_bytes as f64 / MEGABYTE / seconds,
            figure(|m| m.source_seconds),
            figure(|m| m.target_seconds),
            figure(|m| m.client_seconds),
            figure(|m| m.wal_bytes) / MEGABYTE,
        );
    }
}

/// Prints what pgmig's workers did in their last round.
pub fn print_timelines(contestants: &[Contestant]) {
    for timeline in contestants.iter().filter_map(|contestant| contestant.timeline.as_ref()) {
        println!(
            "\nThe workers of pgmig's last round (d schema, c copy, v check, i index, k key, f foreign \
             key, a analyze, o other, . idle):\n\n```text\n{timeline}```"
        );
    }
}

impl Contestant {
    /// The middle of a figure of its copies.
    pub fn median(&self, figure: impl Fn(&Measurement) -> f64) -> f64 {
        median_of(&self.measurements, figure).unwrap_or_default()
    }

    /// The middle of what its copies took, if it was not given up.
    pub fn median_seconds(&self) -> Option<f64> {
        let measurements = self.failure.is_none().then_some(&self.measurements)?;
        median_of(measurements, |measurement| measurement.wall_seconds)
    }
}

fn median_of(measurements: &[Measurement], figure: impl Fn(&Measurement) -> f64) -> Option<f64> {
    median(measurements.iter().map(figure).collect())
}

/// The middle value, or the mean of the two in the middle; none of nothing.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values[low] + values[high]) / 2.0)
}

/// What follows a name in a file of /proc.
fn read_line(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches([':', ' ', '\t']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
