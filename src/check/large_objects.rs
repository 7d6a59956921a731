//! Large objects compared: counted on both sides, and their pages hashed if asked for.

use std::ops::ControlFlow;

use pgmig_core::digest::{Digest, StreamDigest};
use pgmig_core::options::Validation;
use pgmig_core::source::large_objects;
use pgmig_core::{Error, Result};

use crate::pg::transaction;
use crate::run::state::{CheckedTable, RunKind};
use crate::run::worker::TaskContext;

/// Does the check task.
///
/// After a copy the target's are those that the run has made, whatever else it has.
pub fn compare(context: &mut TaskContext, task: i32, table_id: i32) -> Result<()> {
    let (run, state) = (context.request.run, context.state);
    let is_hashed = context.options.validation == Validation::Checksum;
    transaction::run(|| {
        let made_by = (context.request.kind == RunKind::Migrate).then_some(run);
        let source_rows = count_source(context)?;
        let source = if is_hashed { Some(hash_source(context, made_by, table_id)?) } else { None };
        let target_rows = state.count_large_objects(made_by)?;
        let target = if is_hashed { Some(state.hash_large_objects(made_by)?) } else { None };
        let (source, target) = (source.map(|d| d.to_string()), target.map(|d| d.to_string()));
        let detail = if source_rows != target_rows {
            Some(format!(
                "the source has {source_rows} large objects, the target has {target_rows}"
            ))
        } else {
            (source != target).then(|| "contents of large objects differ".to_owned())
        };
        state.insert_checked(
            run,
            &[CheckedTable {
                table_id,
                source_rows: Some(source_rows),
                target_rows: Some(target_rows),
                source_checksum: source,
                target_checksum: target,
                status: if detail.is_some() { "mismatch" } else { "match" },
                detail,
            }],
        )?;
        state.mark_done(run, task, &[])
    })
}

fn count_source(context: &mut TaskContext) -> Result<i64> {
    let rows = context.source.get()?.call(|connection| {
        connection.query("select pg_catalog.count(*) from pg_catalog.pg_largeobject_metadata")
    })?;
    match rows.first().map(Vec::as_slice) {
        Some([Some(count)]) => count.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| Error::Protocol("a count is not a number".to_owned()))
}

/// The digest that was taken when the pages were copied, or else now.
fn hash_source(context: &mut TaskContext, run: Option<i64>, table_id: i32) -> Result<Digest> {
    if let Some(run) = run {
        let copies = context.state.read_copied(run, &[table_id])?;
        let digests = copies.into_iter().filter_map(|(_, _, hex)| Digest::from_hex(0, &hex?));
        return Ok(digests.sum());
    }
    context.source.get()?.call(|connection| {
        let sql = large_objects::copy_out_statement(connection, 0, u32::MAX)?;
        let mut digest = StreamDigest::binary();
        let mut broken = None;
        let mut sink = |buffer: Vec<u8>| match digest.feed(&buffer) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                broken = Some(error);
                ControlFlow::Break(())
            }
        };
        let copied = connection.copy_out(&sql, &mut sink);
        match broken {
            Some(error) => Err(error),
            None => copied.and_then(|_| digest.finish()),
        }
    })
}
