//! A small piece of shared memory between two processes: a state, a number and a text.
//!
//! One process creates it and passes its handle to a background worker as the worker's argument.
//! Caller and coordinator use one to hand over the connection string (which must never reach a table
//! or a log) and the run's id; coordinator and worker use one to hand over the connection string and
//! then one task after another. Taking the text wipes it, here and, in the end, where it was taken to.
//!
//! A creator may bind its peer to itself: when it gives the mailbox up without having released the
//! peer (by an error, or because the process ends, which unwinds no Rust frame), the peer is cancelled
//! and finds the reason in the mailbox.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, Ordering, compiler_fence};

use pgmig_core::{Error, Result};
use pgrx::pg_sys;
use zeroize::Zeroizing;

/// Tells a mailbox from any other segment, and one layout from the next.
const MAGIC: u32 = 0x706d_6701;

/// The fixed part at the start of the segment; the text follows it.
#[repr(C)]
struct Header {
    magic: u32,
    creator_pid: i32,
    database: pg_sys::Oid,
    role: pg_sys::Oid,
    capacity: u32,
    state: AtomicU32,
    peer_pid: AtomicI32,
    length: AtomicU32,
    number: AtomicI64,
    /// Whether the creator has given up; the text says why.
    is_abandoned: AtomicBool,
}

/// One process's mapping of the shared memory.
pub struct Mailbox {
    segment: *mut pg_sys::dsm_segment,
    header: *mut Header,
}

impl Mailbox {
    /// Creates a mailbox that holds `text` and has room for `room` bytes in later messages.
    pub fn create(role: pg_sys::Oid, text: &[u8], room: usize) -> Result<Self> {
        let capacity = text.len().max(room);
        let size = size_of::<Header>() + capacity;
        // SAFETY: raises on failure; never returns null without the flag that allows it.
        let segment = unsafe { pg_sys::dsm_create(size, 0) };
        // SAFETY: the segment was just mapped.
        let header = unsafe { pg_sys::dsm_segment_address(segment) }.cast::<Header>();
        let initial = Header {
            magic: MAGIC,
            creator_pid: super::process::my_pid(),
            database: super::process::my_database(),
            role,
            capacity: u32::try_from(capacity)
                .map_err(|_| Error::Internal("message too large".to_owned()))?,
            state: AtomicU32::new(0),
            peer_pid: AtomicI32::new(0),
            length: AtomicU32::new(0),
            number: AtomicI64::new(0),
            is_abandoned: AtomicBool::new(false),
        };
        // SAFETY: the segment is at least as large as the header, page aligned and ours alone.
        unsafe { header.write(initial) };
        let mailbox = Mailbox { segment, header };
        mailbox.put_text(text);
        Ok(mailbox)
    }

    /// Maps the mailbox with this handle; an error if its creator has gone meanwhile.
    pub fn attach(handle: u32) -> Result<Self> {
        // SAFETY: returns null when the segment does not exist any more.
        let segment = unsafe { pg_sys::dsm_attach(handle) };
        if segment.is_null() {
            return Err(Error::Internal("the process that asked for this one has gone".to_owned()));
        }
        // SAFETY: the mapping lasts until this process ends or `Drop` detaches.
        unsafe { pg_sys::dsm_pin_mapping(segment) };
        // SAFETY: the segment was just mapped.
        let header = unsafe { pg_sys::dsm_segment_address(segment) }.cast::<Header>();
        let mailbox = Mailbox { segment, header };
        if mailbox.header().magic != MAGIC {
            return Err(Error::Internal("not a mailbox of this version of pgmig".to_owned()));
        }
        mailbox.header().peer_pid.store(super::process::my_pid(), Ordering::Release);
        Ok(mailbox)
    }

    /// What another process needs to attach.
    pub fn handle(&self) -> u32 {
        // SAFETY: the segment is mapped for as long as self lives.
        unsafe { pg_sys::dsm_segment_handle(self.segment) }
    }

    /// The process that created the mailbox.
    pub fn creator_pid(&self) -> i32 {
        self.header().creator_pid
    }

    /// The process that attached to it, if one has.
    pub fn peer_pid(&self) -> Option<i32> {
        Some(self.header().peer_pid.load(Ordering::Acquire)).filter(|pid| *pid != 0)
    }

    /// The database of the creator.
    pub fn database(&self) -> pg_sys::Oid {
        self.header().database
    }

    /// The role that the attaching process acts as.
    pub fn role(&self) -> pg_sys::Oid {
        self.header().role
    }

    /// The state; what was written before it was set is visible to the reader.
    pub fn state(&self) -> u32 {
        self.header().state.load(Ordering::Acquire)
    }

    /// Publishes `state` together with everything written before.
    pub fn set_state(&self, state: u32) {
        self.header().state.store(state, Ordering::Release);
    }

    /// The number that goes with the state: a run or a task.
    pub fn number(&self) -> i64 {
        self.header().number.load(Ordering::Acquire)
    }

    /// Sets the number; publish it with `set_state`.
    pub fn set_number(&self, number: i64) {
        self.header().number.store(number, Ordering::Release);
    }

    /// Writes a message, cut off where the room ends; publish it with `set_state`.
    pub fn put_text(&self, text: &[u8]) {
        let length = text.len().min(self.header().capacity as usize);
        // SAFETY: the segment has `capacity` bytes after the header, and `length` is no more.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), self.text(), length) };
        let before = self.header().length.swap(length as u32, Ordering::AcqRel) as usize;
        self.wipe(length..before.min(self.header().capacity as usize));
    }

    /// Overwrites bytes of the text with zeroes.
    fn wipe(&self, bytes: std::ops::Range<usize>) {
        for i in bytes {
            // SAFETY: below the capacity; volatile so that the wipe is not optimized away.
            unsafe { self.text().add(i).write_volatile(0) };
        }
        compiler_fence(Ordering::SeqCst);
    }

    /// Takes the message out and overwrites it with zeroes.
    pub fn take_text(&self) -> Zeroizing<Vec<u8>> {
        let length = self.header().length.swap(0, Ordering::AcqRel) as usize;
        let length = length.min(self.header().capacity as usize);
        // SAFETY: `length` bytes after the header were written by `put_text`.
        let text = unsafe { std::slice::from_raw_parts(self.text(), length) };
        let text = Zeroizing::new(text.to_vec());
        self.wipe(0..length);
        text
    }

    /// Binds the peer to this process: it is cancelled when the mailbox goes before `release_peer`.
    pub fn bind_peer(&self) {
        // SAFETY: the segment is mapped; the callback stays valid, the library is never unloaded.
        unsafe { pg_sys::on_dsm_detach(self.segment, Some(cancel_peer), BINDING) };
    }

    /// Lets the peer go its own way.
    pub fn release_peer(&self) {
        // SAFETY: takes off the callback that `bind_peer` put there; harmless if there is none.
        unsafe { pg_sys::cancel_on_dsm_detach(self.segment, Some(cancel_peer), BINDING) };
    }

    /// Tells the peer why it is going to be cancelled.
    pub fn abandon(&self, reason: &str) {
        self.put_text(reason.as_bytes());
        self.header().is_abandoned.store(true, Ordering::Release);
    }

    /// Whether the creator has given up; the text says why.
    pub fn is_abandoned(&self) -> bool {
        self.header().is_abandoned.load(Ordering::Acquire)
    }

    fn header(&self) -> &Header {
        // SAFETY: mapped for as long as self lives; the changing fields are atomics.
        unsafe { &*self.header }
    }

    fn text(&self) -> *mut u8 {
        // SAFETY: the text starts right behind the header, inside the segment.
        unsafe { self.header.add(1) }.cast::<u8>()
    }
}

/// Tells the callback of `bind_peer` from others; it needs no argument.
const BINDING: pg_sys::Datum = pg_sys::Datum::null();

/// Runs while the creator of a bound mailbox gives it up, however that came about.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn cancel_peer(
    segment: *mut pg_sys::dsm_segment,
    _binding: pg_sys::Datum,
) {
    // SAFETY: the segment is still mapped while its callbacks run.
    let header = unsafe { pg_sys::dsm_segment_address(segment) }.cast::<Header>();
    // Not to be dropped: the segment is being detached already.
    let mailbox = std::mem::ManuallyDrop::new(Mailbox { segment, header });
    if !mailbox.is_abandoned() {
        mailbox.abandon(if super::process::is_exiting() {
            "the session that waited for the run has ended"
        } else {
            "the call that waited for the run was interrupted"
        });
    }
    if let Some(pid) = mailbox.peer_pid() {
        super::process::cancel(pid);
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // Nobody has come for the text. The pages may outlive the segment (`min_dynamic_shared_memory`).
        if self.creator_pid() == super::process::my_pid() && self.peer_pid().is_none() {
            self.take_text();
        }
        // SAFETY: mapped by `create` or `attach`, detached only here.
        unsafe { pg_sys::dsm_detach(self.segment) };
    }
}
