//! What one server has and another does not know.
//!
//! `express_in` rewrites the source's catalog so that the target can have it, with notes of what is
//! lost, before anything is rendered: what came after the target's version, what its version or build has
//! no more. `forget_names` takes out of a newer target's catalog what its version alone gives names to,
//! before it is compared with that of an older source.

mod collation;
mod older;
mod setting;
mod text;
mod unknown;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use self::collation::Collations;
pub use self::older::find_missing_types;
use self::unknown::Unknown;
use crate::model::{
    Builtins, Catalog, Class, Column, Constraint, ConstraintKind, Generated, ObjectId, Table,
    TableKind, TypeDefinition,
};

/// Multiranges came into being with their range types.
const MULTIRANGES: u32 = 14;
/// Names of domains' NOT NULL, access methods of partitioned tables, exclusion constraints on them.
const NAMED_DOMAIN_NOT_NULL: u32 = 17;
const PARTITIONED_ACCESS_METHOD: u32 = 17;
const PARTITIONED_EXCLUSION: u32 = 17;
/// NOT NULL as a constraint, virtual columns, constraints that are temporal or not enforced.
const NAMED_NOT_NULL: u32 = 18;
const VIRTUAL_COLUMNS: u32 = 18;
const NOT_ENFORCED: u32 = 18;
const TEMPORAL: u32 = 18;
/// Foreign keys of partitioned tables that wait for their validation.
const NOT_VALID_ON_PARTITIONED: u32 = 18;

/// Storage parameters with the first version that knows them, beyond what all targets know.
const STORAGE_PARAMETERS: &[(u32, &str)] =
    &[(18, "autovacuum_vacuum_max_threshold"), (18, "vacuum_max_eager_freeze_failure_rate")];

/// How the server ends the names that it gives to NOT NULL constraints; nobody misses those.
const GIVEN_NAME: &str = "_not_null";

/// The servers of both sides.
#[derive(Debug, Clone, Copy)]
pub struct Servers<'a> {
    /// The target's major version.
    pub major: u32,
    pub source: &'a Builtins,
    pub target: &'a Builtins,
}

/// Rewrites the source's catalog for the target, and notes what is lost beside the objects.
pub fn express_in(catalog: &mut Cow<'_, Catalog>, servers: Servers<'_>) {
    let (major, builtins) = (servers.major, servers.target);
    let own = catalog.server.version_num / 10_000;
    let unknown = Unknown::new(servers.source, builtins, major);
    let collations = Collations::new(servers.source, builtins);
    let settings = setting::find_missing(servers.source, builtins);
    let lacks_compression = older::uses_compression_beyond(catalog, builtins);
    let lacks_nothing = unknown.is_empty() && collations.is_empty() && settings.is_empty();
    if own == major && lacks_nothing && !lacks_compression {
        return;
    }
    let catalog = catalog.to_mut();
    let mut losses = Losses::default();
    older::drop_compression(catalog, builtins, &mut losses);
    if own > major {
        express_types(catalog, major, &mut losses);
        express_tables(catalog, major, &mut losses);
    }
    older::express(catalog, servers, &mut losses);
    leave_out_constraints(catalog, major, &unknown, &mut losses);
    unknown.leave_out(catalog, &mut losses);
    setting::leave_out(catalog, &settings, &mut losses);
    collations.replace_all(catalog, builtins.has_icu, &mut losses);
    for definition in &mut catalog.definitions {
        if let Some(older) = definition.older_form(major).cloned() {
            let notes = [definition.note.take(), Some(older.note)];
            definition.note = Some(notes.into_iter().flatten().collect::<Vec<_>>().join("; "));
            definition.create = older.create;
        }
    }
    catalog.annotations.losses = losses.notes;
    catalog.annotations.obstacles = losses.obstacles;
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
struct Losses {
    notes: HashMap<ObjectId, Vec<String>>,
    /// Why objects cannot be made.
    obstacles: HashMap<ObjectId, String>,
}

impl Losses {
    fn add(&mut self, class: Class, oid: u32, note: String) {
        self.notes.entry(ObjectId::new(class, oid)).or_default().push(note);
    }

    /// Notes that an object cannot be made; the first reason stands.
    fn obstruct(&mut self, class: Class, oid: u32, reason: String) {
        self.obstacles.entry(ObjectId::new(class, oid)).or_insert(reason);
    }

    fn extend(&mut self, class: Class, oid: u32, notes: impl IntoIterator<Item = String>) {
        notes.into_iter().for_each(|note| self.add(class, oid, note));
    }
}

fn express_types(catalog: &mut Catalog, major: u32, losses: &mut Losses) {
    for data_type in &mut catalog.types {
        if let TypeDefinition::Domain(domain) = &mut data_type.definition
            && major < NAMED_DOMAIN_NOT_NULL
        {
            let name = domain.not_null_name.take();
            let note = name.and_then(|name| describe_lost_name(&name));
            losses.extend(Class::TYPE, data_type.oid, note);
        }
    }
}

fn express_tables(catalog: &mut Catalog, major: u32, losses: &mut Losses) {
    let nullable_children = find_nullable_children(catalog);
    for table in &mut catalog.tables {
        if major < PARTITIONED_ACCESS_METHOD && table.relkind == TableKind::Partitioned {
            table.access_method = None;
        }
        let notes = drop_parameters(&mut table.options, major);
        losses.extend(Class::RELATION, table.oid, notes);
        for column in &mut table.columns {
            let mut notes = Vec::new();
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
    for view in &mut catalog.views {
        let notes = drop_parameters(&mut view.options, major);
        losses.extend(Class::RELATION, view.oid, notes);
    }
}

/// Takes out the storage parameters that the target does not know.
fn drop_parameters(options: &mut Vec<String>, major: u32) -> Vec<String> {
    let mut notes = Vec::new();
    options.retain(|option| {
        let name = option.split('=').next().unwrap_or_default();
        let bare = name.strip_prefix("toast.").unwrap_or(name);
        let is_known =
            STORAGE_PARAMETERS.iter().all(|(since, other)| major >= *since || bare != *other);
        if !is_known {
            let name = name.to_owned();
            notes.push(format!("the target has no storage parameter \"{name}\", left out"));
        }
        is_known
    });
    notes
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

/// Leaves out constraints that the target would not take, with their indexes and clones.
fn leave_out_constraints(
    catalog: &mut Catalog,
    major: u32,
    unknown: &Unknown<'_>,
    losses: &mut Losses,
) {
    let tables: HashMap<u32, &Table> =
        catalog.tables.iter().map(|table| (table.oid, table)).collect();
    let on_oid = older::constraints_on_oid(catalog);
    let mut gone = HashSet::new();
    let mut kept_parts = HashSet::new();
    for constraint in &catalog.constraints {
        let table = tables.get(&constraint.table_oid).copied();
        let obstacle = match find_obstacle(constraint, table, major) {
            Some(obstacle) => format!("the target cannot have one that {obstacle}"),
            None if on_oid.contains(&constraint.oid) => older::NO_OIDS.to_owned(),
            None => match unknown.find(&constraint.definition) {
                Some(missing) => format!("the target does not know {missing}"),
                None => continue,
            },
        };
        if constraint.kind == ConstraintKind::Exclusion {
            kept_parts.insert(constraint.oid);
        }
        gone.insert(constraint.oid);
        let (class, oid) = match constraint.table_oid {
            0 => (Class::TYPE, constraint.domain_oid),
            table_oid => (Class::RELATION, table_oid),
        };
        let name = &constraint.name;
        let note = format!("constraint \"{name}\" is left out, since {obstacle}");
        losses.extend(class, oid, (constraint.parent_oid == 0).then_some(note));
    }
    release_parts(catalog, &kept_parts);
    catalog.indexes.retain(|index| !gone.contains(&index.constraint_oid));
    catalog.constraints.retain(|constraint| !gone.contains(&constraint.oid));
}

/// Lets the partitions keep what they have from constraints of their parents that cannot be.
fn release_parts(catalog: &mut Catalog, parents: &HashSet<u32>) {
    let indexes: HashSet<u32> = catalog
        .indexes
        .iter()
        .filter(|index| parents.contains(&index.constraint_oid))
        .map(|index| index.oid)
        .collect();
    for index in catalog.indexes.iter_mut().filter(|index| indexes.contains(&index.parent_index)) {
        index.parent_index = 0;
    }
    for constraint in &mut catalog.constraints {
        if parents.contains(&constraint.parent_oid) {
            constraint.parent_oid = 0;
            constraint.is_local = true;
        }
    }
}

/// What a constraint is that the server cannot have.
fn find_obstacle(
    constraint: &Constraint,
    table: Option<&Table>,
    major: u32,
) -> Option<&'static str> {
    let is_partitioned = table.is_some_and(|table| table.relkind == TableKind::Partitioned);
    let is_late_key =
        constraint.kind == ConstraintKind::ForeignKey && !constraint.is_validated && is_partitioned;
    let is_exclusion = constraint.kind == ConstraintKind::Exclusion && is_partitioned;
    if major < NOT_ENFORCED && !constraint.is_enforced {
        Some("is not enforced")
    } else if major < TEMPORAL && constraint.is_temporal {
        Some("is temporal")
    } else if major < NOT_VALID_ON_PARTITIONED && is_late_key {
        Some("is not valid on a partitioned table")
    } else if major < PARTITIONED_EXCLUSION && is_exclusion {
        Some("excludes on a partitioned table")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A server with everything, and one that was built with less.
    fn builtins(has_all: bool) -> Builtins {
        let mut collations = HashSet::from(["C".to_owned()]);
        let mut compressions = HashSet::from(["pglz".to_owned()]);
        if has_all {
            collations.extend(["de-x-icu", "de_DE.utf8"].map(str::to_owned));
            compressions.insert("lz4".to_owned());
        }
        Builtins { collations, compressions, has_icu: has_all, ..Builtins::default() }
    }

    fn view() -> crate::model::View {
        let column = json!({
            "relation_oid": 7, "attnum": 1, "name": "c %", "type_oid": 25, "type_schema": "pg_catalog",
            "type_name": "text", "type_sql": "text", "typmod": -1,
            "collation": "pg_catalog.\"de-x-icu\"", "not_null": false, "not_null_constraint": null,
            "default_sql": null, "default_oid": 0, "generated": null, "identity": null,
            "storage": null, "compression": "lz4", "statistics_target": null, "options": [],
            "foreign_options": [], "is_local": true, "inherited_count": 0,
        });
        let mut view: crate::model::View = serde_json::from_value(json!({
            "oid": 7, "schema": "s", "name": "m", "owner": "o", "is_materialized": true,
            "is_populated": true, "definition": "select t COLLATE \"de_DE.utf8\" from s.t",
            "rule_oid": 8, "row_type_oid": 9, "options": [], "check_option": null,
            "replica_identity": "d", "access_method": null, "tablespace": null,
        }))
        .expect("a view");
        view.columns = vec![serde_json::from_value(column).expect("a column")];
        view
    }

    fn collation() -> crate::model::Definition {
        serde_json::from_value(json!({
            "class": 3456, "oid": 5, "noun": "collation", "schema": "s", "name": "by number",
            "identity": "s.\"by number\"", "owner": "o", "table_oid": null,
            "create": ["create collation s.\"by number\" (provider = icu, locale = 'de', deterministic = false)"],
            "roles": null, "has_secret": null, "note": null, "parts": null, "older": null,
        }))
        .expect("a collation")
    }

    #[test]
    fn what_the_target_was_built_without_is_replaced_and_named() {
        let catalog =
            Catalog { views: vec![view()], definitions: vec![collation()], ..Catalog::default() };
        let (source, target) = (builtins(true), builtins(false));
        let mut expressed = Cow::Borrowed(&catalog);
        express_in(&mut expressed, Servers { major: 0, source: &source, target: &source });
        assert!(matches!(expressed, Cow::Borrowed(_)), "nothing is missing");
        express_in(&mut expressed, Servers { major: 0, source: &source, target: &target });
        let view = &expressed.views[0];
        assert_eq!(view.columns[0].compression, None);
        assert_eq!(view.columns[0].collation.as_deref(), Some("pg_catalog.\"C\""));
        assert_eq!(view.definition, "select t COLLATE \"C\" from s.t");
        let notes = &expressed.annotations.losses[&ObjectId::new(Class::RELATION, 7)];
        assert_eq!(notes.len(), 2, "{notes:?}");
        let collation = &expressed.definitions[0];
        assert_eq!(
            collation.create,
            [
                "create collation s.\"by number\" (provider = libc, lc_collate = 'C', lc_ctype = 'C')"
            ]
        );
        assert!(collation.note.as_deref().is_some_and(|note| note.contains("without ICU")));
    }
}
