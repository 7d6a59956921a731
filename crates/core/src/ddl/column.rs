//! Columns: as they stand in CREATE TABLE, and what can only be said in ALTER TABLE.

use super::context::Context;
use super::item::{Item, ItemKind};
use super::sequence;
use super::table;
use crate::model::{
    Class, Column, ForeignOption, Generated, Identity, NotNull, ObjectId, Sequence, SequenceLink,
    Table, TableKind,
};
use crate::name::{quote_ident, quote_literal, quote_qualified};

/// How a table comes to a column.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The column is spelled out in CREATE TABLE.
    Spelled,
    /// The table has a type, which brings the column.
    Typed,
    /// The column comes from a parent table.
    Inherited,
}

/// How `table` comes to `column`.
pub(super) fn origin_of(table: &Table, column: &Column) -> Origin {
    if table.of_type.is_some() {
        Origin::Typed
    } else if column.is_local || table.is_partition {
        Origin::Spelled
    } else {
        Origin::Inherited
    }
}

/// A column's entry in CREATE TABLE; None when there is nothing to say.
pub(super) fn render_definition(
    context: &Context,
    table: &Table,
    column: &Column,
    identity: Option<&Sequence>,
) -> Option<String> {
    let mut sql = match origin_of(table, column) {
        Origin::Spelled => format!("{} {}", quote_ident(&column.name), column.type_sql),
        Origin::Typed => format!("{} with options", quote_ident(&column.name)),
        Origin::Inherited => return None,
    };
    let bare_length = sql.len();
    if table.of_type.is_none() {
        if let Some(compression) = compression_of(context, column) {
            sql.push_str(&format!(" compression {compression}"));
        }
        if !column.foreign_options.is_empty() && table.relkind == TableKind::Foreign {
            sql.push_str(&format!(" options ({})", render_options(&column.foreign_options)));
        }
        if let Some(collation) = &column.collation {
            sql.push_str(&format!(" collate {collation}"));
        }
    }
    if let Some(expression) = inline_default(context, table, column) {
        match column.generated {
            Some(Generated::Stored) => {
                sql.push_str(&format!(" generated always as ({expression}) stored"));
            }
            Some(Generated::Virtual) => {
                sql.push_str(&format!(" generated always as ({expression}) virtual"));
            }
            None => sql.push_str(&format!(" default {expression}")),
        }
    }
    if let (Some(kind), Some(sequence)) = (column.identity, identity) {
        let kind = match kind {
            Identity::Always => "always",
            Identity::ByDefault => "by default",
        };
        sql.push_str(&format!(
            " generated {kind} as identity ({})",
            sequence::render_identity_options(sequence)
        ));
    }
    if let Some(not_null) = render_not_null(context, table, column) {
        sql.push_str(&not_null);
    }
    (table.of_type.is_none() || sql.len() > bare_length).then_some(sql)
}

/// The compression method that a column is to have of its own.
pub(super) fn compression_of<'a>(context: &Context, column: &'a Column) -> Option<&'a str> {
    column.compression.as_deref().filter(|_| context.options.toast_compression)
}

/// The NOT NULL of a column that is spelled out.
fn render_not_null(context: &Context, table: &Table, column: &Column) -> Option<String> {
    let Some(constraint) = &column.not_null_constraint else {
        let is_inherited = !table.is_partition
            && !table::joins_parents_later(context, table)
            && parent_columns(context, table, column).any(|parent| parent.not_null);
        return (column.not_null && !is_inherited).then(|| " not null".to_owned());
    };
    if !constraint.is_validated || !(constraint.is_local || table.is_partition) {
        return None;
    }
    let suffix = render_no_inherit(constraint);
    Some(format!(" constraint {} not null{suffix}", quote_ident(&constraint.name)))
}

/// A table's own NOT NULL for a column that comes from its parents, as an entry in CREATE TABLE.
pub(super) fn render_own_not_null(table: &Table, column: &Column) -> Option<String> {
    let constraint = column.not_null_constraint.as_ref()?;
    let is_own = constraint.is_local && constraint.is_validated;
    (origin_of(table, column) == Origin::Inherited && is_own).then(|| {
        format!(
            "constraint {} not null {}{}",
            quote_ident(&constraint.name),
            quote_ident(&column.name),
            render_no_inherit(constraint)
        )
    })
}

/// The comment on a NOT NULL constraint.
fn describe_not_null(context: &Context, item: &mut Item, constraint: &NotNull, relation: &str) {
    let id = ObjectId::new(Class::CONSTRAINT, constraint.oid);
    let name = format!("{} on {relation}", quote_ident(&constraint.name));
    context.describe(item, id, "constraint", &name);
}

/// The comments on the NOT NULL constraints that come with the table.
pub(super) fn describe_not_nulls(
    context: &Context,
    item: &mut Item,
    table: &Table,
    relation: &str,
) {
    let constraints = table.columns.iter().filter_map(|c| c.not_null_constraint.as_ref());
    for constraint in constraints.filter(|constraint| constraint.is_validated) {
        describe_not_null(context, item, constraint, relation);
    }
}

fn render_no_inherit(constraint: &NotNull) -> &'static str {
    if constraint.is_no_inherit { " no inherit" } else { "" }
}

/// The default or generation expression that belongs into CREATE TABLE.
fn inline_default<'a>(context: &Context, table: &Table, column: &'a Column) -> Option<&'a String> {
    let default = column.default_sql.as_ref()?;
    let id = ObjectId::new(Class::COLUMN_DEFAULT, column.default_oid);
    let is_inherited = column.generated.is_some()
        && !table.is_partition
        && !table::joins_parents_later(context, table)
        && parent_columns(context, table, column)
            .any(|parent| parent.default_sql.as_ref() == Some(default));
    (!context.is_separate(id) && !is_inherited).then_some(default)
}

/// The columns of the same name in the direct parents.
fn parent_columns<'a>(
    context: &'a Context,
    table: &'a Table,
    column: &'a Column,
) -> impl Iterator<Item = &'a Column> {
    table
        .parents
        .iter()
        .filter_map(|&parent| context.table(parent))
        .flat_map(|parent| parent.columns.iter())
        .filter(|other| other.name == column.name)
}

/// The actions of the ALTER TABLE that finishes the columns after CREATE TABLE.
pub(super) fn render_actions(context: &Context, table: &Table) -> Vec<String> {
    let mut actions = Vec::new();
    for column in &table.columns {
        let name = quote_ident(&column.name);
        let mut alter = |action: String| actions.push(format!("alter column {name} {action}"));
        if origin_of(table, column) == Origin::Inherited {
            if let Some(action) = inherited_default(context, table, column) {
                alter(action);
            }
            if column.not_null
                && column.not_null_constraint.is_none()
                && !parent_columns(context, table, column).any(|parent| parent.not_null)
            {
                alter("set not null".to_owned());
            }
        }
        if origin_of(table, column) != Origin::Spelled {
            if let Some(compression) = compression_of(context, column) {
                alter(format!("set compression {compression}"));
            }
        }
        if let Some(storage) = &column.storage {
            alter(format!("set storage {storage}"));
        }
        if let Some(target) = column.statistics_target {
            alter(format!("set statistics {target}"));
        }
        if !column.options.is_empty() {
            alter(format!("set ({})", render_storage_options(&column.options)));
        }
    }
    actions
}

/// What makes an inherited column's default differ from its parents'.
fn inherited_default(context: &Context, table: &Table, column: &Column) -> Option<String> {
    if column.generated.is_some() {
        return None;
    }
    let inherited = parent_columns(context, table, column)
        .filter(|parent| {
            parent.generated.is_none()
                && !context.is_separate(ObjectId::new(Class::COLUMN_DEFAULT, parent.default_oid))
        })
        .find_map(|parent| parent.default_sql.as_ref());
    let id = ObjectId::new(Class::COLUMN_DEFAULT, column.default_oid);
    let own = column.default_sql.as_ref().filter(|_| !context.is_separate(id));
    match (inherited, own) {
        (inherited, Some(own)) if inherited != Some(own) => Some(format!("set default {own}")),
        (Some(_), None) => Some("drop default".to_owned()),
        _ => None,
    }
}

/// An item for each default that has to wait for something that needs its table.
pub(super) fn render_separate_defaults(context: &Context, table: &Table) -> Vec<Item> {
    let mut items = Vec::new();
    for column in table.columns.iter().filter(|column| column.generated.is_none()) {
        let id = ObjectId::new(Class::COLUMN_DEFAULT, column.default_oid);
        let Some(default) = column.default_sql.as_ref().filter(|_| context.is_separate(id)) else {
            continue;
        };
        let mut item =
            Item::in_schema(id, ItemKind::Default, "default of", &table.schema, &table.name);
        item.object = format!("{}.{}", item.object, column.name);
        item.table_oid = Some(table.oid);
        item.requires.push(ObjectId::new(Class::RELATION, table.oid));
        let relation = quote_qualified(&table.schema, &table.name);
        let column = quote_ident(&column.name);
        item.create.push(format!(
            "alter table only {relation} alter column {column} set default {default}"
        ));
        items.push(item);
    }
    items
}

/// An item for each NOT NULL that was never validated, since the data may violate it.
pub(super) fn render_late_not_nulls(context: &Context, table: &Table) -> Vec<Item> {
    let mut items = Vec::new();
    for column in &table.columns {
        let constraint = column.not_null_constraint.as_ref();
        let is_late = |c: &&NotNull| !c.is_validated && (c.is_local || table.is_partition);
        let Some(constraint) = constraint.filter(is_late) else {
            continue;
        };
        let id = ObjectId::new(Class::CONSTRAINT, constraint.oid);
        let mut item =
            Item::in_schema(id, ItemKind::Check, "not null of", &table.schema, &table.name)
                .after_data();
        item.object = format!("{}.{}", item.object, column.name);
        item.table_oid = Some(table.oid);
        item.requires.push(ObjectId::new(Class::RELATION, table.oid));
        let relation = quote_qualified(&table.schema, &table.name);
        item.create.push(format!(
            "alter table {relation} add constraint {} not null {}{} not valid",
            quote_ident(&constraint.name),
            quote_ident(&column.name),
            render_no_inherit(constraint)
        ));
        describe_not_null(context, &mut item, constraint, &relation);
        items.push(item);
    }
    items
}

/// The sequences behind identity columns, by table and column.
pub(super) fn identity_sequence<'a>(
    context: &Context<'a>,
    table: &Table,
    column: &Column,
) -> Option<&'a Sequence> {
    column.identity?;
    context
        .sequences_of(table.oid)
        .iter()
        .find(|sequence| {
            sequence.link == Some(SequenceLink::Identity)
                && sequence.owner_attnum == Some(column.attnum)
        })
        .copied()
}

/// `name=value` options as SQL, quoted so that any value survives.
pub(super) fn render_storage_options(options: &[String]) -> String {
    let render = |option: &String| match option.split_once('=') {
        Some((name, value)) => {
            let name: Vec<String> = name.split('.').map(quote_ident).collect();
            format!("{} = {}", name.join("."), quote_literal(value).trim_start())
        }
        None => quote_ident(option),
    };
    options.iter().map(render).collect::<Vec<_>>().join(", ")
}

/// Options of foreign objects as SQL.
pub(super) fn render_options(options: &[ForeignOption]) -> String {
    let render = |option: &ForeignOption| {
        format!("{} {}", quote_ident(&option.name), quote_literal(&option.value).trim_start())
    };
    options.iter().map(render).collect::<Vec<_>>().join(", ")
}
