//! Hashes of the source's definitions, by which a run that is taken up again knows its plan to be right.

use pgmig_core::ddl::{self, DdlOptions, ItemKind};
use pgmig_core::digest::RowHasher;
use pgmig_core::model::Catalog;
use pgmig_core::options::Options;
use pgmig_core::plan::select::Selection;

/// What was hashed when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definitions {
    /// The tables that were chosen, with their columns.
    pub tables: String,
    /// Everything, owners, privileges and comments included.
    pub all: String,
}

/// Hashes the definitions of a source.
pub fn hash(catalog: &Catalog, selection: &Selection, options: &Options) -> Definitions {
    let options = DdlOptions::new(options, catalog.server.version_num);
    let (mut tables, mut all) = (RowHasher::new(), RowHasher::new());
    for item in ddl::render(catalog, &options) {
        let create = || item.create.iter().map(String::as_str);
        let attributes = item.attributes.iter().map(|attribute| attribute.sql.as_str());
        add(&mut all, &item.object, create().chain(attributes));
        let schema = item.schema.as_deref().unwrap_or_default();
        if item.kind == ItemKind::Table && selection.selects_table(schema, &item.name) {
            add(&mut tables, &item.object, create());
        }
    }
    Definitions { tables: tables.digest().to_string(), all: all.digest().to_string() }
}

fn add<'a>(hasher: &mut RowHasher, object: &str, statements: impl Iterator<Item = &'a str>) {
    hasher.begin_row();
    hasher.field(Some(object.as_bytes()));
    for sql in statements {
        hasher.field(Some(sql.as_bytes()));
    }
    hasher.end_row();
}
