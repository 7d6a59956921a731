//! What follows: checks, statistics, sequences, the rest of the schema, and what the target had of
//! its own.

use std::collections::{BTreeSet, HashMap};

use super::{Builder, STATEMENTS_PER_TASK, Stage, lock_all, new_check_task};
use crate::ddl::ItemKind;
use crate::model::TableKind;
use crate::name::QualifiedName;
use crate::options::{Statistics, Validation};
use crate::plan::data_table::DataTable;
use crate::plan::task::{LockMode, Statement, StatementMode, TaskKind, Work};

/// What ANALYZE reads of a table at most, by its default sample of 30,000 pages at one row each.
const ANALYZE_BYTES: i64 = 32 << 20;

/// Bytes of a table below which ANALYZE takes no longer than to ask the source.
const FEWEST_ASKED_BYTES: i64 = 128 << 10;

impl Builder<'_> {
    /// What the target's tables had and the source's do not: built again as it was, one after another.
    /// Only indexes can be built before all the rows and keys of the run are there.
    pub(super) fn add_restored(&mut self, after: Option<i32>) {
        let input = self.input;
        let by_target: HashMap<u32, u32> =
            input.existing.tables.iter().map(|(source, target)| (*target, *source)).collect();
        let mut needed: BTreeSet<i32> = after.into_iter().collect();
        for restored in &input.existing.restored {
            let oid = by_target.get(&restored.table_oid).copied();
            let kind = match (restored.kind, oid) {
                (ItemKind::Index, Some(oid)) => {
                    needed.extend(self.rows_and_keys_of(oid));
                    TaskKind::Index
                }
                _ => {
                    needed.extend(1..self.next_id());
                    TaskKind::Constraint
                }
            };
            let mode = restored.mode;
            let statements = restored.statements.iter();
            let statements = statements
                .map(|sql| Statement { mode, ..Statement::new(&restored.object, sql) })
                .collect();
            let work = Work::Statements { statements };
            let id = self.push(kind, restored.object.clone(), work, std::mem::take(&mut needed));
            needed.insert(id);
            if let Some(oid) = oid {
                self.describe_table_task(oid, LockMode::AccessExclusive, |part| part.bytes);
                self.keys_of.entry(oid).or_default().push(id);
            }
        }
    }

    /// Owners, privileges, comments and the like that what is on the target already does not have.
    pub(super) fn add_amendments(&mut self, barrier: Option<i32>) -> Option<i32> {
        let input = self.input;
        if input.options.data_only {
            return barrier;
        }
        let mut statements = Vec::new();
        for (position, item) in input.items.iter().enumerate() {
            if let Some(missing) = input.existing.present.get(&position) {
                statements.extend(self.state_attributes(item, missing));
            }
        }
        self.add_statements(statements, TaskKind::Ddl, "attributes of existing objects", barrier)
    }

    pub(super) fn add_checks(&mut self, after: Option<i32>) {
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

    pub(super) fn add_check(&mut self, members: &[usize], after: Option<i32>) {
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
        let mut task = new_check_task(self.next_id(), &tables, checks, needed);
        if input.options.validation != Validation::Checksum {
            // Rows are counted, whatever is in them.
            task.bytes = 0;
        }
        self.plan.tasks.push(task);
    }

    /// Statistics, once for each table and, for partitions, from the top.
    pub(super) fn add_analyze(&mut self) {
        let input = self.input;
        if input.options.schema_only {
            return;
        }
        let mut grouped: HashMap<usize, Vec<u32>> = HashMap::new();
        let mut roots: BTreeSet<u32> = BTreeSet::new();
        let mut noted: BTreeSet<u32> = BTreeSet::new();
        for part in input.tables.iter().flat_map(DataTable::copied_parts) {
            let root = self.partition_root(part.oid);
            if let Some(foreign) = self.find_foreign(root) {
                if noted.insert(root) {
                    self.note_unanalyzed(root, &foreign);
                }
                if root != part.oid {
                    self.add_analyze_task(&[part.oid]);
                }
            } else if root != part.oid {
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

    /// A foreign table below a table, which ANALYZE of that would read from its server.
    fn find_foreign(&self, oid: u32) -> Option<QualifiedName> {
        let is_foreign = |oid: &u32| {
            let table = self.tables_by_oid.get(oid);
            table.is_some_and(|table| table.relkind == TableKind::Foreign)
        };
        self.with_descendants(oid).into_iter().find(is_foreign).and_then(|oid| self.table_name(oid))
    }

    fn note_unanalyzed(&mut self, oid: u32, foreign: &QualifiedName) {
        if let Some(name) = self.table_name(oid) {
            let message = format!(
                "not analyzed as a whole, since that would read foreign table {foreign} from its server"
            );
            self.note(&format!("table {name}"), message);
        }
    }

    /// The topmost partitioned table above a partition that the run knows, or the table itself.
    pub(super) fn partition_root(&self, oid: u32) -> u32 {
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

    pub(super) fn add_analyze_task(&mut self, oids: &[u32]) {
        let mut needed = BTreeSet::new();
        let mut locked = Vec::new();
        let mut statements = Vec::new();
        let mut bytes = 0;
        for oid in oids {
            for member in self.with_descendants(*oid) {
                needed.extend(self.rows_and_keys_of(member));
                locked.extend(self.table_name(member));
                let size = self.parts_by_oid.get(&member).map_or(0, |table| table.bytes);
                bytes += size.min(ANALYZE_BYTES);
            }
            statements.extend(self.state_analyze(*oid));
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

    /// What gives a table its statistics: the source, where the run copies all rows of it and of the tables
    /// below, which are then given theirs one by one; else ANALYZE, which goes over them too.
    fn state_analyze(&self, oid: u32) -> Vec<Statement> {
        let family = self.with_descendants(oid);
        let parts = family.iter().filter_map(|member| self.parts_by_oid.get(member));
        let copies = self.input.options.statistics == Statistics::Copy
            && parts.map(|part| part.bytes).sum::<i64>() >= FEWEST_ASKED_BYTES
            && family.iter().all(|member| self.is_copied_whole(*member));
        let state = |oid: u32, mode| {
            let name = self.table_name(oid)?;
            let sql = format!("analyze {}", name.quoted());
            let statement = Statement::new(&format!("table {name}"), &sql);
            Some(Statement { mode, relation: copies.then_some(name), ..statement })
        };
        if !copies {
            return state(oid, StatementMode::Plain).into_iter().collect();
        }
        // Tables that inherit are analyzed by themselves.
        let is_below = |member: &u32| *member != oid && self.is_partitioned(oid);
        let rest = family.iter().copied().filter(is_below);
        std::iter::once(oid)
            .chain(rest)
            .filter_map(|member| state(member, StatementMode::Analyze(member)))
            .collect()
    }

    /// Whether a table has no rows of its own, or all of them are copied.
    fn is_copied_whole(&self, oid: u32) -> bool {
        let Some(table) = self.tables_by_oid.get(&oid) else {
            return false;
        };
        let part = self.parts_by_oid.get(&oid);
        table.relkind == TableKind::Partitioned
            || part.is_some_and(|part| part.copies_data && part.condition.is_none())
    }

    /// A task that waits for all rows, keys and foreign keys, so that later ones need not list them.
    pub(super) fn add_barrier(&mut self, after: Option<i32>) -> Option<i32> {
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

    pub(super) fn add_sequences(&mut self, barrier: Option<i32>) {
        if self.input.sequences.is_empty() || self.input.options.schema_only {
            return;
        }
        let object = format!("{} sequences", self.input.sequences.len());
        let work = Work::Sequences { sequences: self.input.sequences.clone() };
        self.push(TaskKind::Sequence, object, work, barrier.into_iter().collect());
    }

    /// What is left of the schema, in order; materialized views that are left are filled one by one.
    pub(super) fn add_rest(&mut self, after: BTreeSet<i32>) {
        let input = self.input;
        let mut last = after;
        let mut batch: Vec<usize> = Vec::new();
        for (position, item) in input.items.iter().enumerate() {
            if self.stages[position] != Stage::Rest
                || !self.is_made(position)
                || self.task_of[position].is_some()
            {
                continue;
            }
            if item.kind == ItemKind::Refresh {
                if input.options.schema_only {
                    continue;
                }
                last = self.add_rest_batch(&mut batch, last);
                let work = Work::Statements { statements: self.statements_of(item) };
                let id = self.push(TaskKind::Refresh, item.object.clone(), work, last);
                last = BTreeSet::from([id]);
                continue;
            }
            batch.push(position);
            if batch.len() >= STATEMENTS_PER_TASK {
                last = self.add_rest_batch(&mut batch, last);
            }
        }
        self.add_rest_batch(&mut batch, last);
    }

    /// Returns what comes after the batch: it, or if it is empty, `after`.
    pub(super) fn add_rest_batch(
        &mut self,
        batch: &mut Vec<usize>,
        after: BTreeSet<i32>,
    ) -> BTreeSet<i32> {
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
        let id = self.push(TaskKind::Ddl, object, work, after);
        let names: Vec<_> = oids.iter().filter_map(|oid| self.table_name(*oid)).collect();
        if let Some(task) = self.last() {
            task.locks = lock_all(names.iter(), LockMode::AccessExclusive);
        }
        for position in batch.drain(..) {
            self.task_of[position] = Some(id);
        }
        BTreeSet::from([id])
    }
}
