//! Which parts of objects cannot come with them, before any cycle is looked for.

use std::collections::{HashMap, HashSet};

use crate::model::{Catalog, Class, Constraint, ConstraintKind, ObjectId};

/// The checks that must wait for the data: those never validated, since the data may violate them, and
/// those that reach a function which runs statements, since it may read tables that are not filled yet.
/// Functions in C count as harmless; whatever else a check reaches is followed through `pg_depend` and
/// through the checks of domains.
pub(super) fn find_checks_after_data(catalog: &Catalog) -> HashSet<ObjectId> {
    let mut references: HashMap<ObjectId, Vec<ObjectId>> = HashMap::new();
    for depend in &catalog.depends {
        references.entry(depend.object.whole()).or_default().push(depend.reference.whole());
    }
    for check in catalog.constraints.iter().filter(|check| check.domain_oid != 0) {
        let domain = ObjectId::new(Class::TYPE, check.domain_oid);
        references.entry(domain).or_default().push(ObjectId::new(Class::CONSTRAINT, check.oid));
    }
    catalog
        .constraints
        .iter()
        .filter(|constraint| constraint.kind == ConstraintKind::Check)
        .filter(|check| !check.is_validated || runs_statements(catalog, &references, check))
        .map(|check| ObjectId::new(Class::CONSTRAINT, check.oid))
        .collect()
}

/// Whether evaluating a check may run statements.
fn runs_statements(
    catalog: &Catalog,
    references: &HashMap<ObjectId, Vec<ObjectId>>,
    check: &Constraint,
) -> bool {
    let own = [check.table_oid, check.domain_oid];
    let mut seen = HashSet::new();
    let mut waiting = vec![ObjectId::new(Class::CONSTRAINT, check.oid)];
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
