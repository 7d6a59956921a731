//! Triggers, rules and policies; all of them after the data.

use super::context::{Context, Relation};
use super::item::{Item, ItemKind};
use crate::model::{Class, Enabled, ObjectId, Policy, Rule, Trigger};
use crate::name::quote_ident;

/// An item after the data for something on `relation`.
fn start(id: ObjectId, kind: ItemKind, noun: &str, name: &str, on: Relation, oid: u32) -> Item {
    let object = format!("{noun} {name} on {}.{}", on.schema, on.name);
    let mut item = Item::new(id, kind, object, name).after_data();
    item.schema = Some(on.schema.to_owned());
    item.table_oid = Some(oid);
    item.requires.push(ObjectId::new(Class::RELATION, oid));
    item
}

pub(super) fn render_trigger(context: &Context, trigger: &Trigger) -> Option<Item> {
    let relation = context.relation(trigger.table_oid)?;
    let table = relation.quoted();
    let name = quote_ident(&trigger.name);
    let id = ObjectId::new(Class::TRIGGER, trigger.oid);
    let mut item =
        start(id, ItemKind::Trigger, "trigger", &trigger.name, relation, trigger.table_oid);
    if trigger.parent_oid == 0 {
        item.create.push(trigger.definition.clone());
    } else {
        item.requires.push(ObjectId::new(Class::TRIGGER, trigger.parent_oid));
        item.requires.push(ObjectId::new(Class::INHERITS, trigger.table_oid));
    }
    if trigger.enabled != Enabled::Origin || trigger.parent_oid != 0 {
        let verb = enable_verb(trigger.enabled);
        item.create.push(format!("alter table {table} {verb} trigger {name}"));
    }
    if trigger.constraint_oid != 0 {
        item.provides.push(ObjectId::new(Class::CONSTRAINT, trigger.constraint_oid));
    }
    context.describe(&mut item, id, "trigger", &format!("{name} on {table}"));
    Some(item)
}

pub(super) fn render_rule(context: &Context, rule: &Rule) -> Option<Item> {
    let relation = context.relation(rule.table_oid)?;
    let table = relation.quoted();
    let name = quote_ident(&rule.name);
    let id = ObjectId::new(Class::RULE, rule.oid);
    let mut item = start(id, ItemKind::Rule, "rule", &rule.name, relation, rule.table_oid);
    item.create.push(rule.definition.trim_end_matches(';').to_owned());
    if rule.enabled != Enabled::Origin {
        let verb = enable_verb(rule.enabled);
        item.create.push(format!("alter table {table} {verb} rule {name}"));
    }
    context.describe(&mut item, id, "rule", &format!("{name} on {table}"));
    Some(item)
}

/// The words that put a trigger or rule into a state.
pub(super) fn enable_verb(enabled: Enabled) -> &'static str {
    match enabled {
        Enabled::Origin => "enable",
        Enabled::Disabled => "disable",
        Enabled::Replica => "enable replica",
        Enabled::Always => "enable always",
    }
}

pub(super) fn render_policy(context: &Context, policy: &Policy) -> Option<Item> {
    let relation = context.relation(policy.table_oid)?;
    let table = relation.quoted();
    let name = quote_ident(&policy.name);
    let id = ObjectId::new(Class::POLICY, policy.oid);
    let mut item = start(id, ItemKind::Policy, "policy", &policy.name, relation, policy.table_oid);
    let mut sql = format!("create policy {name} on {table}");
    if !policy.is_permissive {
        sql.push_str(" as restrictive");
    }
    sql.push_str(&format!(" for {}", policy.command));
    let mut end = String::new();
    if let Some(using) = &policy.using_sql {
        end.push_str(&format!(" using ({using})"));
    }
    if let Some(check) = &policy.check_sql {
        end.push_str(&format!(" with check ({check})"));
    }
    item.create.push(format!("{sql} to {}{end}", render_roles(&policy.roles)));
    item.roles = policy.roles.iter().flatten().cloned().collect();
    context.describe(&mut item, id, "policy", &format!("{name} on {table}"));
    Some(item)
}

/// A list of roles; None is PUBLIC.
fn render_roles(roles: &[Option<String>]) -> String {
    let render = |role: &Option<String>| role.as_deref().map_or("public".to_owned(), quote_ident);
    roles.iter().map(render).collect::<Vec<_>>().join(", ")
}
