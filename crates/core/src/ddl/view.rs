//! Views and materialized views.

use super::column::{compression_of, render_storage_options};
use super::context::Context;
use super::item::{Item, ItemKind};
use crate::model::{Class, ObjectId, ReplicaIdentity, View};
use crate::name::{quote_ident, quote_qualified};

/// The view, or a dummy of it and its real query; a materialized view and its filling.
pub(super) fn render(context: &Context, view: &View) -> Vec<Item> {
    if view.is_materialized {
        render_materialized(context, view)
    } else {
        render_view(context, view)
    }
}

fn render_view(context: &Context, view: &View) -> Vec<Item> {
    let id = ObjectId::new(Class::RELATION, view.oid);
    let rule = ObjectId::new(Class::RULE, view.rule_oid);
    let identity = quote_qualified(&view.schema, &view.name);
    let mut item = Item::in_schema(id, ItemKind::View, "view", &view.schema, &view.name);
    item.table_oid = Some(view.oid);
    let mut body = None;
    if context.is_separate(rule) {
        item.create.push(render_dummy(view, &identity));
        let mut real = Item::in_schema(rule, ItemKind::ViewBody, "view", &view.schema, &view.name);
        real.table_oid = Some(view.oid);
        real.requires.push(id);
        real.create.push(render_query(view, &identity, "create or replace view"));
        body = Some(real);
    } else {
        item.provides.push(rule);
        item.splittable.push(rule);
        item.create.push(render_query(view, &identity, "create view"));
    }
    for column in &view.columns {
        if let Some(default) = &column.default_sql {
            item.provides.push(ObjectId::new(Class::COLUMN_DEFAULT, column.default_oid));
            item.create.push(format!(
                "alter view {identity} alter column {} set default {default}",
                quote_ident(&column.name)
            ));
        }
    }
    context.annotate(&mut item, id, "view", &identity, &view.owner);
    describe_columns(context, view, &identity, &mut item);
    let mut items = vec![item];
    items.extend(body);
    items
}

/// The view with its real query.
fn render_query(view: &View, identity: &str, verb: &str) -> String {
    let mut sql = format!("{verb} {identity}");
    if !view.options.is_empty() {
        sql.push_str(&format!(" with ({})", render_storage_options(&view.options)));
    }
    sql.push_str(&format!(" as\n{}", view.definition));
    if let Some(check) = &view.check_option {
        sql.push_str(&format!("\nwith {check} check option"));
    }
    sql
}

/// A view of the same columns that depends on nothing but their types.
fn render_dummy(view: &View, identity: &str) -> String {
    let columns: Vec<String> = view
        .columns
        .iter()
        .map(|column| {
            let collate = column.collation.as_ref().map(|c| format!(" collate {c}"));
            format!(
                "null::{}{} as {}",
                column.type_sql,
                collate.unwrap_or_default(),
                quote_ident(&column.name)
            )
        })
        .collect();
    format!("create view {identity} as select {}", columns.join(", "))
}

fn render_materialized(context: &Context, view: &View) -> Vec<Item> {
    let id = ObjectId::new(Class::RELATION, view.oid);
    let identity = quote_qualified(&view.schema, &view.name);
    let noun = "materialized view";
    let mut item = Item::in_schema(id, ItemKind::MaterializedView, noun, &view.schema, &view.name);
    item.table_oid = Some(view.oid);
    item.provides.push(ObjectId::new(Class::RULE, view.rule_oid));
    let mut sql = format!("create materialized view {identity}");
    let method = view.access_method.as_deref().filter(|&method| method != "heap");
    if let Some(method) = method.filter(|_| context.options.access_methods) {
        sql.push_str(&format!(" using {}", quote_ident(method)));
    }
    if !view.options.is_empty() {
        sql.push_str(&format!(" with ({})", render_storage_options(&view.options)));
    }
    if let Some(tablespace) = view.tablespace.as_ref().filter(|_| context.options.tablespaces) {
        sql.push_str(&format!(" tablespace {}", quote_ident(tablespace)));
    }
    sql.push_str(&format!(" as\n{}\nwith no data", view.definition));
    item.create.push(sql);
    let mut actions = column_actions(context, view);
    actions.extend(match view.replica_identity {
        ReplicaIdentity::Full => Some("replica identity full".to_owned()),
        ReplicaIdentity::Nothing => Some("replica identity nothing".to_owned()),
        ReplicaIdentity::Default | ReplicaIdentity::Index => None,
    });
    if !actions.is_empty() {
        item.create.push(format!("alter {noun} {identity} {}", actions.join(", ")));
    }
    context.annotate(&mut item, id, noun, &identity, &view.owner);
    describe_columns(context, view, &identity, &mut item);
    let mut items = vec![item];
    if view.is_populated {
        items.push(render_refresh(view, &identity));
    }
    items
}

/// Column properties that a materialized view can have of its own.
fn column_actions(context: &Context, view: &View) -> Vec<String> {
    let mut actions = Vec::new();
    for column in &view.columns {
        let name = quote_ident(&column.name);
        if let Some(storage) = &column.storage {
            actions.push(format!("alter column {name} set storage {storage}"));
        }
        if let Some(compression) = compression_of(context, column) {
            actions.push(format!("alter column {name} set compression {compression}"));
        }
        if let Some(target) = column.statistics_target {
            actions.push(format!("alter column {name} set statistics {target}"));
        }
        if !column.options.is_empty() {
            let options = render_storage_options(&column.options);
            actions.push(format!("alter column {name} set ({options})"));
        }
    }
    actions
}

/// The filling of a materialized view; it may read anything, so sorting puts it behind the rest.
fn render_refresh(view: &View, identity: &str) -> Item {
    let mut item = Item::in_schema(
        ObjectId::new(Class::REFRESH, view.oid),
        ItemKind::Refresh,
        "rows of materialized view",
        &view.schema,
        &view.name,
    )
    .at_the_end();
    item.table_oid = Some(view.oid);
    item.requires.push(ObjectId::new(Class::RELATION, view.oid));
    item.create.push(format!("refresh materialized view {identity}"));
    item
}

fn describe_columns(context: &Context, view: &View, identity: &str, item: &mut Item) {
    for column in &view.columns {
        let id = ObjectId::column(view.oid, column.attnum);
        let name = format!("{identity}.{}", quote_ident(&column.name));
        context.describe(item, id, "column", &name);
    }
}
