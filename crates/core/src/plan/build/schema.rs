//! What comes before the rows: clearing what the target has, then the schema.

use super::{Builder, STATEMENTS_PER_TASK};
use crate::ddl::{Attribute, Item, Section};
use crate::plan::data_table::DataTable;
use crate::plan::task::{Statement, StatementMode, TaskKind, Work};

impl Builder<'_> {
    /// Drops and truncations of what the target has; returns the last task.
    pub(super) fn add_clearing(&mut self, after: Option<i32>) -> Option<i32> {
        let mut statements: Vec<Statement> = self
            .input
            .existing
            .drops
            .iter()
            .filter_map(|drop| Some(Statement::new(&drop.object, drop.sql.as_deref()?)))
            .collect();
        // Other tables are emptied by the very task that fills them, so that rows are frozen.
        for table in self.input.tables {
            for part in table.copied_parts() {
                let is_filled_apart = !table.is_loaded_at_once() || self.is_loaded_unlogged(part);
                if self.input.existing.tables.contains_key(&part.oid) && is_filled_apart {
                    let object = format!("table {}", part.target);
                    let sql = format!("truncate only {}", part.target.quoted());
                    statements.push(Statement::new(&object, &sql));
                }
            }
        }
        self.add_statements(statements, TaskKind::Ddl, "clearing of existing tables", after)
    }

    /// Everything that must be there before rows can be.
    pub(super) fn add_schema(&mut self, after: Option<i32>) -> Option<i32> {
        let mut statements = Vec::new();
        let mut ends = Vec::new();
        for (position, item) in self.input.items.iter().enumerate() {
            if item.section == Section::PreData && self.is_made(position) {
                statements.extend(self.statements_of(item));
                ends.push((position, statements.len()));
            }
        }
        let parts = self.input.tables.iter().flat_map(DataTable::copied_parts);
        for part in parts.filter(|part| self.is_loaded_unlogged(part)) {
            let sql = format!("alter table {} set unlogged", part.target.quoted());
            statements.push(Statement::new(&format!("table {}", part.target), &sql));
        }
        let first = self.next_id();
        let last = self.add_statements(statements, TaskKind::Ddl, "schema", after);
        for (position, end) in ends {
            let offset = end.saturating_sub(1) / STATEMENTS_PER_TASK;
            self.task_of[position] = i32::try_from(offset).ok().map(|offset| first + offset);
        }
        last
    }

    /// Adds tasks that run `statements` one after another; returns the last one, or `after`.
    pub(super) fn add_statements(
        &mut self,
        statements: Vec<Statement>,
        kind: TaskKind,
        what: &str,
        after: Option<i32>,
    ) -> Option<i32> {
        let mut last = after;
        let count = statements.len().div_ceil(STATEMENTS_PER_TASK);
        for (number, chunk) in statements.chunks(STATEMENTS_PER_TASK).enumerate() {
            let object = match chunk {
                [only] => only.object.clone(),
                _ if count == 1 => what.to_owned(),
                _ => format!("{what}, part {} of {count}", number + 1),
            };
            let work = Work::Statements { statements: chunk.to_vec() };
            last = Some(self.push(kind, object, work, last.into_iter().collect()));
        }
        last
    }

    /// The statements of an item, without those that name roles the target does not have.
    pub(super) fn statements_of(&mut self, item: &Item) -> Vec<Statement> {
        let attributes = self.attributes_of(item, &item.attributes);
        let mode =
            if item.has_secret { StatementMode::Secret(item.id) } else { StatementMode::Plain };
        let create = item.create.iter();
        create
            .map(|sql| Statement { mode, ..Statement::new(&item.object, sql) })
            .chain(attributes.iter().map(|sql| Statement::new(&item.object, sql)))
            .collect()
    }

    pub(super) fn attributes_of(&mut self, item: &Item, attributes: &[Attribute]) -> Vec<String> {
        let mut kept = Vec::new();
        for Attribute { sql, roles } in attributes {
            let missing: Vec<_> =
                roles.iter().filter(|role| !self.input.roles.contains(*role)).collect();
            match missing.first() {
                None => kept.push(sql.clone()),
                Some(role) => {
                    let message =
                        format!("role \"{role}\" does not exist, so this was left out: {sql}");
                    self.note(&item.object, message);
                }
            }
        }
        kept
    }
}
