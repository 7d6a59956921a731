//! Indexes, with or without a constraint, and their places in partitioned indexes.

use super::context::Context;
use super::item::{Item, ItemKind};
use crate::model::{Class, Index, ObjectId};
use crate::name::{quote_ident, quote_qualified};
use crate::token::tokenize;

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
        item.reads_rows = context.reads_rows(index);
        item.create.push(render_create(context, index));
        finish(context, &mut item, index, &relation.quoted());
        items.push(item);
    }
    items.extend(render_attachment(context, index));
    items
}

/// A definition of the server's, of an index or of a constraint over one, with further clauses in their
/// place: before the predicate and the constraint's timing.
pub(super) fn with_clauses(definition: &str, clauses: &str) -> String {
    let mut depth = 0_usize;
    let mut position = 0;
    for token in tokenize(definition) {
        match token.text() {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "WHERE" | "DEFERRABLE" | "INITIALLY" if depth == 0 => {
                let (start, end) = definition.split_at(position);
                return format!("{}{clauses} {end}", start.trim_end());
            }
            _ => {}
        }
        position += token.text().len();
    }
    format!("{definition}{clauses}")
}

/// CREATE INDEX with the index's tablespace.
pub(super) fn render_create(context: &Context, index: &Index) -> String {
    match index.tablespace.as_ref().filter(|_| context.options.tablespaces) {
        Some(tablespace) => {
            with_clauses(&index.definition, &format!(" tablespace {}", quote_ident(tablespace)))
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

#[cfg(test)]
mod tests {
    use super::with_clauses;

    #[test]
    fn clauses_stand_before_the_predicate_and_the_timing_of_a_constraint() {
        for (definition, expected) in [
            ("CREATE INDEX i ON s.t USING btree (a)", "CREATE INDEX i ON s.t USING btree (a) X"),
            (
                "CREATE INDEX \"WHERE \" ON s.t USING btree ((a <> ' WHERE '::text)) WHERE (a > 0)",
                "CREATE INDEX \"WHERE \" ON s.t USING btree ((a <> ' WHERE '::text)) X WHERE (a > 0)",
            ),
            (
                "UNIQUE (a) DEFERRABLE INITIALLY DEFERRED",
                "UNIQUE (a) X DEFERRABLE INITIALLY DEFERRED",
            ),
            (
                "EXCLUDE USING gist (a WITH &&) WHERE ((b > 0)) DEFERRABLE",
                "EXCLUDE USING gist (a WITH &&) X WHERE ((b > 0)) DEFERRABLE",
            ),
        ] {
            assert_eq!(with_clauses(definition, " X"), expected);
        }
    }
}
