//! The catalog as a run makes it: rendered, put in order and chosen from.
//!
//! A default, a check or a generation expression that needs something left out does not take its table
//! along: it alone is taken out of the catalog, with a note, and the choice is made again without it.

use std::borrow::Cow;
use std::collections::HashSet;

use super::order;
use super::select::Selection;
use super::select_items::{Chooser, Chosen};
use crate::ddl::{self, DdlOptions, Item, ItemKind};
use crate::model::{Catalog, Class, Column, Generated, ObjectId};
use crate::options::Options;

/// What is chosen by, besides the catalog.
pub struct Chooses<'a> {
    pub selection: &'a Selection,
    pub options: &'a Options,
    pub ddl: &'a DdlOptions,
    /// Roles that the target has, or will have.
    pub roles: &'a HashSet<String>,
}

/// The items of a catalog in order, and which of them are made. What the run does not make of a table is
/// not in the catalog any more.
pub fn choose(catalog: &mut Cow<'_, Catalog>, by: &Chooses<'_>) -> (Vec<Item>, Chosen) {
    loop {
        let items = order::sort(ddl::render(catalog, by.ddl), &catalog.depends);
        let chooser = Chooser::new(&items, catalog, by.selection, by.options);
        let chosen = chooser.choose(by.roles);
        let parts = find_unmade_parts(&chooser, &chosen, catalog);
        if parts.is_empty() {
            return (items, chosen);
        }
        for part in parts {
            leave_out(catalog.to_mut(), &part);
        }
    }
}

/// A part of a table or domain, and the object that it needs and that is left out.
struct UnmadePart {
    id: ObjectId,
    missing: String,
}

/// The parts but for which what was left out could be made. What needs something that will be there
/// without such a part has to wait for the next choice.
fn find_unmade_parts(chooser: &Chooser<'_>, chosen: &Chosen, catalog: &Catalog) -> Vec<UnmadePart> {
    let mut parts = Vec::new();
    if chosen.left_out.is_empty() {
        return parts;
    }
    let edges = order::find_edges(chooser.items, &catalog.depends);
    let mut returning = HashSet::new();
    for position in &chosen.left_out {
        let item = &chooser.items[*position];
        let lost: Vec<&order::Edge> = edges[*position]
            .iter()
            .filter(|edge| !chooser.has(item, edge.to, &chosen.is_kept))
            .filter(|edge| !returning.contains(&edge.to))
            .collect();
        if lost.iter().all(|edge| is_dispensable(item, edge.part)) {
            returning.insert(*position);
            parts.extend(lost.iter().map(|edge| UnmadePart {
                id: edge.part,
                missing: chooser.items[edge.to].object.clone(),
            }));
        }
    }
    parts
}

/// Whether an item can be made without one of its parts.
fn is_dispensable(item: &Item, part: ObjectId) -> bool {
    matches!(item.kind, ItemKind::Table | ItemKind::Type)
        && matches!(part.class, Class::COLUMN_DEFAULT | Class::CONSTRAINT)
}

/// Takes a part out of the catalog, unless it is out already, and notes that with its table or domain.
fn leave_out(catalog: &mut Catalog, part: &UnmadePart) {
    let (owner, what) = if part.id.class == Class::COLUMN_DEFAULT {
        let mut columns = catalog.tables.iter_mut().flat_map(|table| &mut table.columns);
        let Some(column) = columns.find(|column| column.default_oid == part.id.oid) else {
            return;
        };
        (ObjectId::new(Class::RELATION, column.relation_oid), drop_default(column))
    } else {
        let Some(at) = catalog.constraints.iter().position(|check| check.oid == part.id.oid) else {
            return;
        };
        let check = catalog.constraints.remove(at);
        let owner = match check.table_oid {
            0 => ObjectId::new(Class::TYPE, check.domain_oid),
            table => ObjectId::new(Class::RELATION, table),
        };
        (owner, format!("constraint \"{}\" is left out", check.name))
    };
    let note = format!("{what}, since {} is left out", part.missing);
    catalog.annotations.losses.entry(owner).or_default().push(note);
}

fn drop_default(column: &mut Column) -> String {
    column.default_sql = None;
    column.default_oid = 0;
    match column.generated.take() {
        None => format!("the default of column \"{}\" is left out", column.name),
        Some(Generated::Stored | Generated::Virtual) => {
            format!("column \"{}\" is not generated but has the values of the source", column.name)
        }
    }
}
