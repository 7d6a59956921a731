//! What keeps a run from touching the target's tables.

use std::collections::{HashMap, HashSet};

use super::dialect::is_same_texts;
use super::{Identity, Pair, Sides, identify, kept_items};
use crate::Result;
use crate::ddl::{Item, ItemKind};
use crate::error::Error;
use crate::model::{Class, Column, ConstraintKind, Table, TableKind};
use crate::options::Options;

/// Objects that an error lists at most.
const MAX_NAMED: usize = 20;

/// The first of the names, and how many there are besides.
pub(super) fn list(names: &[String]) -> String {
    let mut text = names[..names.len().min(MAX_NAMED)].join(", ");
    if names.len() > MAX_NAMED {
        text.push_str(&format!(" and {} more", names.len() - MAX_NAMED));
    }
    text
}

/// Refuses to load tables that the target does not have and the run does not make.
pub(super) fn check_tables(
    sides: &Sides<'_>,
    loaded: &HashSet<u32>,
    pairs: &[Pair<'_>],
) -> Result<()> {
    let found: HashSet<u32> = pairs.iter().map(|(wanted, _)| wanted.oid).collect();
    let missing: Vec<_> = sides
        .wanted
        .tables
        .iter()
        .filter(|table| loaded.contains(&table.oid) && !found.contains(&table.oid))
        .map(|table| format!("\"{}.{}\"", table.schema, table.name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        message: format!("{} tables of the source do not exist on the target", missing.len()),
        detail: Some(format!("Missing: {}.", list(&missing))),
        hint: Some(
            "Run without \"data_only\" to create them, or leave them out with \"exclude_tables\"."
                .to_owned(),
        ),
        sqlstate: "42P01",
    })
}

/// Refuses to replace rows that pgmig did not load, or that somebody has changed since.
pub(super) fn check_rows<'t>(
    sides: &Sides<'_>,
    tables: impl Iterator<Item = &'t Table>,
    options: &Options,
) -> Result<()> {
    if options.overwrite {
        return Ok(());
    }
    let mut changed = Vec::new();
    for table in tables {
        if table.relkind == TableKind::Ordinary && !(sides.is_replaceable)(table)? {
            changed.push(format!("\"{}.{}\"", table.schema, table.name));
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        message: format!(
            "{} existing target tables hold other rows than an earlier run loaded",
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
pub(super) fn check_foreign_keys<'t>(
    sides: &Sides<'_>,
    tables: impl Iterator<Item = &'t Table>,
) -> Result<()> {
    let inside: HashSet<u32> = tables.map(|table| table.oid).collect();
    let names: HashMap<u32, &Table> =
        sides.target.tables.iter().map(|table| (table.oid, table)).collect();
    // A partitioned table is inside when a partition of it is: its key is one with theirs.
    let mut with_parents: HashSet<u32> = HashSet::new();
    let mut open: Vec<u32> = inside.iter().copied().collect();
    while let Some(oid) = open.pop() {
        if with_parents.insert(oid)
            && let Some(table) = names.get(&oid)
            && table.is_partition
        {
            open.extend(&table.parents);
        }
    }
    let outside: Vec<_> = sides
        .target
        .constraints
        .iter()
        .filter(|key| key.kind == ConstraintKind::ForeignKey && key.parent_oid == 0)
        .filter(|key| with_parents.contains(&key.referenced_table_oid))
        .filter(|key| !with_parents.contains(&key.table_oid))
        .filter_map(|key| {
            let table = names.get(&key.table_oid)?;
            Some(format!("\"{}\" on \"{}.{}\"", key.name, table.schema, table.name))
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

/// Refuses tables whose columns cannot take the source's rows, or whose kind is another.
pub(super) fn check_columns(pairs: &[Pair<'_>], loaded: &[Pair<'_>]) -> Result<()> {
    let kinds = pairs.iter().filter(|(wanted, target)| wanted.relkind != target.relkind).map(
        |(wanted, target)| {
            format!(
                "table \"{}.{}\" is {} on the source and {} on the target",
                target.schema,
                target.name,
                describe_kind(wanted.relkind),
                describe_kind(target.relkind)
            )
        },
    );
    let columns = loaded.iter().flat_map(|(wanted, target)| {
        find_misfits(&wanted.columns, &target.columns)
            .into_iter()
            .map(|what| format!("table \"{}.{}\": {what}", target.schema, target.name))
    });
    let misfits: Vec<_> = kinds.chain(columns).collect();
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

fn describe_kind(kind: TableKind) -> &'static str {
    match kind {
        TableKind::Ordinary => "an ordinary table",
        TableKind::Partitioned => "partitioned",
        TableKind::Foreign => "a foreign table",
    }
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
            Some(other) if other.not_null && !column.not_null => {
                misfits.push(format!("column \"{name}\" is not null on the target only"))
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

/// Refuses tables whose types exist on the target with another definition, such as fewer labels.
pub(super) fn check_types(sides: &Sides<'_>, loaded: &[Pair<'_>]) -> Result<()> {
    let on_target: HashMap<Identity, &Item> = sides
        .target_items
        .iter()
        .filter(|item| item.kind == ItemKind::Type)
        .map(|item| (identify(item), item))
        .collect();
    let differing: HashMap<u32, &Item> = kept_items(sides)
        .filter(|item| item.kind == ItemKind::Type)
        .filter(|item| {
            let other = on_target.get(&identify(item));
            other.is_some_and(|other| !is_same_texts(&item.create, &other.create))
        })
        .flat_map(|item| item.provides.iter().map(move |id| (id, item)))
        .filter(|(id, _)| id.class == Class::TYPE)
        .map(|(id, item)| (id.oid, item))
        .collect();
    let misfits: Vec<_> = loaded
        .iter()
        .flat_map(|(wanted, target)| wanted.columns.iter().map(move |column| (target, column)))
        .filter_map(|(target, column)| {
            let data_type = differing.get(&column.type_oid)?;
            Some(format!(
                "table \"{}.{}\": column \"{}\", {}",
                target.schema, target.name, column.name, data_type.object
            ))
        })
        .collect();
    if misfits.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        message: "types of the source exist on the target with another definition".to_owned(),
        detail: Some(format!("{}.", list(&misfits))),
        hint: Some("Alter these types on the target to be as those of the source.".to_owned()),
        sqlstate: "42804",
    })
}

/// Refuses when the name of a relation to be made belongs to one of another kind.
pub(super) fn check_names(sides: &Sides<'_>, gone: &HashSet<Identity>) -> Result<()> {
    let taken: HashMap<(&str, &str), &Item> = sides
        .target_items
        .iter()
        .filter(|item| !gone.contains(&identify(item)))
        .filter_map(|item| Some((relation_name(item)?, item)))
        .collect();
    let clashes: Vec<_> = kept_items(sides)
        .filter_map(|item| {
            let other = taken.get(&relation_name(item)?)?;
            let is_clash = other.object != item.object;
            is_clash
                .then(|| format!("{} of the source, {} of the target", item.object, other.object))
        })
        .collect();
    if clashes.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        message: "names of the source belong to objects of another kind on the target".to_owned(),
        detail: Some(format!("{}.", list(&clashes))),
        hint: Some("Rename or drop these objects of the target.".to_owned()),
        sqlstate: "42710",
    })
}

/// The name of a relation that people name themselves.
fn relation_name(item: &Item) -> Option<(&str, &str)> {
    let is_relation = matches!(
        item.kind,
        ItemKind::Table
            | ItemKind::View
            | ItemKind::MaterializedView
            | ItemKind::Sequence
            | ItemKind::Index
    );
    is_relation.then_some((item.schema.as_deref()?, item.name.as_str()))
}
