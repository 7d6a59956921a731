//! Transactions of background workers, which have nobody to start and end them.

use pgmig_core::Result;
use pgrx::pg_sys;

use super::catch::catch;

/// Runs `work` in a transaction of its own: commits if it succeeds, aborts if it fails or raises.
///
/// For background workers only: a backend that serves a client is always in a transaction already.
pub fn run<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = catch(|| {
        // SAFETY: a worker's main thread outside any transaction.
        unsafe { pg_sys::SetCurrentStatementStartTimestamp() };
        // SAFETY: as above.
        unsafe { pg_sys::StartTransactionCommand() };
        // SAFETY: inside the transaction just started.
        let snapshot = unsafe { pg_sys::GetTransactionSnapshot() };
        // SAFETY: a valid snapshot; popped below or by the abort.
        unsafe { pg_sys::PushActiveSnapshot(snapshot) };
        let value = work()?;
        // SAFETY: pops what was pushed above.
        unsafe { pg_sys::PopActiveSnapshot() };
        // SAFETY: commits the transaction started above; may raise (deferred constraints).
        unsafe { pg_sys::CommitTransactionCommand() };
        Ok(value)
    });
    if done.is_err() {
        // SAFETY: cleans up whatever state the transaction is in, none included.
        unsafe { pg_sys::AbortCurrentTransaction() };
    }
    done
}

/// Runs `work` in a subtransaction: its effects vanish if it fails, and the transaction goes on.
pub fn run_nested<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: reads a plain global.
    let context = unsafe { pg_sys::CurrentMemoryContext };
    // SAFETY: reads a plain global.
    let owner = unsafe { pg_sys::CurrentResourceOwner };
    // SAFETY: inside a transaction.
    unsafe { pg_sys::BeginInternalSubTransaction(std::ptr::null()) };
    let done = catch(work);
    match done {
        // SAFETY: ends the subtransaction begun above.
        Ok(_) => unsafe { pg_sys::ReleaseCurrentSubTransaction() },
        // SAFETY: as above.
        Err(_) => unsafe { pg_sys::RollbackAndReleaseCurrentSubTransaction() },
    }
    // SAFETY: the context that was current before still exists.
    unsafe { pg_sys::MemoryContextSwitchTo(context) };
    // SAFETY: as for the context.
    unsafe { pg_sys::CurrentResourceOwner = owner };
    done
}

/// Ids of this transaction, if it has written anything, and of its subtransactions that succeeded.
pub fn ids() -> Vec<u32> {
    // SAFETY: inside a transaction.
    let top = unsafe { pg_sys::GetTopTransactionIdIfAny() };
    let mut children = std::ptr::null_mut();
    // SAFETY: sets the pointer to an array of the server's own with as many entries as it returns.
    let count = unsafe { pg_sys::xactGetCommittedChildren(&mut children) };
    let mut ids = vec![top.into_inner()];
    for i in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: below the number of entries.
        ids.push(unsafe { *children.add(i) }.into_inner());
    }
    ids.retain(|id| *id != 0);
    ids
}

/// Makes the commands so far visible to the next one of the same transaction.
pub fn increment_command_counter() {
    // SAFETY: inside a transaction.
    unsafe { pg_sys::CommandCounterIncrement() };
}

/// Forces the WAL of this session's last commits to disk whatever `synchronous_commit` says.
pub fn commit_synchronously() {
    super::process::set_config("synchronous_commit", "on");
}
