//! Which large objects are to be copied, and which on the target stand in their way.

use pgmig_core::options::{Options, Validation};
use pgmig_core::plan::large_objects::LargeObjects;
use pgmig_core::source::large_objects;
use pgmig_core::source::wire::Connection;
use pgmig_core::{Error, Result};

use super::super::coordinator::Run;
use super::super::state::RunKind;
use crate::pg::thread::Actor;
use crate::pg::transaction;

/// OIDs that an error lists at most.
const MAX_NAMED: usize = 20;

/// Finds them on both sides.
///
/// # Errors
/// `Error::Preflight` if some may not be read, or if the target has others under the same OIDs.
pub(super) fn read(run: &Run, session: &Actor<Connection>, identity: &str) -> Result<LargeObjects> {
    let options = &run.options;
    if !options.copies_large_objects() || options.schema_only {
        return Ok(LargeObjects::default());
    }
    let batches = session.call(|connection| large_objects::read_batches(connection))?;
    let unreadable: i64 = batches.iter().map(|batch| batch.unreadable).sum();
    if unreadable > 0 {
        return Err(refuse_unreadable(unreadable));
    }
    let present = transaction::run(|| run.state.read_large_objects(identity))?;
    let removed = match run.request.kind {
        RunKind::Validate => present.into_iter().map(|(oid, _)| oid).collect(),
        RunKind::Migrate | RunKind::Plan => find_removed(present, session, options)?,
    };
    let is_checked = options.validation != Validation::None;
    Ok(LargeObjects { batches, removed, is_checked })
}

/// What earlier runs from the same source made, as they left it, and what else has an OID that is needed.
fn find_removed(
    present: Vec<(u32, bool)>,
    session: &Actor<Connection>,
    options: &Options,
) -> Result<Vec<u32>> {
    let oids = |is_wanted: bool| -> Vec<u32> {
        present.iter().filter(|(_, is_ours)| *is_ours == is_wanted).map(|(oid, _)| *oid).collect()
    };
    let (mut removed, foreign) = (oids(true), oids(false));
    if foreign.is_empty() {
        return Ok(removed);
    }
    let clashing =
        session.call(move |connection| large_objects::find_existing(connection, &foreign))?;
    if !clashing.is_empty() && !options.overwrite {
        return Err(refuse_clashing(&clashing));
    }
    removed.extend(clashing);
    removed.sort_unstable();
    Ok(removed)
}

fn refuse_unreadable(count: i64) -> Error {
    Error::Preflight {
        message: format!("permission denied for {count} large objects of the source"),
        detail: None,
        hint: Some(
            "Grant SELECT on them or on pg_largeobject to the source's user, or set option \
             \"large_objects\" to false."
                .to_owned(),
        ),
        sqlstate: "42501",
    }
}

fn refuse_clashing(oids: &[u32]) -> Error {
    let named: Vec<_> = oids.iter().take(MAX_NAMED).map(u32::to_string).collect();
    let more = match oids.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    Error::Preflight {
        message: format!(
            "{} large objects of the target that no earlier run made have OIDs of the source's",
            oids.len()
        ),
        detail: Some(format!("Left alone: {}{more}.", named.join(", "))),
        hint: Some(
            "Set option \"overwrite\" to true to replace them, or option \"large_objects\" to false."
                .to_owned(),
        ),
        sqlstate: "55000",
    }
}
