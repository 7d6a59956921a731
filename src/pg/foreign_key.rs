//! Foreign keys added without looking at the rows.

use pgrx::pg_sys;

use super::utility;

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
    let text = utility::c_string(sql);
    let node = utility::parse_one(&text);
    if !is_a(node, pg_sys::NodeTag::T_AlterTableStmt) {
        pgrx::error!("expected ALTER TABLE");
    }
    let alter = node.cast::<pg_sys::AlterTableStmt>();
    // SAFETY: checked above.
    let commands = unsafe { (*alter).cmds };
    let Some(command) = utility::only_element::<pg_sys::AlterTableCmd>(commands) else {
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
    utility::run(node, &text);
}

fn is_a(node: *mut pg_sys::Node, tag: pg_sys::NodeTag) -> bool {
    // SAFETY: every node starts with its tag.
    !node.is_null() && unsafe { (*node).type_ } == tag
}
