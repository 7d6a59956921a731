//! Rows of extensions' configuration tables: the user's, in tables that an extension brings.
//!
//! Which rows are the user's is said by the condition that the extension registered with its table; those
//! that CREATE EXTENSION inserts do not fulfil it. One task per extension, after everything that such
//! rows may refer to.

use std::collections::HashSet;

use super::Note;
use super::build::Plan;
use super::task::{Format, Load, QualifiedNamePair, Task, TaskKind, Work};
use crate::ddl::{Item, ItemKind};
use crate::model::{Extension, ExtensionConfig};
use crate::name::QualifiedName;
use crate::options::Options;

/// The word before an extension's condition.
const WHERE: &str = "where";

/// Adds the tasks for the extensions among the items to be made, none of them before `after` is done.
pub fn add(
    plan: &mut Plan,
    extensions: &[Extension],
    items: &[Item],
    is_kept: &[bool],
    options: &Options,
    after: Option<i32>,
) {
    if options.schema_only {
        return;
    }
    let kept: HashSet<&str> = items
        .iter()
        .zip(is_kept)
        .filter(|(item, is_kept)| **is_kept && item.kind == ItemKind::Extension)
        .map(|(item, _)| item.name.as_str())
        .collect();
    for extension in extensions.iter().filter(|e| kept.contains(e.name.as_str())) {
        add_extension(plan, extension, after);
    }
}

fn add_extension(plan: &mut Plan, extension: &Extension, after: Option<i32>) {
    let object = format!("configuration of extension {}", extension.name);
    let (readable, unreadable): (Vec<_>, Vec<_>) =
        extension.config.iter().partition(|config| config.is_readable);
    for config in unreadable {
        plan.notes.push(Note {
            object: object.clone(),
            message: format!(
                "rows of {}.{} are left out: permission denied on the source",
                config.schema, config.name
            ),
        });
    }
    if readable.is_empty() {
        return;
    }
    let (sequences, tables): (Vec<_>, Vec<_>) =
        readable.into_iter().partition(|config| config.is_sequence);
    let work = Work::Configuration {
        loads: tables.into_iter().map(new_load).collect(),
        sequences: sequences
            .into_iter()
            .map(|config| {
                let name = QualifiedName::new(&config.schema, &config.name);
                QualifiedNamePair { source: name.clone(), target: name }
            })
            .collect(),
    };
    let id = i32::try_from(plan.tasks.len()).map_or(i32::MAX, |count| count + 1);
    plan.tasks.push(Task {
        id,
        kind: TaskKind::Copy,
        object,
        table: None,
        work,
        depends_on: after.into_iter().collect(),
        locks: Vec::new(),
        rows: 0,
        bytes: 0,
    });
}

/// Such a table is not among those of the run, so that it has no number.
fn new_load(config: &ExtensionConfig) -> Load {
    let name = QualifiedName::new(&config.schema, &config.name);
    Load {
        table_id: 0,
        source: name.clone(),
        target: name,
        columns: config.columns.clone(),
        format: Format::text("a configuration table"),
        predicate: strip_where(&config.condition),
        truncate: false,
        rows: 0,
        bytes: 0,
    }
}

/// The condition without its first word; None if there is none.
fn strip_where(condition: &str) -> Option<String> {
    let condition = condition.trim();
    let (word, rest) = condition.split_at_checked(WHERE.len())?;
    word.eq_ignore_ascii_case(WHERE).then(|| rest.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::strip_where;

    #[test]
    fn a_condition_loses_its_first_word_in_any_case() {
        assert_eq!(strip_where(" WHERE NOT (a = 1)").as_deref(), Some("NOT (a = 1)"));
        assert_eq!(strip_where("where a").as_deref(), Some("a"));
        assert_eq!(strip_where(""), None);
    }
}
