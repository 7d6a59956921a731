//! Model objects to statements. Pure.
//!
//! `render` turns a catalog into items, one per object or separately made part, in no particular order;
//! `plan::order::sort` puts them in order. A default, check or view that stands in a cycle of
//! dependencies, or that would drag a table behind the data, is made by an item of its own: rendering is
//! repeated with a longer list of such parts until nothing is left to separate. Statements assume an
//! empty `search_path`, `check_function_bodies = off` and the built-in default access method and tablespace.
//!
//! To add a class of object: a query in `source::catalog`, a struct in `model`, a renderer here; or, for
//! one that needs nothing but its statements, a query in `source::catalog::definitions` and its kind in
//! `definition`.

mod column;
mod constraint;
mod context;
mod data_type;
mod database;
mod definition;
mod index;
mod item;
pub mod large_object;
mod namespace;
mod privilege;
mod rewrite;
mod routine;
mod separate;
mod sequence;
pub mod setting;
mod table;
mod view;

use std::collections::HashSet;

use context::Context;
pub use item::{Attribute, Item, ItemKind, PRIVILEGES, Section};
pub(crate) use namespace::PUBLIC;
use separate::RowReaders;

use crate::model::{Catalog, DefaultAcl, ObjectId};
use crate::options::Options;
use crate::plan::order;

/// What to render, and for which server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DdlOptions {
    /// `server_version_num` of the target.
    pub target_version: u32,
    pub owner: bool,
    pub privileges: bool,
    pub comments: bool,
    pub security_labels: bool,
    pub tablespaces: bool,
    pub access_methods: bool,
    pub toast_compression: bool,
    /// What the target grants on any new object of the run's role.
    pub default_acls: Vec<DefaultAcl>,
    /// None: nothing is said about the database itself.
    pub database: Option<TargetDatabase>,
}

/// The database to be filled, for statements about the database itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetDatabase {
    pub name: String,
    /// Names of the settings that the server has, in lower case.
    pub settings: HashSet<String>,
}

impl DdlOptions {
    /// What a run's options ask for.
    pub fn new(options: &Options, target_version: u32) -> Self {
        DdlOptions {
            target_version,
            owner: options.owner,
            privileges: options.privileges,
            comments: options.comments,
            security_labels: options.security_labels,
            tablespaces: options.tablespaces,
            access_methods: options.table_access_methods,
            toast_compression: options.toast_compression,
            default_acls: Vec::new(),
            database: None,
        }
    }

    /// Everything, for a target of the given `server_version_num`.
    pub fn all(target_version: u32) -> Self {
        DdlOptions {
            target_version,
            owner: true,
            privileges: true,
            comments: true,
            security_labels: true,
            tablespaces: true,
            access_methods: true,
            toast_compression: true,
            default_acls: Vec::new(),
            database: None,
        }
    }

    /// The target's major version.
    pub(crate) fn target_major(&self) -> u32 {
        self.target_version / 10_000
    }
}

/// Renders everything in the catalog; what belongs to a table that is not in it is left out.
pub fn render(catalog: &Catalog, options: &DdlOptions) -> Vec<Item> {
    let readers = RowReaders::find(catalog);
    let mut separate = readers.checks.clone();
    loop {
        separate::include_inherited(catalog, &mut separate);
        let items = render_parts(catalog, options, &separate, &readers);
        let parts_before = separate.len();
        separate.extend(order::find_splits(&items, &catalog.depends));
        if separate.len() == parts_before {
            return items;
        }
    }
}

/// Renders with the given parts made separately.
fn render_parts(
    catalog: &Catalog,
    options: &DdlOptions,
    separate: &HashSet<ObjectId>,
    readers: &RowReaders,
) -> Vec<Item> {
    let context = Context::new(catalog, options, separate, readers);
    let c = &context;
    let mut items = Vec::new();
    items.extend(catalog.schemas.iter().map(|schema| namespace::render_schema(c, schema)));
    items.extend(catalog.extensions.iter().map(|e| namespace::render_extension(c, e)));
    items.extend(catalog.types.iter().flat_map(|data_type| data_type::render(c, data_type)));
    items.extend(catalog.functions.iter().map(|function| routine::render(c, function)));
    items.extend(catalog.sequences.iter().flat_map(|sequence| sequence::render(c, sequence)));
    items.extend(catalog.tables.iter().flat_map(|table| table::render(c, table)));
    items.extend(catalog.views.iter().flat_map(|view| view::render(c, view)));
    items.extend(catalog.indexes.iter().flat_map(|index| index::render(c, index)));
    items.extend(catalog.constraints.iter().filter_map(|k| constraint::render(c, k)));
    items.extend(catalog.triggers.iter().filter_map(|t| rewrite::render_trigger(c, t)));
    items.extend(catalog.rules.iter().filter_map(|rule| rewrite::render_rule(c, rule)));
    items.extend(catalog.policies.iter().filter_map(|p| rewrite::render_policy(c, p)));
    items.extend(catalog.definitions.iter().filter_map(|d| definition::render(c, d)));
    let privileges = privilege::render_all(c, &items);
    items.extend(privileges);
    items.extend(database::render(c, &catalog.database));
    items.extend(catalog.default_acls.iter().filter_map(|acl| privilege::render_default(c, acl)));
    items
}
