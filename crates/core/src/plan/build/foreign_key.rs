//! Foreign keys, and whether they can be trusted.

use std::collections::{BTreeSet, HashSet};

use super::{Builder, Stage, lock_all};
use crate::ddl::Item;
use crate::model::{Constraint, ConstraintKind, TableKind};
use crate::options::ForeignKeys;
use crate::plan::task::{LockMode, Statement, StatementMode, TaskKind, Work};

/// Foreign keys between small tables that are added in one task.
const FOREIGN_KEYS_PER_TASK: usize = 32;

impl Builder<'_> {
    pub(super) fn add_foreign_keys(&mut self) {
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

    pub(super) fn add_foreign_key_task(&mut self, positions: &[usize]) {
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
                bytes += table.main_bytes;
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
    pub(super) fn foreign_key_mode(&mut self, item: &Item) -> StatementMode {
        match self.input.options.foreign_keys {
            ForeignKeys::Validate | ForeignKeys::Skip => StatementMode::CheckedForeignKey,
            ForeignKeys::NotValid if self.is_partitioned(item.table_oid.unwrap_or(0)) => {
                self.note(&item.object, "validated, since a partitioned table's key must be");
                StatementMode::Plain
            }
            ForeignKeys::NotValid => StatementMode::NotValidForeignKey,
            ForeignKeys::Trust => match self.find_doubt(item) {
                None => StatementMode::TrustedForeignKey,
                Some(reason) => {
                    self.note(&item.object, format!("validated and not trusted: {reason}"));
                    StatementMode::CheckedForeignKey
                }
            },
        }
    }

    /// Why a foreign key that holds on the source might not hold for the rows copied.
    pub(super) fn find_doubt(&self, item: &Item) -> Option<String> {
        let key = self
            .input
            .wanted
            .constraints
            .iter()
            .find(|key| key.kind == ConstraintKind::ForeignKey && key.oid == item.id.oid)?;
        if !key.is_validated || !key.is_enforced {
            return Some("the source has not validated it".to_owned());
        }
        if !self.has_firing_triggers(key) {
            return Some("its triggers do not fire on the source".to_owned());
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

    /// Whether the source has kept watch over a foreign key, in partitions too.
    fn has_firing_triggers(&self, key: &Constraint) -> bool {
        let mut family = HashSet::from([key.oid]);
        let mut waiting = vec![key];
        while let Some(key) = waiting.pop() {
            if !key.has_firing_triggers {
                return false;
            }
            let keys = self.input.wanted.constraints.iter();
            let clones = keys.filter(|clone| clone.parent_oid == key.oid);
            waiting.extend(clones.filter(|clone| family.insert(clone.oid)));
        }
        true
    }
}
