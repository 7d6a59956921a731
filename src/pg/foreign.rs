//! Foreign servers and user mappings, read as a foreign data wrapper reads them.

use std::ffi::{CStr, CString};

use pgmig_core::Result;
use pgrx::pg_sys;

/// An option of a foreign server or user mapping.
pub type ForeignOption = (String, String);

/// A foreign server as the current user sees it.
pub struct ForeignServer {
    pub wrapper: String,
    /// Who has chosen the server's options.
    pub owner: pg_sys::Oid,
    oid: pg_sys::Oid,
    /// The server's own options.
    pub options: Vec<ForeignOption>,
}

/// The foreign server of this name, if there is one; inside a transaction.
///
/// The name may be a connection string. The server is never asked for it: its caches would remember what
/// they have not found, secrets included.
pub fn find_server(name: &str) -> Result<Option<ForeignServer>> {
    let mut is_there = false;
    super::spi::for_each_text(
        "select s.srvname::text from pg_catalog.pg_foreign_server s",
        &mut |server| {
            is_there |= server == name;
            Ok(())
        },
    )?;
    let name = CString::new(name).ok().filter(|_| is_there);
    Ok(name.map(|name| read_server(&name)))
}

fn read_server(name: &CStr) -> ForeignServer {
    // SAFETY: a catalog look-up; raises when there is none.
    let server = unsafe { pg_sys::GetForeignServerByName(name.as_ptr(), false) };
    // SAFETY: palloc'd by the look-up, which fills every field.
    let server = unsafe { &*server };
    // SAFETY: a server always has a wrapper; raises otherwise.
    let wrapper = unsafe { &*pg_sys::GetForeignDataWrapper(server.fdwid) };
    ForeignServer {
        wrapper: read_text(wrapper.fdwname),
        owner: server.owner,
        oid: server.serverid,
        options: read_options(server.options),
    }
}

impl ForeignServer {
    /// The options of the current user's mapping or the public one; raises when there is neither.
    pub fn user_mapping(&self) -> Vec<ForeignOption> {
        // SAFETY: a catalog look-up that raises when there is no mapping.
        let mapping = unsafe { &*pg_sys::GetUserMapping(super::process::current_user(), self.oid) };
        read_options(mapping.options)
    }
}

fn read_options(list: *mut pg_sys::List) -> Vec<ForeignOption> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list of `length` cells made by the look-up.
    let (elements, length) = unsafe { ((*list).elements, (*list).length.max(0) as usize) };
    (0..length)
        .map(|i| {
            // SAFETY: i is below the list's length; the cells are DefElems.
            let element = unsafe { (*elements.add(i)).ptr_value }.cast::<pg_sys::DefElem>();
            // SAFETY: foreign options always have a text value.
            let value = unsafe { pg_sys::defGetString(element) };
            // SAFETY: as above.
            (read_text(unsafe { (*element).defname }), read_text(value))
        })
        .collect()
}

fn read_text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: a zero-terminated string of the server.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
