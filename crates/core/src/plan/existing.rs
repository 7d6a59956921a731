//! What the target has already, and what must happen to it before rows can be loaded.
//!
//! In come the catalog as it is wanted and the target's, both with their rendered items; out come the
//! statements that clear the way, the definitions of what they drop (stored durably before the first
//! of them runs, and built again after the load), and the items that need not be made any more.
//! Whatever stands in the way is an error before anything has been changed.
//!
//! `dialect` knows what versions print differently, `obstacle` has those errors, `part` what is dropped
//! from tables that are kept and loaded again, `replace` the tables that are dropped themselves.

mod dialect;
mod obstacle;
mod part;
mod replace;

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::Note;
use super::task::StatementMode;
use crate::Result;
use crate::ddl::{Attribute, Item, ItemKind};
use crate::model::{Catalog, Table};
use crate::name::QualifiedName;
use crate::options::Options;

/// The two databases, both rendered.
pub struct Sides<'a> {
    /// The source's catalog under the names that it gets on the target.
    pub wanted: &'a Catalog,
    pub wanted_items: &'a [Item],
    /// Which of them are to be made.
    pub is_kept: &'a [bool],
    pub target: &'a Catalog,
    pub target_items: &'a [Item],
    /// Whether no row of a target's table would be lost: it holds what an earlier run loaded, or none.
    pub is_replaceable: &'a dyn Fn(&Table) -> Result<bool>,
    /// What earlier runs dropped and did not live to build again.
    pub owed: &'a [Drop],
}

/// Something that goes, with what brings it back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Drop {
    pub kind: ItemKind,
    pub object: String,
    pub table: QualifiedName,
    /// None for what goes with something else, or is gone already.
    #[serde(skip)]
    pub sql: Option<String>,
    /// The statements that bring it back; none for what the run makes anew.
    pub definition: Vec<String>,
}

/// Something of the target's own that is built again after the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub kind: ItemKind,
    pub object: String,
    /// OID of its table on the target.
    pub table_oid: u32,
    pub statements: Vec<String>,
    /// Whether it may turn out that it cannot be built.
    pub mode: StatementMode,
}

/// What is to be done about the target as it is.
#[derive(Debug, Default)]
pub struct Existing {
    /// Target OID of each selected table that exists and is kept, by the source's OID.
    pub tables: HashMap<u32, u32>,
    /// In this order; foreign keys first, tables last.
    pub drops: Vec<Drop>,
    /// Positions of wanted items that the target has, with the attributes that it does not have.
    pub present: HashMap<usize, Vec<Attribute>>,
    /// What the source does not have, in the order in which it can be built.
    pub restored: Vec<Restored>,
    pub notes: Vec<Note>,
}

/// A selected table and the target's table of its name.
type Pair<'a> = (&'a Table, &'a Table);

/// What makes an item of one side the same object as an item of the other.
type Identity = (ItemKind, String);

fn identify(item: &Item) -> Identity {
    (item.kind, item.object.clone())
}

/// Compares the sides for the tables with these OIDs of the source, whose rows will be loaded.
///
/// # Errors
/// `Error::Preflight` if columns do not fit, if a table's rows are not pgmig's to replace, or if
/// something outside the run hangs on the tables.
pub fn compare(sides: &Sides<'_>, loaded: &[u32], options: &Options) -> Result<Existing> {
    let mut existing = Existing::default();
    let pairs = match_tables(sides);
    let made = part::find_made(sides, options);
    let mut gone = if options.drop_existing_tables {
        replace::drop_tables(sides, &pairs, options, &mut existing)?
    } else {
        let with_data: HashSet<u32> = loaded.iter().copied().collect();
        if options.data_only {
            obstacle::check_tables(sides, &with_data, &pairs)?;
        }
        let loaded: Vec<Pair<'_>> =
            pairs.iter().copied().filter(|(wanted, _)| with_data.contains(&wanted.oid)).collect();
        obstacle::check_rows(sides, loaded.iter().map(|(_, target)| *target), options)?;
        obstacle::check_foreign_keys(sides, loaded.iter().map(|(_, target)| *target))?;
        obstacle::check_columns(&pairs, &loaded)?;
        obstacle::check_types(sides, &loaded)?;
        existing.tables = pairs.iter().map(|(wanted, target)| (wanted.oid, target.oid)).collect();
        let gone = part::drop_parts(sides, &loaded, &made, &mut existing);
        part::take_over_owed(sides, &pairs, &made, &mut existing);
        gone
    };
    if !loaded.is_empty() {
        gone.extend(part::drop_domain_checks(sides, &made, &mut existing));
    }
    obstacle::check_names(sides, &gone)?;
    find_present(sides, &gone, &mut existing);
    Ok(existing)
}

/// Selected tables that the target has too.
fn match_tables<'a>(sides: &Sides<'a>) -> Vec<Pair<'a>> {
    let by_name: HashMap<_, _> =
        sides.target.tables.iter().map(|table| ((&table.schema, &table.name), table)).collect();
    let kept: HashSet<u32> = kept_items(sides)
        .filter(|item| item.kind == ItemKind::Table)
        .map(|item| item.id.oid)
        .collect();
    sides
        .wanted
        .tables
        .iter()
        .filter(|table| kept.contains(&table.oid))
        .filter_map(|table| Some((table, *by_name.get(&(&table.schema, &table.name))?)))
        .collect()
}

fn kept_items<'a>(sides: &Sides<'a>) -> impl Iterator<Item = &'a Item> {
    sides
        .wanted_items
        .iter()
        .zip(sides.is_kept)
        .filter(|(_, is_kept)| **is_kept)
        .map(|(item, _)| item)
}

fn kept_identities(sides: &Sides<'_>) -> HashSet<Identity> {
    kept_items(sides).map(identify).collect()
}

/// All statements of an item, in order.
fn statements(item: &Item) -> Vec<String> {
    let attributes = item.attributes.iter().map(|attribute| attribute.sql.clone());
    item.create.iter().cloned().chain(attributes).collect()
}

/// Finds the wanted items that the target has and keeps.
fn find_present(sides: &Sides<'_>, gone: &HashSet<Identity>, existing: &mut Existing) {
    let on_target: HashMap<_, _> =
        sides.target_items.iter().map(|item| ((item.kind, item.object.as_str()), item)).collect();
    let majors = [sides.wanted, sides.target].map(|c| c.server.version_num / 10_000);
    for (position, item) in sides.wanted_items.iter().enumerate() {
        // Rows of materialized views are as old as the rows they were made of.
        let is_stale = item.kind == ItemKind::Refresh;
        if !sides.is_kept[position] || is_stale || gone.contains(&identify(item)) {
            continue;
        }
        let Some(other) = on_target.get(&(item.kind, item.object.as_str())) else {
            continue;
        };
        let is_missing = |attribute: &&Attribute| {
            let mut others = other.attributes.iter();
            !others.any(|other| dialect::is_same_text(&other.sql, &attribute.sql))
        };
        let missing = item.attributes.iter().filter(is_missing).cloned().collect();
        existing.present.insert(position, missing);
        if !dialect::is_same(item.kind, [&item.create, &other.create], majors) {
            existing.notes.push(Note {
                object: item.object.clone(),
                message: "exists on the target with another definition, which was kept".to_owned(),
            });
        }
    }
}
