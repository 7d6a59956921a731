//! Background workers: registering them, watching them, and becoming one.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use pgmig_core::{Error, Result};
use pgrx::pg_sys;

use super::mailbox::Mailbox;

/// The shared library's name, as the server finds it in its library directory.
const LIBRARY: &str = "pgmig";

/// Whether a registered worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerStatus {
    /// The postmaster has not started it yet.
    Starting,
    Running(i32),
    /// It has ended, for whatever reason.
    Stopped,
}

/// A registered background worker; it is terminated when this is dropped, unless it was released.
pub struct Worker {
    handle: *mut pg_sys::BackgroundWorkerHandle,
    is_released: bool,
}

impl Worker {
    /// Registers a worker that runs the exported function `entry` with the mailbox's handle as its
    /// argument; None when no worker slot is free.
    pub fn register(
        entry: &str,
        name: &str,
        kind: &str,
        mailbox: &Mailbox,
    ) -> Result<Option<Self>> {
        let mut worker = pg_sys::BackgroundWorker {
            bgw_flags: (pg_sys::BGWORKER_SHMEM_ACCESS
                | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION) as c_int,
            bgw_start_time: pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished,
            bgw_restart_time: pg_sys::BGW_NEVER_RESTART,
            bgw_main_arg: pg_sys::Datum::from(mailbox.handle()),
            bgw_notify_pid: super::process::my_pid(),
            ..pg_sys::BackgroundWorker::default()
        };
        write_c_string(&mut worker.bgw_name, name);
        write_c_string(&mut worker.bgw_type, kind);
        write_c_string(&mut worker.bgw_library_name, LIBRARY);
        write_c_string(&mut worker.bgw_function_name, entry);
        let mut handle = std::ptr::null_mut();
        // SAFETY: TopMemoryContext lives as long as the process; the handle is allocated in it.
        let context = unsafe { pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext) };
        // SAFETY: the struct is complete; the handle is written only on success.
        let registered =
            unsafe { pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle) };
        // SAFETY: puts back the context that was current.
        unsafe { pg_sys::MemoryContextSwitchTo(context) };
        if !registered {
            return Ok(None);
        }
        terminate_on_exit(handle);
        Ok(Some(Worker { handle, is_released: false }))
    }

    /// What has become of the worker.
    pub fn status(&self) -> WorkerStatus {
        let mut pid = 0;
        // SAFETY: the handle came from a successful registration.
        match unsafe { pg_sys::GetBackgroundWorkerPid(self.handle, &mut pid) } {
            pg_sys::BgwHandleStatus::BGWH_STARTED => WorkerStatus::Running(pid),
            pg_sys::BgwHandleStatus::BGWH_NOT_YET_STARTED => WorkerStatus::Starting,
            _ => WorkerStatus::Stopped,
        }
    }

    /// Asks the postmaster to end the worker; returns at once.
    pub fn terminate(&self) {
        // SAFETY: the handle came from a successful registration; a worker gone long ago is fine.
        unsafe { pg_sys::TerminateBackgroundWorker(self.handle) };
    }

    /// Lets the worker run on when this is dropped and when this process ends.
    pub fn release(&mut self) {
        forget_on_exit(self.handle);
        self.is_released = true;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.is_released {
            forget_on_exit(self.handle);
            self.terminate();
        }
        // SAFETY: allocated by the registration in TopMemoryContext, freed only here.
        unsafe { pg_sys::pfree(self.handle.cast()) };
    }
}

thread_local! {
    /// Workers of this process that must not outlive it. FATAL unwinds no Rust frame, so `Drop`
    /// is not enough.
    static UNRELEASED: std::cell::RefCell<Vec<*mut pg_sys::BackgroundWorkerHandle>> =
        const { std::cell::RefCell::new(Vec::new()) };
}

/// Whether `terminate_all` is registered with the server.
static EXIT_HOOK: AtomicBool = AtomicBool::new(false);

fn terminate_on_exit(handle: *mut pg_sys::BackgroundWorkerHandle) {
    UNRELEASED.with_borrow_mut(|list| list.push(handle));
    if !EXIT_HOOK.swap(true, Ordering::Relaxed) {
        // SAFETY: a plain function that stays valid; the library is never unloaded.
        unsafe { pg_sys::before_shmem_exit(Some(terminate_all), pg_sys::Datum::from(0usize)) };
    }
}

fn forget_on_exit(handle: *mut pg_sys::BackgroundWorkerHandle) {
    UNRELEASED.with_borrow_mut(|list| list.retain(|other| *other != handle));
}

/// Runs while this process goes down, however that came about.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn terminate_all(_code: c_int, _argument: pg_sys::Datum) {
    UNRELEASED.with_borrow_mut(|list| {
        for handle in list.drain(..) {
            // SAFETY: handles stay in the list only while they are valid.
            unsafe { pg_sys::TerminateBackgroundWorker(handle) };
        }
    });
}

/// Makes this process a session of `mailbox`'s database and role: signal handlers that can interrupt
/// a running COPY or index build, then the connection.
pub fn connect(mailbox: &Mailbox) -> Result<()> {
    install_handler(libc::SIGTERM, Some(die));
    install_handler(libc::SIGINT, Some(StatementCancelHandler));
    install_handler(libc::SIGHUP, Some(SignalHandlerForConfigReload));
    // SAFETY: the handlers are in place.
    unsafe { pg_sys::BackgroundWorkerUnblockSignals() };
    super::catch::catch(|| {
        // SAFETY: called once, at the start of the worker.
        unsafe {
            pg_sys::BackgroundWorkerInitializeConnectionByOid(mailbox.database(), mailbox.role(), 0)
        };
        Ok(())
    })
}

#[cfg(not(feature = "pg18"))]
fn install_handler(signal: c_int, handler: pg_sys::pqsigfunc) {
    // SAFETY: the server's own handlers, installed as its other workers do.
    unsafe { pg_sys::pqsignal(signal, handler) };
}

#[cfg(feature = "pg18")]
fn install_handler(signal: c_int, handler: pg_sys::pqsigfunc) {
    // SAFETY: the server's own handlers, installed as its other workers do.
    unsafe { pg_sys::pqsignal_be(signal, handler) };
}

unsafe extern "C-unwind" {
    // The server's own handlers by their C names: the bindings wrap them in Rust functions, which a
    // signal table cannot hold.
    fn die(signal: c_int);
    fn StatementCancelHandler(signal: c_int);
    fn SignalHandlerForConfigReload(signal: c_int);
}

/// The mailbox handle that a worker's entry point was given.
pub fn mailbox_handle(argument: pg_sys::Datum) -> Result<u32> {
    u32::try_from(argument.value()).map_err(|_| Error::Internal("not a mailbox handle".to_owned()))
}

fn write_c_string(target: &mut [std::ffi::c_char], text: &str) {
    let room = target.len() - 1;
    for (slot, byte) in target[..room].iter_mut().zip(text.bytes()) {
        *slot = byte as std::ffi::c_char;
    }
}
