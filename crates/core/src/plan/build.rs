//! Everything that is known, put into tasks.
//!
//! ```text
//!   clear ─ schema ─┬─ copy ─┬─ index ─ constraint ─┬─ attach ─ foreign key ─┬─ the rest of the schema
//!                   │        ├─ check               └─ analyze               └─ sequences
//! ```
//!
//! Every task lists what it waits for and what it locks; nothing else orders them. Small tables share
//! tasks, so that thousands of them cost little: one copies a group of tables, one builds all their
//! indexes and keys, one analyzes and one checks them.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Note;
use super::configuration;
use super::data_table::{DataTable, GROUP_BYTES, GROUP_RELATIONS, Part};
use super::existing::Existing;
use super::large_objects::{self, LargeObjects};
use super::task::{
    CheckTable, LockMode, QualifiedNamePair, RunTable, Statement, StatementMode, Task, TaskKind,
    TaskLock, Work,
};
use crate::ddl::{Attribute, Item, ItemKind, Section};
use crate::model::{Catalog, ConstraintKind, Persistence, Table, TableKind};
use crate::name::QualifiedName;
use crate::options::{ForeignKeys, Options, Validation};

/// Statements of one schema task: few enough that the locks of one transaction fit any server.
const STATEMENTS_PER_TASK: usize = 200;

/// Foreign keys between small tables that are added in one task.
const FOREIGN_KEYS_PER_TASK: usize = 32;

/// What ANALYZE reads of a table at most, by its default sample of 30,000 pages at one row each.
const ANALYZE_BYTES: i64 = 32 << 20;

/// All that a plan is made of.
pub struct Input<'a> {
    /// The source's catalog under the names that it gets on the target.
    pub wanted: &'a Catalog,
    /// Its items, in order.
    pub items: &'a [Item],
    /// Which of them are to be made.
    pub is_kept: &'a [bool],
    pub existing: &'a Existing,
    pub tables: &'a [DataTable],
    pub sequences: Vec<QualifiedNamePair>,
    pub large_objects: &'a LargeObjects,
    pub options: &'a Options,
    /// What makes roles that the target does not have.
    pub role_statements: &'a [Statement],
    /// Roles that the target has, or will have.
    pub roles: &'a HashSet<String>,
}

/// What a run does.
#[derive(Debug, Default)]
pub struct Plan {
    pub tasks: Vec<Task>,
    pub tables: Vec<RunTable>,
    pub notes: Vec<Note>,
}

/// Makes the plan of a run that copies.
pub fn build(input: &Input<'_>) -> Plan {
    let mut builder = Builder::new(input);
    let roles = input.role_statements.to_vec();
    let roles = builder.add_statements(roles, TaskKind::Ddl, "roles", None);
    let cleared = builder.add_clearing(roles);
    let schema = builder.add_schema(cleared);
    builder.add_copies(schema);
    builder.add_keys(schema);
    builder.add_logging();
    builder.add_foreign_keys();
    builder.add_restored(schema);
    large_objects::add_copies(&mut builder.plan, input.large_objects, schema);
    builder.add_checks(schema);
    builder.add_analyze();
    let barrier = builder.add_barrier(schema);
    builder.add_sequences(barrier);
    let (plan, extensions) = (&mut builder.plan, &input.wanted.extensions);
    configuration::add(plan, extensions, input.items, input.is_kept, input.options, barrier);
    let barrier = builder.add_amendments(barrier);
    builder.add_rest(barrier);
    builder.plan
}

/// The stages of items after the data; an item is in the stage of its kind or of what it needs,
/// whichever is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Before the data, or on the target already.
    Schema,
    Key,
    Attach,
    ForeignKey,
    Rest,
}

struct Builder<'a> {
    input: &'a Input<'a>,
    plan: Plan,
    stages: Vec<Stage>,
    /// The task that makes each item.
    task_of: Vec<Option<i32>>,
    /// The run's tables, partitioned ones included.
    tables_by_oid: HashMap<u32, &'a Table>,
    parts_by_oid: HashMap<u32, &'a Part>,
    children: HashMap<u32, Vec<u32>>,
    /// Copy tasks of each table.
    copies_of: HashMap<u32, Vec<i32>>,
    /// Index and constraint tasks of each table.
    keys_of: HashMap<u32, Vec<i32>>,
    /// The group that each small table is in.
    group_of: HashMap<u32, usize>,
    groups: Vec<Vec<usize>>,
    /// The task after which a table that was loaded unlogged is logged again.
    logged_after: HashMap<u32, i32>,
}

impl<'a> Builder<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for table in &input.wanted.tables {
            for parent in &table.parents {
                children.entry(*parent).or_default().push(table.oid);
            }
        }
        let kept: HashSet<u32> = input
            .items
            .iter()
            .zip(input.is_kept)
            .filter(|(item, is_kept)| **is_kept && item.kind == ItemKind::Table)
            .map(|(item, _)| item.id.oid)
            .collect();
        let tables = input.wanted.tables.iter().filter(|table| kept.contains(&table.oid));
        let mut builder = Builder {
            input,
            plan: Plan::default(),
            stages: Vec::new(),
            task_of: vec![None; input.items.len()],
            tables_by_oid: tables.map(|table| (table.oid, table)).collect(),
            parts_by_oid: input
                .tables
                .iter()
                .flat_map(|table| &table.parts)
                .map(|part| (part.oid, part))
                .collect(),
            children,
            copies_of: HashMap::new(),
            keys_of: HashMap::new(),
            group_of: HashMap::new(),
            groups: Vec::new(),
            logged_after: HashMap::new(),
        };
        builder.stages = builder.find_stages();
        builder.form_groups();
        builder
    }

    fn find_stages(&self) -> Vec<Stage> {
        let mut stages = Vec::with_capacity(self.input.items.len());
        for (position, item) in self.input.items.iter().enumerate() {
            if item.section == Section::PreData || !self.is_made(position) {
                stages.push(Stage::Schema);
                continue;
            }
            let own = match item.kind {
                ItemKind::Index | ItemKind::PrimaryKey | ItemKind::Unique | ItemKind::Exclusion
                    if self.is_table(item.table_oid) =>
                {
                    Stage::Key
                }
                ItemKind::AttachIndex => Stage::Attach,
                ItemKind::ForeignKey => Stage::ForeignKey,
                _ => Stage::Rest,
            };
            let needed = item.depends_on.iter().map(|needed| stages[*needed]).max();
            // A key that needs a later stage cannot be grouped with its like.
            stages.push(match needed {
                Some(needed) if needed > own => Stage::Rest,
                _ => own,
            });
        }
        stages
    }

    fn is_table(&self, oid: Option<u32>) -> bool {
        oid.is_some_and(|oid| self.tables_by_oid.contains_key(&oid))
    }

    /// Whether the run makes the item: it is wanted and not on the target already.
    fn is_made(&self, position: usize) -> bool {
        self.input.is_kept[position]
            && !self.input.existing.present.contains_key(&position)
            && !self.input.options.data_only
    }

    fn next_id(&self) -> i32 {
        i32::try_from(self.plan.tasks.len()).map_or(i32::MAX, |count| count + 1)
    }

    /// Adds a task and returns its id.
    fn push(
        &mut self,
        kind: TaskKind,
        object: String,
        work: Work,
        depends_on: BTreeSet<i32>,
    ) -> i32 {
        let id = self.next_id();
        self.plan.tasks.push(Task {
            id,
            kind,
            object,
            table: None,
            work,
            depends_on: depends_on.into_iter().collect(),
            locks: Vec::new(),
            rows: 0,
            bytes: 0,
        });
        id
    }

    /// The task just added.
    fn last(&mut self) -> Option<&mut Task> {
        self.plan.tasks.last_mut()
    }

    fn note(&mut self, object: &str, message: impl Into<String>) {
        self.plan.notes.push(Note { object: object.to_owned(), message: message.into() });
    }

    // ---- before the data -------------------------------------------------------------------

    /// Drops and truncations of what the target has; returns the last task.
    fn add_clearing(&mut self, after: Option<i32>) -> Option<i32> {
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
    fn add_schema(&mut self, after: Option<i32>) -> Option<i32> {
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
    fn add_statements(
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
    fn statements_of(&mut self, item: &Item) -> Vec<Statement> {
        let attributes = self.attributes_of(item, &item.attributes);
        let mode =
            if item.has_secret { StatementMode::Secret(item.id) } else { StatementMode::Plain };
        let create = item.create.iter();
        create
            .map(|sql| Statement { mode, ..Statement::new(&item.object, sql) })
            .chain(attributes.iter().map(|sql| Statement::new(&item.object, sql)))
            .collect()
    }

    fn attributes_of(&mut self, item: &Item, attributes: &[Attribute]) -> Vec<String> {
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

    // ---- rows ------------------------------------------------------------------------------

    /// Puts small tables into groups, by the order in which they come.
    fn form_groups(&mut self) {
        let mut open: HashMap<bool, (usize, i64)> = HashMap::new();
        for (position, table) in self.input.tables.iter().enumerate() {
            if !table.is_small() {
                continue;
            }
            let (own_bytes, is_unlogged) = (table.bytes(), table.is_unlogged());
            // Marks of unlogged tables live elsewhere, so the two kinds do not mix.
            let (group, bytes) = match open.get(&is_unlogged) {
                Some((group, bytes))
                    if self.groups[*group].len() < GROUP_RELATIONS
                        && bytes + own_bytes <= GROUP_BYTES =>
                {
                    (*group, bytes + own_bytes)
                }
                _ => {
                    self.groups.push(Vec::new());
                    (self.groups.len() - 1, own_bytes)
                }
            };
            open.insert(is_unlogged, (group, bytes));
            self.groups[group].push(position);
            self.group_of.extend(table.parts.iter().map(|part| (part.oid, group)));
        }
    }

    /// Records the run's tables, none of them with copies yet.
    fn add_tables(&mut self) {
        for (table_id, table) in (1..).zip(self.input.tables) {
            self.plan.tables.push(RunTable {
                table_id,
                source: table.source.clone(),
                target: table.target.clone(),
                is_existing: table
                    .parts
                    .iter()
                    .any(|part| self.input.existing.tables.contains_key(&part.oid)),
                is_unlogged: table.is_unlogged(),
                copies_data: table.copies_data(),
                copies: None,
                format: table.format.clone(),
                rows: table.rows(),
                bytes: table.bytes(),
            });
            if let Some(reason) = &table.route_reason {
                let message = format!("rows are loaded and compared through it: {reason}");
                self.note(&format!("table {}", table.target), message);
            }
        }
    }

    fn add_copies(&mut self, after: Option<i32>) {
        self.add_tables();
        if self.input.options.schema_only {
            return;
        }
        for position in 0..self.input.tables.len() {
            if !self.is_grouped(position) {
                self.add_large_copy(position, after);
            }
        }
        for group in 0..self.groups.len() {
            self.add_group_copy(group, after);
        }
    }

    /// Whether a table shares tasks with other small ones.
    fn is_grouped(&self, position: usize) -> bool {
        self.input.tables[position].parts.iter().any(|part| self.group_of.contains_key(&part.oid))
    }

    /// The tables of a group whose rows are copied.
    fn copied_members(&self, group: usize) -> Vec<usize> {
        let members = self.groups[group].iter().copied();
        members.filter(|position| self.input.tables[*position].copies_data()).collect()
    }

    fn add_large_copy(&mut self, position: usize, after: Option<i32>) {
        let input = self.input;
        let table = &input.tables[position];
        let first = self.next_id();
        let batches = table.batches(self.plan.tables[position].table_id);
        let count = batches.len();
        for (number, loads) in (1..).zip(batches) {
            let object = match count {
                1 => format!("table {}", table.target),
                _ => format!("table {}, range {number} of {count}", table.target),
            };
            let (rows, bytes) = (
                loads.iter().map(|load| load.rows).sum(),
                loads.iter().map(|load| load.bytes).sum(),
            );
            let mode = if table.is_loaded_at_once() {
                LockMode::AccessExclusive
            } else {
                LockMode::RowExclusive
            };
            let mut names: BTreeSet<_> = table.parts.iter().map(|part| &part.target).collect();
            names.insert(&table.target);
            let locks = lock_all(names.into_iter(), mode);
            let work = Work::Copy { loads };
            let id = self.push(TaskKind::Copy, object, work, after.into_iter().collect());
            if let Some(task) = self.last() {
                task.table = Some(table.target.clone());
                task.locks = locks;
                task.rows = rows;
                task.bytes = bytes;
            }
            // A row that is routed may land in any of the parts.
            for part in &table.parts {
                self.copies_of.entry(part.oid).or_default().push(id);
            }
        }
        if count > 0 {
            self.plan.tables[position].copies = Some((first, self.next_id() - 1));
        }
    }

    fn add_group_copy(&mut self, group: usize, after: Option<i32>) {
        let input = self.input;
        let members = self.copied_members(group);
        let tables: Vec<_> = members.iter().map(|position| &input.tables[*position]).collect();
        let Some(first) = tables.first() else {
            return;
        };
        let loads = members
            .iter()
            .map(|position| (self.plan.tables[*position].table_id, &input.tables[*position]))
            .flat_map(|(table_id, table)| table.batches(table_id))
            .flatten()
            .collect();
        let id = self.push(
            TaskKind::Copy,
            name_group(&first.target, members.len()),
            Work::Copy { loads },
            after.into_iter().collect(),
        );
        if let Some(task) = self.last() {
            task.table = (tables.len() == 1).then(|| tables[0].target.clone());
            task.locks =
                lock_all(tables.iter().map(|table| &table.target), LockMode::AccessExclusive);
            task.rows = tables.iter().map(|table| table.rows()).sum();
            task.bytes = tables.iter().map(|table| table.bytes()).sum();
        }
        for position in members {
            for part in &input.tables[position].parts {
                self.copies_of.insert(part.oid, vec![id]);
            }
            self.plan.tables[position].copies = Some((id, id));
        }
    }

    // ---- indexes and keys ------------------------------------------------------------------

    fn add_keys(&mut self, after: Option<i32>) {
        let input = self.input;
        let mut grouped: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut parents = Vec::new();
        for (position, item) in input.items.iter().enumerate() {
            let (Stage::Key, Some(table_oid)) = (self.stages[position], item.table_oid) else {
                continue;
            };
            if !self.is_made(position) {
                continue;
            }
            match self.group_of.get(&table_oid) {
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
        self.add_attachments();
    }

    fn is_partitioned(&self, oid: u32) -> bool {
        self.tables_by_oid.get(&oid).is_some_and(|table| table.relkind == TableKind::Partitioned)
    }

    /// An index or key of a large table: the index first, which others can be built beside, and the
    /// constraint on top of it afterwards, which locks everybody out but takes no time.
    fn add_large_key(&mut self, position: usize, item: &Item, oid: u32, after: Option<i32>) {
        let needed = self.needs_of(item, &[oid], after);
        let attributes = self.attributes_of(item, &item.attributes);
        let statements = |sqls: &[String]| -> Vec<Statement> {
            sqls.iter().map(|sql| Statement::new(&item.object, sql)).collect()
        };
        let finishing: Vec<_> =
            item.using_index.iter().cloned().chain(attributes.iter().cloned()).collect();
        let (kind, mode, sqls) = match &item.index_definition {
            Some(definition) => {
                // The item's own statement is the one between those that choose a tablespace.
                let mut sqls = item.create.clone();
                if let Some(add) = sqls.iter_mut().find(|sql| sql.starts_with("alter table")) {
                    add.clone_from(definition);
                }
                (TaskKind::Index, LockMode::Share, sqls)
            }
            None if item.kind == ItemKind::Index => {
                (TaskKind::Index, LockMode::Share, item.create.clone())
            }
            None => (TaskKind::Constraint, LockMode::AccessExclusive, item.create.clone()),
        };
        let is_split = item.index_definition.is_some();
        let mut work = statements(&sqls);
        if !is_split {
            work.extend(statements(&attributes));
        }
        let work = Work::Statements { statements: work };
        let id = self.push(kind, item.object.clone(), work, needed);
        self.describe_table_task(oid, mode);
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
    fn describe_table_task(&mut self, oid: u32, mode: LockMode) {
        let Some(name) = self.table_name(oid) else {
            return;
        };
        let size = self.parts_by_oid.get(&oid).map_or((0, 0), |table| (table.rows, table.bytes));
        if let Some(task) = self.last() {
            task.table = Some(name.clone());
            task.locks = vec![TaskLock { table: name, mode }];
            (task.rows, task.bytes) = size;
        }
    }

    fn table_name(&self, oid: u32) -> Option<QualifiedName> {
        let table = self.tables_by_oid.get(&oid)?;
        Some(QualifiedName::new(&table.schema, &table.name))
    }

    /// All indexes and keys of a group of tables in one task.
    fn add_key_batch(&mut self, positions: &[usize], after: Option<i32>) {
        let input = self.input;
        let mut statements = Vec::new();
        let mut needed = BTreeSet::new();
        let mut oids = BTreeSet::new();
        for position in positions {
            let item = &input.items[*position];
            needed.extend(self.needs_of(item, item.table_oid.as_slice(), after));
            oids.extend(item.table_oid);
            statements.extend(self.statements_of(item));
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

    fn add_attachments(&mut self) {
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

    fn with_ancestors(&self, oid: u32) -> Vec<u32> {
        let mut oids = vec![oid];
        let mut position = 0;
        while let Some(table) = oids.get(position).and_then(|oid| self.tables_by_oid.get(oid)) {
            oids.extend(&table.parents);
            position += 1;
        }
        oids
    }

    fn with_descendants(&self, oid: u32) -> Vec<u32> {
        let mut oids = vec![oid];
        let mut position = 0;
        while position < oids.len() {
            oids.extend(self.children.get(&oids[position]).into_iter().flatten());
            position += 1;
        }
        oids
    }

    /// The tasks that an item has to wait for: those of the items it needs, and the rows of tables.
    fn needs_of(&self, item: &Item, tables: &[u32], after: Option<i32>) -> BTreeSet<i32> {
        let mut needed: BTreeSet<i32> = after.into_iter().collect();
        needed.extend(item.depends_on.iter().filter_map(|position| self.task_of[*position]));
        for oid in tables {
            needed.extend(self.copies_of.get(oid).into_iter().flatten());
        }
        needed
    }

    // ---- unlogged loading ------------------------------------------------------------------

    /// Whether a table that is to be logged is unlogged while it is loaded.
    fn is_loaded_unlogged(&self, part: &Part) -> bool {
        self.input.options.use_unlogged_tables && part.copies_data && !part.is_unlogged
    }

    /// Makes tables logged again once their indexes are built: before foreign keys, which may not
    /// refer from a logged table to an unlogged one.
    fn add_logging(&mut self) {
        let input = self.input;
        for part in input.tables.iter().flat_map(DataTable::copied_parts) {
            if !self.is_loaded_unlogged(part) {
                continue;
            }
            let sql = format!("alter table {} set logged", part.target.quoted());
            let object = format!("table {}", part.target);
            let needed: BTreeSet<i32> =
                [self.copies_of.get(&part.oid), self.keys_of.get(&part.oid)]
                    .into_iter()
                    .flatten()
                    .flatten()
                    .copied()
                    .collect();
            let work = Work::Statements { statements: vec![Statement::new(&object, &sql)] };
            let id = self.push(TaskKind::Constraint, object, work, needed);
            self.describe_table_task(part.oid, LockMode::AccessExclusive);
            self.keys_of.entry(part.oid).or_default().push(id);
            self.logged_after.insert(part.oid, id);
        }
    }

    // ---- foreign keys ----------------------------------------------------------------------

    fn add_foreign_keys(&mut self) {
        let input = self.input;
        let mut small: Vec<usize> = Vec::new();
        for (position, item) in input.items.iter().enumerate() {
            if self.stages[position] != Stage::ForeignKey || !self.is_made(position) {
                continue;
            }
            let ends = [item.table_oid, item.referenced_table_oid];
            let is_small = ends.iter().flatten().all(|oid| self.group_of.contains_key(oid));
            if is_small {
                small.push(position);
            } else {
                self.add_foreign_key_task(&[position]);
            }
        }
        for chunk in small.chunks(FOREIGN_KEYS_PER_TASK) {
            self.add_foreign_key_task(chunk);
        }
    }

    fn add_foreign_key_task(&mut self, positions: &[usize]) {
        let input = self.input;
        let mut statements = Vec::new();
        let mut needed = BTreeSet::new();
        let mut oids = BTreeSet::new();
        let (mut rows, mut bytes) = (0, 0);
        for position in positions {
            let item = &input.items[*position];
            let ends: Vec<u32> = [item.table_oid, item.referenced_table_oid]
                .into_iter()
                .flatten()
                .flat_map(|oid| self.with_descendants(oid))
                .collect();
            needed.extend(self.needs_of(item, &ends, None));
            needed.extend(ends.iter().filter_map(|oid| self.logged_after.get(oid)));
            for table in ends.iter().filter_map(|oid| self.parts_by_oid.get(oid)) {
                rows += table.rows;
                bytes += table.bytes;
            }
            oids.extend(ends);
            let attributes = self.attributes_of(item, &item.attributes);
            let mode = self.foreign_key_mode(item);
            for sql in &item.create {
                statements.push(Statement { mode, ..Statement::new(&item.object, sql) });
            }
            statements.extend(attributes.iter().map(|sql| Statement::new(&item.object, sql)));
        }
        let object = match positions {
            [only] => input.items[*only].object.clone(),
            _ => format!("{} foreign keys", positions.len()),
        };
        let id = self.push(TaskKind::ForeignKey, object, Work::Statements { statements }, needed);
        let names: Vec<_> = oids.iter().filter_map(|oid| self.table_name(*oid)).collect();
        let table = match positions {
            [only] => input.items[*only].table_oid.and_then(|oid| self.table_name(oid)),
            _ => None,
        };
        if let Some(task) = self.last() {
            task.table = table;
            task.locks = lock_all(names.iter(), LockMode::ShareRowExclusive);
            (task.rows, task.bytes) = (rows, bytes);
        }
        for position in positions {
            self.task_of[*position] = Some(id);
        }
    }

    /// How a foreign key is added, by the option and by whether its tables are whole.
    fn foreign_key_mode(&mut self, item: &Item) -> StatementMode {
        match self.input.options.foreign_keys {
            ForeignKeys::Validate | ForeignKeys::Skip => StatementMode::Plain,
            ForeignKeys::NotValid if self.is_partitioned(item.table_oid.unwrap_or(0)) => {
                self.note(&item.object, "validated, since a partitioned table's key must be");
                StatementMode::Plain
            }
            ForeignKeys::NotValid => StatementMode::NotValidForeignKey,
            ForeignKeys::Trust => match self.find_doubt(item) {
                None => StatementMode::TrustedForeignKey,
                Some(reason) => {
                    self.note(&item.object, format!("validated and not trusted: {reason}"));
                    StatementMode::Plain
                }
            },
        }
    }

    /// Why a foreign key that holds on the source might not hold for the rows copied.
    fn find_doubt(&self, item: &Item) -> Option<String> {
        let key = self
            .input
            .wanted
            .constraints
            .iter()
            .find(|key| key.kind == ConstraintKind::ForeignKey && key.oid == item.id.oid)?;
        if !key.is_validated || !key.is_enforced {
            return Some("the source has not validated it".to_owned());
        }
        for end in [key.table_oid, key.referenced_table_oid] {
            for oid in self.with_descendants(end) {
                let Some(table) = self.tables_by_oid.get(&oid) else {
                    return Some("one of its tables is not part of the run".to_owned());
                };
                let name = format!("{}.{}", table.schema, table.name);
                match self.parts_by_oid.get(&oid) {
                    _ if table.relkind == TableKind::Partitioned => {}
                    None => return Some(format!("table {name} is not copied by this run")),
                    Some(data) if !data.copies_data || data.condition.is_some() => {
                        return Some(format!("table {name} is not copied as a whole"));
                    }
                    Some(_) => {}
                }
            }
        }
        None
    }

    // ---- what the target has of its own ----------------------------------------------------

    /// What the target's tables had and the source's do not: built again as it was, one after another.
    /// Only indexes can be built before all the rows and keys of the run are there.
    fn add_restored(&mut self, after: Option<i32>) {
        let input = self.input;
        let by_target: HashMap<u32, u32> =
            input.existing.tables.iter().map(|(source, target)| (*target, *source)).collect();
        let mut needed: BTreeSet<i32> = after.into_iter().collect();
        for restored in &input.existing.restored {
            let oid = by_target.get(&restored.table_oid).copied();
            let kind = match (restored.kind, oid) {
                (ItemKind::Index, Some(oid)) => {
                    needed.extend(self.copies_of.get(&oid).into_iter().flatten());
                    needed.extend(self.keys_of.get(&oid).into_iter().flatten());
                    TaskKind::Index
                }
                _ => {
                    needed.extend(1..self.next_id());
                    TaskKind::Constraint
                }
            };
            let statements = restored.statements.iter();
            let statements = statements.map(|sql| Statement::new(&restored.object, sql)).collect();
            let work = Work::Statements { statements };
            let id = self.push(kind, restored.object.clone(), work, std::mem::take(&mut needed));
            needed.insert(id);
            if let Some(oid) = oid {
                self.describe_table_task(oid, LockMode::AccessExclusive);
                self.keys_of.entry(oid).or_default().push(id);
            }
        }
    }

    /// Owners, privileges, comments and the like that what is on the target already does not have.
    fn add_amendments(&mut self, barrier: Option<i32>) -> Option<i32> {
        let input = self.input;
        if input.options.data_only {
            return barrier;
        }
        let mut statements = Vec::new();
        for (position, item) in input.items.iter().enumerate() {
            if let Some(missing) = input.existing.present.get(&position) {
                let missing = self.attributes_of(item, missing);
                statements.extend(missing.iter().map(|sql| Statement::new(&item.object, sql)));
            }
        }
        self.add_statements(statements, TaskKind::Ddl, "attributes of existing objects", barrier)
    }

    // ---- after that ------------------------------------------------------------------------

    fn add_checks(&mut self, after: Option<i32>) {
        let input = self.input;
        if input.options.validation == Validation::None || input.options.schema_only {
            return;
        }
        for (position, table) in input.tables.iter().enumerate() {
            if table.copies_data() && !self.is_grouped(position) {
                self.add_check(&[position], after);
            }
        }
        for group in 0..self.groups.len() {
            let members = self.copied_members(group);
            if !members.is_empty() {
                self.add_check(&members, after);
            }
        }
    }

    fn add_check(&mut self, members: &[usize], after: Option<i32>) {
        let input = self.input;
        let mut needed: BTreeSet<i32> = after.into_iter().collect();
        let mut checks = Vec::new();
        for position in members {
            let table = &input.tables[*position];
            let copies = table.parts.iter().filter_map(|part| self.copies_of.get(&part.oid));
            needed.extend(copies.flatten());
            checks.push(table.check(self.plan.tables[*position].table_id));
        }
        let tables: Vec<_> = members.iter().map(|position| &self.plan.tables[*position]).collect();
        let task = new_check_task(self.next_id(), &tables, checks, needed);
        self.plan.tasks.push(task);
    }

    /// Statistics, once for each table and, for partitions, from the top.
    fn add_analyze(&mut self) {
        let input = self.input;
        if input.options.schema_only {
            return;
        }
        let mut grouped: HashMap<usize, Vec<u32>> = HashMap::new();
        let mut roots: BTreeSet<u32> = BTreeSet::new();
        for part in input.tables.iter().flat_map(DataTable::copied_parts) {
            let root = self.partition_root(part.oid);
            if root != part.oid {
                roots.insert(root);
            } else if let Some(group) = self.group_of.get(&part.oid) {
                grouped.entry(*group).or_default().push(part.oid);
            } else {
                self.add_analyze_task(&[part.oid]);
            }
        }
        for root in roots {
            self.add_analyze_task(&[root]);
        }
        for group in 0..self.groups.len() {
            if let Some(oids) = grouped.remove(&group) {
                self.add_analyze_task(&oids);
            }
        }
    }

    /// The topmost partitioned table above a partition that the run knows, or the table itself.
    fn partition_root(&self, oid: u32) -> u32 {
        let mut root = oid;
        while let Some(table) = self.tables_by_oid.get(&root)
            && table.is_partition
            && let Some(parent) = table.parents.first()
            && self.tables_by_oid.contains_key(parent)
        {
            root = *parent;
        }
        root
    }

    fn add_analyze_task(&mut self, oids: &[u32]) {
        let mut needed = BTreeSet::new();
        let mut locked = Vec::new();
        let mut statements = Vec::new();
        let mut bytes = 0;
        for oid in oids {
            for member in self.with_descendants(*oid) {
                needed.extend(self.copies_of.get(&member).into_iter().flatten());
                needed.extend(self.keys_of.get(&member).into_iter().flatten());
                locked.extend(self.table_name(member));
                let size = self.parts_by_oid.get(&member).map_or(0, |table| table.bytes);
                bytes += size.min(ANALYZE_BYTES);
            }
            if let Some(name) = self.table_name(*oid) {
                let sql = format!("analyze {}", name.quoted());
                statements.push(Statement::new(&format!("table {name}"), &sql));
            }
        }
        let object = match statements.as_slice() {
            [only] => only.object.clone(),
            [first, ..] => format!("{} and {} more", first.object, statements.len() - 1),
            [] => return,
        };
        self.push(TaskKind::Analyze, object, Work::Statements { statements }, needed);
        if let Some(task) = self.plan.tasks.last_mut() {
            task.locks = lock_all(locked.iter(), LockMode::ShareUpdateExclusive);
            task.bytes = bytes;
        }
    }

    /// A task that waits for all rows, keys and foreign keys, so that later ones need not list them.
    fn add_barrier(&mut self, after: Option<i32>) -> Option<i32> {
        let mut needed: BTreeSet<i32> = after.into_iter().collect();
        needed.extend(self.plan.tasks.iter().filter_map(|task| {
            let is_awaited = matches!(
                task.kind,
                TaskKind::Copy
                    | TaskKind::LargeObject
                    | TaskKind::Index
                    | TaskKind::Constraint
                    | TaskKind::ForeignKey
            );
            is_awaited.then_some(task.id)
        }));
        let work = Work::Statements { statements: Vec::new() };
        Some(self.push(TaskKind::Ddl, "all rows and keys are in place".to_owned(), work, needed))
    }

    fn add_sequences(&mut self, barrier: Option<i32>) {
        if self.input.sequences.is_empty() || self.input.options.schema_only {
            return;
        }
        let object = format!("{} sequences", self.input.sequences.len());
        let work = Work::Sequences { sequences: self.input.sequences.clone() };
        self.push(TaskKind::Sequence, object, work, barrier.into_iter().collect());
    }

    /// What is left of the schema, in order; materialized views are filled one by one.
    fn add_rest(&mut self, barrier: Option<i32>) {
        let input = self.input;
        let mut last = barrier;
        let mut batch: Vec<usize> = Vec::new();
        for (position, item) in input.items.iter().enumerate() {
            if self.stages[position] != Stage::Rest || !self.is_made(position) {
                continue;
            }
            if item.kind == ItemKind::Refresh {
                if input.options.schema_only {
                    continue;
                }
                last = self.add_rest_batch(&mut batch, last);
                let statements = self.statements_of(item);
                let work = Work::Statements { statements };
                last = Some(self.push(
                    TaskKind::Refresh,
                    item.object.clone(),
                    work,
                    last.into_iter().collect(),
                ));
                continue;
            }
            batch.push(position);
            if batch.len() >= STATEMENTS_PER_TASK {
                last = self.add_rest_batch(&mut batch, last);
            }
        }
        self.add_rest_batch(&mut batch, last);
    }

    fn add_rest_batch(&mut self, batch: &mut Vec<usize>, after: Option<i32>) -> Option<i32> {
        if batch.is_empty() {
            return after;
        }
        let input = self.input;
        let mut statements = Vec::new();
        let mut oids = BTreeSet::new();
        for position in batch.iter() {
            let item = &input.items[*position];
            statements.extend(self.statements_of(item));
            let ends = [item.table_oid, item.referenced_table_oid];
            oids.extend(ends.into_iter().flatten().flat_map(|oid| self.with_descendants(oid)));
        }
        let object = match batch.as_slice() {
            [only] => input.items[*only].object.clone(),
            [first, ..] => format!("{} and {} more", input.items[*first].object, batch.len() - 1),
            [] => String::new(),
        };
        let work = Work::Statements { statements };
        let id = self.push(TaskKind::Ddl, object, work, after.into_iter().collect());
        let names: Vec<_> = oids.iter().filter_map(|oid| self.table_name(*oid)).collect();
        if let Some(task) = self.last() {
            task.locks = lock_all(names.iter(), LockMode::AccessExclusive);
        }
        for position in batch.drain(..) {
            self.task_of[position] = Some(id);
        }
        Some(id)
    }
}

fn name_group(first: &QualifiedName, count: usize) -> String {
    match count {
        1 => format!("table {first}"),
        _ => format!("table {first} and {} more", count - 1),
    }
}

fn lock_all<'t>(tables: impl Iterator<Item = &'t QualifiedName>, mode: LockMode) -> Vec<TaskLock> {
    tables.map(|table| TaskLock { table: table.clone(), mode }).collect()
}

/// A task that compares tables of a run.
pub(super) fn new_check_task(
    id: i32,
    tables: &[&RunTable],
    checks: Vec<CheckTable>,
    depends_on: BTreeSet<i32>,
) -> Task {
    let object = match tables {
        [first, ..] => name_group(&first.target, tables.len()),
        [] => String::new(),
    };
    let parts = checks.iter().flat_map(|check| &check.target).map(|part| &part.relation);
    Task {
        id,
        kind: TaskKind::Check,
        object,
        table: (tables.len() == 1).then(|| tables[0].target.clone()),
        locks: lock_all(parts, LockMode::AccessShare),
        work: Work::Check { tables: checks },
        depends_on: depends_on.into_iter().collect(),
        rows: tables.iter().map(|table| table.rows).sum(),
        bytes: tables.iter().map(|table| table.bytes).sum(),
    }
}

/// Whether the table's rows would be emptied by crash recovery.
pub fn is_unlogged(table: &Table) -> bool {
    table.persistence == Persistence::Unlogged
}
