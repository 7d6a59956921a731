//! Tables that are dropped and created again, with what hangs on them.

use std::collections::{HashMap, HashSet};

use super::obstacle::{self, list};
use super::{Drop, Existing, Identity, Pair, Sides, identify, kept_identities, part, statements};
use crate::Result;
use crate::ddl::{Item, ItemKind};
use crate::error::Error;
use crate::model::{
    Catalog, Class, ConstraintKind, DependKind, ObjectId, RoutineKind, Table, TableKind,
};
use crate::name::{QualifiedName, quote_ident, quote_qualified};
use crate::options::Options;

/// Drops the tables that exist, and what depends on them where the run makes it again; returns what
/// is gone.
///
/// # Errors
/// `Error::Preflight` if rows would be lost, or if something depends on the tables that the run does
/// not make again.
pub(super) fn drop_tables(
    sides: &Sides<'_>,
    pairs: &[Pair<'_>],
    options: &Options,
    existing: &mut Existing,
) -> Result<HashSet<Identity>> {
    let tables: Vec<&Table> = pairs.iter().map(|(_, target)| *target).collect();
    obstacle::check_foreign_keys(sides, tables.iter().copied())?;
    let fall = find_fall(sides, &tables);
    // Partitions that only the target has go with their parents.
    let falling = sides.target.tables.iter().filter(|table| fall.includes(table.oid));
    obstacle::check_rows(sides, falling, options)?;
    if !fall.hindrances.is_empty() {
        return Err(Error::Preflight {
            message: "other objects of the target depend on tables to be dropped".to_owned(),
            detail: Some(format!("They are: {}.", list(&fall.hindrances))),
            hint: Some("Drop these objects first, or leave their tables out.".to_owned()),
            sqlstate: "2BP01",
        });
    }
    drop_foreign_keys(sides.target, &fall, existing);
    let going: HashMap<u32, &Table> = tables.iter().map(|table| (table.oid, *table)).collect();
    for item in sides.target_items.iter().rev() {
        let table = item.table_oid.and_then(|oid| going.get(&oid));
        let (sql, definition) = match table {
            Some(table) if item.kind == ItemKind::Table => (Some(drop_table(table)), Vec::new()),
            // The rest goes with the table, but for what stands in a circle with it.
            Some(table) if fall.is_needed_by(item, sides) => {
                (render_drop_of_part(item, table, sides), Vec::new())
            }
            Some(_) => (None, Vec::new()),
            None if fall.dependents.contains(&identify(item)) => {
                (render_drop(item, sides), statements(item))
            }
            None => (None, Vec::new()),
        };
        if sql.is_some() {
            existing.drops.push(Drop {
                kind: item.kind,
                object: item.object.clone(),
                table: QualifiedName::new(item.schema.as_deref().unwrap_or_default(), &item.name),
                sql,
                definition,
            });
        }
    }
    Ok(sides.target_items.iter().filter(|item| fall.takes(item)).map(identify).collect())
}

/// Foreign keys first, since they may run in circles.
fn drop_foreign_keys(target: &Catalog, fall: &Fall, existing: &mut Existing) {
    let by_oid: HashMap<u32, &Table> =
        target.tables.iter().map(|table| (table.oid, table)).collect();
    for key in &target.constraints {
        let (ConstraintKind::ForeignKey, 0, true) =
            (key.kind, key.parent_oid, fall.includes(key.table_oid))
        else {
            continue;
        };
        if let Some(table) = by_oid.get(&key.table_oid) {
            let relation = quote_qualified(&table.schema, &table.name);
            let name = quote_ident(&key.name);
            existing.drops.push(Drop {
                kind: ItemKind::ForeignKey,
                object: format!("constraint {} on {}.{}", key.name, table.schema, table.name),
                table: QualifiedName::new(&table.schema, &table.name),
                sql: Some(format!("alter table {relation} drop constraint if exists {name}")),
                definition: Vec::new(),
            });
        }
    }
}

/// All that falls when tables are dropped.
struct Fall {
    objects: HashSet<ObjectId>,
    /// What must be dropped beforehand and is made again.
    dependents: HashSet<Identity>,
    /// What the run does not make again, by name.
    hindrances: Vec<String>,
}

impl Fall {
    /// Whether the relation falls.
    fn includes(&self, relation_oid: u32) -> bool {
        self.objects.contains(&ObjectId::new(Class::RELATION, relation_oid))
    }

    /// Whether something that is dropped before the tables cannot be while the item is there.
    fn is_needed_by(&self, item: &Item, sides: &Sides<'_>) -> bool {
        let needed = item.depends_on.iter().map(|position| &sides.target_items[*position]);
        needed.into_iter().any(|needed| self.dependents.contains(&identify(needed)))
    }

    /// Whether the item is gone once the tables are.
    fn takes(&self, item: &Item) -> bool {
        self.objects.contains(&item.id.whole())
            || item.table_oid.is_some_and(|oid| self.includes(oid))
            || self.dependents.contains(&identify(item))
    }
}

/// Follows `pg_depend` from the tables to everything that cannot stay without them.
fn find_fall(sides: &Sides<'_>, tables: &[&Table]) -> Fall {
    let mut dependents_of: HashMap<ObjectId, Vec<(ObjectId, DependKind)>> = HashMap::new();
    for depend in &sides.target.depends {
        let dependent = (depend.object.whole(), depend.kind);
        dependents_of.entry(depend.reference.whole()).or_default().push(dependent);
    }
    let mut item_of: HashMap<ObjectId, &Item> = HashMap::new();
    for item in sides.target_items {
        for id in item.provides.iter().chain([&item.id]) {
            item_of.entry(id.whole()).or_insert(item);
        }
    }
    let kept = kept_identities(sides);
    let mut fall =
        Fall { objects: HashSet::new(), dependents: HashSet::new(), hindrances: Vec::new() };
    let mut open: Vec<ObjectId> =
        tables.iter().map(|table| ObjectId::new(Class::RELATION, table.oid)).collect();
    // Parts of other objects, looked at again once it is known what falls.
    let mut in_the_way: Vec<ObjectId> = Vec::new();
    while let Some(id) = open.pop() {
        if !fall.objects.insert(id) {
            continue;
        }
        for (dependent, kind) in dependents_of.get(&id).into_iter().flatten() {
            let is_silent = matches!(
                kind,
                DependKind::Auto
                    | DependKind::Internal
                    | DependKind::PartitionPrimary
                    | DependKind::PartitionSecondary
            );
            if is_silent {
                open.push(*dependent);
                continue;
            }
            let item = item_of.get(dependent).map(|item| match item.kind {
                // A view's query is the view's.
                ItemKind::ViewBody => view_of(&item_of, item),
                _ => *item,
            });
            match item {
                Some(item) if is_droppable(item.kind) && kept.contains(&identify(item)) => {
                    fall.dependents.insert(identify(item));
                    fall.dependents.insert((ItemKind::ViewBody, item.object.clone()));
                    open.push(item.id.whole());
                }
                _ => in_the_way.push(*dependent),
            }
        }
    }
    let hindrances: HashSet<String> = in_the_way
        .iter()
        .filter(|id| !fall.objects.contains(id))
        .filter_map(|id| match item_of.get(id) {
            Some(item) => (!fall.takes(item)).then(|| item.object.clone()),
            None => Some(format!("object {} of catalog {}", id.oid, id.class.0)),
        })
        .collect();
    fall.hindrances.extend(hindrances);
    fall.hindrances.sort();
    fall
}

/// The view that a separately made query belongs to.
fn view_of<'a>(item_of: &HashMap<ObjectId, &'a Item>, body: &'a Item) -> &'a Item {
    let view = body.table_oid.map(|oid| ObjectId::new(Class::RELATION, oid));
    view.and_then(|id| item_of.get(&id)).copied().unwrap_or(body)
}

/// Whether objects of this kind can be dropped alone and made again from their definition.
fn is_droppable(kind: ItemKind) -> bool {
    matches!(
        kind,
        ItemKind::View
            | ItemKind::MaterializedView
            | ItemKind::Function
            | ItemKind::Rule
            | ItemKind::Policy
    )
}

fn drop_table(table: &Table) -> String {
    let noun = match table.relkind {
        TableKind::Foreign => "foreign table",
        TableKind::Ordinary | TableKind::Partitioned => "table",
    };
    format!("drop {noun} if exists {}", quote_qualified(&table.schema, &table.name))
}

/// The statement that drops a part of a table that goes.
fn render_drop_of_part(item: &Item, table: &Table, sides: &Sides<'_>) -> Option<String> {
    if item.kind == ItemKind::Default {
        let identity = quote_qualified(&table.schema, &table.name);
        let column = table.columns.iter().find(|column| column.default_oid == item.id.oid)?;
        let name = quote_ident(&column.name);
        return Some(format!("alter table only {identity} alter column {name} drop default"));
    }
    match part::render_drop(item, table) {
        Some((_, sql)) => sql,
        None => render_drop(item, sides),
    }
}

/// The statement that undoes what made the item, when everything after it has been undone.
fn render_drop(item: &Item, sides: &Sides<'_>) -> Option<String> {
    let schema = item.schema.as_deref().unwrap_or_default();
    let identity = quote_qualified(schema, &item.name);
    let on = |oid: Option<u32>| {
        let table = sides.target.tables.iter().find(|table| Some(table.oid) == oid)?;
        let relation = quote_qualified(&table.schema, &table.name);
        Some(format!("if exists {} on {relation}", quote_ident(&item.name)))
    };
    match item.kind {
        ItemKind::View => Some(format!("drop view if exists {identity}")),
        // Back to the dummy that a view in a circle starts as.
        ItemKind::ViewBody => {
            let mut items = sides.target_items.iter();
            let view =
                items.find(|view| view.kind == ItemKind::View && view.object == item.object)?;
            let query = view.create.first()?.strip_prefix("create view")?;
            Some(format!("create or replace view{query}"))
        }
        ItemKind::MaterializedView => Some(format!("drop materialized view if exists {identity}")),
        ItemKind::Function => {
            let function = sides.target.functions.iter().find(|f| f.oid == item.id.oid)?;
            let noun = match function.kind {
                RoutineKind::Procedure => "procedure",
                _ => "function",
            };
            Some(format!("drop {noun} if exists {identity}({})", function.identity_arguments))
        }
        ItemKind::Rule => Some(format!("drop rule {}", on(item.table_oid)?)),
        ItemKind::Policy => Some(format!("drop policy {}", on(item.table_oid)?)),
        _ => None,
    }
}
