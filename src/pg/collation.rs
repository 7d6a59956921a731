//! Texts compared byte by byte where the database's collation says the same at greater length.
//!
//! Under `C.UTF-8` of the GNU C library `strcoll` is `strcmp`, but only under `C` the server compares
//! texts by itself, and only there it sorts by abbreviated keys. Building indexes over texts, analyzing
//! tables, and joins for foreign keys take half the time and less that way.

#[cfg(not(feature = "pg18"))]
use std::ffi::CStr;

use pgrx::pg_sys;

use super::catch::guard;

/// `_NL_COLLATE_NRULES` of the GNU C library's `langinfo.h`: by how many rules a locale compares texts.
/// Without any, `strcoll` is `strcmp`.
#[cfg(target_env = "gnu")]
const RULE_COUNT: libc::nl_item = libc::LC_COLLATE << 16;

/// Has this process compare texts under the database's default collation by their bytes, if that collation
/// does just that. To be called before any text is compared, while there is a single thread.
pub fn compare_by_bytes() {
    if compares_by_bytes() {
        tell_server();
    }
}

/// Whether the server compares texts under a collation by their bytes.
#[cfg(not(feature = "pg18"))]
pub(super) fn is_by_bytes(collation: pg_sys::Oid) -> bool {
    // SAFETY: a look-up; false for what is no collation.
    unsafe { guard(|| lc_collate_is_c(collation)) }
}

/// Whether the server compares texts under a collation by their bytes.
#[cfg(feature = "pg18")]
pub(super) fn is_by_bytes(collation: pg_sys::Oid) -> bool {
    if collation == pg_sys::InvalidOid {
        return false;
    }
    // SAFETY: a collation of the catalog; raises if it cannot be used.
    let locale = unsafe { guard(|| pg_newlocale_from_collation(collation)) };
    // SAFETY: lives as long as the process.
    unsafe { locale.as_ref() }.is_some_and(|locale| locale.collate_is_c)
}

/// Whether the C library compares texts by their bytes in this process's locale.
#[cfg(target_env = "gnu")]
fn compares_by_bytes() -> bool {
    // SAFETY: an item of every locale; what is returned is the number itself.
    let rule_count = unsafe { libc::nl_langinfo(RULE_COUNT) };
    // A number of 32 bits in the place of an address.
    rule_count as usize as u32 == 0
}

#[cfg(not(target_env = "gnu"))]
fn compares_by_bytes() -> bool {
    false
}

/// The server asks for the locale's name once and remembers whether it is `C`.
#[cfg(not(feature = "pg18"))]
fn tell_server() {
    // SAFETY: the name is the library's, and copied before it can change.
    let name = unsafe { CStr::from_ptr(libc::setlocale(libc::LC_COLLATE, std::ptr::null())) };
    let name = name.to_owned();
    // SAFETY: a locale that always exists; no other thread runs.
    unsafe { libc::setlocale(libc::LC_COLLATE, c"C".as_ptr()) };
    is_by_bytes(pg_sys::DEFAULT_COLLATION_OID);
    // SAFETY: the locale that was set before.
    unsafe { libc::setlocale(libc::LC_COLLATE, name.as_ptr()) };
}

/// The server keeps what it knows of the locale.
#[cfg(feature = "pg18")]
fn tell_server() {
    /// `COLLPROVIDER_LIBC`.
    const LIBC: u8 = b'c';
    // SAFETY: the database's own locale, which lives as long as the process.
    let locale = unsafe { guard(|| pg_newlocale_from_collation(pg_sys::DEFAULT_COLLATION_OID)) };
    // SAFETY: as above.
    if let Some(locale) = unsafe { locale.as_mut() }
        && locale.provider == LIBC
    {
        locale.collate_is_c = true;
    }
}

/// The first members of `pg_locale_struct` of `utils/pg_locale.h`.
#[cfg(feature = "pg18")]
#[repr(C)]
struct Locale {
    provider: u8,
    deterministic: bool,
    collate_is_c: bool,
}

unsafe extern "C-unwind" {
    #[cfg(not(feature = "pg18"))]
    fn lc_collate_is_c(collation: pg_sys::Oid) -> bool;
    #[cfg(feature = "pg18")]
    fn pg_newlocale_from_collation(collation: pg_sys::Oid) -> *mut Locale;
}
