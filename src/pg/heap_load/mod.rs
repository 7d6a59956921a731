//! Rows of a binary stream written to a heap table without the executor in between.
//!
//! ```text
//!   chunks ─ rows ─ tuples, formed from the wire's bytes ─┬─ heap_multi_insert, the first ones
//!                                                         └─ `pages`, all others
//! ```
//!
//! For tables where COPY would do no more than that: a heap without triggers and indexes. Generated columns,
//! checks and partition bounds are left to the executor, as COPY leaves them to it. Values are the type's receive
//! function's business wherever there is any doubt about them. Long values go out of line through `toast`, or
//! the heap moves them there where that is not told by the columns alone.

mod batch;
mod checks;
mod columns;
mod labels;
mod pages;
mod progress;
mod receive;
mod toast;

use pgmig_core::heap::form::{Refusal, TupleFormer};
use pgmig_core::heap::rows::RowReader;
use pgmig_core::{Error, Result};
use pgrx::pg_sys;

use self::batch::{Batch, Context};
use self::checks::Checks;
use self::columns::{column_name, read_columns};
use self::pages::Pages;
use self::progress::Progress;
use self::receive::Receivers;
use super::catch::catch;
use super::heap_pages;

/// `toast_tuple_target` of a table that does not set it.
const DEFAULT_TOAST_TARGET: usize = 2032;

/// A table that is being loaded, open under a lock that the transaction keeps.
pub(in crate::pg) struct HeapLoad {
    relation: pg_sys::Relation,
    former: TupleFormer,
    receivers: Receivers,
    batch: Batch,
    /// Where the rows go once there are many.
    pages: Option<Pages>,
    freeze: bool,
    checks: Option<Checks>,
}

impl HeapLoad {
    /// For a table that the caller has open and may insert into; None if COPY has to load it.
    ///
    /// With `freeze` the rows are written frozen: the table's file must be one that the current
    /// transaction has made, which is checked.
    pub(in crate::pg) fn open(
        relation: pg_sys::Relation,
        columns: &[String],
        freeze: bool,
    ) -> Option<Self> {
        if !is_plain(relation) {
            return None;
        }
        let definitions = read_columns(relation, columns)?;
        if freeze {
            require_new_file(relation);
        }
        let stored = definitions.iter().map(|definition| definition.column).collect();
        Some(HeapLoad {
            relation,
            former: TupleFormer::new(stored, toast_target(relation)),
            batch: Batch::new(freeze),
            pages: None,
            freeze,
            checks: Checks::new(relation),
            receivers: Receivers::new(&definitions),
        })
    }

    /// Writes the rows of a stream and returns their number; raises what the server raises.
    ///
    /// `next_chunk` gives the stream's chunks, takes each back for the next one, and ends with None.
    pub(in crate::pg) fn write(
        mut self,
        mut next_chunk: impl FnMut(Vec<u8>) -> Result<Option<Vec<u8>>>,
    ) -> Result<u64> {
        let progress = Progress::begin(self.relation);
        let context = Context::new();
        let mut rows = RowReader::new(|used| {
            // The next chunk may be long in coming.
            progress.report();
            next_chunk(used)
        });
        while let Some(row) = rows.next_row()? {
            progress.count(row.bytes.len());
            let tuples = &mut self.batch.bytes;
            let start = tuples.len();
            let toast = self.pages.as_mut().and_then(Pages::toast);
            let formed = context.run(|| self.former.form(row, &mut self.receivers, toast, tuples));
            match formed {
                Ok(length) => self.batch.lengths.push((start, length)),
                Err(refusal) => return Err(self.explain(refusal)),
            }
            if self.batch.is_full() {
                self.flush(&context);
                if self.pages.is_none() {
                    // Whoever looks at a row before it is written has to find its values.
                    let moves_values = self.checks.is_none();
                    self.pages =
                        Pages::begin(self.relation, &self.batch, self.freeze, moves_values);
                }
            }
        }
        self.flush(&context);
        if let Some(pages) = self.pages.take() {
            pages.finish();
        }
        progress.end();
        Ok(progress.rows.get() as u64)
    }

    /// Inserts the batch at hand, and forgets what was allocated for it.
    fn flush(&mut self, context: &Context) {
        pgrx::check_for_interrupts!();
        if self.batch.lengths.is_empty() {
            return;
        }
        if self.checks.is_some() || self.pages.is_none() {
            self.batch.store(self.relation);
        }
        if let Some(checks) = &self.checks {
            self.batch.slots().iter().for_each(|slot| checks.run(*slot));
            if checks.is_generated() && self.pages.is_some() {
                self.batch.take_back();
            }
        }
        context.run(|| match &mut self.pages {
            Some(pages) => pages.insert(&mut self.batch),
            None => self.batch.insert(self.relation),
        });
        self.batch.clear();
        context.reset();
    }

    /// The server's complaint about a row.
    fn explain(&self, refusal: Refusal) -> Error {
        let Refusal::Null(index) = refusal else {
            return Error::Protocol("a row does not have the table's columns".to_owned());
        };
        let column = column_name(self.relation, index);
        let complaint = catch::<()>(|| {
            pgrx::ereport!(
                ERROR,
                pgrx::PgSqlErrorCode::ERRCODE_NOT_NULL_VIOLATION,
                format!("null value in column \"{column}\" violates not-null constraint")
            );
        });
        match complaint {
            Err(error) => error,
            Ok(()) => Error::Internal("an error was not raised".to_owned()),
        }
    }
}

/// Whether nothing but the heap and constraints has to be told of new rows.
fn is_plain(relation: pg_sys::Relation) -> bool {
    // SAFETY: the relation is open.
    let (class, triggers) = unsafe { (&*(*relation).rd_rel, (*relation).trigdesc) };
    // SAFETY: the relation is open; the list is ours.
    let indexes = unsafe { pg_sys::RelationGetIndexList(relation) };
    heap_pages::is_heap_table(relation)
        && triggers.is_null()
        && indexes.is_null()
        && !class.relhasrules
}

/// Raises unless the current subtransaction has made the table's file.
fn require_new_file(relation: pg_sys::Relation) {
    if !is_of_new_file(relation) {
        pgrx::error!("a table can be loaded with frozen rows only by who has truncated it");
    }
}

/// Whether the current subtransaction has made an open relation's file.
fn is_of_new_file(relation: pg_sys::Relation) -> bool {
    // SAFETY: inside a transaction.
    let current = unsafe { pg_sys::GetCurrentSubTransactionId() };
    // SAFETY: the relation is open.
    let created = unsafe { (*relation).rd_createSubid };
    created == current || file_made_by(relation) == current
}

#[cfg(feature = "pg15")]
fn file_made_by(relation: pg_sys::Relation) -> pg_sys::SubTransactionId {
    // SAFETY: the relation is open.
    unsafe { (*relation).rd_newRelfilenodeSubid }
}

#[cfg(not(feature = "pg15"))]
fn file_made_by(relation: pg_sys::Relation) -> pg_sys::SubTransactionId {
    // SAFETY: the relation is open.
    unsafe { (*relation).rd_newRelfilelocatorSubid }
}

fn toast_target(relation: pg_sys::Relation) -> usize {
    // SAFETY: the relation is open; an ordinary table has options of this kind, or none.
    let options = unsafe { (*relation).rd_options }.cast::<pg_sys::StdRdOptions>();
    if options.is_null() {
        return DEFAULT_TOAST_TARGET;
    }
    // SAFETY: checked above.
    let target = unsafe { (*options).toast_tuple_target };
    usize::try_from(target).unwrap_or(DEFAULT_TOAST_TARGET)
}
