//! Indexes and keys, their places in partitioned indexes, and tables that were loaded unlogged.

use std::collections::{BTreeSet, HashMap};

use super::{Builder, STATEMENTS_PER_TASK, Stage, lock_all};
use crate::ddl::{Item, ItemKind};
use crate::model::TableKind;
use crate::name::QualifiedName;
use crate::plan::data_table::{DataTable, Part};
use crate::plan::task::{
    LockMode, Statement, StatementMode, TaskKind, TaskLock, Work, access_methods,
};

impl Builder<'_> {
    pub(super) fn add_keys(&mut self, after: Option<i32>) {
        let input = self.input;
        let mut grouped: HashMap<usize, Vec<usize>> = HashMap::new();
        let (mut parents, mut readers) = (Vec::new(), Vec::new());
        for (position, item) in input.items.iter().enumerate() {
            let (Stage::Key, Some(table_oid)) = (self.stages[position], item.table_oid) else {
                continue;
            };
            if !self.is_made(position) {
                continue;
            }
            match self.group_of.get(&table_oid) {
                _ if item.reads_rows && !self.is_partitioned(table_oid) => {
                    readers.push((position, table_oid));
                }
                Some(group) => grouped.entry(*group).or_default().push(position),
                None if self.is_partitioned(table_oid) => parents.push(position),
                None => self.add_large_key(position, item, table_oid, after),
            }
        }
        for group in 0..self.groups.len() {
            if let Some(positions) = grouped.remove(&group) {
                self.add_key_batch(&positions, after);
            }
        }
        // Indexes of partitioned tables are empty shells, so they can all be made in one go.
        for chunk in parents.chunks(STATEMENTS_PER_TASK) {
            self.add_key_batch(chunk, after);
        }
        if !readers.is_empty() {
            let rows = self.add_rows_barrier(after);
            for (position, table_oid) in readers {
                self.add_large_key(position, &input.items[position], table_oid, rows);
            }
        }
        self.add_attachments();
    }

    /// A task that waits for the rows of all tables.
    fn add_rows_barrier(&mut self, after: Option<i32>) -> Option<i32> {
        let mut needed: BTreeSet<i32> = after.into_iter().collect();
        let copies = self.plan.tasks.iter().filter(|task| task.kind == TaskKind::Copy);
        needed.extend(copies.map(|task| task.id));
        let work = Work::Statements { statements: Vec::new() };
        Some(self.push(TaskKind::Ddl, "all rows are in place".to_owned(), work, needed))
    }

    pub(super) fn is_partitioned(&self, oid: u32) -> bool {
        self.tables_by_oid.get(&oid).is_some_and(|table| table.relkind == TableKind::Partitioned)
    }

    /// An index or key of a large table: the index first, which others can be built beside, and the
    /// constraint on top of it afterwards, which locks everybody out but takes no time.
    pub(super) fn add_large_key(
        &mut self,
        position: usize,
        item: &Item,
        oid: u32,
        after: Option<i32>,
    ) {
        let needed = self.needs_of(item, &[oid], after);
        let attributes = self.attributes_of(item, &item.attributes);
        let statements = |sqls: &[String]| -> Vec<Statement> {
            sqls.iter().map(|sql| Statement::new(&item.object, sql)).collect()
        };
        let finishing: Vec<_> =
            item.using_index.iter().cloned().chain(attributes.iter().cloned()).collect();
        let (kind, mode, sqls) = match &item.index_definition {
            Some(definition) => (TaskKind::Index, LockMode::Share, vec![definition.clone()]),
            None if item.kind == ItemKind::Index => {
                (TaskKind::Index, LockMode::Share, item.create.clone())
            }
            None => (TaskKind::Constraint, LockMode::AccessExclusive, item.create.clone()),
        };
        let is_split = item.index_definition.is_some();
        let mut work = statements(&sqls);
        if kind == TaskKind::Index {
            work.iter_mut().for_each(|statement| statement.mode = StatementMode::Index);
        }
        if !is_split {
            work.extend(statements(&attributes));
        }
        let work = Work::Statements { statements: work };
        let id = self.push(kind, item.object.clone(), work, needed);
        // Keys that are compared are short; what takes values apart reads long ones too.
        let bytes_of: fn(&Part) -> i64 = match sqls.iter().all(|sql| is_of_keys(sql)) {
            true => |part| part.main_bytes,
            false => |part| part.bytes,
        };
        self.describe_table_task(oid, mode, bytes_of);
        self.task_of[position] = Some(id);
        self.keys_of.entry(oid).or_default().push(id);
        if is_split {
            let work = Work::Statements { statements: statements(&finishing) };
            let id = self.push(TaskKind::Constraint, item.object.clone(), work, [id].into());
            if let Some(name) = self.table_name(oid)
                && let Some(task) = self.last()
            {
                task.table = Some(name.clone());
                task.locks = vec![TaskLock { table: name, mode: LockMode::AccessExclusive }];
            }
            self.task_of[position] = Some(id);
            self.keys_of.entry(oid).or_default().push(id);
        }
    }

    /// Gives the task just added its table, lock and size.
    pub(super) fn describe_table_task(
        &mut self,
        oid: u32,
        mode: LockMode,
        bytes_of: fn(&Part) -> i64,
    ) {
        let Some(name) = self.table_name(oid) else {
            return;
        };
        let part = self.parts_by_oid.get(&oid);
        let size = part.map_or((0, 0), |part| (part.rows, bytes_of(part)));
        if let Some(task) = self.last() {
            task.table = Some(name.clone());
            task.locks = vec![TaskLock { table: name, mode }];
            (task.rows, task.bytes) = size;
        }
    }

    pub(super) fn table_name(&self, oid: u32) -> Option<QualifiedName> {
        let table = self.tables_by_oid.get(&oid)?;
        Some(QualifiedName::new(&table.schema, &table.name))
    }

    /// All indexes and keys of a group of tables in one task.
    pub(super) fn add_key_batch(&mut self, positions: &[usize], after: Option<i32>) {
        let input = self.input;
        let mut statements = Vec::new();
        let mut needed = BTreeSet::new();
        let mut oids = BTreeSet::new();
        for position in positions {
            let item = &input.items[*position];
            needed.extend(self.needs_of(item, item.table_oid.as_slice(), after));
            oids.extend(item.table_oid);
            let made = statements.len();
            statements.extend(self.statements_of(item));
            let is_index =
                matches!(item.kind, ItemKind::Index | ItemKind::PrimaryKey | ItemKind::Unique);
            for statement in statements[made..].iter_mut().take(item.create.len()) {
                if is_index {
                    statement.mode = StatementMode::Index;
                }
            }
        }
        let object = match positions {
            [only] => input.items[*only].object.clone(),
            _ => format!("{} indexes and keys of {} tables", positions.len(), oids.len()),
        };
        let work = Work::Statements { statements };
        let id = self.push(TaskKind::Index, object, work, needed);
        let names: Vec<_> = oids.iter().filter_map(|oid| self.table_name(*oid)).collect();
        if let Some(task) = self.last() {
            task.locks = lock_all(names.iter(), LockMode::AccessExclusive);
        }
        for position in positions {
            self.task_of[*position] = Some(id);
        }
        for oid in oids {
            self.keys_of.entry(oid).or_default().push(id);
        }
    }

    pub(super) fn add_attachments(&mut self) {
        let input = self.input;
        let positions: Vec<_> = (0..input.items.len())
            .filter(|position| self.stages[*position] == Stage::Attach && self.is_made(*position))
            .collect();
        let mut last = None;
        for chunk in positions.chunks(STATEMENTS_PER_TASK) {
            let mut needed: BTreeSet<i32> = last.into_iter().collect();
            let mut statements = Vec::new();
            let mut oids = BTreeSet::new();
            for position in chunk {
                let item = &input.items[*position];
                needed.extend(item.depends_on.iter().filter_map(|needed| self.task_of[*needed]));
                statements.extend(self.statements_of(item));
                if let Some(oid) = item.table_oid {
                    oids.extend(self.with_ancestors(oid));
                }
            }
            let id = self.push(
                TaskKind::Constraint,
                format!("{} partition indexes attached", chunk.len()),
                Work::Statements { statements },
                needed,
            );
            let names: Vec<_> = oids.iter().filter_map(|oid| self.table_name(*oid)).collect();
            if let Some(task) = self.last() {
                task.locks = lock_all(names.iter(), LockMode::AccessExclusive);
            }
            for position in chunk {
                self.task_of[*position] = Some(id);
            }
            last = Some(id);
        }
    }

    pub(super) fn with_ancestors(&self, oid: u32) -> Vec<u32> {
        let mut oids = vec![oid];
        let mut position = 0;
        while let Some(table) = oids.get(position).and_then(|oid| self.tables_by_oid.get(oid)) {
            oids.extend(&table.parents);
            position += 1;
        }
        oids
    }

    pub(super) fn with_descendants(&self, oid: u32) -> Vec<u32> {
        let mut oids = vec![oid];
        let mut position = 0;
        while position < oids.len() {
            oids.extend(self.children.get(&oids[position]).into_iter().flatten());
            position += 1;
        }
        oids
    }

    /// The tasks that bring a table's rows and build its indexes and keys.
    pub(super) fn rows_and_keys_of(&self, oid: u32) -> impl Iterator<Item = i32> {
        let tasks = [self.copies_of.get(&oid), self.keys_of.get(&oid)];
        tasks.into_iter().flatten().flatten().copied()
    }

    /// The tasks that an item has to wait for: those of the items it needs, and the rows of tables.
    pub(super) fn needs_of(
        &self,
        item: &Item,
        tables: &[u32],
        after: Option<i32>,
    ) -> BTreeSet<i32> {
        let mut needed: BTreeSet<i32> = after.into_iter().collect();
        needed.extend(item.depends_on.iter().filter_map(|position| self.task_of[*position]));
        for oid in tables {
            needed.extend(self.copies_of.get(oid).into_iter().flatten());
        }
        needed
    }

    /// Whether a table that is to be logged is unlogged while it is loaded.
    pub(super) fn is_loaded_unlogged(&self, part: &Part) -> bool {
        self.input.options.use_unlogged_tables && part.copies_data && !part.is_unlogged
    }

    /// Makes tables logged again once their indexes are built: before foreign keys, which may not
    /// refer from a logged table to an unlogged one.
    pub(super) fn add_logging(&mut self) {
        let input = self.input;
        for part in input.tables.iter().flat_map(DataTable::copied_parts) {
            if !self.is_loaded_unlogged(part) {
                continue;
            }
            let sql = format!("alter table {} set logged", part.target.quoted());
            let object = format!("table {}", part.target);
            let needed = self.rows_and_keys_of(part.oid).collect();
            let mode = StatementMode::SetLogged;
            let statement = Statement { mode, ..Statement::new(&object, &sql) };
            let work = Work::Statements { statements: vec![statement] };
            let id = self.push(TaskKind::Constraint, object, work, needed);
            self.describe_table_task(part.oid, LockMode::AccessExclusive, |part| part.bytes);
            self.keys_of.entry(part.oid).or_default().push(id);
            self.logged_after.insert(part.oid, id);
        }
    }
}

/// Whether a definition is of a key or of an index of keys that are compared.
fn is_of_keys(sql: &str) -> bool {
    let mut methods = access_methods(sql).peekable();
    methods.peek().is_none() || methods.any(|method| method == "btree" || method == "hash")
}
