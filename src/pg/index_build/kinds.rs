//! Which columns can be read as keys that sort by themselves.

use std::cmp::Ordering;

use pgmig_core::heap::key::KeyKind;
use pgmig_core::heap::wide_key::WideKind;
use pgmig_core::heap::wide_order::Collate;
use pgrx::pg_sys::{
    self, BPCHAR_BTREE_FAM_OID, BPCHAR_PATTERN_BTREE_FAM_OID, TEXT_BTREE_FAM_OID,
    TEXT_PATTERN_BTREE_FAM_OID,
};

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
    // Of each of these types the server has one family.
    let is_builtin = family.to_u32() < FIRST_UNPINNED;
    if let Some(kind) = KeyKind::of_type(base.to_u32()) {
        return is_builtin.then_some(WideKind::Narrow(kind));
    }
    let is_by_bytes = || collation::is_by_bytes(collation);
    match base {
        _ if family.to_u32() == ENUM_FAMILY => is_by_number(base)
            .then_some(WideKind::Narrow(KeyKind::Unsigned(size_of::<pg_sys::Oid>() as u8))),
        pg_sys::NUMERICOID => is_builtin.then_some(WideKind::Numeric),
        pg_sys::BYTEAOID => is_builtin.then_some(WideKind::Bytes),
        pg_sys::TEXTOID | pg_sys::VARCHAROID => match family {
            TEXT_PATTERN_BTREE_FAM_OID => Some(WideKind::Text),
            TEXT_BTREE_FAM_OID if is_by_bytes() => Some(WideKind::Text),
            TEXT_BTREE_FAM_OID => Rules::of(collation).map(|_| WideKind::Collated),
            _ => None,
        },
        pg_sys::BPCHAROID => match family {
            BPCHAR_PATTERN_BTREE_FAM_OID => Some(WideKind::Padded),
            BPCHAR_BTREE_FAM_OID if is_by_bytes() => Some(WideKind::Padded),
            _ => None,
        },
        _ => None,
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
            _ => None,
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
