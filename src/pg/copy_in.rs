//! COPY FROM a stream of chunks, in this process: what `COPY … FROM STDIN` does, without a client.
//!
//! Chunks arrive over a bounded channel from the thread that reads the source. The server calls back
//! for bytes; its callback takes no user data, so the stream at work is process-global.

use std::cell::RefCell;
use std::ffi::{CString, c_int, c_void};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use pgmig_core::{Error, Result};
use pgrx::pg_sys;

use super::catch::report;
use super::heap_load::HeapLoad;
use super::latch;
use super::relation::OpenRelation;

/// How long the callback sleeps at most before it looks for interrupts again.
const POLL: Duration = Duration::from_millis(50);

/// What COPY takes on a table that it writes to.
const LOCK: pg_sys::LOCKMODE = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;

/// OID of `pg_is_in_recovery()`, which is volatile, and false wherever tables can be loaded.
const PG_IS_IN_RECOVERY: pg_sys::Oid = pg_sys::Oid::from_u32(3810);

/// What the reading thread sends.
pub enum Chunk {
    /// The next bytes of the stream.
    Data(Vec<u8>),
    /// The stream is complete, or the reader has failed.
    End(Result<()>),
}

/// How rows get from COPY into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// A thousand at a time; of a binary stream the server holds as many in memory, however long.
    Buffered,
    /// One by one.
    Single,
}

/// What goes in at the table's end of a COPY.
pub struct CopyIn<'a> {
    pub table: pg_sys::Oid,
    pub columns: &'a [String],
    pub is_binary: bool,
    /// The table was created or truncated by this very transaction.
    pub freeze: bool,
    pub insertion: Insertion,
}

/// The stream that the running COPY reads.
struct Stream {
    chunks: Receiver<Chunk>,
    /// Emptied buffers go back to the reader.
    spent: Sender<Vec<u8>>,
    current: Vec<u8>,
    offset: usize,
    /// How the reader has ended, once that was seen.
    end: Option<Result<()>>,
}

thread_local! {
    static STREAM: RefCell<Option<Stream>> = const { RefCell::new(None) };
}

/// Writes the stream to the table and returns the number of rows written; runs in the current
/// transaction with an active snapshot.
///
/// Raises what COPY raises; an error of the reader is raised as it is.
pub fn copy_in(
    target: &CopyIn<'_>,
    chunks: Receiver<Chunk>,
    spent: Sender<Vec<u8>>,
) -> Result<u64> {
    let loaded = super::catch::catch(|| {
        let table = open_to_write(target.table);
        let load =
            target.is_binary.then(|| HeapLoad::open(table.get(), target.columns, target.freeze));
        match load.flatten() {
            Some(load) => load.write(|used| next_chunk(&chunks, &spent, used)).map(Some),
            None => Ok(None),
        }
    });
    if let Some(rows) = loaded? {
        return Ok(rows);
    }
    STREAM.set(Some(Stream { chunks, spent, current: Vec::new(), offset: 0, end: None }));
    let written = super::catch::catch(|| Ok(copy_from(target)));
    match STREAM.take() {
        // The reader's failure is the cause of what the copy then ran into.
        Some(Stream { end: Some(Err(error)), .. }) => Err(error),
        Some(Stream { end: Some(Ok(())), .. }) => written,
        // The server stops reading at the trailer of a binary stream: take the reader's verdict too.
        Some(stream) => written.and_then(|written| drain(&stream.chunks).map(|()| written)),
        None => written.and(Err(Error::Internal("the stream vanished".to_owned()))),
    }
}

/// Gives a buffer back and takes the next one; None when the reader is done.
fn next_chunk(
    chunks: &Receiver<Chunk>,
    spent: &Sender<Vec<u8>>,
    used: Vec<u8>,
) -> Result<Option<Vec<u8>>> {
    // A full or closed pool just lets the buffer go.
    let _ = spent.try_send(used);
    match receive(chunks)? {
        Chunk::Data(data) => Ok(Some(data)),
        Chunk::End(end) => end.map(|()| None),
    }
}

/// Opens and locks a table that the current user may insert into; raises if that is not so.
fn open_to_write(table: pg_sys::Oid) -> OpenRelation {
    let opened = OpenRelation::open(table, LOCK);
    check_privilege(table);
    opened
}

/// Waits for the end of a stream of which no more bytes are wanted.
fn drain(chunks: &Receiver<Chunk>) -> Result<()> {
    loop {
        match receive(chunks)? {
            Chunk::Data(data) if data.is_empty() => {}
            Chunk::Data(_) => {
                return Err(Error::Protocol("data after the end of a COPY".to_owned()));
            }
            Chunk::End(end) => return end,
        }
    }
}

/// Takes the next chunk, with interrupts enabled while it waits; `Error::Lost` when none can come.
pub fn receive<T>(chunks: &Receiver<T>) -> Result<T> {
    loop {
        match chunks.recv_timeout(POLL) {
            Ok(chunk) => return Ok(chunk),
            Err(RecvTimeoutError::Timeout) => latch::wait(Duration::ZERO),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Lost("the reading thread has ended".to_owned()));
            }
        }
    }
}

impl Stream {
    /// Fills `out` as far as bytes are at hand, at least `least` bytes unless the stream ends.
    fn read(&mut self, out: &mut [u8], least: usize) -> Result<usize> {
        let mut filled = 0;
        while filled < least && self.end.is_none() {
            if self.offset == self.current.len() {
                match receive(&self.chunks)? {
                    Chunk::Data(data) => {
                        let spent = std::mem::replace(&mut self.current, data);
                        self.offset = 0;
                        // A full or closed pool just lets the buffer go.
                        let _ = self.spent.try_send(spent);
                    }
                    Chunk::End(end) => {
                        self.end = Some(end.clone());
                        end?;
                    }
                }
                continue;
            }
            let rest = &self.current[self.offset..];
            let count = rest.len().min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&rest[..count]);
            self.offset += count;
            filled += count;
        }
        Ok(filled)
    }
}

/// The server's side of the stream: see `copy_data_source_cb` in `commands/copy.h`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn read_stream(out: *mut c_void, least: c_int, most: c_int) -> c_int {
    let (least, most) = (least.max(0) as usize, most.max(0) as usize);
    // SAFETY: the server passes a buffer of at least `most` bytes.
    let out = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), most) };
    // The stream is taken out while it is read: waiting may raise, and must not leave it borrowed.
    let Some(mut stream) = STREAM.take() else {
        pgrx::error!("no stream to read");
    };
    let filled = stream.read(out, least);
    STREAM.set(Some(stream));
    match filled {
        Ok(filled) => filled as c_int,
        // A short answer would mean the end of the data, so a failed reader must raise.
        Err(error) => {
            report(error).report(pgrx::PgLogLevel::ERROR);
            0
        }
    }
}

/// Does what `DoCopy` does around BeginCopyFrom, CopyFrom and EndCopyFrom.
fn copy_from(target: &CopyIn<'_>) -> u64 {
    let table = open_to_write(target.table);
    let relation = table.get();
    // SAFETY: allocated in the current memory context, which the transaction's end frees.
    let state = unsafe { pg_sys::make_parsestate(std::ptr::null_mut()) };
    // SAFETY: parse state and relation are valid.
    let item = unsafe {
        pg_sys::addRangeTableEntryForRelation(
            state,
            relation,
            LOCK,
            std::ptr::null_mut(),
            false,
            false,
        )
    };
    require_insert(item);
    // SAFETY: as `DoCopy` does, so that column checks find the table.
    unsafe { pg_sys::addNSItemToQuery(state, item, true, true, true) };
    let mut options = std::ptr::null_mut();
    if target.is_binary {
        options = append_option(options, c"format", Some(c"binary"));
    }
    if target.freeze {
        options = append_option(options, c"freeze", None);
    }
    let mut names = std::ptr::null_mut();
    for column in target.columns {
        names = append_string(names, column);
    }
    let condition = match target.insertion {
        Insertion::Buffered => std::ptr::null_mut(),
        Insertion::Single => volatile_condition(),
    };
    // SAFETY: all arguments are valid; the callback follows the server's contract.
    let copy = unsafe {
        pg_sys::BeginCopyFrom(
            state,
            relation,
            condition,
            std::ptr::null(),
            false,
            Some(read_stream),
            names,
            options,
        )
    };
    // SAFETY: begun above.
    let rows = unsafe { pg_sys::CopyFrom(copy) };
    // SAFETY: begun above, ended only here.
    unsafe { pg_sys::EndCopyFrom(copy) };
    rows
}

/// Raises unless the current user may insert into the table and no row policy would apply.
fn check_privilege(table: pg_sys::Oid) {
    // SAFETY: a catalog look-up for the current user.
    let verdict = unsafe {
        pg_sys::pg_class_aclcheck(
            table,
            super::process::current_user(),
            pg_sys::AclMode::from(pg_sys::ACL_INSERT),
        )
    };
    if verdict != pg_sys::AclResult::ACLCHECK_OK {
        report(Error::Preflight {
            message: format!("permission denied to insert into table with OID {}", table.to_u32()),
            detail: None,
            hint: None,
            sqlstate: "42501",
        })
        .report(pgrx::PgLogLevel::ERROR);
    }
    // SAFETY: a catalog look-up for the current user.
    let policies = unsafe { pg_sys::check_enable_rls(table, pg_sys::InvalidOid, true) };
    if policies == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32 {
        report(Error::Preflight {
            message: "row-level security applies to the current user on a target table".to_owned(),
            detail: None,
            hint: Some("Run as the table's owner or as a role with BYPASSRLS.".to_owned()),
            sqlstate: "0A000",
        })
        .report(pgrx::PgLogLevel::ERROR);
    }
}

#[cfg(feature = "pg15")]
fn require_insert(item: *mut pg_sys::ParseNamespaceItem) {
    // SAFETY: the item and its range table entry were just made.
    unsafe { (*(*item).p_rte).requiredPerms = pg_sys::AclMode::from(pg_sys::ACL_INSERT) };
}

#[cfg(not(feature = "pg15"))]
fn require_insert(item: *mut pg_sys::ParseNamespaceItem) {
    // SAFETY: the item and its permission info were just made.
    unsafe { (*(*item).p_perminfo).requiredPerms = pg_sys::AclMode::from(pg_sys::ACL_INSERT) };
}

/// A condition that is always true, though the server cannot know: it is volatile, and with such a
/// condition COPY inserts row by row.
fn volatile_condition() -> *mut pg_sys::Node {
    // SAFETY: a function without arguments that returns a boolean.
    let call = unsafe {
        pg_sys::makeFuncExpr(
            PG_IS_IN_RECOVERY,
            pg_sys::BOOLOID,
            std::ptr::null_mut(),
            pg_sys::InvalidOid,
            pg_sys::InvalidOid,
            pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
        )
    };
    // SAFETY: a null list is the empty list.
    let calls = unsafe { pg_sys::lappend(std::ptr::null_mut(), call.cast()) };
    // SAFETY: NOT takes one argument.
    let negated = unsafe { pg_sys::makeBoolExpr(pg_sys::BoolExprType::NOT_EXPR, calls, -1) };
    // SAFETY: a null list is the empty list; COPY takes a list of conditions that are ANDed.
    unsafe { pg_sys::lappend(std::ptr::null_mut(), negated.cast()) }.cast()
}

fn append_option(
    list: *mut pg_sys::List,
    name: &'static std::ffi::CStr,
    value: Option<&'static std::ffi::CStr>,
) -> *mut pg_sys::List {
    let mut argument: *mut pg_sys::Node = std::ptr::null_mut();
    if let Some(value) = value {
        // SAFETY: constant text that the node only refers to.
        argument = unsafe { pg_sys::makeString(value.as_ptr().cast_mut()) }.cast();
    }
    // SAFETY: constant text that the node only refers to.
    let element = unsafe { pg_sys::makeDefElem(name.as_ptr().cast_mut(), argument, -1) };
    // SAFETY: a null list is the empty list.
    unsafe { pg_sys::lappend(list, element.cast()) }
}

fn append_string(list: *mut pg_sys::List, text: &str) -> *mut pg_sys::List {
    let Ok(text) = CString::new(text) else {
        pgrx::error!("a column name contains a zero byte");
    };
    // SAFETY: copies the text into the current memory context.
    let copy = unsafe { pg_sys::pstrdup(text.as_ptr()) };
    // SAFETY: the copy lives as long as the list.
    let node = unsafe { pg_sys::makeString(copy) };
    // SAFETY: a null list is the empty list.
    unsafe { pg_sys::lappend(list, node.cast()) }
}
