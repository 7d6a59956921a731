//! Types: enum, domain, composite, range, base and shell.

use super::context::Context;
use super::item::{Item, ItemKind};
use crate::model::{
    BaseType, Class, CompositeType, Constraint, DataType, DomainType, ObjectId, RangeType,
    TypeDefinition,
};
use crate::name::{quote_ident, quote_literal, quote_qualified};

/// The type, the shell it starts as if it needs one, and a domain's separate checks.
pub(super) fn render(context: &Context, data_type: &DataType) -> Vec<Item> {
    let id = ObjectId::new(Class::TYPE, data_type.oid);
    let identity = quote_qualified(&data_type.schema, &data_type.name);
    let noun = match data_type.definition {
        TypeDefinition::Domain(_) => "domain",
        _ => "type",
    };
    let mut item = Item::in_schema(id, ItemKind::Type, noun, &data_type.schema, &data_type.name);
    let mut others = Vec::new();
    match &data_type.definition {
        TypeDefinition::Enum { labels } => item.create.push(render_enum(&identity, labels)),
        TypeDefinition::Domain(domain) => {
            others = render_domain(context, data_type, domain, &identity, &mut item);
        }
        TypeDefinition::Composite(composite) => {
            item.create.push(render_composite(composite, &identity));
            item.provides.push(ObjectId::new(Class::RELATION, composite.relation_oid));
        }
        TypeDefinition::Range(range) => {
            if range.canonical.is_some() {
                others.push(render_shell(data_type, &identity, &mut item));
            }
            item.create.push(render_range(range, &identity));
            item.provides.extend(range.multirange_oid.map(|oid| ObjectId::new(Class::TYPE, oid)));
        }
        TypeDefinition::Base(base) => {
            others.push(render_shell(data_type, &identity, &mut item));
            item.create.push(render_base(base, &identity));
        }
        TypeDefinition::Shell => item.create.push(format!("create type {identity}")),
    }
    context.annotate(&mut item, id, noun, &identity, &data_type.owner);
    if let TypeDefinition::Composite(composite) = &data_type.definition {
        for column in &composite.columns {
            let id = ObjectId::column(composite.relation_oid, column.attnum);
            let name = format!("{identity}.{}", quote_ident(&column.name));
            context.describe(&mut item, id, "column", &name);
        }
    }
    if let TypeDefinition::Domain(domain) = &data_type.definition {
        describe_not_null(context, domain, &identity, &mut item);
    }
    describe_inline_checks(context, data_type, &identity, &mut item);
    others.insert(0, item);
    others
}

/// The shell that a type's own functions can refer to; the type itself must wait for it.
fn render_shell(data_type: &DataType, identity: &str, item: &mut Item) -> Item {
    let id = ObjectId::new(Class::SHELL_TYPE, data_type.oid);
    item.requires.push(id);
    let mut shell =
        Item::in_schema(id, ItemKind::ShellType, "shell type", &data_type.schema, &data_type.name);
    shell.create.push(format!("create type {identity}"));
    shell
}

fn literal(value: &str) -> String {
    quote_literal(value).trim_start().to_owned()
}

fn render_enum(identity: &str, labels: &[String]) -> String {
    let labels: Vec<String> = labels.iter().map(|label| literal(label)).collect();
    format!("create type {identity} as enum ({})", labels.join(", "))
}

/// CREATE DOMAIN, and an item for every check that cannot be part of it.
fn render_domain(
    context: &Context,
    data_type: &DataType,
    domain: &DomainType,
    identity: &str,
    item: &mut Item,
) -> Vec<Item> {
    let mut sql = format!("create domain {identity} as {}", domain.base_sql);
    if let Some(collation) = &domain.collation {
        sql.push_str(&format!(" collate {collation}"));
    }
    if let Some(default) = &domain.default_sql {
        sql.push_str(&format!(" default {default}"));
    }
    if domain.not_null {
        if let Some(name) = &domain.not_null_name {
            sql.push_str(&format!(" constraint {}", quote_ident(name)));
        }
        sql.push_str(" not null");
    }
    let mut separate = Vec::new();
    for check in context.constraints_of_domain(data_type.oid) {
        let id = ObjectId::new(Class::CONSTRAINT, check.oid);
        let constraint = format!("constraint {} {}", quote_ident(&check.name), check.definition);
        if context.is_separate(id) {
            separate.push(render_domain_check(context, data_type, check, identity, &constraint));
        } else {
            item.provides.push(id);
            item.splittable.push(id);
            sql.push_str(&format!("\n  {constraint}"));
        }
    }
    item.create.push(sql);
    separate
}

fn render_domain_check(
    context: &Context,
    data_type: &DataType,
    check: &Constraint,
    identity: &str,
    constraint: &str,
) -> Item {
    let id = ObjectId::new(Class::CONSTRAINT, check.oid);
    let object =
        format!("constraint {} on domain {}.{}", check.name, data_type.schema, data_type.name);
    let mut item = Item::new(id, ItemKind::Check, object, &check.name).after_data();
    item.schema = Some(data_type.schema.clone());
    item.requires.push(ObjectId::new(Class::TYPE, data_type.oid));
    item.create.push(format!("alter domain {identity} add {constraint}"));
    describe_check(context, check, identity, &mut item);
    item
}

fn describe_check(context: &Context, check: &Constraint, identity: &str, item: &mut Item) {
    let id = ObjectId::new(Class::CONSTRAINT, check.oid);
    let name = format!("{} on domain {identity}", quote_ident(&check.name));
    context.describe(item, id, "constraint", &name);
}

fn describe_not_null(context: &Context, domain: &DomainType, identity: &str, item: &mut Item) {
    if let (Some(name), Some(oid)) = (&domain.not_null_name, domain.not_null_oid) {
        let id = ObjectId::new(Class::CONSTRAINT, oid);
        let name = format!("{} on domain {identity}", quote_ident(name));
        context.describe(item, id, "constraint", &name);
    }
}

fn describe_inline_checks(
    context: &Context,
    data_type: &DataType,
    identity: &str,
    item: &mut Item,
) {
    for check in context.constraints_of_domain(data_type.oid) {
        if !context.is_separate(ObjectId::new(Class::CONSTRAINT, check.oid)) {
            describe_check(context, check, identity, item);
        }
    }
}

fn render_composite(composite: &CompositeType, identity: &str) -> String {
    let attributes: Vec<String> = composite
        .columns
        .iter()
        .map(|column| {
            let collate = column.collation.as_ref().map(|c| format!(" collate {c}"));
            format!(
                "{} {}{}",
                quote_ident(&column.name),
                column.type_sql,
                collate.unwrap_or_default()
            )
        })
        .collect();
    format!("create type {identity} as ({})", attributes.join(", "))
}

fn render_range(range: &RangeType, identity: &str) -> String {
    let mut parts = vec![format!("subtype = {}", range.subtype_sql)];
    let multirange = range
        .multirange_schema
        .as_deref()
        .zip(range.multirange_name.as_deref())
        .map(|(schema, name)| quote_qualified(schema, name));
    let fields = [
        ("multirange_type_name", &multirange),
        ("subtype_opclass", &range.operator_class),
        ("collation", &range.collation),
        ("canonical", &range.canonical),
        ("subtype_diff", &range.subtype_diff),
    ];
    for (name, value) in fields {
        parts.extend(value.as_ref().map(|value| format!("{name} = {value}")));
    }
    format!("create type {identity} as range ({})", parts.join(", "))
}

fn render_base(base: &BaseType, identity: &str) -> String {
    let mut parts = vec![format!("input = {}", base.input), format!("output = {}", base.output)];
    let default = base.default_value.as_deref().map(literal);
    let fields = [
        ("receive", &base.receive),
        ("send", &base.send),
        ("typmod_in", &base.typmod_in),
        ("typmod_out", &base.typmod_out),
        ("analyze", &base.analyze),
        ("subscript", &base.subscript),
        ("default", &default),
        ("element", &base.element_sql),
    ];
    for (name, value) in fields {
        parts.extend(value.as_ref().map(|value| format!("{name} = {value}")));
    }
    parts.push(match base.length {
        -1 => "internallength = variable".to_owned(),
        bytes => format!("internallength = {bytes}"),
    });
    if base.by_value {
        parts.push("passedbyvalue".to_owned());
    }
    parts.push(format!("alignment = {}", base.alignment));
    parts.push(format!("storage = {}", base.storage));
    parts.push(format!("category = {}", literal(&base.category)));
    parts.push(format!("preferred = {}", base.is_preferred));
    parts.push(format!("delimiter = {}", literal(&base.delimiter)));
    parts.push(format!("collatable = {}", base.is_collatable));
    format!("create type {identity} (\n  {}\n)", parts.join(",\n  "))
}
