//! Foreign keys added without looking at the rows.

use std::ffi::CString;

use pgrx::pg_sys;

/// What a foreign key that is not checked is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: the rows are known to obey it.
    Valid,
    /// Not valid, until somebody validates it.
    NotValid,
}

/// Runs one `alter table … add constraint … foreign key …` with the verdict instead of a check.
///
/// The statement is parsed by the server and the constraint's node marked the way the parser marks
/// it itself in `create table`, where rows cannot exist either; the constraint is enforced from then
/// on. Raises the server's ERROR for anything else.
pub fn add_unchecked(sql: &str, verdict: Verdict) {
    let Ok(text) = CString::new(sql) else {
        pgrx::error!("a statement contains a zero byte");
    };
    // SAFETY: the server's own parser; raises on bad syntax.
    let list = unsafe { pg_sys::pg_parse_query(text.as_ptr()) };
    let Some(statement) = only_element::<pg_sys::RawStmt>(list) else {
        pgrx::error!("expected one statement");
    };
    // SAFETY: a raw statement made by the parser.
    let node = unsafe { (*statement).stmt };
    if !is_a(node, pg_sys::NodeTag::T_AlterTableStmt) {
        pgrx::error!("expected ALTER TABLE");
    }
    let alter = node.cast::<pg_sys::AlterTableStmt>();
    // SAFETY: checked above.
    let commands = unsafe { (*alter).cmds };
    let Some(command) = only_element::<pg_sys::AlterTableCmd>(commands) else {
        pgrx::error!("expected one ALTER TABLE action");
    };
    // SAFETY: the elements of the list are commands.
    let definition = unsafe { (*command).def };
    if definition.is_null() || !is_a(definition, pg_sys::NodeTag::T_Constraint) {
        pgrx::error!("expected ADD CONSTRAINT");
    }
    let constraint = definition.cast::<pg_sys::Constraint>();
    // SAFETY: checked above.
    unsafe { (*constraint).skip_validation = true };
    // SAFETY: checked above.
    unsafe { (*constraint).initially_valid = verdict == Verdict::Valid };
    run_utility(node, &text);
}

fn run_utility(node: *mut pg_sys::Node, text: &CString) {
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

fn is_a(node: *mut pg_sys::Node, tag: pg_sys::NodeTag) -> bool {
    // SAFETY: every node starts with its tag.
    !node.is_null() && unsafe { (*node).type_ } == tag
}

/// The element of a list that has just one.
fn only_element<T>(list: *mut pg_sys::List) -> Option<*mut T> {
    if list.is_null() {
        return None;
    }
    // SAFETY: a list made by the parser.
    let length = unsafe { (*list).length };
    // SAFETY: there is at least one element if the length says so.
    (length == 1).then(|| unsafe { (*(*list).elements).ptr_value }.cast())
}
