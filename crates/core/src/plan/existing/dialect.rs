//! Statements of two servers that print the same thing differently.

use std::borrow::Cow;

use crate::ddl::ItemKind;
use crate::token::with_bare_names;

/// From this version on the columns of a single relation are printed without its name.
const BARE_COLUMNS: u32 = 16;
/// From this version on triggers execute functions, before it procedures.
const TRIGGER_FUNCTIONS: u32 = 12;

/// Whether items of two servers with these major versions are made by the same statements.
pub(super) fn is_same(kind: ItemKind, statements: [&[String]; 2], majors: [u32; 2]) -> bool {
    let [left, right] = statements;
    let differ_at = |version| (majors[0] >= version) != (majors[1] >= version);
    let rewrite = match kind {
        ItemKind::View | ItemKind::MaterializedView | ItemKind::Rule if differ_at(BARE_COLUMNS) => {
            without_qualifiers
        }
        ItemKind::Trigger if differ_at(TRIGGER_FUNCTIONS) => with_functions,
        _ => return is_same_texts(left, right),
    };
    left.len() == right.len()
        && left.iter().zip(right).all(|(l, r)| is_same_text(&rewrite(l), &rewrite(r)))
}

/// The same for lists of statements.
pub(super) fn is_same_texts(left: &[String], right: &[String]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(l, r)| is_same_text(l, r))
}

/// Whether two statements of one server differ in no more than the quotes of names, which a schema's new
/// name brings about.
pub(super) fn is_same_text(left: &str, right: &str) -> bool {
    left == right || with_bare_names(left) == with_bare_names(right)
}

fn with_functions(sql: &str) -> Cow<'_, str> {
    Cow::Owned(sql.replace(" EXECUTE PROCEDURE ", " EXECUTE FUNCTION "))
}

/// Removes every name that a period follows: enough to tell whether anything else differs.
fn without_qualifiers(sql: &str) -> Cow<'_, str> {
    let mut kept = String::with_capacity(sql.len());
    for part in sql.split_inclusive('.') {
        let name = part.strip_suffix('.').unwrap_or(part);
        let length = match name.strip_suffix('"') {
            _ if name.len() == part.len() => 0,
            Some(quoted) => name.len() - quoted.rfind('"').unwrap_or(quoted.len()),
            None => {
                let is_of_name = |c: &char| c.is_alphanumeric() || *c == '_' || *c == '$';
                name.chars().rev().take_while(is_of_name).map(char::len_utf8).sum()
            }
        };
        match length {
            0 => kept.push_str(part),
            _ => kept.push_str(&name[..name.len() - length]),
        }
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(kind: ItemKind, left: &str, right: &str, majors: [u32; 2]) -> bool {
        is_same(kind, [&[left.to_owned()], &[right.to_owned()]], majors)
    }

    #[test]
    fn names_of_relations_before_columns_do_not_matter_between_15_and_16() {
        let old = "create view \"s\".\"v\" as\n SELECT t.\"a.b\",\n    max(t.c)\n   FROM s.t";
        let new = "create view \"s\".\"v\" as\n SELECT \"a.b\",\n    max(c)\n   FROM s.t";
        assert!(compare(ItemKind::View, old, new, [15, 16]));
        assert!(!compare(ItemKind::View, old, new, [16, 17]));
        let other = "create view \"s\".\"v\" as\n SELECT \"a.b\",\n    max(d)\n   FROM s.t";
        assert!(!compare(ItemKind::View, old, other, [15, 16]));
    }

    #[test]
    fn what_triggers_execute_is_called_otherwise_since_12() {
        let old = "CREATE TRIGGER t AFTER INSERT ON s.t FOR EACH ROW EXECUTE PROCEDURE s.f()";
        let new = "CREATE TRIGGER t AFTER INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f()";
        assert!(compare(ItemKind::Trigger, old, new, [11, 15]));
        assert!(!compare(ItemKind::Trigger, old, new, [12, 15]));
    }
}
