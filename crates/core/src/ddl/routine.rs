//! Functions, procedures and aggregates.

use super::context::Context;
use super::item::{Item, ItemKind};
use crate::model::{Aggregate, Class, Function, ObjectId, RoutineKind};
use crate::name::{quote_literal, quote_qualified};

pub(super) fn render(context: &Context, function: &Function) -> Item {
    let id = ObjectId::new(Class::FUNCTION, function.oid);
    let (kind, noun) = match function.kind {
        RoutineKind::Function | RoutineKind::Window => (ItemKind::Function, "function"),
        RoutineKind::Procedure => (ItemKind::Function, "procedure"),
        RoutineKind::Aggregate => (ItemKind::Aggregate, "aggregate"),
    };
    let name = quote_qualified(&function.schema, &function.name);
    let identity = format!("{name}({})", function.identity_arguments);
    let mut item = Item::in_schema(id, kind, noun, &function.schema, &function.name);
    item.object = format!("{}({})", item.object, function.identity_arguments);
    if let Some(definition) = &function.definition {
        item.create.push(definition.clone());
    }
    if let Some(aggregate) = &function.aggregate {
        item.create.push(render_aggregate(&name, aggregate));
    }
    context.annotate(&mut item, id, noun, &identity, &function.owner);
    item
}

/// CREATE AGGREGATE.
fn render_aggregate(name: &str, aggregate: &Aggregate) -> String {
    let is_plain = aggregate.kind == 'n';
    let default_modify = if is_plain { 'r' } else { 'w' };
    let mut parts = vec![
        format!("sfunc = {}", aggregate.transition),
        format!("stype = {}", aggregate.state_type),
    ];
    let mut add = |name: &str, value: Option<String>| {
        parts.extend(value.map(|value| format!("{name} = {value}")));
    };
    let size = |bytes: i64| (bytes != 0).then(|| bytes.to_string());
    let literal = |value: &Option<String>| {
        value.as_deref().map(|value| quote_literal(value).trim_start().to_owned())
    };
    let modify = |modify: char| (modify != default_modify).then(|| modify_word(modify).to_owned());
    add("sspace", size(aggregate.state_space));
    add("initcond", literal(&aggregate.initial_value));
    add("finalfunc", aggregate.finish.clone());
    if aggregate.finish.is_some() {
        add("finalfunc_modify", modify(aggregate.finish_modify));
    }
    add("combinefunc", aggregate.combine.clone());
    add("serialfunc", aggregate.serialize.clone());
    add("deserialfunc", aggregate.deserialize.clone());
    add("msfunc", aggregate.moving_transition.clone());
    add("minvfunc", aggregate.moving_inverse.clone());
    add("mstype", aggregate.moving_state_type.clone());
    add("msspace", size(aggregate.moving_state_space));
    add("minitcond", literal(&aggregate.moving_initial_value));
    add("mfinalfunc", aggregate.moving_finish.clone());
    if aggregate.moving_finish.is_some() {
        add("mfinalfunc_modify", modify(aggregate.moving_finish_modify));
    }
    add("sortop", aggregate.sort_operator.clone());
    add(
        "parallel",
        match aggregate.parallel {
            's' => Some("safe".to_owned()),
            'r' => Some("restricted".to_owned()),
            _ => None,
        },
    );
    if aggregate.finish_extra {
        parts.push("finalfunc_extra".to_owned());
    }
    if aggregate.moving_finish_extra {
        parts.push("mfinalfunc_extra".to_owned());
    }
    if aggregate.kind == 'h' {
        parts.push("hypothetical".to_owned());
    }
    format!("create aggregate {name}({}) (\n  {}\n)", aggregate.arguments, parts.join(",\n  "))
}

/// What a final function does to the state.
fn modify_word(modify: char) -> &'static str {
    match modify {
        'r' => "read_only",
        's' => "shareable",
        _ => "read_write",
    }
}
