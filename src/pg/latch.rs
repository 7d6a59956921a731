//! Waiting and waking: every wait has a timeout and checks for interrupts.

use std::time::Duration;

use pgrx::pg_sys;

/// Sleeps until somebody sets this process's latch or `timeout` has passed, then checks for
/// interrupts: a cancel or a termination is raised from here.
pub fn wait(timeout: Duration) {
    let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: MyLatch is valid in every backend and worker after start-up.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, timeout_ms, pg_sys::PG_WAIT_EXTENSION)
    };
    // SAFETY: as above.
    unsafe { pg_sys::ResetLatch(pg_sys::MyLatch) };
    pgrx::check_for_interrupts!();
}

/// Sets the latch of the process `pid`; nothing happens if there is no such process.
///
/// A latch of a process that took the same slot meanwhile may be set instead: every process
/// tolerates a spurious wake-up.
pub fn wake(pid: i32) {
    // SAFETY: takes ProcArrayLock itself; returns null for an unknown pid.
    let process = unsafe { pg_sys::BackendPidGetProc(pid) };
    if process.is_null() {
        return;
    }
    // SAFETY: PGPROC entries live in shared memory for as long as the server does.
    let latch = unsafe { &raw mut (*process).procLatch };
    // SAFETY: a shared latch of the server's own process array.
    unsafe { pg_sys::SetLatch(latch) };
}
