//! What the target has already, and what must happen to it before rows can be loaded.
//!
//! In come the catalog as it is wanted and the target's, both with their rendered items; out come the
//! statements that clear the way, the definitions of what they drop (stored durably before the first
//! of them runs, and built again after the load), and the items that need not be made any more.
//! Whatever stands in the way is an error before anything has been changed.

use std::collections::{HashMap, HashSet};

use super::Note;
use crate::Result;
use crate::ddl::{Item, ItemKind};
use crate::error::Error;
use crate::model::{Catalog, Class, Column, ConstraintKind, Table, TableKind};
use crate::name::{QualifiedName, quote_ident, quote_qualified};
use crate::options::Options;

/// Tables or columns that an error lists at most.
const MAX_NAMED: usize = 20;

/// The two databases, both rendered.
pub struct Sides<'a> {
    /// The source's catalog under the names that it gets on the target.
    pub wanted: &'a Catalog,
    pub wanted_items: &'a [Item],
    /// Which of them are to be made.
    pub is_kept: &'a [bool],
    pub target: &'a Catalog,
    pub target_items: &'a [Item],
    /// OIDs of target tables that hold exactly what an earlier run loaded.
    pub unchanged: &'a HashSet<u32>,
}

/// A statement that removes something to be built again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    pub object: String,
    pub table: QualifiedName,
    pub sql: String,
    /// The statements that bring it back.
    pub definition: Vec<String>,
}

/// What is to be done about the target as it is.
#[derive(Debug, Default)]
pub struct Existing {
    /// Target OID of each selected table that exists and is kept, by the source's OID.
    pub tables: HashMap<u32, u32>,
    /// In this order; foreign keys first, tables last.
    pub drops: Vec<Drop>,
    /// Positions of wanted items that are on the target as they should be.
    pub present: HashSet<usize>,
    /// Objects on the target's own tables that the source does not have; to be built again.
    pub restored: Vec<Item>,
    pub notes: Vec<Note>,
}

/// Compares the sides for the tables with these OIDs of the source.
///
/// # Errors
/// `Error::Preflight` if columns do not fit, if a table's rows are not pgmig's to replace, or if
/// something outside the run hangs on the tables.
pub fn compare(sides: &Sides<'_>, loaded: &[u32], options: &Options) -> Result<Existing> {
    let mut existing = Existing::default();
    let pairs = match_tables(sides);
    let loaded: HashSet<u32> = loaded.iter().copied().collect();
    let loaded_pairs: Vec<_> =
        pairs.iter().copied().filter(|(wanted, _)| loaded.contains(&wanted.oid)).collect();
    check_rows(sides, &loaded_pairs, options)?;
    check_foreign_keys(sides, &loaded_pairs)?;
    if options.drop_existing_tables {
        drop_tables(sides, &pairs, &mut existing)?;
        return Ok(existing);
    }
    check_columns(&loaded_pairs)?;
    existing.tables = pairs.iter().map(|(wanted, target)| (wanted.oid, target.oid)).collect();
    let dropped = drop_parts(sides, &loaded_pairs, &mut existing);
    find_present(sides, &dropped, &mut existing);
    Ok(existing)
}

/// Selected tables that the target has too.
fn match_tables<'a>(sides: &Sides<'a>) -> Vec<(&'a Table, &'a Table)> {
    let by_name: HashMap<_, _> =
        sides.target.tables.iter().map(|table| ((&table.schema, &table.name), table)).collect();
    let kept: HashSet<u32> = sides
        .wanted_items
        .iter()
        .zip(sides.is_kept)
        .filter(|(item, is_kept)| **is_kept && item.kind == ItemKind::Table)
        .map(|(item, _)| item.id.oid)
        .collect();
    sides
        .wanted
        .tables
        .iter()
        .filter(|table| kept.contains(&table.oid))
        .filter_map(|table| Some((table, *by_name.get(&(&table.schema, &table.name))?)))
        .collect()
}

/// Refuses to replace rows that pgmig did not load, or that somebody has changed since.
fn check_rows(sides: &Sides<'_>, pairs: &[(&Table, &Table)], options: &Options) -> Result<()> {
    if options.overwrite {
        return Ok(());
    }
    let changed: Vec<_> = pairs
        .iter()
        .filter(|(_, target)| !sides.unchanged.contains(&target.oid))
        .map(|(_, target)| format!("{}.{}", target.schema, target.name))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        message: format!(
            "{} target tables exist and do not hold just what an earlier run loaded",
            changed.len()
        ),
        detail: Some(format!("Left alone: {}.", list(&changed))),
        hint: Some(
            "Set option \"overwrite\" to true to replace their rows, or leave them out with \
             \"exclude_tables\"."
                .to_owned(),
        ),
        sqlstate: "55000",
    })
}

/// Refuses when tables outside the run refer to tables whose rows will be replaced.
fn check_foreign_keys(sides: &Sides<'_>, pairs: &[(&Table, &Table)]) -> Result<()> {
    let inside: HashSet<u32> = pairs.iter().map(|(_, target)| target.oid).collect();
    let names: HashMap<u32, &Table> =
        sides.target.tables.iter().map(|table| (table.oid, table)).collect();
    // A partitioned table is inside when a partition of it is: its key is one with theirs.
    let is_inside = |oid: u32| {
        inside.contains(&oid)
            || names.get(&oid).is_some_and(|table| table.relkind == TableKind::Partitioned)
                && has_inside_partition(sides.target, oid, &inside)
    };
    let outside: Vec<_> = sides
        .target
        .constraints
        .iter()
        .filter(|key| key.kind == ConstraintKind::ForeignKey && key.parent_oid == 0)
        .filter(|key| is_inside(key.referenced_table_oid) && !is_inside(key.table_oid))
        .filter_map(|key| {
            let table = names.get(&key.table_oid)?;
            Some(format!("{} on {}.{}", key.name, table.schema, table.name))
        })
        .collect();
    if outside.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        message: "foreign keys of tables outside the run refer to tables whose rows would be \
                  replaced"
            .to_owned(),
        detail: Some(format!("They are: {}.", list(&outside))),
        hint: Some("Drop these foreign keys, or include their tables in the run.".to_owned()),
        sqlstate: "2BP01",
    })
}

fn has_inside_partition(catalog: &Catalog, parent: u32, inside: &HashSet<u32>) -> bool {
    catalog.tables.iter().filter(|table| table.parents.contains(&parent)).any(|table| {
        inside.contains(&table.oid) || has_inside_partition(catalog, table.oid, inside)
    })
}

/// Refuses tables whose columns cannot take the source's rows.
fn check_columns(pairs: &[(&Table, &Table)]) -> Result<()> {
    let misfits: Vec<_> = pairs
        .iter()
        .flat_map(|(wanted, target)| {
            find_misfits(&wanted.columns, &target.columns)
                .into_iter()
                .map(|what| format!("table \"{}.{}\": {what}", target.schema, target.name))
        })
        .collect();
    if misfits.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        message: "columns of existing target tables do not fit those of the source".to_owned(),
        detail: Some(format!("{}.", list(&misfits))),
        hint: Some(
            "Set option \"drop_existing_tables\" to true to drop these tables and create them again."
                .to_owned(),
        ),
        sqlstate: "42804",
    })
}

fn find_misfits(wanted: &[Column], target: &[Column]) -> Vec<String> {
    let mut misfits = Vec::new();
    for column in wanted {
        let name = &column.name;
        match target.iter().find(|other| other.name == *name) {
            None => misfits.push(format!("column \"{name}\" is missing on the target")),
            Some(other) if other.type_sql != column.type_sql => misfits.push(format!(
                "column \"{name}\" has type {} on the source and {} on the target",
                column.type_sql, other.type_sql
            )),
            Some(other) if other.generated.is_some() != column.generated.is_some() => {
                misfits.push(format!("column \"{name}\" is a generated column on one side only"))
            }
            Some(_) => {}
        }
    }
    for column in target {
        let is_needed =
            column.not_null && column.default_sql.is_none() && column.identity.is_none();
        if is_needed && !wanted.iter().any(|other| other.name == column.name) {
            misfits.push(format!(
                "column \"{}\" is not null on the target and does not exist on the source",
                column.name
            ));
        }
    }
    misfits
}

/// Drops keys, indexes, checks and triggers of tables that are loaded again; returns the positions of
/// the target's items that were dropped.
fn drop_parts(
    sides: &Sides<'_>,
    pairs: &[(&Table, &Table)],
    existing: &mut Existing,
) -> HashSet<(ItemKind, String)> {
    let tables: HashMap<u32, &Table> = with_parents(sides.target, pairs);
    let pinned = pinned_objects(sides.target);
    let wanted: HashSet<_> = kept_identities(sides);
    let mut dropped = HashSet::new();
    let mut drops: Vec<(u8, Drop)> = Vec::new();
    for item in sides.target_items {
        let Some(table) = item.table_oid.and_then(|oid| tables.get(&oid)) else {
            continue;
        };
        if item.provides.iter().any(|id| pinned.contains(&(id.class, id.oid))) {
            continue;
        }
        let Some((rank, sql)) = render_drop(item, table) else {
            continue;
        };
        let identity = (item.kind, item.object.clone());
        if !wanted.contains(&identity) {
            existing.restored.push(item.clone());
        }
        if let Some(sql) = sql {
            let definition = statements(item);
            let table = QualifiedName::new(&table.schema, &table.name);
            drops.push((rank, Drop { object: item.object.clone(), table, sql, definition }));
        }
        dropped.insert(identity);
    }
    drops.sort_by_key(|(rank, _)| *rank);
    existing.drops.extend(drops.into_iter().map(|(_, drop)| drop));
    dropped
}

/// The tables of the pairs and the partitioned tables above them, on the target.
fn with_parents<'a>(target: &'a Catalog, pairs: &[(&Table, &'a Table)]) -> HashMap<u32, &'a Table> {
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

/// Keys that views and the like depend on: these cannot be dropped, and loading goes on with them.
fn pinned_objects(target: &Catalog) -> HashSet<(Class, u32)> {
    target
        .depends
        .iter()
        .filter(|depend| depend.reference.class == Class::CONSTRAINT)
        .filter(|depend| {
            depend.object.class == Class::RULE || depend.object.class == Class::FUNCTION
        })
        .map(|depend| (Class::CONSTRAINT, depend.reference.oid))
        .collect()
}

/// The statement that drops a part of a table, with its place in the order; None as the statement
/// for what vanishes with something else.
fn render_drop(item: &Item, table: &Table) -> Option<(u8, Option<String>)> {
    let relation = quote_qualified(&table.schema, &table.name);
    let name = quote_ident(&item.name);
    let constraint = |rank| {
        // A child's constraint goes with its parent's, so it may be gone already.
        let sql = format!("alter table {relation} drop constraint if exists {name}");
        Some((rank, Some(sql)))
    };
    match item.kind {
        ItemKind::ForeignKey => constraint(0),
        ItemKind::Trigger => {
            Some((1, Some(format!("drop trigger if exists {name} on {relation}"))))
        }
        ItemKind::PrimaryKey | ItemKind::Unique | ItemKind::Exclusion => {
            constraint(if table.is_partition { 4 } else { 3 })
        }
        ItemKind::Index => {
            let index = quote_qualified(item.schema.as_deref().unwrap_or_default(), &item.name);
            let rank = if table.is_partition { 4 } else { 3 };
            Some((rank, Some(format!("drop index if exists {index}"))))
        }
        ItemKind::AttachIndex => Some((9, None)),
        ItemKind::Check => constraint(2),
        _ => None,
    }
}

/// All statements of an item, in order.
pub fn statements(item: &Item) -> Vec<String> {
    let attributes = item.attributes.iter().map(|attribute| attribute.sql.clone());
    item.create.iter().cloned().chain(attributes).collect()
}

fn kept_identities(sides: &Sides<'_>) -> HashSet<(ItemKind, String)> {
    sides
        .wanted_items
        .iter()
        .zip(sides.is_kept)
        .filter(|(_, is_kept)| **is_kept)
        .map(|(item, _)| (item.kind, item.object.clone()))
        .collect()
}

/// Finds the wanted items that the target has and that were not dropped to be built again.
fn find_present(sides: &Sides<'_>, dropped: &HashSet<(ItemKind, String)>, existing: &mut Existing) {
    let on_target: HashMap<_, _> =
        sides.target_items.iter().map(|item| ((item.kind, item.object.as_str()), item)).collect();
    for (position, item) in sides.wanted_items.iter().enumerate() {
        if !sides.is_kept[position] || dropped.contains(&(item.kind, item.object.clone())) {
            continue;
        }
        let Some(other) = on_target.get(&(item.kind, item.object.as_str())) else {
            continue;
        };
        existing.present.insert(position);
        // Sizes and the like of tables are compared column by column elsewhere.
        if item.create != other.create && item.kind != ItemKind::Table {
            existing.notes.push(Note {
                object: item.object.clone(),
                message: "exists on the target with another definition, which was kept".to_owned(),
            });
        }
    }
}

/// Drops the tables that exist, and views over them that the run makes again.
fn drop_tables(
    sides: &Sides<'_>,
    pairs: &[(&Table, &Table)],
    existing: &mut Existing,
) -> Result<()> {
    let going: HashSet<u32> = pairs.iter().map(|(_, target)| target.oid).collect();
    let kept = kept_identities(sides);
    let (views, hindrances) = find_dependent_views(sides, &going, &kept);
    if !hindrances.is_empty() {
        return Err(Error::Preflight {
            message: "other objects of the target depend on tables to be dropped".to_owned(),
            detail: Some(format!("They are: {}.", list(&hindrances))),
            hint: Some("Drop these objects first, or leave their tables out.".to_owned()),
            sqlstate: "2BP01",
        });
    }
    let mut gone: HashSet<(ItemKind, String)> = HashSet::new();
    for item in views {
        let noun =
            if item.kind == ItemKind::MaterializedView { "materialized view" } else { "view" };
        let schema = item.schema.as_deref().unwrap_or_default();
        existing.drops.push(Drop {
            object: item.object.clone(),
            table: QualifiedName::new(schema, &item.name),
            sql: format!("drop {noun} if exists {} cascade", quote_qualified(schema, &item.name)),
            definition: statements(item),
        });
        gone.insert((item.kind, item.object.clone()));
    }
    for key in &sides.target.constraints {
        let table = sides.target.tables.iter().find(|table| table.oid == key.table_oid);
        let (ConstraintKind::ForeignKey, 0, Some(table)) = (key.kind, key.parent_oid, table) else {
            continue;
        };
        if going.contains(&key.table_oid) {
            let relation = quote_qualified(&table.schema, &table.name);
            existing.drops.push(Drop {
                object: format!("constraint {} on {}.{}", key.name, table.schema, table.name),
                table: QualifiedName::new(&table.schema, &table.name),
                sql: format!(
                    "alter table {relation} drop constraint if exists {}",
                    quote_ident(&key.name)
                ),
                definition: Vec::new(),
            });
        }
    }
    // Partitions go with their parents; the rest in any order, children first.
    let mut tables: Vec<_> = pairs.iter().map(|(_, target)| *target).collect();
    tables.sort_by_key(|table| std::cmp::Reverse(depth(sides.target, table)));
    for table in tables {
        let name = QualifiedName::new(&table.schema, &table.name);
        existing.drops.push(Drop {
            object: format!("table {name}"),
            sql: format!("drop table if exists {}", name.quoted()),
            table: name,
            definition: Vec::new(),
        });
    }
    // What belonged to the tables is gone with them.
    for item in sides.target_items {
        let owner = item.table_oid.or((item.kind == ItemKind::Table).then_some(item.id.oid));
        if owner.is_some_and(|oid| going.contains(&oid)) {
            gone.insert((item.kind, item.object.clone()));
        }
    }
    let owned: HashSet<u32> = owned_sequences(sides.target, &going);
    for item in sides.target_items.iter().filter(|item| item.kind == ItemKind::Sequence) {
        if owned.contains(&item.id.oid) {
            gone.insert((item.kind, item.object.clone()));
        }
    }
    find_present(sides, &gone, existing);
    Ok(())
}

fn owned_sequences(target: &Catalog, going: &HashSet<u32>) -> HashSet<u32> {
    let is_owned = |depend: &&crate::model::Depend| {
        depend.object.class == Class::RELATION
            && depend.reference.class == Class::RELATION
            && depend.reference.subid != 0
            && going.contains(&depend.reference.oid)
    };
    let sequences: HashSet<u32> = target.sequences.iter().map(|sequence| sequence.oid).collect();
    target
        .depends
        .iter()
        .filter(is_owned)
        .map(|depend| depend.object.oid)
        .filter(|oid| sequences.contains(oid))
        .collect()
}

/// How many levels of inheritance are above the table.
fn depth(catalog: &Catalog, table: &Table) -> usize {
    table
        .parents
        .iter()
        .filter_map(|oid| catalog.tables.iter().find(|parent| parent.oid == *oid))
        .map(|parent| 1 + depth(catalog, parent))
        .max()
        .unwrap_or(0)
}

/// Views over the tables that go, dependents first, and the names of those the run does not make.
fn find_dependent_views<'a>(
    sides: &Sides<'a>,
    going: &HashSet<u32>,
    kept: &HashSet<(ItemKind, String)>,
) -> (Vec<&'a Item>, Vec<String>) {
    let rule_owner: HashMap<u32, u32> = sides
        .target
        .depends
        .iter()
        .filter(|depend| depend.object.class == Class::RULE)
        .filter(|depend| depend.kind == crate::model::DependKind::Internal)
        .map(|depend| (depend.object.oid, depend.reference.oid))
        .collect();
    let mut affected: HashSet<u32> = going.clone();
    loop {
        let before = affected.len();
        for depend in &sides.target.depends {
            if depend.object.class == Class::RULE
                && depend.reference.class == Class::RELATION
                && affected.contains(&depend.reference.oid)
                && let Some(view) = rule_owner.get(&depend.object.oid)
            {
                affected.insert(*view);
            }
        }
        if affected.len() == before {
            break;
        }
    }
    let is_view = |kind| matches!(kind, ItemKind::View | ItemKind::MaterializedView);
    let views: Vec<_> = sides
        .target_items
        .iter()
        .rev()
        .filter(|item| is_view(item.kind))
        .filter(|item| affected.contains(&item.table_oid.unwrap_or(item.id.oid)))
        .collect();
    let hindrances = views
        .iter()
        .filter(|item| !kept.contains(&(item.kind, item.object.clone())))
        .map(|item| item.object.clone())
        .collect();
    (views, hindrances)
}

fn list(names: &[String]) -> String {
    let mut text = names[..names.len().min(MAX_NAMED)].join(", ");
    if names.len() > MAX_NAMED {
        text.push_str(&format!(" and {} more", names.len() - MAX_NAMED));
    }
    text
}
