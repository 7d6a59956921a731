//! Replays a plan on a machine that is not there: pgmig's own scheduler hands tasks to workers, and a
//! model says how fast each of them goes.
//!
//! A task that has its resources to itself takes its own time, since one process does it. Tasks that run
//! at the same time share cores, network and disks: all are slowed down alike until one resource is used
//! up, those that need it stay at that speed, and the others go on to share what is left.

use anyhow::{Context, Result, ensure};
use pgmig_core::plan::graph::{Graph, Outcome};
use pgmig_core::plan::task::Task;

/// What tasks share.
pub const RESOURCES: [&str; 5] =
    ["source's cores", "target's cores", "network", "target's disk", "WAL disk"];

/// What a task needs in all of each of `RESOURCES` (core seconds, bytes), and alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Seconds of one process that waits for nothing.
    pub seconds: f64,
    pub demands: [f64; RESOURCES.len()],
}

/// How much there is of each resource (cores, bytes per second).
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    pub worker_count: usize,
    /// Ranges of one table that are copied at a time.
    pub max_partitions: u32,
    pub capacities: [f64; RESOURCES.len()],
}

/// What the run came to.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    pub seconds: f64,
    /// Seconds in which each resource was used up.
    pub used_up: [f64; RESOURCES.len()],
    /// Seconds in which all workers had a task and no resource was used up.
    pub all_busy: f64,
    /// Seconds in which a worker had nothing to do, and no resource was used up.
    pub starved: f64,
    /// What ran longest while others had nothing to do.
    pub straggler: Option<(String, f64)>,
}

/// A task at work.
struct Running {
    index: usize,
    /// The share of it that is left.
    left: f64,
    /// Shares per second.
    speed: f64,
}

/// Replays tasks with their costs.
pub fn replay(tasks: &[Task], costs: &[Cost], machine: &Machine) -> Result<Outlook> {
    let mut graph = Graph::new(tasks, &[], machine.max_partitions)?;
    let mut running: Vec<Running> = Vec::new();
    let mut outlook = Outlook::default();
    let mut starving = vec![0.0; tasks.len()];
    while !graph.is_finished() {
        while running.len() < machine.worker_count {
            let Some(id) = graph.next() else { break };
            // Tasks are numbered from 1.
            let index = usize::try_from(id - 1)?;
            running.push(Running { index, left: 1.0, speed: 0.0 });
        }
        ensure!(!running.is_empty(), "no task can run: {:?}", graph.stalled());
        let used_up = share(&mut running, costs, machine);
        let step = running
            .iter()
            .map(|task| task.left / task.speed)
            .min_by(f64::total_cmp)
            .context("nothing runs")?;
        outlook.seconds += step;
        match used_up {
            Some(resource) => outlook.used_up[resource] += step,
            None if running.len() == machine.worker_count => outlook.all_busy += step,
            None => {
                outlook.starved += step;
                for task in &running {
                    starving[task.index] += step;
                }
            }
        }
        for task in &mut running {
            task.left -= task.speed * step;
        }
        let (ended, still): (Vec<Running>, Vec<Running>) =
            running.into_iter().partition(|task| task.left <= 1e-9);
        running = still;
        for task in ended {
            graph.finish(tasks[task.index].id, Outcome::Done)?;
        }
    }
    let longest = starving.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    outlook.straggler = longest
        .filter(|(_, seconds)| **seconds > 0.0)
        .map(|(index, seconds)| (tasks[index].object.clone(), *seconds));
    Ok(outlook)
}

/// Sets the speed of every running task; returns the resource that is used up first, if any is.
fn share(running: &mut [Running], costs: &[Cost], machine: &Machine) -> Option<usize> {
    /// No task takes less than a dispatch and a commit.
    const LEAST_SECONDS: f64 = 1e-3;
    let alone = |task: &Running| 1.0 / costs[task.index].seconds.max(LEAST_SECONDS);
    let mut left = machine.capacities;
    let mut open: Vec<usize> = (0..running.len()).collect();
    let mut first = None;
    loop {
        // What the open tasks would need of each resource at full speed.
        let mut needed = [0.0; RESOURCES.len()];
        for &position in &open {
            let task = &running[position];
            for (sum, demand) in needed.iter_mut().zip(costs[task.index].demands) {
                *sum += demand * alone(task);
            }
        }
        let tightest = (0..RESOURCES.len())
            .filter(|&resource| needed[resource] > 0.0)
            .map(|resource| (resource, left[resource].max(0.0) / needed[resource]))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((resource, factor)) = tightest.filter(|(_, factor)| *factor < 1.0) else {
            for &position in &open {
                running[position].speed = alone(&running[position]);
            }
            return first;
        };
        first = first.or(Some(resource));
        let needs = |position: &usize| costs[running[*position].index].demands[resource] > 0.0;
        let (slowed, others): (Vec<usize>, Vec<usize>) = open.iter().copied().partition(needs);
        for position in slowed {
            // A resource that is gone altogether must not stop the clock.
            let speed = alone(&running[position]) * factor.max(1e-9);
            running[position].speed = speed;
            for (rest, demand) in left.iter_mut().zip(costs[running[position].index].demands) {
                *rest -= demand * speed;
            }
        }
        open = others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgmig_core::plan::task::{TaskKind, Work};

    fn task(id: i32, depends_on: Vec<i32>) -> Task {
        Task {
            id,
            kind: TaskKind::Index,
            object: format!("task {id}"),
            table: None,
            work: Work::Statements { statements: Vec::new() },
            depends_on,
            locks: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    fn cost(seconds: f64, network: f64) -> Cost {
        Cost { seconds, demands: [0.0, seconds, network, 0.0, 0.0] }
    }

    fn machine(worker_count: usize, cores: f64, network: f64) -> Machine {
        let capacities = [cores, cores, network, 1e12, 1e12];
        Machine { worker_count, max_partitions: 8, capacities }
    }

    fn seconds(tasks: &[Task], costs: &[Cost], machine: &Machine) -> f64 {
        replay(tasks, costs, machine).unwrap().seconds
    }

    #[test]
    fn chains_take_their_time_and_cores_are_shared() {
        let tasks = [task(1, vec![]), task(2, vec![]), task(3, vec![1])];
        let costs = [cost(2.0, 0.0), cost(2.0, 0.0), cost(3.0, 0.0)];
        assert!((seconds(&tasks, &costs, &machine(2, 8.0, 1.0)) - 5.0).abs() < 1e-6);
        assert!((seconds(&tasks, &costs, &machine(2, 1.0, 1.0)) - 7.0).abs() < 1e-6);
        assert!((seconds(&tasks, &costs, &machine(1, 8.0, 1.0)) - 7.0).abs() < 1e-6);
    }

    #[test]
    fn what_needs_no_network_is_not_held_up_by_it() {
        let tasks = [task(1, vec![]), task(2, vec![]), task(3, vec![])];
        let costs = [cost(1.0, 10.0), cost(1.0, 10.0), cost(1.0, 0.0)];
        let outlook = replay(&tasks, &costs, &machine(3, 8.0, 5.0)).unwrap();
        assert!((outlook.seconds - 4.0).abs() < 1e-6);
        assert!((outlook.used_up[2] - 4.0).abs() < 1e-6);
    }
}
