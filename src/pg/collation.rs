//! Texts compared byte by byte where the database's collation says the same at greater length, and what texts
//! weigh where it does not.
//!
//! Under `C.UTF-8` of the GNU C library `strcoll` is `strcmp`, but only under `C` the server compares
//! texts by itself, and only there it sorts by abbreviated keys. Building indexes over texts, analyzing
//! tables, and joins for foreign keys take half the time and less that way.

#[cfg(not(feature = "pg18"))]
use std::ffi::CStr;
use std::ffi::{CString, c_char, c_int};

use pgmig_core::heap::wide_order::LEVEL_END;
use pgrx::pg_sys::{self, SysCacheIdentifier};

use super::catch::guard;
use super::syscache;

/// `_NL_COLLATE_NRULES` of the GNU C library's `langinfo.h`: by how many rules a locale compares texts.
/// Without any, `strcoll` is `strcmp`.
#[cfg(target_env = "gnu")]
const RULE_COUNT: libc::nl_item = libc::LC_COLLATE << 16;

/// `COLLPROVIDER_LIBC`.
const LIBC: u8 = b'c';

/// Levels of weights that are of use for sorting: characters, accents, case. The next one is for punctuation, and
/// is not what `strcoll` goes by.
const LEVEL_COUNT: usize = 3;

/// Bytes of weights that a byte of text has, for a guess.
const WEIGHTS_PER_BYTE: usize = 8;

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

/// A collation of the C library that has rules of its own.
pub(super) struct Rules {
    locale: libc::locale_t,
    /// Texts with a zero at the end.
    texts: [Vec<u8>; 2],
}

impl Rules {
    /// None if the collation is none of the C library's, or not known to it.
    pub(super) fn of(collation: pg_sys::Oid) -> Option<Self> {
        let name = CString::new(name_of(collation)?).ok()?;
        let mask = libc::LC_COLLATE_MASK | libc::LC_CTYPE_MASK;
        // SAFETY: a name; null if there is no such locale.
        let locale = unsafe { libc::newlocale(mask, name.as_ptr(), std::ptr::null_mut()) };
        (!locale.is_null()).then(|| Rules { locale, texts: [Vec::new(), Vec::new()] })
    }

    /// Appends the weights of a text that has no zero in it, as far as they are of use for sorting.
    pub(super) fn weigh(&mut self, text: &[u8], into: &mut Vec<u8>) {
        let text = with_end(&mut self.texts[0], text).as_ptr().cast();
        let start = into.len();
        let mut room = self.texts[0].len() * WEIGHTS_PER_BYTE;
        loop {
            into.resize(start + room, 0);
            // SAFETY: a text that ends with a zero, and as much room as is said.
            let length =
                unsafe { strxfrm_l(into[start..].as_mut_ptr().cast(), text, room, self.locale) };
            if length < room {
                into.truncate(start + length);
                break;
            }
            room = length + 1;
        }
        let mut ends = (start..into.len()).filter(|place| into[*place] == LEVEL_END);
        if let Some(end) = ends.nth(LEVEL_COUNT - 1) {
            into.truncate(end);
        }
    }

    /// How the server compares two texts that have no zero in them: `varstr_cmp`.
    pub(super) fn compare(&mut self, one: &[u8], other: &[u8]) -> std::cmp::Ordering {
        let [first, second] = &mut self.texts;
        let texts = [with_end(first, one).as_ptr(), with_end(second, other).as_ptr()];
        // SAFETY: texts that end with a zero.
        let order = unsafe { strcoll_l(texts[0].cast(), texts[1].cast(), self.locale) };
        order.cmp(&0).then_with(|| one.cmp(other))
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        // SAFETY: made by `of`, and used by nobody else.
        unsafe { libc::freelocale(self.locale) };
    }
}

/// What the C library calls a collation, which may be the database's own; None if it is another provider's.
fn name_of(collation: pg_sys::Oid) -> Option<String> {
    /// `COLLPROVIDER_DEFAULT`.
    const DEFAULT: u8 = b'd';
    let find = |cache, row| {
        let (provider, name) = match cache {
            SysCacheIdentifier::COLLOID => {
                (pg_sys::Anum_pg_collation_collprovider, pg_sys::Anum_pg_collation_collcollate)
            }
            _ => (pg_sys::Anum_pg_database_datlocprovider, pg_sys::Anum_pg_database_datcollate),
        };
        syscache::find(cache, row, |row| Some((row.get::<i8>(provider)?, row.get(name))))
    };
    // SAFETY: set when the session began.
    let database = unsafe { pg_sys::MyDatabaseId };
    let (provider, name) = match find(SysCacheIdentifier::COLLOID, collation)? {
        (provider, _) if provider as u8 == DEFAULT => {
            find(SysCacheIdentifier::DATABASEOID, database)?
        }
        own => own,
    };
    if provider as u8 == LIBC { name } else { None }
}

/// A text with a zero behind it.
fn with_end<'b>(buffer: &'b mut Vec<u8>, text: &[u8]) -> &'b [u8] {
    buffer.clear();
    buffer.extend_from_slice(text);
    buffer.push(0);
    buffer
}

unsafe extern "C" {
    fn strxfrm_l(
        into: *mut c_char,
        text: *const c_char,
        room: usize,
        locale: libc::locale_t,
    ) -> usize;
    fn strcoll_l(one: *const c_char, other: *const c_char, locale: libc::locale_t) -> c_int;
}
