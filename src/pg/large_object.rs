//! Writing large objects through the server's own functions.

use pgrx::prelude::*;
use pgrx::{PgMemoryContexts, direct_function_call_as_datum};

/// Writes `data` at `offset` of a large object that exists; raises what the server raises.
pub fn write(oid: u32, offset: i64, data: &[u8]) {
    // What the call needs is gone with this context: an object may be larger than memory.
    let mut context = PgMemoryContexts::new("pgmig large object");
    // SAFETY: the context was made above and outlives the call.
    unsafe {
        context.switch_to(|_| {
            let arguments =
                [pg_sys::Oid::from(oid).into_datum(), offset.into_datum(), data.into_datum()];
            direct_function_call_as_datum(pg_sys::be_lo_put, &arguments);
        });
    }
}
