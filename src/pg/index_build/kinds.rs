//! Which columns can be read as keys that sort by themselves.

use pgmig_core::heap::key::KeyKind;
use pgmig_core::heap::wide_key::WideKind;
use pgrx::pg_sys;

use crate::pg::collation;

/// How an index holds a column of a type, under its default operator class and a collation; None if in no
/// way that is known here.
pub(super) fn kind_of(base: pg_sys::Oid, collation: pg_sys::Oid) -> Option<WideKind> {
    let is_text = base == pg_sys::TEXTOID || base == pg_sys::VARCHAROID;
    match KeyKind::of_type(base.to_u32()) {
        Some(kind) => Some(WideKind::Narrow(kind)),
        None => (is_text && collation::is_by_bytes(collation)).then_some(WideKind::Text),
    }
}
