//! Everything that is known, put into tasks.
//!
//! ```text
//!   clear ─ schema ─┬─ copy ─┬─ index ─ constraint ─┬─ attach ─ foreign key ─┬─ the rest of the schema
//!                   │        ├─ check               ├─ analyze               └─ sequences
//!                                                   └─ refresh, where it is known what is read
//! ```
//!
//! Every task lists what it waits for and what it locks; nothing else orders them. Small tables share
//! tasks, so that thousands of them cost little: one copies a group of tables, one builds all their
//! indexes and keys, one analyzes and one checks them.

mod copy;
mod finish;
mod foreign_key;
mod key;
mod refresh;
mod schema;

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::ddl::{Item, ItemKind, Section};
use crate::model::{Catalog, Persistence, Table};
use crate::name::QualifiedName;
use crate::options::Options;
use crate::plan::Note;
use crate::plan::configuration;
use crate::plan::data_table::{DataTable, Part};
use crate::plan::existing::Existing;
use crate::plan::large_objects;
use crate::plan::large_objects::LargeObjects;
use crate::plan::task::{
    CheckTable, LockMode, QualifiedNamePair, RunTable, Statement, Task, TaskKind, TaskLock, Work,
};

/// Statements of one schema task: few enough that the locks of one transaction fit any server.
const STATEMENTS_PER_TASK: usize = 200;

/// All that a plan is made of.
pub struct Input<'a> {
    pub source: &'a Catalog,
    /// The same under the names that it gets on the target, as far as the target can have it.
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
    builder.add_configuration(schema);
    builder.add_keys(schema);
    builder.add_logging();
    builder.add_foreign_keys();
    builder.add_restored(schema);
    large_objects::add_copies(&mut builder.plan, input.large_objects, schema);
    builder.add_checks(schema);
    builder.add_analyze();
    let refreshes = builder.add_refreshes(schema);
    let barrier = builder.add_barrier(schema);
    builder.add_sequences(barrier);
    let barrier = builder.add_amendments(barrier);
    builder.add_rest(barrier.into_iter().chain(refreshes).collect());
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

    /// Rows of configuration tables, which foreign keys may refer to.
    fn add_configuration(&mut self, after: Option<i32>) {
        let input = self.input;
        let copies = configuration::add(&mut self.plan, input, after);
        self.copies_of.extend(copies.into_iter().map(|(table, task)| (table, vec![task])));
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
