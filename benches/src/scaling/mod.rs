//! What limits a database that this machine cannot hold: costs measured here at several sizes, put into
//! pgmig's own plan and handed out by its own scheduler to more workers than there are here.

mod growth;
mod recorded;
mod simulate;

use std::collections::HashMap;

use anyhow::Result;
use pgmig_core::name::QualifiedName;
use pgmig_core::plan::task::{Task, TaskKind};
use pgmig_tests::Pair;
use pgmig_tests::data::Script;

use self::growth::{Growth, WalLevel, grow, work_of};
use self::recorded::{Reading, Run, read_tables, record};
use self::simulate::{Machine, Outlook, RESOURCES, replay};
use crate::parameters::Parameters;
use crate::subject::{Content, Subject};

/// The name in `ONLY`, and of the database.
pub const NAME: &str = "scaling";

const SUBJECT: Subject =
    Subject { name: NAME, content: Content::Script(Script::StackOverflow, &[]) };

/// Sizes that are measured, as shares of `SCALE`.
const SHARES: [f64; 3] = [0.25, 0.5, 1.0];

/// Bytes of tables of the database that is not there.
const TARGET_BYTES: f64 = 10e12;

/// Cores on each side.
const CORES: f64 = 64.0;

/// Shapes of it: how often each of the six tables is there.
const SHAPES: [(&str, usize); 2] = [("6 tables", 1), ("198 tables", 33)];

/// Bits per second, of which TCP leaves about 94 percent.
const NETWORKS: [(&str, f64); 3] =
    [("10 Gbit/s", 10e9), ("25 Gbit/s", 25e9), ("100 Gbit/s", 100e9)];
const PAYLOAD: f64 = 0.94 / 8.0;

/// Bytes per second written: a volume of a cloud, and local NVMe drives.
const DISKS: [(&str, f64); 2] = [("1 GB/s", 1e9), ("6 GB/s", 6e9)];

/// Tasks that are told of by name.
const LONGEST: usize = 6;

const WORKERS: [usize; 5] = [4, 8, 16, 32, 64];

/// Kinds of task whose costs are told.
const KINDS: [(TaskKind, &str, f64); 4] = [
    (TaskKind::Copy, "copy, µs per row", 1e6),
    (TaskKind::Index, "index, ns per row and log2 of rows", 1e9),
    (TaskKind::ForeignKey, "foreign key, µs per row", 1e6),
    (TaskKind::Check, "count, µs per row", 1e6),
];

/// Everything that was measured at one size.
struct Sample {
    one: Run,
    two: Run,
    readings: HashMap<QualifiedName, Reading>,
}

/// Measures, and replays what was measured.
pub fn run(pair: &Pair, parameters: &Parameters) -> Result<()> {
    let mut samples = Vec::new();
    for share in SHARES {
        eprintln!("{NAME}: fill the source at {share} of the scale");
        SUBJECT.fill(&pair.source, parameters.scale * share)?;
        let one = record(pair, NAME, 1)?;
        let readings = read_tables(&pair.source, NAME, &one.tasks)?;
        samples.push(Sample { two: record(pair, NAME, 2)?, one, readings });
        pair.source.drop_database(NAME)?;
        pair.target.drop_database(NAME)?;
    }
    print_costs(&samples, parameters.scale);
    print_proof(&samples, parameters.scale)?;
    let Some(largest) = samples.last() else { return Ok(()) };
    for (shape, set_count) in SHAPES {
        print_outlooks(largest, shape, set_count)?;
    }
    Ok(())
}

fn print_costs(samples: &[Sample], scale: f64) {
    println!("\n### {NAME}: costs with one worker\n");
    print!("| |");
    for share in SHARES {
        print!(" scale {} |", scale * share);
    }
    println!("\n|---|{}", "--:|".repeat(SHARES.len()));
    for (kind, label, unit) in KINDS {
        print!("| {label} |");
        for sample in samples {
            let of_kind = || {
                let tasks = sample.one.tasks.iter().zip(&sample.one.seconds);
                tasks.filter(move |(task, _)| task.kind == kind)
            };
            let seconds: f64 = of_kind().map(|(_, seconds)| seconds).sum();
            let work: f64 = of_kind().map(|(task, _)| work_of(kind, task.rows as f64)).sum();
            print!(" {:.2} |", seconds / work * unit);
        }
        println!();
    }
    let line = |label: &str, figure: &dyn Fn(&Sample) -> f64| {
        let figures: Vec<String> =
            samples.iter().map(|sample| format!("{:.2}", figure(sample))).collect();
        println!("| {label} | {} |", figures.join(" | "));
    };
    let rows = |sample: &Sample| -> f64 {
        let copies = sample.one.tasks.iter().filter(|task| task.kind == TaskKind::Copy);
        copies.map(|task| task.rows as f64).sum()
    };
    line("source's COPY, CPU µs per row", &|sample| {
        let seconds: f64 = sample.readings.values().map(|reading| reading.source_seconds).sum();
        seconds / rows(sample) * 1e6
    });
    line("bytes on the wire per row", &|sample| {
        let bytes: f64 = sample.readings.values().map(|reading| reading.wire_bytes).sum();
        bytes / rows(sample)
    });
    line("bytes of WAL per byte of tables", &|sample| {
        let copies = sample.one.tasks.iter().filter(|task| task.kind == TaskKind::Copy);
        sample.one.measurement.wal_bytes / copies.map(|task| task.bytes as f64).sum::<f64>()
    });
    line("bytes of index per row of an index", &|sample| sample.one.index_bytes_per_row);
    line("CPU's share of the target's time, waits left out above", &|sample| sample.one.cpu_share);
}

/// Prints what the replay says of what was measured: from the smallest size to all, on this machine.
fn print_proof(samples: &[Sample], scale: f64) -> Result<()> {
    let Some(smallest) = samples.first() else { return Ok(()) };
    let cores = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    println!("\n### {NAME}: replayed from scale {}, and measured\n", scale * SHARES[0]);
    println!("| scale | workers | replayed | measured |\n|--:|--:|--:|--:|");
    for (sample, share) in samples.iter().zip(SHARES) {
        for (job_count, run) in [(1, &sample.one), (2, &sample.two)] {
            let growth = Growth {
                set_count: 1,
                factor: share / SHARES[0],
                job_count,
                wal_level: WalLevel::Replica,
                shares_cores: true,
            };
            let plan = grow(&smallest.one, &smallest.readings, growth)?;
            let machine = Machine {
                worker_count: job_count,
                max_partitions: 8,
                capacities: [cores, cores, f64::MAX, f64::MAX, f64::MAX],
            };
            let outlook = replay(&plan.tasks, &plan.costs, &machine)?;
            println!(
                "| {} | {job_count} | {:.1} s | {:.1} s |",
                scale * share,
                outlook.seconds,
                span(run)
            );
        }
    }
    Ok(())
}

/// What the tasks of a run took, planning aside.
fn span(run: &Run) -> f64 {
    run.measurement.task_seconds.unwrap_or(run.measurement.wall_seconds)
}

fn print_outlooks(sample: &Sample, shape: &str, set_count: usize) -> Result<()> {
    let copies = || sample.one.tasks.iter().filter(|task| task.kind == TaskKind::Copy);
    let bytes: f64 = copies().map(|task: &Task| task.bytes as f64).sum();
    let factor = TARGET_BYTES / bytes / set_count as f64;
    let largest = copies().map(|task| task.bytes as f64).fold(0.0, f64::max);
    println!(
        "\n### {NAME}: {:.0} TB in {shape}, the largest {:.2} TB, {CORES:.0} cores on each side\n",
        TARGET_BYTES / 1e12,
        largest * factor / 1e12
    );
    println!(
        "| network | disk, and WAL's own | wal_level | workers | max_partitions | hours | what limits it |"
    );
    println!("|---|---|---|--:|--:|--:|---|");
    let print = |network: (&str, f64), disk: (&str, f64), wal_level, workers, max_partitions| {
        let growth =
            Growth { set_count, factor, job_count: workers, wal_level, shares_cores: false };
        let plan = grow(&sample.one, &sample.readings, growth)?;
        let capacities = [CORES, CORES, network.1 * PAYLOAD, disk.1, disk.1];
        let machine = Machine { worker_count: workers, max_partitions, capacities };
        let outlook = replay(&plan.tasks, &plan.costs, &machine)?;
        println!(
            "| {} | {} | {} | {workers} | {max_partitions} | {:.1} | {} |",
            network.0,
            disk.0,
            match wal_level {
                WalLevel::Minimal => "minimal",
                WalLevel::Replica => "replica",
            },
            outlook.seconds / 3600.0,
            describe(&outlook)
        );
        anyhow::Ok(())
    };
    for workers in WORKERS {
        print(NETWORKS[1], DISKS[1], WalLevel::Replica, workers, 8)?;
    }
    print(NETWORKS[1], DISKS[1], WalLevel::Replica, 64, 64)?;
    print(NETWORKS[1], DISKS[1], WalLevel::Minimal, 64, 64)?;
    for network in NETWORKS {
        for disk in DISKS {
            print(network, disk, WalLevel::Replica, 64, 64)?;
        }
    }
    print_longest(sample, set_count, factor)
}

/// Prints the tasks that take longest, which nothing makes shorter but a smaller table.
fn print_longest(sample: &Sample, set_count: usize, factor: f64) -> Result<()> {
    let growth = Growth {
        set_count,
        factor,
        job_count: CORES as usize,
        wal_level: WalLevel::Replica,
        shares_cores: false,
    };
    let plan = grow(&sample.one, &sample.readings, growth)?;
    let mut longest: Vec<(f64, &str)> = plan
        .costs
        .iter()
        .zip(&plan.tasks)
        .map(|(cost, task)| (cost.seconds / 3600.0, task.object.as_str()))
        .collect();
    longest.sort_by(|a, b| b.0.total_cmp(&a.0));
    // Every set has the same ones.
    longest.dedup_by_key(|(_, object)| *object);
    let told: Vec<String> = longest
        .iter()
        .take(LONGEST)
        .map(|(hours, object)| format!("{object} {hours:.1} h"))
        .collect();
    println!("\nThe longest single tasks: {}.", told.join(", "));
    Ok(())
}

/// The shares of the time in which something was what everybody waited for.
fn describe(outlook: &Outlook) -> String {
    let straggler = match &outlook.straggler {
        Some((object, _)) => format!("workers without a task, while {object}"),
        None => "workers without a task".to_owned(),
    };
    let mut parts = vec![
        (outlook.all_busy, "as many tasks as workers, each at its own pace".to_owned()),
        (outlook.starved, straggler),
    ];
    parts.extend(outlook.used_up.into_iter().zip(RESOURCES.map(str::to_owned)));
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shares = parts.iter().map(|(seconds, what)| (seconds / outlook.seconds * 100.0, what));
    let told: Vec<String> = shares
        .filter(|(percent, _)| *percent >= 5.0)
        .map(|(percent, what)| format!("{what} {percent:.0} %"))
        .collect();
    told.join(", ")
}
