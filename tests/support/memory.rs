//! What the processes of a run need of memory, seen from outside.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use anyhow::Result;

use crate::cluster::Cluster;

/// Peaks in kibibytes, and numbers of samples, by process.
pub type Peaks = HashMap<i32, (u64, usize)>;

/// Time between two samples.
const PAUSE: Duration = Duration::from_millis(10);

/// Resident kibibytes of a process that are not shared memory: its own and those of mapped files.
pub fn resident_kib(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(field("RssAnon:")? + field("RssFile:")?)
}

/// Runs `work` and returns the peaks of the workers in a database meanwhile.
pub fn watch_workers<T>(
    cluster: &Cluster,
    database: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Peaks)> {
    watch(cluster, database, "^pgmig worker$", work)
}

/// Runs `work` and returns the peaks of the processes of a kind, a regular expression, in a database
/// meanwhile.
pub fn watch<T>(
    cluster: &Cluster,
    database: &str,
    kind: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Peaks)> {
    let mut client = cluster.client(database)?;
    let query = client.prepare(
        "select a.pid
         from pg_catalog.pg_stat_activity a
         where a.backend_type ~ $1
           and a.datname = pg_catalog.current_database()",
    )?;
    let (stop, peaks) = (AtomicBool::new(false), Mutex::new(Peaks::new()));
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for row in client.query(&query, &[&kind]).unwrap_or_default() {
                    let pid = row.get(0);
                    if let Some(kib) = resident_kib(pid) {
                        let mut peaks = peaks.lock().expect("no sampler has panicked");
                        let peak = peaks.entry(pid).or_default();
                        *peak = (peak.0.max(kib), peak.1 + 1);
                    }
                }
                thread::sleep(PAUSE);
            }
        });
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    });
    Ok((done?, peaks.into_inner().expect("no sampler has panicked")))
}

/// The highest of the peaks; 0 if there is none.
pub fn highest_kib(peaks: &Peaks) -> u64 {
    peaks.values().map(|(kib, _)| *kib).max().unwrap_or(0)
}
