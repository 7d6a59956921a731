//! The plan of a run that compares two databases as they stand, without a copy.
//!
//! In come both catalogs, the source's under the names that it would get on the target; out comes a
//! check for every table that either side has. Partitions are compared one by one where both sides cut
//! the table alike and rows cannot lie elsewhere, and otherwise as one table, however it is cut.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::build::{Plan, is_unlogged, new_check_task};
use super::data_table::{GROUP_BYTES, GROUP_RELATIONS, combine_tree_conditions};
use super::format::Formats;
use super::placement::Placement;
use super::ranges::estimate_rows;
use super::task::{CheckPart, CheckTable, Format, RunTable};
use crate::model::{Catalog, Table, TableKind};
use crate::name::QualifiedName;

/// All that the plan is made of.
pub struct Input<'a> {
    /// The source's catalog under the names that it would get on the target.
    pub wanted: &'a Catalog,
    /// OIDs of the source's tables to be compared, partitioned ones included.
    pub selected: &'a HashSet<u32>,
    /// Those whose rows are of interest.
    pub with_data: &'a HashSet<u32>,
    /// The source's names of its tables.
    pub source_names: &'a HashMap<u32, QualifiedName>,
    pub target: &'a Catalog,
    /// OIDs of the target's tables that the source is expected to have.
    pub target_selected: &'a HashSet<u32>,
    pub formats: &'a Formats<'a>,
    pub placement: &'a Placement<'a>,
    /// The user's `where` as it was given, by OID of the source's table.
    pub conditions: &'a HashMap<u32, String>,
}

/// Makes the plan.
pub fn build(input: &Input<'_>) -> Plan {
    let mut planner = Planner {
        input,
        source: Side::new(input.wanted),
        target: Side::new(input.target),
        compared: HashSet::new(),
        plan: Plan::default(),
        checks: Vec::new(),
    };
    for table in &input.wanted.tables {
        if input.selected.contains(&table.oid) && planner.is_unit(table) {
            planner.add(table);
        }
    }
    planner.add_surplus();
    planner.add_tasks();
    planner.plan
}

/// One database's tables.
struct Side<'a> {
    by_oid: HashMap<u32, &'a Table>,
    by_name: HashMap<(&'a str, &'a str), &'a Table>,
    partitions: HashMap<u32, Vec<&'a Table>>,
}

impl<'a> Side<'a> {
    fn new(catalog: &'a Catalog) -> Side<'a> {
        let mut partitions: HashMap<u32, Vec<&Table>> = HashMap::new();
        for table in catalog.tables.iter().filter(|table| table.is_partition) {
            for parent in &table.parents {
                partitions.entry(*parent).or_default().push(table);
            }
        }
        Side {
            by_oid: catalog.tables.iter().map(|table| (table.oid, table)).collect(),
            by_name: catalog
                .tables
                .iter()
                .map(|table| ((table.schema.as_str(), table.name.as_str()), table))
                .collect(),
            partitions,
        }
    }

    fn parent(&self, table: &Table) -> Option<&'a Table> {
        let parent = table.parents.first().filter(|_| table.is_partition)?;
        self.by_oid.get(parent).copied()
    }

    /// The table and all partitions below it.
    fn tree(&self, table: &'a Table) -> Vec<&'a Table> {
        let mut tree = vec![table];
        let mut position = 0;
        while let Some(table) = tree.get(position) {
            tree.extend(self.partitions.get(&table.oid).into_iter().flatten());
            position += 1;
        }
        tree
    }

    /// The tables of a tree that hold its rows.
    fn leaves(&self, table: &'a Table) -> Vec<&'a Table> {
        let mut leaves = self.tree(table);
        leaves.retain(|leaf| leaf.relkind == TableKind::Ordinary);
        leaves
    }
}

struct Planner<'a> {
    input: &'a Input<'a>,
    source: Side<'a>,
    target: Side<'a>,
    /// OIDs of the target's tables that are compared with something.
    compared: HashSet<u32>,
    plan: Plan,
    checks: Vec<Option<CheckTable>>,
}

impl<'a> Planner<'a> {
    /// Whether a table is compared by itself: neither as a part of a partitioned table above it, nor
    /// through its partitions.
    fn is_unit(&self, table: &'a Table) -> bool {
        let mut below = table;
        while let Some(parent) = self.source.parent(below)
            && self.input.selected.contains(&parent.oid)
        {
            if !self.is_comparable_by_partition(parent) {
                return false;
            }
            below = parent;
        }
        match table.relkind {
            TableKind::Ordinary => true,
            TableKind::Partitioned => !self.is_comparable_by_partition(table),
            TableKind::Foreign => false,
        }
    }

    /// Whether every partition of a table has its like on the target, with the same rows.
    fn is_comparable_by_partition(&self, table: &'a Table) -> bool {
        let Some(other) = self.counterpart(table) else {
            return false;
        };
        let partitions = |side: &Side<'a>, table: &Table| -> HashSet<_> {
            let partitions = side.partitions.get(&table.oid).into_iter().flatten();
            partitions.map(|own| (&own.schema, &own.name, &own.partition_bound)).collect()
        };
        let mut own = self.source.partitions.get(&table.oid).into_iter().flatten();
        table.partition_key == other.partition_key
            && self.input.placement.find_doubt(table).is_none()
            && own.all(|partition| self.input.selected.contains(&partition.oid))
            && partitions(&self.source, table) == partitions(&self.target, other)
    }

    /// The target's table of the same name, unless it holds no rows of its own.
    fn counterpart(&self, table: &Table) -> Option<&'a Table> {
        let name = (table.schema.as_str(), table.name.as_str());
        let found = self.target.by_name.get(&name).copied();
        found.filter(|table| table.relkind != TableKind::Foreign)
    }

    /// Adds the comparison of a table of the source.
    fn add(&mut self, table: &'a Table) {
        let leaves = self.source.leaves(table);
        let with_data: Vec<_> =
            leaves.into_iter().filter(|leaf| self.input.with_data.contains(&leaf.oid)).collect();
        let other = self.counterpart(table);
        let other_leaves = other.map(|other| self.target.leaves(other)).unwrap_or_default();
        self.compared.extend(other_leaves.iter().map(|leaf| leaf.oid));
        let rows =
            |leaf: &&Table| estimate_rows(leaf.row_estimate, leaf.page_count, leaf.main_bytes);
        let run_table = RunTable {
            table_id: self.next_id(),
            source: self.source_name(table),
            target: QualifiedName::new(&table.schema, &table.name),
            is_existing: other.is_some(),
            is_unlogged: is_unlogged(table),
            copies_data: !with_data.is_empty() || table.relkind == TableKind::Partitioned,
            copies: None,
            format: self.choose_format(table, other),
            rows: with_data.iter().map(rows).sum(),
            bytes: with_data.iter().map(|leaf| leaf.total_bytes).sum(),
            parts: Vec::new(),
        };
        let check = CheckTable {
            table_id: run_table.table_id,
            source: with_data
                .iter()
                .map(|leaf| new_part(self.source_name(leaf), self.condition(leaf)))
                .collect(),
            target: other_leaves
                .iter()
                .map(|leaf| {
                    let name = (leaf.schema.as_str(), leaf.name.as_str());
                    let like = self.source.by_name.get(&name).copied().unwrap_or(table);
                    new_part(QualifiedName::new(name.0, name.1), self.condition(like))
                })
                .collect(),
            columns: stored_columns(table).map(|(name, _)| name.to_owned()).collect(),
            format: run_table.format.clone(),
            difference: match other {
                Some(other) => find_missing_column(table, other),
                None => Some("the table does not exist on the target".to_owned()),
            },
        };
        self.checks.push(run_table.copies_data.then_some(check));
        self.plan.tables.push(run_table);
    }

    fn source_name(&self, table: &Table) -> QualifiedName {
        let own = || QualifiedName::new(&table.schema, &table.name);
        self.input.source_names.get(&table.oid).cloned().unwrap_or_else(own)
    }

    /// The user's conditions for a table and the partitioned tables above it.
    fn condition(&self, table: &'a Table) -> Option<String> {
        combine_tree_conditions(table, &self.source.by_oid, |table| {
            self.input.conditions.get(&table.oid).map(String::as_str)
        })
    }

    /// The format in which both sides are read; a type that differs may still hold equal values.
    fn choose_format(&self, table: &Table, other: Option<&Table>) -> Format {
        for column in &table.columns {
            let theirs = other
                .and_then(|other| other.columns.iter().find(|theirs| theirs.name == column.name));
            if let Some(theirs) = theirs
                && theirs.type_sql != column.type_sql
            {
                let reason =
                    format!("column \"{}\": its types differ on the two sides", column.name);
                return self.input.formats.text(reason, stored_columns(table));
            }
        }
        self.input.formats.choose(stored_columns(table))
    }

    /// Adds the target's tables that the source does not have.
    fn add_surplus(&mut self) {
        for table in &self.input.target.tables {
            let is_surplus = table.relkind == TableKind::Ordinary
                && self.input.target_selected.contains(&table.oid)
                && !self.compared.contains(&table.oid);
            if !is_surplus {
                continue;
            }
            let name = QualifiedName::new(&table.schema, &table.name);
            let run_table = RunTable {
                table_id: self.next_id(),
                source: name.clone(),
                target: name.clone(),
                is_existing: true,
                is_unlogged: is_unlogged(table),
                copies_data: true,
                copies: None,
                format: Format::Binary,
                rows: estimate_rows(table.row_estimate, table.page_count, table.main_bytes),
                bytes: table.total_bytes,
                parts: Vec::new(),
            };
            self.checks.push(Some(CheckTable {
                table_id: run_table.table_id,
                source: Vec::new(),
                target: vec![new_part(name, None)],
                columns: Vec::new(),
                format: Format::Binary,
                difference: Some("the table does not exist on the source".to_owned()),
            }));
            self.plan.tables.push(run_table);
        }
    }

    fn next_id(&self) -> i32 {
        i32::try_from(self.plan.tables.len()).map_or(i32::MAX, |count| count + 1)
    }

    /// Puts the checks into tasks, small ones together.
    fn add_tasks(&mut self) {
        let mut group: Vec<(usize, CheckTable)> = Vec::new();
        let mut bytes = 0;
        for (position, check) in std::mem::take(&mut self.checks).into_iter().enumerate() {
            let Some(check) = check else {
                continue;
            };
            let own_bytes = self.plan.tables[position].bytes;
            if group.len() >= GROUP_RELATIONS || bytes + own_bytes > GROUP_BYTES {
                self.add_task(&mut group);
                bytes = 0;
            }
            bytes += own_bytes;
            group.push((position, check));
        }
        self.add_task(&mut group);
    }

    fn add_task(&mut self, group: &mut Vec<(usize, CheckTable)>) {
        if group.is_empty() {
            return;
        }
        let (positions, checks): (Vec<_>, Vec<_>) = group.drain(..).unzip();
        let tables: Vec<_> =
            positions.iter().map(|position| &self.plan.tables[*position]).collect();
        let id = i32::try_from(self.plan.tasks.len()).map_or(i32::MAX, |count| count + 1);
        let task = new_check_task(id, &tables, checks, BTreeSet::new());
        self.plan.tasks.push(task);
    }
}

/// Name and type of the columns that are not computed.
fn stored_columns(table: &Table) -> impl Iterator<Item = (&str, u32)> + Clone {
    let columns = table.columns.iter().filter(|column| column.generated.is_none());
    columns.map(|column| (column.name.as_str(), column.type_oid))
}

fn new_part(relation: QualifiedName, condition: Option<String>) -> CheckPart {
    CheckPart { relation, predicate: condition }
}

/// Says which column of the source the target's table lacks.
fn find_missing_column(table: &Table, other: &Table) -> Option<String> {
    let missing = stored_columns(table)
        .find(|(name, _)| other.columns.iter().all(|theirs| theirs.name != *name))?;
    Some(format!("column \"{}\" is missing on the target", missing.0))
}
