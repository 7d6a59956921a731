//! Indexes, with or without a constraint, and their places in partitioned indexes.

use super::context::Context;
use super::item::{Item, ItemKind};
use crate::model::{Class, Index, ObjectId};
use crate::name::{quote_ident, quote_qualified};

/// The index, if no constraint brings it, and its attachment to its parent.
pub(super) fn render(context: &Context, index: &Index) -> Vec<Item> {
    let Some(relation) = context.relation(index.table_oid) else {
        return Vec::new();
    };
    let mut items = Vec::new();
    let is_usable = index.is_valid || index.is_partitioned;
    if index.constraint_oid == 0 && is_usable {
        let id = ObjectId::new(Class::RELATION, index.oid);
        let mut item =
            Item::in_schema(id, ItemKind::Index, "index", &index.schema, &index.name).after_data();
        item.table_oid = Some(index.table_oid);
        push_in_tablespace(context, &mut item, index, index.definition.clone());
        finish(context, &mut item, index, &relation.quoted());
        items.push(item);
    }
    items.extend(render_attachment(context, index));
    items
}

/// Adds the statement that builds `index`, between those that choose its tablespace.
pub(super) fn push_in_tablespace(
    context: &Context,
    item: &mut Item,
    index: &Index,
    statement: String,
) {
    match index.tablespace.as_ref().filter(|_| context.options.tablespaces) {
        Some(tablespace) => item.create.extend([
            format!("set default_tablespace = {}", quote_ident(tablespace)),
            statement,
            "set default_tablespace = ''".to_owned(),
        ]),
        None => item.create.push(statement),
    }
}

/// CREATE INDEX in one statement, for an index without a predicate: its tablespace ends the text.
pub(super) fn render_plain(context: &Context, index: &Index) -> String {
    match index.tablespace.as_ref().filter(|_| context.options.tablespaces) {
        Some(tablespace) => {
            format!("{} tablespace {}", index.definition, quote_ident(tablespace))
        }
        None => index.definition.clone(),
    }
}

/// Adds what is said of an index once it is there.
pub(super) fn finish(context: &Context, item: &mut Item, index: &Index, relation: &str) {
    let identity = quote_qualified(&index.schema, &index.name);
    for column in &index.statistics {
        item.push_attribute(format!(
            "alter index {identity} alter column {} set statistics {}",
            column.attnum, column.target
        ));
    }
    if index.is_clustered {
        let name = quote_ident(&index.name);
        item.push_attribute(format!("alter table {relation} cluster on {name}"));
    }
    if index.is_replica_identity {
        let name = quote_ident(&index.name);
        item.push_attribute(format!(
            "alter table only {relation} replica identity using index {name}"
        ));
    }
    context.describe(item, ObjectId::new(Class::RELATION, index.oid), "index", &identity);
}

/// Attaching a partition's index to the index of the partitioned table.
fn render_attachment(context: &Context, index: &Index) -> Option<Item> {
    let parent = context.index(index.parent_index)?;
    let mut item = Item::in_schema(
        ObjectId::new(Class::INHERITS, index.oid),
        ItemKind::AttachIndex,
        "attached index",
        &index.schema,
        &index.name,
    )
    .after_data();
    item.table_oid = Some(index.table_oid);
    item.requires = vec![
        ObjectId::new(Class::RELATION, parent.oid),
        ObjectId::new(Class::RELATION, index.oid),
        ObjectId::new(Class::INHERITS, index.table_oid),
    ];
    item.create.push(format!(
        "alter index {} attach partition {}",
        quote_qualified(&parent.schema, &parent.name),
        quote_qualified(&index.schema, &index.name)
    ));
    Some(item)
}
