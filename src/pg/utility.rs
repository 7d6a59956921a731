//! Utility statements run from their parse tree, beside the text that others see of them.

use std::ffi::CString;

use pgrx::pg_sys;
use zeroize::Zeroizing;

/// Runs one utility statement while extensions that look at statements, and error contexts, are shown
/// another text: the statement may hold a secret. Raises the server's ERROR.
pub fn execute_shown_as(sql: &str, shown: &str) {
    let text = Zeroizing::new(c_string(sql));
    let node = parse_one(&text);
    run(node, &c_string(shown));
}

/// The tree of a text that is one statement; the server's ERROR is raised for anything else.
pub(super) fn parse_one(text: &CString) -> *mut pg_sys::Node {
    // SAFETY: the server's own parser; raises on bad syntax.
    let list = unsafe { pg_sys::pg_parse_query(text.as_ptr()) };
    let Some(statement) = only_element::<pg_sys::RawStmt>(list) else {
        pgrx::error!("expected one statement");
    };
    // SAFETY: a raw statement made by the parser.
    unsafe { (*statement).stmt }
}

/// Runs a utility statement's tree; `text` is what others see.
pub(super) fn run(node: *mut pg_sys::Node, text: &CString) {
    let mut planned = pg_sys::PlannedStmt {
        type_: pg_sys::NodeTag::T_PlannedStmt,
        commandType: pg_sys::CmdType::CMD_UTILITY,
        utilityStmt: node,
        canSetTag: true,
        stmt_location: -1,
        ..pg_sys::PlannedStmt::default()
    };
    // SAFETY: a receiver that discards; constant argument.
    let receiver = unsafe { pg_sys::CreateDestReceiver(pg_sys::CommandDest::DestNone) };
    // SAFETY: all arguments are valid for the call; the tree may be scribbled on, it is ours.
    unsafe {
        pg_sys::ProcessUtility(
            &mut planned,
            text.as_ptr(),
            false,
            pg_sys::ProcessUtilityContext::PROCESS_UTILITY_QUERY,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            receiver,
            std::ptr::null_mut(),
        )
    };
}

/// The element of a list that has just one.
pub(super) fn only_element<T>(list: *mut pg_sys::List) -> Option<*mut T> {
    if list.is_null() {
        return None;
    }
    // SAFETY: a list made by the parser.
    let length = unsafe { (*list).length };
    // SAFETY: there is at least one element if the length says so.
    (length == 1).then(|| unsafe { (*(*list).elements).ptr_value }.cast())
}

/// A statement as the server takes it.
pub(super) fn c_string(sql: &str) -> CString {
    CString::new(sql).unwrap_or_else(|_| pgrx::error!("a statement contains a zero byte"))
}
