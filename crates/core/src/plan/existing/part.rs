//! Indexes, keys, checks and triggers of tables that are kept: dropped for the load, built again.

use std::collections::{HashMap, HashSet};

use super::{
    Drop, Existing, Identity, Pair, Restored, Sides, identify, kept_identities, kept_items,
    statements,
};
use crate::ddl::{Item, ItemKind};
use crate::model::{Catalog, Class, Index, Table, TableKind};
use crate::name::{QualifiedName, quote_ident, quote_qualified};
use crate::options::Options;
use crate::plan::Note;
use crate::plan::task::StatementMode;

/// What the run makes if it is not there.
pub(super) fn find_made(sides: &Sides<'_>, options: &Options) -> HashSet<Identity> {
    if options.data_only { HashSet::new() } else { kept_identities(sides) }
}

/// Drops what slows down or hinders the load; returns what is gone.
pub(super) fn drop_parts(
    sides: &Sides<'_>,
    pairs: &[Pair<'_>],
    made: &HashSet<Identity>,
    existing: &mut Existing,
) -> HashSet<Identity> {
    let tables = with_parents(sides.target, pairs);
    let loaded: HashSet<u32> = pairs.iter().map(|(_, target)| target.oid).collect();
    let pinned = pinned_indexes(sides.target, &loaded);
    let new_keys = new_primary_keys(sides, made);
    let made_keys: HashSet<(Option<&str>, &str)> = kept_items(sides)
        .filter(|item| is_key(item.kind) && made.contains(&identify(item)))
        .map(|item| (item.schema.as_deref(), item.name.as_str()))
        .collect();
    let mut gone = HashSet::new();
    let mut drops: Vec<(u8, Drop)> = Vec::new();
    for item in sides.target_items {
        let Some(table) = item.table_oid.and_then(|oid| tables.get(&oid)) else {
            continue;
        };
        if index_of(item).is_some_and(|oid| pinned.contains(&oid)) {
            continue;
        }
        let Some((rank, sql)) = render_drop(item, table) else {
            continue;
        };
        let name = QualifiedName::new(&table.schema, &table.name);
        let identity = identify(item);
        let is_made = made.contains(&identity);
        // A check that only the target has judges the rows as they come.
        if item.kind == ItemKind::Check && !is_made {
            continue;
        }
        let is_replaced = item.kind == ItemKind::PrimaryKey && new_keys.contains(&name);
        // The index of a key that an earlier run did not live to make one.
        let is_half_a_key = item.kind == ItemKind::Index
            && made_keys.contains(&(item.schema.as_deref(), item.name.as_str()));
        if is_half_a_key {
            let drop = Drop {
                kind: item.kind,
                object: item.object.clone(),
                table: name,
                sql,
                definition: Vec::new(),
            };
            drops.push((rank, drop));
            continue;
        }
        if !is_made && is_replaced {
            let message = "replaced by the primary key that the table has on the source".to_owned();
            existing.notes.push(Note { object: item.object.clone(), message });
        } else if !is_made {
            existing.restored.push(Restored {
                kind: item.kind,
                object: item.object.clone(),
                table_oid: table.oid,
                statements: statements(item),
                mode: StatementMode::Plain,
            });
        }
        let definition = statements(item);
        let drop =
            Drop { kind: item.kind, object: item.object.clone(), table: name, sql, definition };
        drops.push((rank, drop));
        gone.insert(identity);
    }
    drops.sort_by_key(|(rank, _)| *rank);
    existing.drops.extend(drops.into_iter().map(|(_, drop)| drop));
    gone
}

/// Drops checks of domains that may read tables which are empty for a while.
pub(super) fn drop_domain_checks(
    sides: &Sides<'_>,
    made: &HashSet<Identity>,
    existing: &mut Existing,
) -> HashSet<Identity> {
    let types: HashMap<u32, _> =
        sides.target.types.iter().map(|data_type| (data_type.oid, data_type)).collect();
    let domains: HashMap<u32, _> = sides
        .target
        .constraints
        .iter()
        .filter_map(|check| Some((check.oid, *types.get(&check.domain_oid)?)))
        .collect();
    let mut gone = HashSet::new();
    for item in sides.target_items {
        let domain = domains.get(&item.id.oid);
        let (ItemKind::Check, None, Some(domain)) = (item.kind, item.table_oid, domain) else {
            continue;
        };
        if made.contains(&identify(item)) {
            let name = quote_ident(&item.name);
            let identity = quote_qualified(&domain.schema, &domain.name);
            existing.drops.push(Drop {
                kind: item.kind,
                object: item.object.clone(),
                table: QualifiedName::new(&domain.schema, &domain.name),
                sql: Some(format!("alter domain {identity} drop constraint if exists {name}")),
                definition: statements(item),
            });
            gone.insert(identify(item));
        }
    }
    gone
}

/// Takes over what an earlier run dropped from these tables and nobody has built since.
pub(super) fn take_over_owed(
    sides: &Sides<'_>,
    pairs: &[Pair<'_>],
    made: &HashSet<Identity>,
    existing: &mut Existing,
) {
    let tables = with_parents(sides.target, pairs);
    let by_name: HashMap<(&str, &str), u32> = tables
        .values()
        .map(|table| ((table.schema.as_str(), table.name.as_str()), table.oid))
        .collect();
    let present: HashSet<Identity> = sides.target_items.iter().map(identify).collect();
    for owed in sides.owed {
        let name = (owed.table.schema.as_str(), owed.table.name.as_str());
        let identity = (owed.kind, owed.object.clone());
        let (Some(table_oid), false) = (by_name.get(&name), present.contains(&identity)) else {
            continue;
        };
        if !made.contains(&identity) {
            existing.restored.push(Restored {
                kind: owed.kind,
                object: owed.object.clone(),
                table_oid: *table_oid,
                statements: owed.definition.clone(),
                mode: StatementMode::Owed,
            });
        }
        existing.drops.push(owed.clone());
    }
    // The kinds are listed in the order in which such things can be built.
    existing.restored.sort_by_key(|restored| restored.kind);
}

/// Tables, by their name on the target, for which the run makes a primary key.
fn new_primary_keys(sides: &Sides<'_>, made: &HashSet<Identity>) -> HashSet<QualifiedName> {
    let by_oid: HashMap<u32, &Table> =
        sides.wanted.tables.iter().map(|table| (table.oid, table)).collect();
    kept_items(sides)
        .filter(|item| item.kind == ItemKind::PrimaryKey && made.contains(&identify(item)))
        .filter_map(|item| by_oid.get(&item.table_oid?))
        .map(|table| QualifiedName::new(&table.schema, &table.name))
        .collect()
}

/// Whether a constraint of this kind has an index of its name.
fn is_key(kind: ItemKind) -> bool {
    matches!(kind, ItemKind::PrimaryKey | ItemKind::Unique | ItemKind::Exclusion)
}

/// The tables of the pairs and the partitioned tables above them, on the target.
fn with_parents<'a>(target: &'a Catalog, pairs: &[Pair<'a>]) -> HashMap<u32, &'a Table> {
    let by_oid: HashMap<u32, &Table> =
        target.tables.iter().map(|table| (table.oid, table)).collect();
    let mut tables: HashMap<u32, &Table> = HashMap::new();
    let mut open: Vec<&Table> = pairs.iter().map(|(_, target)| *target).collect();
    while let Some(table) = open.pop() {
        if tables.insert(table.oid, table).is_none() && table.is_partition {
            open.extend(table.parents.iter().filter_map(|oid| by_oid.get(oid).copied()));
        }
    }
    tables
}

/// Indexes that stay while rows are loaded: those behind keys that views and the like depend on, those
/// that reach partitions which are not loaded, and those that cannot be dropped because a partition has
/// a key of its own in them. An index and its partitions stay or go together.
fn pinned_indexes(target: &Catalog, loaded: &HashSet<u32>) -> HashSet<u32> {
    let indexes: HashMap<u32, &Index> =
        target.indexes.iter().map(|index| (index.oid, index)).collect();
    let root = |oid: u32| {
        let mut oid = oid;
        while let Some(index) = indexes.get(&oid).filter(|index| index.parent_index != 0) {
            oid = index.parent_index;
        }
        oid
    };
    let needed: HashSet<u32> = target
        .depends
        .iter()
        .filter(|depend| depend.reference.class == Class::CONSTRAINT)
        .filter(|depend| matches!(depend.object.class, Class::RULE | Class::FUNCTION))
        .map(|depend| depend.reference.oid)
        .collect();
    let kinds: HashMap<u32, TableKind> =
        target.tables.iter().map(|table| (table.oid, table.relkind)).collect();
    let is_left_out = |index: &Index| {
        kinds.get(&index.table_oid) == Some(&TableKind::Ordinary)
            && !loaded.contains(&index.table_oid)
    };
    let is_key_in_plain_index = |index: &Index| {
        let parent = indexes.get(&index.parent_index);
        index.constraint_oid != 0 && parent.is_some_and(|parent| parent.constraint_oid == 0)
    };
    let pinned_roots: HashSet<u32> = target
        .indexes
        .iter()
        .filter(|index| {
            needed.contains(&index.constraint_oid)
                || is_left_out(index)
                || is_key_in_plain_index(index)
        })
        .map(|index| root(index.oid))
        .collect();
    target
        .indexes
        .iter()
        .map(|index| index.oid)
        .filter(|oid| pinned_roots.contains(&root(*oid)))
        .collect()
}

/// The index that an item makes or attaches.
fn index_of(item: &Item) -> Option<u32> {
    match item.kind {
        ItemKind::Index | ItemKind::AttachIndex => Some(item.id.oid),
        ItemKind::PrimaryKey | ItemKind::Unique | ItemKind::Exclusion => {
            item.provides.iter().find(|id| id.class == Class::RELATION).map(|id| id.oid)
        }
        _ => None,
    }
}

/// The statement that drops a part of a table, with its place in the order; None as the statement
/// for what vanishes with something else.
pub(super) fn render_drop(item: &Item, table: &Table) -> Option<(u8, Option<String>)> {
    let relation = quote_qualified(&table.schema, &table.name);
    let name = quote_ident(&item.name);
    // A child's part goes with its parent's, so it may be gone already.
    let constraint = format!("alter table {relation} drop constraint if exists {name}");
    let index_rank = if table.is_partition { 4 } else { 3 };
    match item.kind {
        ItemKind::ForeignKey => Some((0, Some(constraint))),
        ItemKind::Trigger => {
            Some((1, Some(format!("drop trigger if exists {name} on {relation}"))))
        }
        // A child's copy of its parent's check.
        ItemKind::Check if item.create.is_empty() => Some((9, None)),
        ItemKind::Check => Some((2, Some(constraint))),
        ItemKind::PrimaryKey | ItemKind::Unique | ItemKind::Exclusion => {
            Some((index_rank, Some(constraint)))
        }
        ItemKind::Index => {
            let index = quote_qualified(item.schema.as_deref().unwrap_or_default(), &item.name);
            Some((index_rank, Some(format!("drop index if exists {index}"))))
        }
        ItemKind::AttachIndex => Some((9, None)),
        _ => None,
    }
}
