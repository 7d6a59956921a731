//! Constraints that are made by ALTER: keys, exclusions, foreign keys, checks after the data.

use super::column::render_storage_options;
use super::context::Context;
use super::index;
use super::item::{Item, ItemKind};
use crate::model::{Class, Constraint, ConstraintKind, Index, ObjectId, Table, TableKind};
use crate::name::{quote_ident, quote_qualified};

/// The item of a constraint that is not part of something else.
pub(super) fn render(context: &Context, constraint: &Constraint) -> Option<Item> {
    let table = context.table(constraint.table_oid)?;
    match constraint.kind {
        ConstraintKind::Primary | ConstraintKind::Unique | ConstraintKind::Exclusion => {
            render_index_constraint(context, table, constraint)
        }
        ConstraintKind::ForeignKey => render_foreign_key(context, table, constraint),
        ConstraintKind::Check => render_check(context, table, constraint),
        ConstraintKind::Trigger | ConstraintKind::NotNull => None,
    }
}

/// Adds the comment and labels of a constraint on a table.
pub(super) fn describe(context: &Context, item: &mut Item, constraint: &Constraint, table: &str) {
    let id = ObjectId::new(Class::CONSTRAINT, constraint.oid);
    let name = format!("{} on {table}", quote_ident(&constraint.name));
    context.describe(item, id, "constraint", &name);
}

/// An item after the data for `constraint`, with nothing in it yet.
fn start(constraint: &Constraint, kind: ItemKind, table: &Table) -> Item {
    let id = ObjectId::new(Class::CONSTRAINT, constraint.oid);
    let object = format!("constraint {} on {}.{}", constraint.name, table.schema, table.name);
    let mut item = Item::new(id, kind, object, &constraint.name).after_data();
    item.schema = Some(table.schema.clone());
    item.table_oid = Some(table.oid);
    item
}

fn render_index_constraint(
    context: &Context,
    table: &Table,
    constraint: &Constraint,
) -> Option<Item> {
    let index = context.index(constraint.index_oid)?;
    let kind = match constraint.kind {
        ConstraintKind::Primary => ItemKind::PrimaryKey,
        ConstraintKind::Unique => ItemKind::Unique,
        _ => ItemKind::Exclusion,
    };
    let relation = quote_qualified(&table.schema, &table.name);
    let name = quote_ident(&constraint.name);
    let mut item = start(constraint, kind, table);
    item.provides.push(ObjectId::new(Class::RELATION, index.oid));
    item.reads_rows = context.reads_rows(index);
    let definition = render_with_options(context, constraint, index);
    item.create.push(format!("alter table only {relation} add constraint {name} {definition}"));
    if has_plain_index(table, constraint, index) {
        item.index_definition = Some(index::render_create(context, index));
        item.using_index = Some(render_using_index(&relation, constraint, index));
    }
    index::finish(context, &mut item, index, &relation);
    describe(context, &mut item, constraint, &relation);
    Some(item)
}

/// The definition with what the server leaves out: the index's storage parameters, unless it is an
/// exclusion constraint, and its tablespace.
fn render_with_options(context: &Context, constraint: &Constraint, index: &Index) -> String {
    let mut clauses = String::new();
    if !index.options.is_empty() && constraint.kind != ConstraintKind::Exclusion {
        clauses.push_str(&format!(" with ({})", render_storage_options(&index.options)));
    }
    if let Some(tablespace) = index.tablespace.as_ref().filter(|_| context.options.tablespaces) {
        clauses.push_str(&format!(" using index tablespace {}", quote_ident(tablespace)));
    }
    index::with_clauses(&constraint.definition, &clauses)
}

/// Whether the index can be built first and be made the constraint's afterwards.
fn has_plain_index(table: &Table, constraint: &Constraint, index: &Index) -> bool {
    let is_key = matches!(constraint.kind, ConstraintKind::Primary | ConstraintKind::Unique);
    is_key && !constraint.is_temporal && table.relkind == TableKind::Ordinary && index.is_plain
}

/// ADD CONSTRAINT … USING INDEX; the constraint takes the index's name unless told otherwise.
fn render_using_index(relation: &str, constraint: &Constraint, index: &Index) -> String {
    let kind = match constraint.kind {
        ConstraintKind::Primary => "primary key",
        _ => "unique",
    };
    let mut sql = format!(
        "alter table only {relation} add constraint {} {kind} using index {}",
        quote_ident(&constraint.name),
        quote_ident(&index.name)
    );
    if constraint.is_deferrable {
        sql.push_str(" deferrable");
    }
    if constraint.is_deferred {
        sql.push_str(" initially deferred");
    }
    sql
}

/// A foreign key, unless it is a copy that its parent's brings along.
fn render_foreign_key(context: &Context, table: &Table, constraint: &Constraint) -> Option<Item> {
    let referenced = ObjectId::new(Class::RELATION, constraint.referenced_table_oid);
    let is_known = context.table(referenced.oid).is_some() || context.is_member(referenced);
    if constraint.parent_oid != 0 || !is_known {
        return None;
    }
    let relation = quote_qualified(&table.schema, &table.name);
    let mut item = start(constraint, ItemKind::ForeignKey, table);
    item.referenced_table_oid = Some(constraint.referenced_table_oid);
    item.requires = context.attachments_of(constraint.index_oid);
    item.create.push(format!(
        "alter table {}{relation} add constraint {} {}",
        if table.relkind == TableKind::Partitioned { "" } else { "only " },
        quote_ident(&constraint.name),
        constraint.definition
    ));
    describe(context, &mut item, constraint, &relation);
    Some(item)
}

/// A check that waits for the data; children get theirs from their parents'.
fn render_check(context: &Context, table: &Table, constraint: &Constraint) -> Option<Item> {
    let id = ObjectId::new(Class::CONSTRAINT, constraint.oid);
    if !context.is_separate(id) {
        return None;
    }
    let relation = quote_qualified(&table.schema, &table.name);
    let mut item = start(constraint, ItemKind::Check, table);
    item.requires.push(ObjectId::new(Class::RELATION, table.oid));
    if constraint.is_local {
        item.create.push(format!(
            "alter table {relation} add constraint {} {}",
            quote_ident(&constraint.name),
            constraint.definition
        ));
    } else {
        item.requires.extend(parent_checks(context, table, constraint));
    }
    describe(context, &mut item, constraint, &relation);
    Some(item)
}

/// The checks of the parents that `constraint` is inherited from.
fn parent_checks(context: &Context, table: &Table, constraint: &Constraint) -> Vec<ObjectId> {
    table
        .parents
        .iter()
        .flat_map(|&parent| context.constraints_of(parent))
        .filter(|parent| parent.kind == ConstraintKind::Check && parent.name == constraint.name)
        .map(|parent| ObjectId::new(Class::CONSTRAINT, parent.oid))
        .collect()
}
