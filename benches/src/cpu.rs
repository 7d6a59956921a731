//! CPU time, in seconds of one core, user and system together.

use std::fs;

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::{SysconfVar, sysconf};
use pgmig_tests::Cluster;

/// Fields of /proc/PID/stat after the command's name, counted from 0 (proc(5)).
const PARENT_FIELD: usize = 1;
/// utime, stime and, of children waited for, cutime and cstime.
const TIME_FIELDS: std::ops::Range<usize> = 11..15;

/// Time used so far by a cluster: its postmaster, the backends that ended and those that live.
pub fn read_cluster_seconds(cluster: &Cluster) -> Result<f64> {
    let postmaster = u64::from(cluster.postmaster_pid()?);
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u64>().ok()) else {
            continue;
        };
        // A process that has ended meanwhile is among its parent's children.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let Some((_, after_name)) = stat.rsplit_once(") ") else {
            continue;
        };
        let numbers: Vec<u64> =
            after_name.split(' ').map(|field| field.parse().unwrap_or_default()).collect();
        if pid == postmaster || numbers.get(PARENT_FIELD) == Some(&postmaster) {
            ticks += numbers.get(TIME_FIELDS).map_or(0, |times| times.iter().sum());
        }
    }
    let ticks_per_second =
        sysconf(SysconfVar::CLK_TCK)?.context("the system has no clock ticks")?;
    Ok(ticks as f64 / ticks_per_second as f64)
}

/// Time used so far by the programs that we started and that have ended, and by their children.
pub fn read_client_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(microseconds as f64 / 1e6)
}
