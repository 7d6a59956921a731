//! The types' own receive functions, for values that are not laid out here.

use std::ffi::{CStr, c_int};

use pgmig_core::heap::form::{Receive, Stored};
use pgrx::pg_sys;

use super::columns::{Definition, is_of_kind};
use super::labels::Labels;

/// The receive functions of a table's columns.
pub(super) struct Receivers {
    columns: Vec<Option<Receiver>>,
    /// The value on the wire with a zero byte behind it, as the functions expect it.
    input: Vec<u8>,
    /// A value that is passed around by value.
    word: [u8; 8],
}

struct Receiver {
    function: pg_sys::FmgrInfo,
    parameter: pg_sys::Oid,
    modifier: i32,
    length: i16,
    is_by_value: bool,
    /// What is known of an enum's labels.
    labels: Option<Labels>,
}

impl Receivers {
    pub(super) fn new(definitions: &[Definition]) -> Self {
        let columns = definitions
            .iter()
            .map(|definition| definition.column.field.map(|_| Receiver::new(definition)))
            .collect();
        Receivers { columns, input: Vec::new(), word: [0; 8] }
    }
}

impl Receiver {
    fn new(definition: &Definition) -> Self {
        let (mut function_oid, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        // SAFETY: raises when the type has no such function.
        unsafe {
            pg_sys::getTypeBinaryInputInfo(definition.type_oid, &mut function_oid, &mut parameter)
        };
        let mut function = pg_sys::FmgrInfo::default();
        // SAFETY: looked up just now; what it allocates lives as long as the current context.
        unsafe { pg_sys::fmgr_info(function_oid, &mut function) };
        Receiver {
            function,
            parameter,
            modifier: definition.modifier,
            length: definition.column.attribute.length,
            is_by_value: definition.is_by_value,
            labels: is_of_kind(definition.type_oid, pg_sys::TYPTYPE_ENUM).then(Labels::default),
        }
    }
}

impl Receive for Receivers {
    fn receive(&mut self, index: usize, value: Option<&[u8]>) -> Stored<'_> {
        let receiver = self.columns.get_mut(index)?.as_mut()?;
        let Some(value) = value else {
            // Domains have a say about NULL too, and raise it.
            // SAFETY: as COPY calls the function for NULL.
            unsafe {
                pg_sys::ReceiveFunctionCall(
                    &mut receiver.function,
                    std::ptr::null_mut(),
                    receiver.parameter,
                    receiver.modifier,
                )
            };
            return None;
        };
        if let Some(oid) = receiver.labels.as_ref().and_then(|labels| labels.find(value)) {
            self.word = pg_sys::Datum::from(oid).value().to_ne_bytes();
            return self.word.get(..size_of::<pg_sys::Oid>());
        }
        self.input.clear();
        self.input.extend_from_slice(value);
        self.input.push(0);
        let mut message = pg_sys::StringInfoData {
            data: self.input.as_mut_ptr().cast(),
            len: value.len() as c_int,
            maxlen: self.input.len() as c_int,
            cursor: 0,
        };
        // SAFETY: the message outlives the call; raises on a wrong value.
        let datum = unsafe {
            pg_sys::ReceiveFunctionCall(
                &mut receiver.function,
                &mut message,
                receiver.parameter,
                receiver.modifier,
            )
        };
        if message.cursor != message.len {
            pgrx::ereport!(
                ERROR,
                pgrx::PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
                "incorrect binary data format"
            );
        }
        if let Some(labels) = &mut receiver.labels {
            labels.remember(value, pg_sys::Oid::from_u32(datum.value() as u32));
        }
        if receiver.is_by_value {
            self.word = datum.value().to_ne_bytes();
            return self.word.get(..usize::try_from(receiver.length).unwrap_or(0));
        }
        // SAFETY: a function that returns has made a value of its type.
        Some(unsafe { stored_bytes(datum, receiver.length) })
    }
}

/// The bytes of a value that is passed around by reference.
///
/// # Safety
/// The value must be one of a type of this length.
unsafe fn stored_bytes<'a>(datum: pg_sys::Datum, length: i16) -> &'a [u8] {
    let pointer = datum.cast_mut_ptr::<u8>();
    match usize::try_from(length) {
        // SAFETY: by contract.
        Ok(length) => unsafe { std::slice::from_raw_parts(pointer, length) },
        Err(_) if length == -1 => {
            // SAFETY: by contract.
            let is_elsewhere = unsafe { pgrx::varatt_is_1b_e(pointer.cast()) };
            let flat = match is_elsewhere {
                // SAFETY: a value that is not in one piece is made so.
                true => unsafe { pg_sys::pg_detoast_datum(pointer.cast()) },
                false => pointer.cast(),
            };
            // SAFETY: flat now, with a header that tells its length.
            unsafe { std::slice::from_raw_parts(flat.cast(), pgrx::varsize_any(flat)) }
        }
        // SAFETY: by contract a text that ends with zero.
        Err(_) => unsafe { CStr::from_ptr(pointer.cast()) }.to_bytes_with_nul(),
    }
}
