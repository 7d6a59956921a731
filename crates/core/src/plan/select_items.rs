//! Which objects of the source a run makes: those selected, those they need, nothing else.
//!
//! What depends on something left out is left out too, with a note that says why.

use std::collections::HashSet;

use super::Note;
use super::select::Selection;
use crate::ddl::{Item, ItemKind};
use crate::model::{Catalog, Class};
use crate::options::{ForeignKeys, Options};

/// Marks the items to be made and notes what is left out as a consequence.
///
/// Items are in the order of their dependencies; `roles` are those of the target.
pub fn select_items(
    items: &[Item],
    catalog: &Catalog,
    selection: &Selection,
    options: &Options,
    roles: &HashSet<String>,
    notes: &mut Vec<Note>,
) -> Vec<bool> {
    let unselected = unselected_relations(catalog, selection);
    let mut is_kept: Vec<bool> =
        items.iter().map(|item| is_selected(item, selection, options, &unselected)).collect();
    if selection.chooses_tables() {
        add_needed(items, &mut is_kept);
    }
    let partitions: HashSet<u32> =
        catalog.tables.iter().filter(|table| table.is_partition).map(|table| table.oid).collect();
    // A partition can be made without the table that it is to be attached to.
    let is_whole_alone = |item: &Item, needed: &Item| {
        item.kind == ItemKind::Table
            && needed.kind == ItemKind::Table
            && partitions.contains(&item.id.oid)
    };
    for position in 0..items.len() {
        let item = &items[position];
        if !is_kept[position] {
            continue;
        }
        if let Some(obstacle) = &item.obstacle {
            is_kept[position] = false;
            notes.push(Note { object: item.object.clone(), message: obstacle.clone() });
            continue;
        }
        if let Some(role) = item.roles.iter().find(|role| !roles.contains(*role)) {
            is_kept[position] = false;
            notes.push(Note {
                object: item.object.clone(),
                message: format!("left out, since role \"{role}\" does not exist on the target"),
            });
            continue;
        }
        let missing = item.depends_on.iter().map(|needed| (*needed, &items[*needed])).find(
            |(position, needed)| {
                !is_kept[*position]
                    && !is_assumed(needed, selection)
                    && !is_whole_alone(item, needed)
            },
        );
        if let Some((_, missing)) = missing {
            is_kept[position] = false;
            notes.push(Note {
                object: item.object.clone(),
                message: format!("left out, since {} is left out", missing.object),
            });
        }
    }
    for (item, _) in items.iter().zip(&is_kept).filter(|(_, is_kept)| **is_kept) {
        let note =
            |message: &String| Note { object: item.object.clone(), message: message.clone() };
        notes.extend(item.notes.iter().map(note));
    }
    let database = items.iter().find(|item| item.kind == ItemKind::Database);
    if let Some(item) = database.filter(|_| !options.database_properties) {
        notes.push(Note {
            object: item.object.clone(),
            message: "the source's has settings, a comment or privileges of its own, which option \
                      \"database_properties\" would carry"
                .to_owned(),
        });
    }
    is_kept
}

/// OIDs of the relations that are not selected.
fn unselected_relations(catalog: &Catalog, selection: &Selection) -> HashSet<u32> {
    let tables = catalog.tables.iter().map(|table| (table.oid, &table.schema, &table.name));
    let views = catalog.views.iter().map(|view| (view.oid, &view.schema, &view.name));
    tables
        .chain(views)
        .filter(|(_, schema, name)| !selection.selects_table(schema, name))
        .map(|(oid, _, _)| oid)
        .collect()
}

fn is_selected(
    item: &Item,
    selection: &Selection,
    options: &Options,
    unselected: &HashSet<u32>,
) -> bool {
    let is_switched_on = match item.kind {
        ItemKind::Extension => options.extensions,
        ItemKind::Policy | ItemKind::RowSecurity => options.policies,
        ItemKind::Publication | ItemKind::PublicationMember => options.publications,
        ItemKind::Database => options.database_properties,
        ItemKind::Subscription => options.subscriptions,
        ItemKind::ForeignKey => options.foreign_keys != ForeignKeys::Skip,
        _ => true,
    };
    if !is_switched_on {
        return false;
    }
    let tables = [item.table_oid, item.referenced_table_oid];
    if tables.iter().flatten().any(|oid| unselected.contains(oid)) {
        return false;
    }
    if item.id.class == Class::RELATION && unselected.contains(&item.id.oid) {
        return false;
    }
    let belongs_to_table = item.table_oid.is_some() || item.kind == ItemKind::Table;
    match &item.schema {
        _ if selection.chooses_tables() => belongs_to_table || is_view(item.kind),
        Some(schema) => selection.selects_schema(schema),
        None if item.kind == ItemKind::Schema => selection.selects_schema(&item.name),
        None => true,
    }
}

fn is_view(kind: ItemKind) -> bool {
    matches!(kind, ItemKind::View | ItemKind::ViewBody | ItemKind::MaterializedView)
}

/// Adds what the chosen tables cannot be made without: schemas, types, functions, sequences.
fn add_needed(items: &[Item], is_kept: &mut [bool]) {
    let can_be_added = |kind| {
        matches!(
            kind,
            ItemKind::Schema
                | ItemKind::Extension
                | ItemKind::Collation
                | ItemKind::ShellType
                | ItemKind::Type
                | ItemKind::Function
                | ItemKind::Sequence
                | ItemKind::SequenceOwner
                | ItemKind::Operator
                | ItemKind::OperatorClass
                | ItemKind::OperatorFamily
                | ItemKind::Language
                | ItemKind::TextSearch
        )
    };
    // Dependencies come earlier, so one walk from the end sees every need before it is passed.
    for position in (0..items.len()).rev() {
        if !is_kept[position] {
            continue;
        }
        for needed in &items[position].depends_on {
            is_kept[*needed] |= can_be_added(items[*needed].kind);
        }
    }
}

/// Whether an item that is not made can be taken for granted on the target: the schema `public`, or
/// what a switch leaves out on purpose.
fn is_assumed(item: &Item, selection: &Selection) -> bool {
    match item.kind {
        ItemKind::Extension => true,
        ItemKind::Schema => selection.selects_schema(&item.name) || selection.chooses_tables(),
        _ => false,
    }
}
