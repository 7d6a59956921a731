//! Which columns can be read as keys that sort by themselves.

use std::cmp::Ordering;

use pgmig_core::heap::key::KeyKind;
use pgmig_core::heap::wide_key::WideKind;
use pgmig_core::heap::wide_order::Collate;
use pgrx::pg_sys::{self, TEXT_BTREE_FAM_OID, TEXT_PATTERN_BTREE_FAM_OID};

use super::FIRST_UNPINNED;
use crate::pg::collation::{self, Rules};
use crate::pg::syscache;

/// `enum_ops` of `catalog/pg_opfamily.dat` for B-trees.
const ENUM_FAMILY: u32 = 3522;

/// How an index holds a column of a type, under a family of operators and a collation; None if in no way that
/// is known here.
pub(super) fn kind_of(
    base: pg_sys::Oid,
    family: pg_sys::Oid,
    collation: pg_sys::Oid,
) -> Option<WideKind> {
    let is_text = base == pg_sys::TEXTOID || base == pg_sys::VARCHAROID;
    match KeyKind::of_type(base.to_u32()) {
        // Of each of these types the server has one family.
        Some(kind) => (family.to_u32() < FIRST_UNPINNED).then_some(WideKind::Narrow(kind)),
        None if family.to_u32() == ENUM_FAMILY && is_by_number(base) => {
            Some(WideKind::Narrow(KeyKind::Unsigned(size_of::<pg_sys::Oid>() as u8)))
        }
        None if !is_text => None,
        None if family == TEXT_PATTERN_BTREE_FAM_OID => Some(WideKind::Text),
        None if family != TEXT_BTREE_FAM_OID => None,
        None if collation::is_by_bytes(collation) => Some(WideKind::Text),
        None => Rules::of(collation).map(|_| WideKind::Collated),
    }
}

/// Whether an enum's labels are in the order of their OIDs: the even ones are, and odd ones are given to labels
/// that were put between others.
fn is_by_number(data_type: pg_sys::Oid) -> bool {
    syscache::all(pg_sys::SysCacheIdentifier::ENUMTYPOIDNAME, data_type, |label| {
        label.get(pg_sys::Anum_pg_enum_oid).is_some_and(|oid: pg_sys::Oid| oid.to_u32() % 2 == 0)
    })
}

/// The collations of an index's columns, for those that have rules of their own.
#[derive(Default)]
pub(super) struct Collations(Vec<Option<Rules>>);

impl Collations {
    /// For columns of these kinds and collations.
    pub(super) fn new(columns: &[(WideKind, pg_sys::Oid)]) -> Self {
        let columns = columns.iter().map(|(kind, collation)| match kind {
            WideKind::Collated => Rules::of(*collation),
            WideKind::Narrow(_) | WideKind::Text => None,
        });
        Collations(columns.collect())
    }
}

impl Collate for Collations {
    fn weigh(&mut self, column: usize, text: &[u8], into: &mut Vec<u8>) -> bool {
        match &mut self.0[column] {
            Some(rules) => {
                rules.weigh(text, into);
                true
            }
            None => false,
        }
    }

    fn compare(&mut self, column: usize, one: &[u8], other: &[u8]) -> Ordering {
        match &mut self.0[column] {
            Some(rules) => rules.compare(one, other),
            None => one.cmp(other),
        }
    }
}
