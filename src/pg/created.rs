//! Objects that statements create in this process, as the server reports them to its access hook; and
//! dropping several of them at once.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};

use pgrx::pg_sys;

/// Catalog and OID of an object.
pub type Address = (u32, u32);

thread_local! {
    static CREATED: RefCell<Vec<Address>> = const { RefCell::new(Vec::new()) };
    /// Whoever was told before us.
    static NEXT: Cell<pg_sys::object_access_hook_type> = const { Cell::new(None) };
}

/// Begins to take note of what this process creates; to be called once.
pub fn watch() {
    // SAFETY: a plain global of this process, which runs no other thread that reads it.
    NEXT.set(unsafe { pg_sys::object_access_hook });
    // SAFETY: as above; the function stays valid, the library is never unloaded.
    unsafe { pg_sys::object_access_hook = Some(note) };
}

/// What was created since the last call, in that order.
pub fn take() -> Vec<Address> {
    CREATED.take()
}

/// Called by the server for every access that extensions may want to know of.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn note(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    sub_object: c_int,
    argument: *mut c_void,
) {
    if access == pg_sys::ObjectAccessType::OAT_POST_CREATE && sub_object == 0 {
        CREATED.with_borrow_mut(|created| created.push((class.to_u32(), object.to_u32())));
    }
    if let Some(next) = NEXT.get() {
        // SAFETY: passes on what we were given.
        unsafe { next(access, class, object, sub_object, argument) };
    }
}

/// Drops objects as if one statement could name them all: they may depend on each other, and nothing
/// else may depend on them. Raises the server's ERROR; asks for no rights.
pub fn drop_together(addresses: &[Address]) {
    // SAFETY: allocated in the current memory context.
    let list = unsafe { pg_sys::new_object_addresses() };
    for (class, object) in addresses {
        let address = pg_sys::ObjectAddress {
            classId: pg_sys::Oid::from_u32(*class),
            objectId: pg_sys::Oid::from_u32(*object),
            objectSubId: 0,
        };
        // SAFETY: the list was just made; the address is copied.
        unsafe { pg_sys::add_exact_object_address(&address, list) };
    }
    // SAFETY: a list of addresses; raises if something else depends on one of them.
    unsafe {
        pg_sys::performMultipleDeletions(list, pg_sys::DropBehavior::DROP_RESTRICT, 0);
    }
}
