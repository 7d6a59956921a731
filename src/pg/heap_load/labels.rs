//! Labels of an enum with their OIDs, as its receive function has told them.
//!
//! They hold for the load's transaction: a label cannot be taken away from an enum that a table uses,
//! and one that is renamed meanwhile keeps the OID that its value is stored as.

use pgrx::pg_sys;

/// Labels that are remembered, at most: more would take longer to find than to ask for.
const MOST_LABELS: usize = 64;

/// Labels of one enum.
#[derive(Default)]
pub(super) struct Labels(Vec<(Vec<u8>, pg_sys::Oid)>);

impl Labels {
    /// The OID of a label, if it is known.
    pub(super) fn find(&self, label: &[u8]) -> Option<pg_sys::Oid> {
        self.0.iter().find(|(known, _)| known == label).map(|(_, oid)| *oid)
    }

    /// Remembers what the receive function has made of a label.
    pub(super) fn remember(&mut self, label: &[u8], oid: pg_sys::Oid) {
        if self.0.len() < MOST_LABELS {
            self.0.push((label.to_vec(), oid));
        }
    }
}
