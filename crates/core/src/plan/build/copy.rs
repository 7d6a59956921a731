//! Rows: large tables by themselves, range by range; small ones in groups.

use std::collections::{BTreeSet, HashMap};

use super::{Builder, lock_all, name_group};
use crate::plan::data_table::{GROUP_BYTES, GROUP_RELATIONS};
use crate::plan::task::{LockMode, RunPart, RunTable, TaskKind, Work};

impl Builder<'_> {
    /// Puts small tables into groups, by the order in which they come.
    pub(super) fn form_groups(&mut self) {
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
    pub(super) fn add_tables(&mut self) {
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
                parts: table
                    .copied_parts()
                    .map(|part| RunPart {
                        oid: part.oid,
                        source: part.source.clone(),
                        target: part.target.clone(),
                    })
                    .collect(),
            });
            if let Some(reason) = &table.route_reason {
                let message = format!("rows are loaded and compared through it: {reason}");
                self.note(&format!("table {}", table.target), message);
            }
        }
    }

    pub(super) fn add_copies(&mut self, after: Option<i32>) {
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
    pub(super) fn is_grouped(&self, position: usize) -> bool {
        self.input.tables[position].parts.iter().any(|part| self.group_of.contains_key(&part.oid))
    }

    /// The tables of a group whose rows are copied.
    pub(super) fn copied_members(&self, group: usize) -> Vec<usize> {
        let members = self.groups[group].iter().copied();
        members.filter(|position| self.input.tables[*position].copies_data()).collect()
    }

    pub(super) fn add_large_copy(&mut self, position: usize, after: Option<i32>) {
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

    pub(super) fn add_group_copy(&mut self, group: usize, after: Option<i32>) {
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
}
