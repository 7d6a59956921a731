//! Rows of the target's tables in the form in which COPY would send them, for comparison.

use std::ffi::{CStr, CString};

use pgmig_core::Result;
use pgrx::pg_sys;

/// Rows fetched at a time, and so the number whose values are in memory together.
const FETCH_ROWS: std::ffi::c_long = 500;

/// How values are turned into bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// By the types' send functions, as in a binary COPY.
    Binary,
    /// By the types' output functions, as in a text COPY before its escapes.
    Text,
}

/// An encoded value; None for NULL.
pub type Value<'a> = Option<&'a [u8]>;

/// A column's conversion.
struct Column {
    function: pg_sys::FmgrInfo,
}

/// Runs `query` and calls `each` with the encoded values of every row, None for NULL.
pub fn for_each_row(
    query: &str,
    encoding: Encoding,
    each: &mut dyn FnMut(&[Value<'_>]) -> Result<()>,
) -> Result<()> {
    let Ok(query) = CString::new(query) else {
        pgrx::error!("a query contains a zero byte");
    };
    // SAFETY: raises on failure; finished below or by the transaction's abort.
    unsafe { pg_sys::SPI_connect() };
    // SAFETY: connected; no arguments; read-only, so that the query sees the active snapshot.
    let plan = unsafe { pg_sys::SPI_prepare(query.as_ptr(), 0, std::ptr::null_mut()) };
    if plan.is_null() {
        pgrx::error!("a query could not be prepared");
    }
    // SAFETY: the plan has no parameters.
    let portal = unsafe {
        pg_sys::SPI_cursor_open(
            std::ptr::null(),
            plan,
            std::ptr::null_mut(),
            std::ptr::null(),
            true,
        )
    };
    // SAFETY: the portal is open and has a result.
    let columns = unsafe { columns_of((*portal).tupDesc, encoding) };
    // SAFETY: a child of SPI's context, gone with it if anything raises.
    let context = unsafe {
        pg_sys::AllocSetContextCreateExtended(
            pg_sys::CurrentMemoryContext,
            c"pgmig values".as_ptr(),
            0,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        )
    };
    loop {
        // SAFETY: the portal is open.
        unsafe { pg_sys::SPI_cursor_fetch(portal, true, FETCH_ROWS) };
        // SAFETY: set by the fetch.
        let count = unsafe { pg_sys::SPI_processed } as usize;
        if count == 0 {
            break;
        }
        // SAFETY: set by the fetch.
        let table = unsafe { pg_sys::SPI_tuptable };
        for row in 0..count {
            // SAFETY: the context was made above.
            let outer = unsafe { pg_sys::MemoryContextSwitchTo(context) };
            // SAFETY: row is below the number of rows fetched.
            let values = unsafe { encode_row(table, row, &columns, encoding) };
            let outcome = each(&values);
            // SAFETY: puts back the context that was current.
            unsafe { pg_sys::MemoryContextSwitchTo(outer) };
            drop(values);
            // SAFETY: nothing refers to the row's values any more.
            unsafe { pg_sys::MemoryContextReset(context) };
            outcome?;
        }
        // SAFETY: nothing refers to the fetched rows any more.
        unsafe { pg_sys::SPI_freetuptable(table) };
        pgrx::check_for_interrupts!();
    }
    // SAFETY: opened above.
    unsafe { pg_sys::SPI_cursor_close(portal) };
    // SAFETY: connected above.
    unsafe { pg_sys::SPI_finish() };
    Ok(())
}

/// Looks up the conversion of each column.
///
/// # Safety
/// `descriptor` must be valid.
unsafe fn columns_of(descriptor: pg_sys::TupleDesc, encoding: Encoding) -> Vec<Column> {
    // SAFETY: valid by contract.
    let count = unsafe { (*descriptor).natts };
    (1..=count)
        .map(|number| {
            // SAFETY: number is within the descriptor.
            let type_oid = unsafe { pg_sys::SPI_gettypeid(descriptor, number) };
            let mut function_oid = pg_sys::InvalidOid;
            let mut is_varlena = false;
            match encoding {
                // SAFETY: raises when the type has no such function.
                Encoding::Binary => unsafe {
                    pg_sys::getTypeBinaryOutputInfo(type_oid, &mut function_oid, &mut is_varlena)
                },
                // SAFETY: raises when the type has no such function.
                Encoding::Text => unsafe {
                    pg_sys::getTypeOutputInfo(type_oid, &mut function_oid, &mut is_varlena)
                },
            }
            let mut function = pg_sys::FmgrInfo::default();
            // SAFETY: looked up just now; the info lives as long as SPI's context.
            unsafe { pg_sys::fmgr_info(function_oid, &mut function) };
            Column { function }
        })
        .collect()
}

/// The encoded values of one fetched row; they live in the current memory context.
///
/// # Safety
/// `table` must hold more than `row` rows with these columns.
unsafe fn encode_row<'a>(
    table: *mut pg_sys::SPITupleTable,
    row: usize,
    columns: &[Column],
    encoding: Encoding,
) -> Vec<Value<'a>> {
    // SAFETY: by contract.
    let (tuple, descriptor) = unsafe { (*(*table).vals.add(row), (*table).tupdesc) };
    let mut values = Vec::with_capacity(columns.len());
    for (number, column) in (1..).zip(columns) {
        let mut is_null = false;
        // SAFETY: number is within the descriptor.
        let datum = unsafe { pg_sys::SPI_getbinval(tuple, descriptor, number, &mut is_null) };
        if is_null {
            values.push(None);
            continue;
        }
        let function = (&raw const column.function).cast_mut();
        values.push(Some(match encoding {
            Encoding::Binary => {
                // SAFETY: the send function of the column's type.
                let bytes = unsafe { pg_sys::SendFunctionCall(function, datum) };
                // SAFETY: a bytea in the current memory context.
                unsafe { pgrx::varlena_to_byte_slice(bytes.cast()) }
            }
            Encoding::Text => {
                // SAFETY: the output function of the column's type.
                let text = unsafe { pg_sys::OutputFunctionCall(function, datum) };
                // SAFETY: a zero-terminated string in the current memory context.
                unsafe { CStr::from_ptr(text) }.to_bytes()
            }
        }));
    }
    values
}
