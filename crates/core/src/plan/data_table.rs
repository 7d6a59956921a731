//! Tables whose rows a run copies, with the relations that hold them.
//!
//! Mostly a table is the relation itself. Where partitions cannot be loaded directly (see `placement`)
//! the partitioned table stands for all of them: each partition is read by itself on the source, all
//! are written through the one table, and counts and checksums are those of the whole.

use std::collections::HashMap;

use super::ranges::{Range, Split, enclose_condition, join_conditions};
use super::task::{CheckPart, CheckTable, Format, Load};
use crate::model::Table;
use crate::name::QualifiedName;

/// A relation of more bytes than this is copied by a task of its own.
const SMALL_BYTES: i64 = 4 << 20;

/// Bytes and relations of a group of small ones: enough to hide the costs of a task, few enough to keep
/// every worker busy and to bound the locks of a transaction.
pub(super) const GROUP_BYTES: i64 = 16 << 20;
pub(super) const GROUP_RELATIONS: usize = 64;

/// A table whose rows are copied.
#[derive(Debug, Clone)]
pub struct DataTable {
    pub source: QualifiedName,
    pub target: QualifiedName,
    pub columns: Vec<String>,
    /// Whether some of the columns are generated on the source, so that COPY alone does not read them.
    pub has_computed: bool,
    pub format: Format,
    /// Where its rows are; one part, the table itself, unless it is routed.
    pub parts: Vec<Part>,
    /// Why its parts cannot be loaded directly but through this partitioned table.
    pub route_reason: Option<String>,
}

/// An ordinary table with rows.
#[derive(Debug, Clone)]
pub struct Part {
    /// OID on the source.
    pub oid: u32,
    pub source: QualifiedName,
    pub target: QualifiedName,
    pub split: Split,
    /// The user's `where`, in parentheses.
    pub condition: Option<String>,
    pub copies_data: bool,
    pub is_unlogged: bool,
    pub rows: i64,
    pub bytes: i64,
    /// Of these, what is not out of line: all that indexes and keys read.
    pub main_bytes: i64,
}

impl DataTable {
    /// Whether its rows find their partitions on the target by themselves.
    pub fn is_routed(&self) -> bool {
        self.route_reason.is_some()
    }

    /// The parts whose rows are copied.
    pub fn copied_parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.copies_data)
    }

    /// Whether any rows are copied.
    pub fn copies_data(&self) -> bool {
        self.copied_parts().next().is_some()
    }

    /// Whether crash recovery would empty it, or some of it.
    pub fn is_unlogged(&self) -> bool {
        self.parts.iter().any(|part| part.is_unlogged)
    }

    /// Rows expected to be copied.
    pub fn rows(&self) -> i64 {
        self.copied_parts().map(|part| part.rows).sum()
    }

    /// Bytes expected to be copied.
    pub fn bytes(&self) -> i64 {
        self.copied_parts().map(|part| part.bytes).sum()
    }

    /// Whether the table is truncated and loaded by one transaction, so that its rows can be frozen.
    pub fn is_loaded_at_once(&self) -> bool {
        !self.is_routed() && self.parts.iter().all(|part| part.split.ranges.len() == 1)
    }

    /// Whether the table shares tasks with other small ones.
    pub fn is_small(&self) -> bool {
        self.is_loaded_at_once() && self.parts.iter().all(Part::is_small)
    }

    /// The table's loads, in batches that make a task each.
    pub fn batches(&self, table_id: i32) -> Vec<Vec<Load>> {
        let mut batches: Vec<Vec<Load>> = Vec::new();
        let mut group: Vec<Load> = Vec::new();
        for part in self.copied_parts() {
            let loads = self.loads(table_id, part);
            if !part.is_small() {
                batches.extend(loads.into_iter().map(|load| vec![load]));
                continue;
            }
            let bytes: i64 = group.iter().map(|load| load.bytes).sum();
            if group.len() >= GROUP_RELATIONS || bytes + part.bytes > GROUP_BYTES {
                batches.push(std::mem::take(&mut group));
            }
            group.extend(loads);
        }
        batches.push(group);
        batches.retain(|batch| !batch.is_empty());
        batches
    }

    /// A load for each range of a part.
    fn loads(&self, table_id: i32, part: &Part) -> Vec<Load> {
        let load = |range: &Range| Load {
            table_id,
            source: part.source.clone(),
            target: self.target.clone(),
            columns: self.columns.clone(),
            format: self.format.clone(),
            predicate: self
                .read_condition(join_conditions(range.predicate.clone(), part.condition.clone())),
            truncate: self.is_loaded_at_once(),
            rows: range.rows,
            bytes: range.bytes,
        };
        part.split.ranges.iter().map(load).collect()
    }

    /// A condition on the source's rows that is there whenever they must be read by a query.
    fn read_condition(&self, condition: Option<String>) -> Option<String> {
        condition.or_else(|| self.has_computed.then(|| "true".to_owned()))
    }

    /// The comparison of the table after its copy: the rows asked for against all that the target has.
    pub fn check(&self, table_id: i32) -> CheckTable {
        let source = |part: &Part| CheckPart {
            relation: part.source.clone(),
            predicate: self.read_condition(part.condition.clone()),
        };
        let target = |part: &Part| CheckPart { relation: part.target.clone(), predicate: None };
        CheckTable {
            table_id,
            source: self.copied_parts().map(source).collect(),
            target: self.parts.iter().map(target).collect(),
            columns: self.columns.clone(),
            format: self.format.clone(),
            difference: None,
        }
    }
}

impl Part {
    /// Whether the part is not worth a task of its own.
    fn is_small(&self) -> bool {
        self.split.ranges.len() == 1 && self.bytes <= SMALL_BYTES
    }
}

/// The user's conditions for a table and, if it is a partition, for the tables above it, ANDed and each
/// in parentheses.
pub fn combine_tree_conditions<'a>(
    table: &'a Table,
    tables: &HashMap<u32, &'a Table>,
    condition_of: impl Fn(&Table) -> Option<&'a str>,
) -> Option<String> {
    let mut condition = None;
    let mut next = Some(table);
    while let Some(table) = next {
        let own = condition_of(table).map(enclose_condition);
        condition = join_conditions(condition, own);
        let parent = table.parents.first().filter(|_| table.is_partition);
        next = parent.and_then(|oid| tables.get(oid)).copied();
    }
    condition
}
