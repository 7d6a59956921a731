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

/// A node as the type that its tag stands for; None if it has another tag or is none.
pub(super) fn cast<T>(node: *mut pg_sys::Node, tag: pg_sys::NodeTag) -> Option<*mut T> {
    // SAFETY: every node starts with its tag.
    let is_such = !node.is_null() && unsafe { (*node).type_ } == tag;
    is_such.then_some(node.cast())
}

/// The elements of a list of OIDs.
pub(super) fn oids(list: *mut pg_sys::List) -> Vec<pg_sys::Oid> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list of the server's.
    let (cells, length) = unsafe { ((*list).elements, (*list).length) };
    (0..usize::try_from(length).unwrap_or(0))
        // SAFETY: the list has this many cells.
        .map(|index| unsafe { (*cells.add(index)).oid_value })
        .collect()
}

/// The elements of a list of pointers.
pub(super) fn elements<T>(list: *mut pg_sys::List) -> Vec<*mut T> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list made by the parser.
    let (cells, length) = unsafe { ((*list).elements, (*list).length) };
    (0..usize::try_from(length).unwrap_or(0))
        // SAFETY: the list has this many cells.
        .map(|index| unsafe { (*cells.add(index)).ptr_value }.cast())
        .collect()
}

/// The element of a list that has just one.
pub(super) fn only_element<T>(list: *mut pg_sys::List) -> Option<*mut T> {
    match elements(list).as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

/// A statement as the server takes it.
pub(super) fn c_string(sql: &str) -> CString {
    CString::new(sql).unwrap_or_else(|_| pgrx::error!("a statement contains a zero byte"))
}
