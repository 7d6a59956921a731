//! Facts about server processes: who this one is, whether another one still lives.

use std::ffi::{CString, c_int};

use pgrx::pg_sys;

/// The process id of this backend or worker.
pub fn my_pid() -> i32 {
    // SAFETY: reads a plain global that is set at process start.
    unsafe { pg_sys::MyProcPid }
}

/// The OID of the database this process is connected to.
pub fn my_database() -> pg_sys::Oid {
    // SAFETY: reads a plain global that is set when the process connects.
    unsafe { pg_sys::MyDatabaseId }
}

/// The OID of the current user, SECURITY DEFINER and SET ROLE included.
pub fn current_user() -> pg_sys::Oid {
    // SAFETY: needs only a started session.
    unsafe { pg_sys::GetUserId() }
}

/// Whether `role` is a superuser.
pub fn is_superuser(role: pg_sys::Oid) -> bool {
    // SAFETY: a syscache look-up within the caller's transaction.
    unsafe { pg_sys::superuser_arg(role) }
}

/// Whether a backend or worker with this process id is connected to shared memory.
pub fn is_alive(pid: i32) -> bool {
    // SAFETY: takes ProcArrayLock itself; returns null for an unknown pid.
    !unsafe { pg_sys::BackendPidGetProc(pid) }.is_null()
}

/// Whether this process is going down.
pub fn is_exiting() -> bool {
    // SAFETY: reads a plain global of this process.
    unsafe { pg_sys::proc_exit_inprogress }
}

/// Gives free memory back to the system, where the allocator does not do that by itself.
pub fn return_free_memory() {
    // SAFETY: asks the allocator for what it may do at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Puts cancel requests to this process off until this is dropped; termination goes through.
pub struct CancelsHeld(());

impl CancelsHeld {
    /// Begins to hold them.
    pub fn begin() -> Self {
        // SAFETY: a plain counter of this process, taken back on drop.
        unsafe { pg_sys::QueryCancelHoldoffCount += 1 };
        CancelsHeld(())
    }
}

impl Drop for CancelsHeld {
    fn drop(&mut self) {
        // SAFETY: as above; an ERROR meanwhile has set the counter to zero.
        unsafe {
            pg_sys::QueryCancelHoldoffCount = pg_sys::QueryCancelHoldoffCount.saturating_sub(1);
        }
    }
}

/// Asks the process to cancel what it does, as `pg_cancel_backend` does.
pub fn cancel(pid: i32) {
    if is_alive(pid) {
        // SAFETY: sends a signal to a process of this server, seen alive just now.
        unsafe { libc::kill(pid, libc::SIGINT) };
    }
}

unsafe extern "C" {
    /// `libpq/libpq.h`: whether the client's socket is still connected.
    fn pq_check_connection() -> bool;
}

/// Whether the server is in recovery, so that nothing can be written.
pub fn is_in_recovery() -> bool {
    // SAFETY: reads shared memory.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Whether the client of this backend is still there; true for processes without a client.
pub fn is_client_connected() -> bool {
    // SAFETY: reads a plain global; null in background workers.
    if unsafe { pg_sys::MyProcPort }.is_null() {
        return true;
    }
    // SAFETY: there is a client socket, as checked above; the call does not block.
    unsafe { pq_check_connection() }
}

/// Shows `text` in `pg_stat_activity.query` and marks the process active; None marks it idle.
pub fn report_activity(text: Option<&str>) {
    let Ok(text) = text.map(CString::new).transpose() else {
        return;
    };
    match text {
        Some(text) => {
            let state = pg_sys::BackendState::STATE_RUNNING;
            // SAFETY: the string outlives the call, which copies it.
            unsafe { pg_sys::pgstat_report_activity(state, text.as_ptr()) };
        }
        None => {
            let state = pg_sys::BackendState::STATE_IDLE;
            // SAFETY: a null text is allowed for the idle state.
            unsafe { pg_sys::pgstat_report_activity(state, std::ptr::null()) };
        }
    }
}

/// Hands this process's table statistics to shared memory now, so that others see them.
pub fn flush_statistics() {
    // SAFETY: called outside a transaction, as the function demands.
    unsafe { pg_sys::pgstat_report_stat(true) };
}

/// `search_path` is empty, in this transaction, until this is dropped.
pub struct SearchPathEmpty {
    guc_level: i32,
}

impl SearchPathEmpty {
    /// Empties it.
    pub fn begin() -> Self {
        // SAFETY: opens a level that Drop closes.
        let guc_level = unsafe { pg_sys::NewGUCNestLevel() };
        // SAFETY: constant strings; GUC_ACTION_SAVE ties the value to the level opened above.
        unsafe {
            pg_sys::set_config_option(
                c"search_path".as_ptr(),
                c"".as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            )
        };
        SearchPathEmpty { guc_level }
    }
}

impl Drop for SearchPathEmpty {
    fn drop(&mut self) {
        // SAFETY: closes the level opened in `begin`; closing one twice is harmless.
        unsafe { pg_sys::AtEOXact_GUC(true, self.guc_level) };
    }
}

/// Sets `application_name` of this process.
pub fn set_application_name(name: &str) {
    set_config("application_name", name);
}

/// Sets a GUC for the rest of the session with this session's own rights; a wrong name or value is
/// raised as the server's own ERROR.
pub fn set_config(name: &str, value: &str) {
    let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else {
        pgrx::error!("a setting contains a zero byte");
    };
    // SAFETY: asks whether the session may set superuser-only variables.
    let context = if unsafe { pg_sys::superuser() } {
        pg_sys::GucContext::PGC_SUSET
    } else {
        pg_sys::GucContext::PGC_USERSET
    };
    // SAFETY: both strings outlive the call, which copies them.
    unsafe {
        pg_sys::SetConfigOption(
            name.as_ptr(),
            value.as_ptr(),
            context,
            pg_sys::GucSource::PGC_S_SESSION,
        )
    };
}

/// Settings that hold until this is dropped, or until the transaction or subtransaction aborts.
pub struct LocalSettings {
    level: c_int,
}

impl LocalSettings {
    /// Begins; nothing is set yet.
    pub fn new() -> Self {
        // SAFETY: opens a level that the drop closes.
        LocalSettings { level: unsafe { pg_sys::NewGUCNestLevel() } }
    }

    /// Sets a parameter that everybody may set; a wrong name or value is raised as the server's ERROR.
    pub fn set(&self, name: &str, value: &str) {
        let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else {
            pgrx::error!("a setting contains a zero byte");
        };
        // SAFETY: both strings outlive the call, which copies them.
        unsafe {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            )
        };
    }
}

impl Drop for LocalSettings {
    fn drop(&mut self) {
        // SAFETY: closes the level opened by `new`.
        unsafe { pg_sys::AtEOXact_GUC(true, self.level) };
    }
}
