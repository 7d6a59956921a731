//! Rows of materialized views, as soon as what they read is there.
//!
//! What a query reads is known where nothing but tables, views and the server's own functions stand in
//! it, and whether its owner may read that where nobody else owns any of it: privileges come last. All other
//! materialized views are filled one after another behind everything else.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Builder, Input, Stage, lock_all};
use crate::ddl::{Item, ItemKind};
use crate::model::TableKind;
use crate::name::QualifiedName;
use crate::plan::task::{LockMode, TaskKind, Work};

/// Parts of names of the server's functions and views that tell of more than their arguments: of rows
/// named in texts, large objects, settings, rights, sizes, the catalog.
const TELLTALES: [&str; 11] = [
    "pg_",
    "information_schema",
    "_to_xml",
    "ts_stat",
    "ts_rewrite",
    "lo_",
    "loread",
    "has_",
    "to_reg",
    "currval",
    "current_setting",
];

/// The schema that everybody may use.
const PUBLIC: &str = "public";

/// What there is to look up about items.
struct Facts<'a> {
    /// Views that get their queries later.
    dummies: HashSet<Option<u32>>,
    /// Owners of tables and views.
    owners: HashMap<u32, &'a str>,
    schema_owners: HashMap<&'a str, &'a str>,
    /// Tasks that fill materialized views.
    task_of: HashMap<Option<u32>, i32>,
}

impl<'a> Facts<'a> {
    fn new(input: &Input<'a>) -> Self {
        let with_body = |item: &Item| (item.kind == ItemKind::ViewBody).then_some(item.table_oid);
        let tables = input.wanted.tables.iter().map(|table| (table.oid, table.owner.as_str()));
        let views = input.wanted.views.iter().map(|view| (view.oid, view.owner.as_str()));
        let schemas = input.wanted.schemas.iter();
        Facts {
            dummies: input.items.iter().filter_map(with_body).collect(),
            owners: tables.chain(views).collect(),
            schema_owners: schemas.map(|s| (s.name.as_str(), s.owner.as_str())).collect(),
            task_of: HashMap::new(),
        }
    }

    /// Whether a role may read something before privileges are granted.
    fn may_read(&self, role: &str, item: &Item) -> bool {
        match item.kind {
            ItemKind::Schema => {
                item.name == PUBLIC || self.schema_owners.get(item.name.as_str()) == Some(&role)
            }
            ItemKind::Table => self.owners.get(&item.id.oid) == Some(&role),
            ItemKind::View | ItemKind::MaterializedView => {
                item.table_oid.and_then(|oid| self.owners.get(&oid)) == Some(&role)
            }
            _ => true,
        }
    }
}

/// What the query of a materialized view reads.
#[derive(Debug, Default)]
struct Reads {
    /// Tables, with those that inherit from them.
    tables: BTreeSet<u32>,
    /// Tasks that fill materialized views.
    refreshes: BTreeSet<i32>,
}

impl Builder<'_> {
    /// Fills materialized views of which is known what they read; returns their tasks.
    pub(super) fn add_refreshes(&mut self, after: Option<i32>) -> BTreeSet<i32> {
        let input = self.input;
        let mut tasks = BTreeSet::new();
        if input.options.schema_only {
            return tasks;
        }
        let analyzed = self.find_analyze_tasks();
        let mut facts = Facts::new(input);
        for (position, item) in input.items.iter().enumerate() {
            if item.kind != ItemKind::Refresh || !self.is_made(position) {
                continue;
            }
            let Some(reads) = self.find_reads(item, &facts) else {
                continue;
            };
            let mut needed = reads.refreshes;
            needed.extend(after);
            let (mut rows, mut bytes) = (0, 0);
            let mut names = Vec::new();
            for oid in &reads.tables {
                needed.extend(self.rows_and_keys_of(*oid));
                let part = self.parts_by_oid.get(oid);
                rows += part.map_or(0, |part| part.rows);
                bytes += part.map_or(0, |part| part.bytes);
                names.extend(self.table_name(*oid));
            }
            needed.extend(names.iter().filter_map(|name| analyzed.get(name)));
            let work = Work::Statements { statements: self.statements_of(item) };
            let id = self.push(TaskKind::Refresh, item.object.clone(), work, needed);
            if let Some(task) = self.last() {
                task.locks = lock_all(names.iter(), LockMode::AccessShare);
                (task.rows, task.bytes) = (rows, bytes);
            }
            self.task_of[position] = Some(id);
            facts.task_of.insert(item.table_oid, id);
            tasks.insert(id);
        }
        tasks
    }

    /// What the query of a materialized view reads; None if that is not known, or its owner may not read it yet.
    fn find_reads(&self, refresh: &Item, facts: &Facts<'_>) -> Option<Reads> {
        let items = &self.input.items;
        let mut reads = Reads::default();
        let is_own = |needed: &&usize| {
            let item = &items[**needed];
            item.kind == ItemKind::MaterializedView && item.table_oid == refresh.table_oid
        };
        let own = *refresh.depends_on.iter().find(is_own)?;
        let owner = *facts.owners.get(&refresh.table_oid?)?;
        let mut seen = HashSet::from([own]);
        let mut waiting = vec![own];
        while let Some(position) = waiting.pop() {
            let item = &items[position];
            // What is on the target already may get its owner and privileges behind the rows.
            let lacks = self.input.existing.present.get(&position);
            if self.stages[position] != Stage::Schema
                || lacks.is_some_and(|attributes| !attributes.is_empty())
                || !facts.may_read(owner, item)
            {
                return None;
            }
            match item.kind {
                ItemKind::Schema | ItemKind::Collation | ItemKind::TextSearch => continue,
                ItemKind::Table => {
                    let family = self.with_descendants(item.id.oid);
                    if !family.iter().all(|oid| self.is_plainly_read(*oid)) {
                        return None;
                    }
                    reads.tables.extend(family);
                    continue;
                }
                ItemKind::MaterializedView if position != own => {
                    reads.refreshes.insert(*facts.task_of.get(&item.table_oid)?);
                    continue;
                }
                ItemKind::MaterializedView | ItemKind::View => {
                    let tells = |sql: &String| TELLTALES.iter().any(|name| sql.contains(name));
                    if item.create.iter().any(tells) || facts.dummies.contains(&item.table_oid) {
                        return None;
                    }
                }
                ItemKind::Type => (),
                _ => return None,
            }
            waiting.extend(item.depends_on.iter().copied().filter(|to| seen.insert(*to)));
        }
        Some(reads)
    }

    /// Whether whoever may read a table of the run gets its rows as they are.
    fn is_plainly_read(&self, oid: u32) -> bool {
        self.tables_by_oid
            .get(&oid)
            .is_some_and(|table| table.relkind != TableKind::Foreign && !table.row_security)
    }

    /// The task that gives each table its statistics.
    fn find_analyze_tasks(&self) -> HashMap<QualifiedName, i32> {
        let analyzes = self.plan.tasks.iter().filter(|task| task.kind == TaskKind::Analyze);
        analyzes
            .flat_map(|task| task.locks.iter().map(|lock| (lock.table.clone(), task.id)))
            .collect()
    }
}
