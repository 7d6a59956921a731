//! What one major version has and another does not know.
//!
//! `express_in` rewrites a newer source's catalog so that the target can have it, with notes of what is
//! lost, before anything is rendered. `forget_names` takes out of a newer target's catalog what its
//! version alone gives names to, before it is compared with that of an older source.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::model::{
    Catalog, Class, Column, Constraint, ConstraintKind, Generated, ObjectId, Table, TableKind,
    TypeDefinition,
};

/// Multiranges came into being with their range types.
const MULTIRANGES: u32 = 14;
/// Collations `pg_catalog.unicode` and rules of ICU collations.
const UNICODE_COLLATION: u32 = 16;
/// Names of domains' NOT NULL, collations without a library, access methods of partitioned tables.
const BUILTIN_COLLATIONS: u32 = 17;
const NAMED_DOMAIN_NOT_NULL: u32 = 17;
const PARTITIONED_ACCESS_METHOD: u32 = 17;
/// NOT NULL as a constraint, virtual columns, constraints that are temporal or not enforced.
const NAMED_NOT_NULL: u32 = 18;
const VIRTUAL_COLUMNS: u32 = 18;
const NOT_ENFORCED: u32 = 18;
const TEMPORAL: u32 = 18;
const UNICODE_FAST: u32 = 18;
/// Foreign keys of partitioned tables that wait for their validation.
const NOT_VALID_ON_PARTITIONED: u32 = 18;

/// How the server ends the names that it gives to NOT NULL constraints; nobody misses those.
const GIVEN_NAME: &str = "_not_null";

/// Rewrites the catalog for a server of this major version, and notes what is lost beside the objects.
pub fn express_in(catalog: &mut Cow<'_, Catalog>, major: u32) {
    if catalog.server.version_num / 10_000 <= major {
        return;
    }
    let catalog = catalog.to_mut();
    let mut losses = Losses::default();
    express_types(catalog, major, &mut losses);
    express_tables(catalog, major, &mut losses);
    leave_out_constraints(catalog, major, &mut losses);
    for definition in &mut catalog.definitions {
        if let Some(older) = definition.older_form(major).cloned() {
            let notes = [definition.note.take(), Some(older.note)];
            definition.note = Some(notes.into_iter().flatten().collect::<Vec<_>>().join("; "));
            definition.create = older.create;
        }
    }
    catalog.annotations.losses = losses.0;
}

/// Takes names out of the catalog that servers of this major version do not give.
pub fn forget_names(catalog: &mut Cow<'_, Catalog>, major: u32) {
    if catalog.server.version_num / 10_000 <= major {
        return;
    }
    let catalog = catalog.to_mut();
    for data_type in &mut catalog.types {
        match &mut data_type.definition {
            TypeDefinition::Range(range) if major < MULTIRANGES => range.multirange_name = None,
            TypeDefinition::Domain(domain) if major < NAMED_DOMAIN_NOT_NULL => {
                domain.not_null_name = None;
            }
            _ => {}
        }
    }
    if major < NAMED_NOT_NULL {
        for column in catalog.tables.iter_mut().flat_map(|table| &mut table.columns) {
            column.not_null_constraint = None;
        }
    }
}

/// What is lost, in words, by object.
#[derive(Default)]
struct Losses(HashMap<ObjectId, Vec<String>>);

impl Losses {
    fn add(&mut self, class: Class, oid: u32, note: String) {
        self.0.entry(ObjectId::new(class, oid)).or_default().push(note);
    }

    fn extend(&mut self, class: Class, oid: u32, notes: impl IntoIterator<Item = String>) {
        notes.into_iter().for_each(|note| self.add(class, oid, note));
    }
}

fn express_types(catalog: &mut Catalog, major: u32, losses: &mut Losses) {
    for data_type in &mut catalog.types {
        let mut notes = Vec::new();
        match &mut data_type.definition {
            TypeDefinition::Range(range) => {
                notes.extend(replace_collation(&mut range.collation, major));
            }
            TypeDefinition::Domain(domain) => {
                notes.extend(replace_collation(&mut domain.collation, major));
                if major < NAMED_DOMAIN_NOT_NULL {
                    let name = domain.not_null_name.take();
                    notes.extend(name.and_then(|name| describe_lost_name(&name)));
                }
            }
            TypeDefinition::Composite(composite) => {
                for column in &mut composite.columns {
                    notes.extend(replace_collation(&mut column.collation, major));
                }
            }
            TypeDefinition::Enum { .. } | TypeDefinition::Base(_) | TypeDefinition::Shell => {}
        }
        losses.extend(Class::TYPE, data_type.oid, notes);
    }
}

fn express_tables(catalog: &mut Catalog, major: u32, losses: &mut Losses) {
    let nullable_children = find_nullable_children(catalog);
    for table in &mut catalog.tables {
        if major < PARTITIONED_ACCESS_METHOD && table.relkind == TableKind::Partitioned {
            table.access_method = None;
        }
        for column in &mut table.columns {
            let mut notes = Vec::from_iter(replace_collation(&mut column.collation, major));
            if major < VIRTUAL_COLUMNS && column.generated == Some(Generated::Virtual) {
                column.generated = Some(Generated::Stored);
                notes.push(format!(
                    "column \"{}\" is stored, since the target has no virtual ones",
                    column.name
                ));
            }
            if major < NAMED_NOT_NULL {
                let has_nullable_child =
                    nullable_children.contains(&(table.oid, column.name.clone()));
                notes.extend(unname_not_null(column, has_nullable_child));
            }
            losses.extend(Class::RELATION, table.oid, notes);
        }
    }
}

/// Columns, by table and name, that some child allows to be null.
fn find_nullable_children(catalog: &Catalog) -> HashSet<(u32, String)> {
    catalog
        .tables
        .iter()
        .flat_map(|table| table.parents.iter().map(move |parent| (parent, table)))
        .flat_map(|(parent, table)| table.columns.iter().map(move |column| (parent, column)))
        .filter(|(_, column)| !column.not_null)
        .map(|(parent, column)| (*parent, column.name.clone()))
        .collect()
}

/// Makes NOT NULL a property of the column again.
fn unname_not_null(column: &mut Column, has_nullable_child: bool) -> Option<String> {
    let constraint = column.not_null_constraint.take()?;
    let obstacle = if !constraint.is_validated {
        "is not valid"
    } else if constraint.is_no_inherit && has_nullable_child {
        "children do not inherit"
    } else {
        return describe_lost_name(&constraint.name);
    };
    column.not_null = false;
    Some(format!(
        "NOT NULL of column \"{}\" is left out, since the target cannot have one that {obstacle}",
        column.name
    ))
}

fn describe_lost_name(name: &str) -> Option<String> {
    (!name.ends_with(GIVEN_NAME))
        .then(|| format!("NOT NULL constraint \"{name}\" has no name on the target"))
}

/// Puts an older collation with the same order in the place of one of the system's.
fn replace_collation(collation: &mut Option<String>, major: u32) -> Option<String> {
    let replacement = match collation.as_deref()? {
        "pg_catalog.unicode" if major < UNICODE_COLLATION => "pg_catalog.\"und-x-icu\"",
        "pg_catalog.pg_c_utf8" if major < BUILTIN_COLLATIONS => "pg_catalog.\"C\"",
        "pg_catalog.pg_unicode_fast" if major < UNICODE_FAST => "pg_catalog.\"C\"",
        _ => return None,
    };
    let missing = collation.replace(replacement.to_owned())?;
    Some(format!("collation {replacement} stands for {missing}, which the target does not have"))
}

/// Leaves out constraints that the target would not take, with their indexes and clones.
fn leave_out_constraints(catalog: &mut Catalog, major: u32, losses: &mut Losses) {
    let tables: HashMap<u32, &Table> =
        catalog.tables.iter().map(|table| (table.oid, table)).collect();
    let mut gone = HashSet::new();
    for constraint in &catalog.constraints {
        let table = tables.get(&constraint.table_oid).copied();
        let Some(obstacle) = find_obstacle(constraint, table, major) else {
            continue;
        };
        gone.insert(constraint.oid);
        let (class, oid) = match constraint.table_oid {
            0 => (Class::TYPE, constraint.domain_oid),
            table_oid => (Class::RELATION, table_oid),
        };
        let name = &constraint.name;
        let note = format!(
            "constraint \"{name}\" is left out, since the target cannot have one that {obstacle}"
        );
        losses.extend(class, oid, (constraint.parent_oid == 0).then_some(note));
    }
    catalog.indexes.retain(|index| !gone.contains(&index.constraint_oid));
    catalog.constraints.retain(|constraint| !gone.contains(&constraint.oid));
}

/// What a constraint is that the server cannot have.
fn find_obstacle(
    constraint: &Constraint,
    table: Option<&Table>,
    major: u32,
) -> Option<&'static str> {
    let is_late_key = constraint.kind == ConstraintKind::ForeignKey
        && !constraint.is_validated
        && table.is_some_and(|table| table.relkind == TableKind::Partitioned);
    if major < NOT_ENFORCED && !constraint.is_enforced {
        Some("is not enforced")
    } else if major < TEMPORAL && constraint.is_temporal {
        Some("is temporal")
    } else if major < NOT_VALID_ON_PARTITIONED && is_late_key {
        Some("is not valid on a partitioned table")
    } else {
        None
    }
}
