//! Rows of extensions' configuration tables: the user's, in tables that an extension brings.
//!
//! Which rows are the user's is said by the condition that the extension registered with its table; those
//! that CREATE EXTENSION inserts do not fulfil it. One task per extension, beside the rows of the tables.

use std::collections::HashSet;

use super::Note;
use super::build::{Input, Plan};
use super::task::{Format, Load, QualifiedNamePair, Task, TaskKind, Work};
use crate::ddl::ItemKind;
use crate::model::{Extension, ExtensionConfig};
use crate::name::QualifiedName;

/// The word before an extension's condition.
const WHERE: &str = "where";

/// Adds the tasks for the extensions among the items to be made, none of them before `after` is done;
/// returns the tables' OIDs on the source, each with its task.
pub fn add(plan: &mut Plan, input: &Input<'_>, after: Option<i32>) -> Vec<(u32, i32)> {
    let mut tasks = Vec::new();
    if input.options.schema_only {
        return tasks;
    }
    let kept: HashSet<u32> = input
        .items
        .iter()
        .zip(input.is_kept)
        .filter(|(item, is_kept)| **is_kept && item.kind == ItemKind::Extension)
        .map(|(item, _)| item.id.oid)
        .collect();
    let extensions = input.source.extensions.iter().zip(&input.wanted.extensions);
    for (source, wanted) in extensions.filter(|(source, _)| kept.contains(&source.oid)) {
        if let Some(task) = add_extension(plan, source, wanted, after) {
            tasks.extend(source.config.iter().map(|config| (config.relation_oid, task)));
        }
    }
    tasks
}

fn add_extension(
    plan: &mut Plan,
    source: &Extension,
    wanted: &Extension,
    after: Option<i32>,
) -> Option<i32> {
    let object = format!("configuration of extension {}", source.name);
    let (mut loads, mut sequences) = (Vec::new(), Vec::new());
    for (config, target) in source.config.iter().zip(&wanted.config) {
        let name = QualifiedName::new(&config.schema, &config.name);
        let target = QualifiedName::new(&target.schema, &target.name);
        if !config.is_readable {
            plan.notes.push(Note {
                object: object.clone(),
                message: format!("rows of {name} are left out: permission denied on the source"),
            });
        } else if config.is_sequence {
            sequences.push(QualifiedNamePair { source: name, target });
        } else {
            loads.push(new_load(config, name, target));
        }
    }
    if loads.is_empty() && sequences.is_empty() {
        return None;
    }
    let id = i32::try_from(plan.tasks.len()).map_or(i32::MAX, |count| count + 1);
    plan.tasks.push(Task {
        id,
        kind: TaskKind::Copy,
        object,
        table: None,
        work: Work::Configuration { loads, sequences },
        depends_on: after.into_iter().collect(),
        locks: Vec::new(),
        rows: 0,
        bytes: 0,
    });
    Some(id)
}

/// Such a table is not among those of the run, so that it has no number.
fn new_load(config: &ExtensionConfig, source: QualifiedName, target: QualifiedName) -> Load {
    Load {
        table_id: 0,
        source,
        target,
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
