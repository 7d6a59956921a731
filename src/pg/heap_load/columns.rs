//! The columns of a table, as the stream brings them and as they are stored.

use std::ffi::{CStr, c_int};

use pgmig_core::heap::conversion::Conversion;
use pgmig_core::heap::deform::Attribute;
use pgmig_core::heap::encoding::Encoding;
use pgmig_core::heap::form::{Column, Storage};
use pgrx::pg_sys;
use pgrx::tupdesc::PgTupleDesc;

use crate::pg::heap_pages;

/// A column and its type, which is a domain only if that constrains its values.
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
    let encoding = database_encoding();
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
        let (type_oid, modifier) = base_type(attribute.atttypid, attribute.atttypmod);
        let conversion = Conversion::of_type(type_oid.to_u32(), modifier, encoding);
        let is_pglz = match attribute.attcompression as u8 {
            b'p' => true,
            0 => default_is_pglz,
            _ => false,
        };
        let storage = match attribute.attstorage as u8 {
            pg_sys::TYPSTORAGE_PLAIN => Storage::Plain,
            pg_sys::TYPSTORAGE_EXTERNAL => Storage::External,
            pg_sys::TYPSTORAGE_EXTENDED => Storage::Extended,
            _ => Storage::Main,
        };
        definitions.push(Definition {
            column: Column {
                attribute: Attribute {
                    length: attribute.attlen,
                    alignment: heap_pages::alignment(attribute),
                },
                field,
                conversion,
                // Of a generated one the executor knows better.
                is_not_null: attribute.attnotnull && field.is_some(),
                storage,
                is_pglz,
            },
            type_oid,
            modifier,
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

/// What is left of a column's type and modifier without domains that constrain nothing: their receive
/// functions would only call that of the base type. A constraint that is added to one has to wait for
/// the lock on the table before it is checked.
fn base_type(type_oid: pg_sys::Oid, modifier: i32) -> (pg_sys::Oid, i32) {
    // A dropped column has no type.
    if type_oid == pg_sys::InvalidOid || !is_of_kind(type_oid, pg_sys::TYPTYPE_DOMAIN) {
        return (type_oid, modifier);
    }
    // SAFETY: the type exists.
    if unsafe { pg_sys::DomainHasConstraints(type_oid) } {
        return (type_oid, modifier);
    }
    let mut modifier = modifier;
    // SAFETY: as above; writes a number.
    let base = unsafe { pg_sys::getBaseTypeAndTypmod(type_oid, &mut modifier) };
    (base, modifier)
}

/// Whether a type's `typtype` is `kind`.
pub(super) fn is_of_kind(type_oid: pg_sys::Oid, kind: u8) -> bool {
    // SAFETY: inside a transaction; zero for a type that does not exist.
    (unsafe { pg_sys::get_typtype(type_oid) }) as u8 == kind
}

/// The encoding of the database, and of the stream: the source is asked for it.
fn database_encoding() -> Encoding {
    // SAFETY: a constant of the database.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    // SAFETY: as above.
    let most_bytes = unsafe { pg_sys::pg_database_encoding_max_length() };
    if encoding == pg_sys::pg_enc::PG_UTF8 as c_int {
        Encoding::Utf8
    } else if most_bytes == 1 {
        Encoding::SingleByte
    } else {
        Encoding::Other
    }
}

fn process_setting(name: &CStr) -> String {
    // SAFETY: a parameter that every server has; the text is copied at once.
    let value = unsafe { pg_sys::GetConfigOption(name.as_ptr(), false, false) };
    // SAFETY: not null for a parameter that exists.
    unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned()
}
