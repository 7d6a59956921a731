//! The columns of a table, as the stream brings them and as they are stored.

use std::ffi::{CStr, c_int};

use pgmig_core::heap::deform::Attribute;
use pgmig_core::heap::form::{Column, Conversion};
use pgrx::pg_sys;
use pgrx::tupdesc::PgTupleDesc;

use crate::pg::heap_pages;

/// A column and its type.
pub(super) struct Definition {
    pub(super) column: Column,
    pub(super) type_oid: pg_sys::Oid,
    pub(super) modifier: i32,
    pub(super) is_by_value: bool,
}

/// The table's columns, with their places among `names`; None if one that is neither dropped nor generated is
/// missing there, so that it has to get a default.
pub(super) fn read_columns(
    relation: pg_sys::Relation,
    names: &[String],
) -> Option<Vec<Definition>> {
    // SAFETY: the relation is open, and stays so while this is used.
    let descriptor = unsafe { PgTupleDesc::from_pg_unchecked((*relation).rd_att) };
    let is_utf8 = is_utf8_database();
    let default_is_pglz = process_setting(c"default_toast_compression") == "pglz";
    let mut count = 0;
    let mut definitions = Vec::with_capacity(descriptor.len());
    for index in 0..descriptor.len() {
        let attribute = descriptor.get(index)?;
        let field = names.iter().position(|name| name == attribute.name());
        let is_stored = attribute.attgenerated as u8 == pg_sys::ATTRIBUTE_GENERATED_STORED;
        let field = field.filter(|_| !attribute.attisdropped);
        if field.is_none() && !attribute.attisdropped && !is_stored {
            return None;
        }
        count += usize::from(field.is_some());
        let conversion =
            Conversion::of_type(attribute.atttypid.to_u32(), attribute.atttypmod, is_utf8);
        let is_pglz = match attribute.attcompression as u8 {
            b'p' => true,
            0 => default_is_pglz,
            _ => false,
        };
        let storage = attribute.attstorage as u8;
        definitions.push(Definition {
            column: Column {
                attribute: Attribute {
                    length: attribute.attlen,
                    alignment: heap_pages::alignment(attribute),
                },
                field,
                conversion,
                is_not_null: attribute.attnotnull,
                is_packable: storage != pg_sys::TYPSTORAGE_PLAIN,
                is_compressed: is_pglz && storage == pg_sys::TYPSTORAGE_EXTENDED,
            },
            type_oid: attribute.atttypid,
            modifier: attribute.atttypmod,
            is_by_value: attribute.attbyval,
        });
    }
    (count == names.len()).then_some(definitions)
}

pub(super) fn column_name(relation: pg_sys::Relation, index: usize) -> String {
    // SAFETY: the relation is open, and stays so while this is used.
    let descriptor = unsafe { PgTupleDesc::from_pg_unchecked((*relation).rd_att) };
    descriptor.get(index).map(|attribute| attribute.name().to_owned()).unwrap_or_default()
}

fn is_utf8_database() -> bool {
    // SAFETY: a constant of the database.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    encoding == pg_sys::pg_enc::PG_UTF8 as c_int
}

fn process_setting(name: &CStr) -> String {
    // SAFETY: a parameter that every server has; the text is copied at once.
    let value = unsafe { pg_sys::GetConfigOption(name.as_ptr(), false, false) };
    // SAFETY: not null for a parameter that exists.
    unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned()
}
