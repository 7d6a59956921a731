//! What older servers have and newer ones have no more, and what a server can be built without.

use std::collections::{HashMap, HashSet};

use super::{Losses, Servers};
use crate::model::{Builtins, Catalog, Class, ObjectId, TypeDefinition, TypeInfo, TypeKind};

/// Why what is on the system column `oid` cannot be.
pub(super) const NO_OIDS: &str = "tables have no OIDs from version 12 on";

/// The number of the system column `oid`.
const OID_COLUMN: i32 = -2;

/// The first major version whose array functions take types that are merely compatible.
const COMPATIBLE_ARRAYS: u32 = 14;

/// Functions that took an array and an element of just its type before.
const ARRAY_FUNCTIONS: &[&str] = &[
    "array_append",
    "array_cat",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_remove",
    "array_replace",
    "width_bucket",
];

/// The pseudo-types that such an aggregate has, and those that it has to have.
const POLYMORPHIC: [(&str, &str); 3] = [
    ("anyarray", "anycompatiblearray"),
    ("anyelement", "anycompatible"),
    ("anynonarray", "anycompatiblenonarray"),
];

/// Rewrites what the target's version has no more.
pub(super) fn express(catalog: &mut Catalog, servers: Servers<'_>, losses: &mut Losses) {
    note_oids(catalog, losses);
    if catalog.server.version_num / 10_000 < COMPATIBLE_ARRAYS {
        express_aggregates(catalog, losses);
    }
    let missing: HashSet<&String> =
        servers.source.types.difference(&servers.target.types).collect();
    if !missing.is_empty() {
        leave_out_types(catalog, &missing, losses);
    }
}

/// Leaves out functions and types that need types of the system which are gone.
fn leave_out_types(catalog: &Catalog, missing: &HashSet<&String>, losses: &mut Losses) {
    let find = |text: &str| {
        let mut words = text.split(|c: char| !c.is_alphanumeric() && !"_.\"".contains(c));
        words.find(|word| missing.contains(&(*word).to_owned())).map(str::to_owned)
    };
    let reason = |name: String| format!("left out, since the target has no type {name}");
    for function in &catalog.functions {
        let returned = function.definition.as_deref().and_then(|sql| sql.split(" RETURNS ").nth(1));
        let returned = returned.and_then(|rest| rest.lines().next()).unwrap_or_default();
        let name = find(&function.identity_arguments).or_else(|| find(returned));
        if let Some(name) = name {
            losses.obstruct(Class::FUNCTION, function.oid, reason(name));
        }
    }
    for data_type in &catalog.types {
        let name = match &data_type.definition {
            TypeDefinition::Domain(domain) => find(&domain.base_sql),
            TypeDefinition::Composite(composite) => {
                composite.columns.iter().find_map(|column| find(&column.type_sql))
            }
            TypeDefinition::Range(range) => find(&range.subtype_sql),
            TypeDefinition::Enum { .. } | TypeDefinition::Base(_) | TypeDefinition::Shell => None,
        };
        if let Some(name) = name {
            losses.obstruct(Class::TYPE, data_type.oid, reason(name));
        }
    }
}

/// Says which tables lose their OIDs, and leaves out what is on them but for constraints.
fn note_oids(catalog: &Catalog, losses: &mut Losses) {
    let tables: HashSet<u32> =
        catalog.tables.iter().filter(|table| table.has_oids).map(|table| table.oid).collect();
    for oid in &tables {
        let note = "made without OIDs, which tables have no more from version 12 on: those of its \
                    rows are not carried";
        losses.add(Class::RELATION, *oid, note.to_owned());
    }
    let indexes = catalog.indexes.iter().filter(|index| index.is_on_oid);
    for index in indexes.filter(|index| index.constraint_oid == 0) {
        losses.obstruct(Class::RELATION, index.oid, format!("left out, since {NO_OIDS}"));
    }
    let views: HashMap<u32, u32> =
        catalog.views.iter().map(|view| (view.rule_oid, view.oid)).collect();
    for depend in &catalog.depends {
        let on = depend.reference;
        if on.class != Class::RELATION || on.subid != OID_COLUMN || !tables.contains(&on.oid) {
            continue;
        }
        let ObjectId { class, oid, .. } = depend.object;
        let (class, oid) = match views.get(&oid).filter(|_| class == Class::RULE) {
            Some(view) => (Class::RELATION, *view),
            None => (class, oid),
        };
        losses.obstruct(class, oid, format!("left out, since {NO_OIDS}"));
    }
}

/// Constraints that are on the system column `oid`, or point to it.
pub(super) fn constraints_on_oid(catalog: &Catalog) -> HashSet<u32> {
    let indexes: HashSet<u32> =
        catalog.indexes.iter().filter(|index| index.is_on_oid).map(|index| index.oid).collect();
    if indexes.is_empty() {
        return HashSet::new();
    }
    let is_on = |index_oid: &u32| indexes.contains(index_oid);
    catalog.constraints.iter().filter(|k| is_on(&k.index_oid)).map(|k| k.oid).collect()
}

/// Gives aggregates over array functions the types that these take now.
fn express_aggregates(catalog: &mut Catalog, losses: &mut Losses) {
    let rename = |text: &str| {
        let mut words = String::new();
        for part in text.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_') {
            let word = part.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
            let other = POLYMORPHIC.iter().find(|(old, _)| *old == word);
            words.push_str(other.map_or(word, |(_, new)| new));
            words.push_str(&part[word.len()..]);
        }
        words
    };
    for function in &mut catalog.functions {
        let Some(aggregate) = &mut function.aggregate else {
            continue;
        };
        let transitions = aggregate.moving_transition.iter().chain([&aggregate.transition]);
        let is_on_arrays = transitions
            .chain(&aggregate.finish)
            .any(|name| ARRAY_FUNCTIONS.contains(&name.as_str()));
        let state = rename(&aggregate.state_type);
        if !is_on_arrays || state == aggregate.state_type {
            continue;
        }
        aggregate.state_type = state;
        aggregate.arguments = rename(&aggregate.arguments);
        aggregate.moving_state_type = aggregate.moving_state_type.as_deref().map(rename);
        function.identity_arguments = rename(&function.identity_arguments);
        let id = ObjectId::new(Class::FUNCTION, function.oid);
        for acl in catalog.annotations.acls.get_mut(&id).into_iter().flatten() {
            acl.identity = rename(&acl.identity);
        }
        let note = format!(
            "takes {}, as its function {} does from version 14 on",
            function.identity_arguments, aggregate.transition
        );
        losses.add(Class::FUNCTION, function.oid, note);
    }
}

/// Whether columns are compressed by what the target was built without.
pub(super) fn uses_compression_beyond(catalog: &Catalog, builtins: &Builtins) -> bool {
    let columns = catalog.tables.iter().flat_map(|table| &table.columns);
    let columns = columns.chain(catalog.views.iter().flat_map(|view| &view.columns));
    columns
        .filter_map(|column| column.compression.as_ref())
        .any(|method| !builtins.compressions.contains(method))
}

/// Leaves columns' compression to the target where it does not have theirs.
pub(super) fn drop_compression(catalog: &mut Catalog, builtins: &Builtins, losses: &mut Losses) {
    let tables = catalog.tables.iter_mut().map(|table| (table.oid, &mut table.columns));
    let views = catalog.views.iter_mut().map(|view| (view.oid, &mut view.columns));
    for (oid, columns) in tables.chain(views) {
        for column in columns {
            let method = column.compression.take_if(|m| !builtins.compressions.contains(m));
            if let Some(method) = method {
                let name = &column.name;
                let note = format!(
                    "column \"{name}\" is not compressed by {method}, which the target was built \
                     without"
                );
                losses.add(Class::RELATION, oid, note);
            }
        }
    }
}

/// Columns of tables whose types the target does not have, each with its type, as people read them.
pub fn find_missing_types(
    catalog: &Catalog,
    builtins: &Builtins,
    tables: &HashSet<u32>,
) -> Vec<String> {
    let types: HashMap<u32, &TypeInfo> =
        catalog.type_infos.iter().map(|own| (own.oid, own)).collect();
    // An array has no other flaw than its elements'.
    let is_missing = |own: &TypeInfo| {
        let is_plain = own.is_builtin && own.element_oid == 0;
        is_plain && (own.typtype == TypeKind::Pseudo || !builtins.types.contains(&own.name))
    };
    if !types.values().any(|own| is_missing(own)) {
        return Vec::new();
    }
    let find = |type_oid: u32| {
        let (mut seen, mut waiting) = (HashSet::new(), vec![type_oid]);
        while let Some(oid) = waiting.pop() {
            let Some(own) = types.get(&oid).filter(|_| seen.insert(oid)) else {
                continue;
            };
            if is_missing(own) {
                return Some(own.name.as_str());
            }
            waiting.extend([own.element_oid, own.base_oid, own.subtype_oid]);
            waiting.extend(&own.attribute_oids);
        }
        None
    };
    let mut found = Vec::new();
    for table in catalog.tables.iter().filter(|table| tables.contains(&table.oid)) {
        for column in &table.columns {
            if let Some(name) = find(column.type_oid) {
                let (schema, table) = (&table.schema, &table.name);
                found.push(format!("\"{schema}.{table}\".\"{}\" ({name})", column.name));
            }
        }
    }
    found
}
