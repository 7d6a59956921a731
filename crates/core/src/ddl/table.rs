//! Tables of every kind with what belongs into them, and their places in partition trees.

use super::column::{self, render_options, render_storage_options};
use super::constraint;
use super::context::Context;
use super::item::{Item, ItemKind};
use crate::model::{
    Class, Column, Constraint, ConstraintKind, ObjectId, Persistence, ReplicaIdentity, Table,
    TableKind,
};
use crate::name::{quote_ident, quote_qualified};

/// The access method that needs no mention.
const DEFAULT_ACCESS_METHOD: &str = "heap";

/// The table, its separate defaults and late NOT NULLs, its attachment to a partitioned table, its row security.
pub(super) fn render(context: &Context, table: &Table) -> Vec<Item> {
    let mut items = vec![render_table(context, table)];
    items.extend(column::render_separate_defaults(context, table));
    items.extend(column::render_late_not_nulls(context, table));
    items.extend(render_attachment(context, table));
    items.extend(render_row_security(table));
    items
}

/// The word for the table in ALTER and COMMENT.
fn noun(table: &Table) -> &'static str {
    if table.relkind == TableKind::Foreign { "foreign table" } else { "table" }
}

fn render_table(context: &Context, table: &Table) -> Item {
    let id = ObjectId::new(Class::RELATION, table.oid);
    let identity = quote_qualified(&table.schema, &table.name);
    let mut item = Item::in_schema(id, ItemKind::Table, noun(table), &table.schema, &table.name);
    item.table_oid = Some(table.oid);
    let mut elements = Vec::new();
    for column in &table.columns {
        let sequence = column::identity_sequence(context, table, column);
        elements.extend(column::render_definition(context, table, column, sequence));
        elements.extend(column::render_own_not_null(table, column));
        note_default(context, &mut item, column);
        if let Some(sequence) = sequence {
            item.provides.push(ObjectId::new(Class::RELATION, sequence.oid));
        }
    }
    for check in context.constraints_of(table.oid) {
        elements.extend(render_inline_check(context, table, check, &mut item));
    }
    item.create.push(render_create(context, table, &identity, &elements));
    let mut actions = column::render_actions(context, table);
    if joins_parents_later(context, table) {
        let parents = render_parents(context, table).into_iter();
        item.create.extend(
            parents.map(|parent| format!("alter {} only {identity} inherit {parent}", noun(table))),
        );
    }
    match table.replica_identity {
        _ if table.relkind == TableKind::Foreign => {}
        ReplicaIdentity::Full => actions.push("replica identity full".to_owned()),
        ReplicaIdentity::Nothing => actions.push("replica identity nothing".to_owned()),
        ReplicaIdentity::Default | ReplicaIdentity::Index => {}
    }
    if !actions.is_empty() {
        let actions = actions.join(", ");
        item.create.push(format!("alter {} only {identity} {actions}", noun(table)));
    }
    for column in &table.columns {
        if let Some(sequence) = column::identity_sequence(context, table, column) {
            let name = quote_qualified(&sequence.schema, &sequence.name);
            context.take_back_defaults(&mut item, "sequence", &name);
        }
    }
    context.annotate(&mut item, id, noun(table), &identity, &table.owner);
    describe_parts(context, table, &identity, &mut item);
    item
}

/// Whether the table can be made on its own and told of its parents afterwards: then its columns keep
/// their order, which INHERITS would not respect. It must have everything inherited as its own, too.
pub(super) fn joins_parents_later(context: &Context, table: &Table) -> bool {
    let is_own = |column: &Column| {
        let not_null = column.not_null_constraint.as_ref();
        column.inherited_count == 0 || column.is_local && not_null.is_none_or(|c| c.is_local)
    };
    let is_own_check = |check: &Constraint| {
        let is_separate = context.is_separate(ObjectId::new(Class::CONSTRAINT, check.oid));
        check.inherited_count == 0 || check.is_local && !is_separate
    };
    let checks = context.constraints_of(table.oid).iter();
    !table.is_partition
        && table.of_type.is_none()
        && table.columns.iter().all(is_own)
        && checks.filter(|c| c.kind == ConstraintKind::Check).all(|check| is_own_check(check))
}

/// The names of the parents that a table inherits from without being a partition.
fn render_parents(context: &Context, table: &Table) -> Vec<String> {
    let parents = if table.is_partition { &[] } else { table.parents.as_slice() };
    let relations = parents.iter().filter_map(|&parent| context.relation(parent));
    relations.map(|parent| parent.quoted()).collect()
}

/// Notes that a default comes with the table, and whether it could come later.
fn note_default(context: &Context, item: &mut Item, column: &Column) {
    let id = ObjectId::new(Class::COLUMN_DEFAULT, column.default_oid);
    if column.default_oid == 0 || context.is_separate(id) {
        return;
    }
    item.provides.push(id);
    if column.generated.is_none() {
        item.splittable.push(id);
    }
}

/// A check's entry in CREATE TABLE, if that is its place.
fn render_inline_check(
    context: &Context,
    table: &Table,
    check: &Constraint,
    item: &mut Item,
) -> Option<String> {
    let id = ObjectId::new(Class::CONSTRAINT, check.oid);
    if check.kind != ConstraintKind::Check || context.is_separate(id) {
        return None;
    }
    item.provides.push(id);
    item.splittable.push(id);
    (check.is_local || table.is_partition)
        .then(|| format!("constraint {} {}", quote_ident(&check.name), check.definition))
}

/// CREATE TABLE.
fn render_create(context: &Context, table: &Table, identity: &str, elements: &[String]) -> String {
    let kind = match (table.relkind, table.persistence) {
        (TableKind::Foreign, _) => "foreign table",
        (_, Persistence::Unlogged) => "unlogged table",
        (_, Persistence::Permanent) => "table",
    };
    let mut sql = format!("create {kind} {identity}");
    if let Some(of_type) = &table.of_type {
        sql.push_str(&format!(" of {of_type}"));
    }
    if table.of_type.is_none() || !elements.is_empty() {
        sql.push_str(" (");
        if !elements.is_empty() {
            sql.push_str(&format!("\n  {}\n", elements.join(",\n  ")));
        }
        sql.push(')');
    }
    let parents = render_parents(context, table);
    if !parents.is_empty() && !joins_parents_later(context, table) {
        sql.push_str(&format!(" inherits ({})", parents.join(", ")));
    }
    if let Some(key) = &table.partition_key {
        sql.push_str(&format!(" partition by {key}"));
    }
    if let Some(server) = &table.foreign_server {
        sql.push_str(&format!(" server {}", quote_ident(server)));
        if !table.foreign_options.is_empty() {
            sql.push_str(&format!(" options ({})", render_options(&table.foreign_options)));
        }
    }
    let method = table.access_method.as_deref().filter(|&am| am != DEFAULT_ACCESS_METHOD);
    if let Some(method) = method.filter(|_| context.options.access_methods) {
        sql.push_str(&format!(" using {}", quote_ident(method)));
    }
    if !table.options.is_empty() {
        sql.push_str(&format!(" with ({})", render_storage_options(&table.options)));
    }
    if let Some(tablespace) = table.tablespace.as_ref().filter(|_| context.options.tablespaces) {
        sql.push_str(&format!(" tablespace {}", quote_ident(tablespace)));
    }
    sql
}

/// Comments on columns and inline checks; comments on identity sequences.
fn describe_parts(context: &Context, table: &Table, identity: &str, item: &mut Item) {
    for column in &table.columns {
        let id = ObjectId::column(table.oid, column.attnum);
        let name = format!("{identity}.{}", quote_ident(&column.name));
        context.describe(item, id, "column", &name);
        if let Some(sequence) = column::identity_sequence(context, table, column) {
            let id = ObjectId::new(Class::RELATION, sequence.oid);
            let name = quote_qualified(&sequence.schema, &sequence.name);
            if sequence.persistence != table.persistence {
                let word = match sequence.persistence {
                    Persistence::Permanent => "logged",
                    Persistence::Unlogged => "unlogged",
                };
                item.push_attribute(format!("alter sequence {name} set {word}"));
            }
            context.describe(item, id, "sequence", &name);
        }
    }
    column::describe_not_nulls(context, item, table, identity);
    for check in context.constraints_of(table.oid) {
        let id = ObjectId::new(Class::CONSTRAINT, check.oid);
        if check.kind == ConstraintKind::Check && !context.is_separate(id) {
            constraint::describe(context, item, check, identity);
        }
    }
}

/// Attaching a partition, which takes nothing from its own definition.
fn render_attachment(context: &Context, table: &Table) -> Option<Item> {
    let bound = table.partition_bound.as_ref().filter(|_| table.is_partition)?;
    let &parent_oid = table.parents.first()?;
    let parent = context.relation(parent_oid)?;
    let mut item = Item::in_schema(
        ObjectId::new(Class::INHERITS, table.oid),
        ItemKind::AttachPartition,
        "partition",
        &table.schema,
        &table.name,
    );
    item.table_oid = Some(table.oid);
    item.requires =
        vec![ObjectId::new(Class::RELATION, parent_oid), ObjectId::new(Class::RELATION, table.oid)];
    item.create.push(format!(
        "alter table only {} attach partition {} {bound}",
        parent.quoted(),
        quote_qualified(&table.schema, &table.name)
    ));
    Some(item)
}

/// Row security, which must not stand in the way of loading.
fn render_row_security(table: &Table) -> Option<Item> {
    let mut actions = Vec::new();
    if table.row_security {
        actions.push("enable row level security");
    }
    if table.force_row_security {
        actions.push("force row level security");
    }
    if actions.is_empty() {
        return None;
    }
    let mut item = Item::in_schema(
        ObjectId::new(Class::ROW_SECURITY, table.oid),
        ItemKind::RowSecurity,
        "row security of table",
        &table.schema,
        &table.name,
    )
    .after_data();
    item.table_oid = Some(table.oid);
    item.requires.push(ObjectId::new(Class::RELATION, table.oid));
    item.create.push(format!(
        "alter table {} {}",
        quote_qualified(&table.schema, &table.name),
        actions.join(", ")
    ));
    Some(item)
}
