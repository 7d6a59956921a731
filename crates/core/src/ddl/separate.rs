//! Which parts of objects cannot come with them, before any cycle is looked for.

use std::collections::{HashMap, HashSet};

use crate::model::{Catalog, Class, Constraint, ConstraintKind, ObjectId};

/// What evaluates functions that run statements, and so may read tables that are not filled yet.
/// Functions in C count as harmless; whatever else something reaches is followed through `pg_depend` and
/// through the checks of domains.
#[derive(Debug, Default)]
pub(super) struct RowReaders {
    /// The checks that must wait for the data: those, and the ones never validated, since the data may
    /// violate them.
    pub(super) checks: HashSet<ObjectId>,
    /// OIDs of indexes that must wait for the rows of all tables.
    pub(super) indexes: HashSet<u32>,
}

impl RowReaders {
    pub(super) fn find(catalog: &Catalog) -> Self {
        let mut references: HashMap<ObjectId, Vec<ObjectId>> = HashMap::new();
        for depend in &catalog.depends {
            references.entry(depend.object.whole()).or_default().push(depend.reference.whole());
        }
        for check in catalog.constraints.iter().filter(|check| check.domain_oid != 0) {
            let domain = ObjectId::new(Class::TYPE, check.domain_oid);
            references.entry(domain).or_default().push(ObjectId::new(Class::CONSTRAINT, check.oid));
        }
        let runs_statements = |id, own: &[u32]| runs_statements(catalog, &references, id, own);
        let checks = catalog.constraints.iter().filter(|check| check.kind == ConstraintKind::Check);
        let checks = checks.map(|check| (check, ObjectId::new(Class::CONSTRAINT, check.oid)));
        let is_late = |(check, id): &(&Constraint, ObjectId)| {
            !check.is_validated || runs_statements(*id, &[check.table_oid, check.domain_oid])
        };
        let indexes = catalog.indexes.iter().filter(|index| {
            runs_statements(ObjectId::new(Class::RELATION, index.oid), &[index.table_oid])
        });
        RowReaders {
            checks: checks.filter(is_late).map(|(_, id)| id).collect(),
            indexes: indexes.map(|index| index.oid).collect(),
        }
    }
}

/// Whether evaluating something may run statements; `own` is what it is part of.
fn runs_statements(
    catalog: &Catalog,
    references: &HashMap<ObjectId, Vec<ObjectId>>,
    id: ObjectId,
    own: &[u32],
) -> bool {
    let mut seen = HashSet::new();
    let mut waiting = vec![id];
    while let Some(id) = waiting.pop() {
        if id.class == Class::FUNCTION && catalog.procedural_functions.contains(&id.oid) {
            return true;
        }
        for &reference in references.get(&id).into_iter().flatten() {
            let is_own = matches!(reference.class, Class::RELATION | Class::TYPE)
                && own.contains(&reference.oid);
            if !is_own && reference.class != Class::EXTENSION && seen.insert(reference) {
                waiting.push(reference);
            }
        }
    }
    false
}

/// Adds, for each separate check of a table, those of the children that have it from there and nowhere
/// else, and the other way round: such checks are made with the parent's.
pub(super) fn include_inherited(catalog: &Catalog, separate: &mut HashSet<ObjectId>) {
    let parents: HashMap<u32, &[u32]> =
        catalog.tables.iter().map(|table| (table.oid, table.parents.as_slice())).collect();
    let mut by_name: HashMap<(u32, &str), u32> = HashMap::new();
    let mut inherited = Vec::new();
    for check in catalog.constraints.iter().filter(|c| c.kind == ConstraintKind::Check) {
        if check.table_oid != 0 {
            by_name.insert((check.table_oid, &check.name), check.oid);
        }
        if check.inherited_count > 0 && !check.is_local {
            inherited.push(check);
        }
    }
    let mut links = Vec::new();
    for check in inherited {
        for &parent in parents.get(&check.table_oid).copied().unwrap_or_default() {
            if let Some(&parent_check) = by_name.get(&(parent, check.name.as_str())) {
                links.push(
                    [check.oid, parent_check].map(|oid| ObjectId::new(Class::CONSTRAINT, oid)),
                );
            }
        }
    }
    loop {
        let parts_before = separate.len();
        for [child, parent] in &links {
            if separate.contains(child) || separate.contains(parent) {
                separate.extend([*child, *parent]);
            }
        }
        if separate.len() == parts_before {
            return;
        }
    }
}
