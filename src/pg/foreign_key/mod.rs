//! Foreign keys added without a query over their rows: trusted, left unchecked, or checked here.

mod end;

use end::End;
use pgrx::pg_sys;

use super::{spi, utility};

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
/// The constraint's node is marked the way the parser marks it itself in `create table`, where rows
/// cannot exist either; the constraint is enforced from then on. Raises the server's ERROR for
/// anything else.
pub fn add_unchecked(sql: &str, verdict: Verdict) {
    let Some(addition) = Addition::parse(sql) else {
        pgrx::error!("expected ALTER TABLE with one ADD CONSTRAINT");
    };
    addition.run(verdict);
}

/// Runs a statement, which adds a foreign key or does something else; the server's ERROR is raised.
///
/// Keys of numbers and texts are checked by two passes over the pages and a set of the referenced keys
/// in between, under the locks that the server takes too. Rows that violate the key, and everything
/// unusual, are left to the server and its message.
pub fn add_checked(sql: &str) {
    match Addition::parse(sql).filter(Addition::holds) {
        Some(addition) => addition.run(Verdict::Valid),
        None => spi::execute(sql),
    }
}

/// A statement that adds one foreign key to a table.
struct Addition {
    text: std::ffi::CString,
    statement: *mut pg_sys::AlterTableStmt,
    constraint: *mut pg_sys::Constraint,
}

impl Addition {
    /// None if the statement is another one.
    fn parse(sql: &str) -> Option<Self> {
        let text = utility::c_string(sql);
        let statement = utility::cast::<pg_sys::AlterTableStmt>(
            utility::parse_one(&text),
            pg_sys::NodeTag::T_AlterTableStmt,
        )?;
        // SAFETY: made by the parser.
        let commands = unsafe { (*statement).cmds };
        let command = utility::only_element::<pg_sys::AlterTableCmd>(commands)?;
        // SAFETY: the elements of the list are commands.
        let definition = unsafe { (*command).def };
        let constraint =
            utility::cast::<pg_sys::Constraint>(definition, pg_sys::NodeTag::T_Constraint)?;
        // SAFETY: checked just now.
        let kind = unsafe { (*constraint).contype };
        (kind == pg_sys::ConstrType::CONSTR_FOREIGN).then_some(Addition {
            text,
            statement,
            constraint,
        })
    }

    /// Adds the key, which is taken for what the verdict says.
    fn run(&self, verdict: Verdict) {
        // SAFETY: made by the parser, and ours.
        unsafe { (*self.constraint).skip_validation = true };
        // SAFETY: as above.
        unsafe { (*self.constraint).initially_valid = verdict == Verdict::Valid };
        utility::run(self.statement.cast(), &self.text);
    }

    /// Whether the rows are known to obey the key; they may also if not.
    fn holds(&self) -> bool {
        // SAFETY: made by the parser.
        let (statement, constraint) = unsafe { (&*self.statement, &*self.constraint) };
        let is_simple = constraint.fk_matchtype as u8 == pg_sys::FKCONSTR_MATCH_SIMPLE;
        let columns = utility::elements::<pg_sys::String>(constraint.fk_attrs);
        let referenced_columns = utility::elements::<pg_sys::String>(constraint.pk_attrs);
        let are_pairs = columns.len() == referenced_columns.len();
        if constraint.skip_validation || !are_pairs || (!is_simple && columns.len() != 1) {
            return false;
        }
        // In the server's order.
        let referencing = End::open(statement.relation, columns);
        let referenced = End::open(constraint.pktable, referenced_columns);
        referencing.references(&referenced).unwrap_or(false)
    }
}
