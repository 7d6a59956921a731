//! What comes before the rows: clearing what the target has, then the schema.

use std::collections::BTreeSet;

use super::{Builder, STATEMENTS_PER_TASK};
use crate::ddl::{Attribute, Item, ItemKind, Section};
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
        // Rows must not be added to those that were to go.
        statements.iter_mut().for_each(|statement| statement.mode = StatementMode::Vital);
        self.add_statements(statements, TaskKind::Ddl, "clearing of existing tables", after)
    }

    /// Everything that must be there before rows can be; returns the last task.
    ///
    /// Items are made in their order, except for tables and sequences that need nothing but each other
    /// and what comes before the first of them: those are made by all workers at once.
    pub(super) fn add_schema(&mut self, after: Option<i32>) -> Option<i32> {
        let made: Vec<usize> = (0..self.input.items.len())
            .filter(|position| {
                self.input.items[*position].section == Section::PreData && self.is_made(*position)
            })
            .collect();
        let free = self.find_free(&made);
        let first_free = free.first().copied().unwrap_or(usize::MAX);
        let (before, others): (Vec<usize>, Vec<usize>) = made
            .into_iter()
            .filter(|position| !free.contains(position))
            .partition(|position| *position < first_free);
        let mut last = self.add_items(&before, "schema", after);
        last = self.add_free(&free, last);
        last = self.add_items(&others, "schema after tables", last);
        let mut statements = Vec::new();
        let parts = self.input.tables.iter().flat_map(DataTable::copied_parts);
        for part in parts.filter(|part| self.is_loaded_unlogged(part)) {
            let sql = format!("alter table {} set unlogged", part.target.quoted());
            statements.push(Statement::new(&format!("table {}", part.target), &sql));
        }
        self.add_statements(statements, TaskKind::Ddl, "unlogged tables", last)
    }

    /// The tables and sequences that can be made beside each other.
    ///
    /// A table that needs another one (a child, a partition) locks it, so it is not among them.
    fn find_free(&self, made: &[usize]) -> BTreeSet<usize> {
        let items = self.input.items;
        let is_candidate =
            |position: usize| matches!(items[position].kind, ItemKind::Table | ItemKind::Sequence);
        let Some(first) = made.iter().copied().find(|position| is_candidate(*position)) else {
            return BTreeSet::new();
        };
        let mut free = BTreeSet::new();
        for position in made.iter().copied().filter(|position| is_candidate(*position)) {
            let is_free = items[position].depends_on.iter().all(|needed| {
                *needed < first
                    || free.contains(needed) && items[*needed].kind == ItemKind::Sequence
            });
            if is_free {
                free.insert(position);
            }
        }
        free
    }

    /// Makes items beside each other, a number of statements at a time, and waits for all.
    fn add_free(&mut self, positions: &BTreeSet<usize>, after: Option<i32>) -> Option<i32> {
        let mut tasks = BTreeSet::new();
        let mut chunk: Vec<usize> = Vec::new();
        let mut size = 0;
        let last = positions.last();
        for position in positions {
            chunk.push(*position);
            let item = &self.input.items[*position];
            size += item.create.len() + item.attributes.len();
            if size < STATEMENTS_PER_TASK && Some(position) != last {
                continue;
            }
            let mut needed: BTreeSet<i32> = after.into_iter().collect();
            let mut statements = Vec::new();
            for position in &chunk {
                let item = &self.input.items[*position];
                needed.extend(item.depends_on.iter().filter_map(|needed| self.task_of[*needed]));
                statements.extend(self.statements_of(item));
            }
            let object = format!("{} tables and sequences", chunk.len());
            let id = self.push(TaskKind::Ddl, object, Work::Statements { statements }, needed);
            for position in chunk.drain(..) {
                self.task_of[position] = Some(id);
            }
            tasks.insert(id);
            size = 0;
        }
        match tasks.len() {
            0 | 1 => tasks.first().copied().or(after),
            _ => {
                let work = Work::Statements { statements: Vec::new() };
                Some(self.push(TaskKind::Ddl, "all tables are there".to_owned(), work, tasks))
            }
        }
    }

    /// Makes items one after another; returns the last task, or `after`.
    fn add_items(&mut self, positions: &[usize], what: &str, after: Option<i32>) -> Option<i32> {
        let mut statements = Vec::new();
        let mut ends = Vec::new();
        for position in positions {
            statements.extend(self.statements_of(&self.input.items[*position]));
            ends.push((*position, statements.len()));
        }
        let first = self.next_id();
        let last = self.add_statements(statements, TaskKind::Ddl, what, after);
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
        let attributes = self.state_attributes(item, &item.attributes);
        let mode = match item.kind {
            _ if item.has_secret => StatementMode::Secret(item.id),
            ItemKind::Table => StatementMode::Table,
            _ => StatementMode::Plain,
        };
        let create = item.create.iter();
        create
            .map(|sql| Statement { mode, ..Statement::new(&item.object, sql) })
            .chain(attributes)
            .collect()
    }

    /// The attributes of an item likewise.
    pub(super) fn state_attributes(
        &mut self,
        item: &Item,
        attributes: &[Attribute],
    ) -> Vec<Statement> {
        let mode = if item.is_foreign { StatementMode::Optional } else { StatementMode::Plain };
        let attributes = self.attributes_of(item, attributes);
        let state = |sql: &String| Statement { mode, ..Statement::new(&item.object, sql) };
        attributes.iter().map(state).collect()
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
