//! Objects whose queries spell them out: where they belong in the order, and their annotations.

use super::context::Context;
use super::item::{Item, ItemKind};
use crate::model::{Class, Definition, ObjectId};

/// The object, unless an extension brings it or its table is not in the catalog.
pub(super) fn render(context: &Context, definition: &Definition) -> Option<Item> {
    let id = definition.id;
    let is_homeless = definition.table_oid.is_some_and(|oid| context.relation(oid).is_none());
    if is_homeless || context.is_member(id) {
        return None;
    }
    // Names alone do not tell operators or members from each other.
    let object = format!("{} {}", definition.noun, definition.identity);
    let mut item = Item::new(id, kind_of(id.class), object, &definition.name);
    item.schema = definition.schema.clone();
    item.table_oid = definition.table_oid;
    item.create = definition.create.clone();
    item.roles = definition.roles.clone().unwrap_or_default();
    item.has_secret = definition.has_secret.unwrap_or(false);
    item.notes.extend(definition.note.clone());
    item.provides.extend(definition.parts.iter().flatten());
    item = match id.class {
        Class::STATISTICS => item.after_data(),
        Class::PUBLICATION
        | Class::PUBLICATION_RELATION
        | Class::PUBLICATION_SCHEMA
        | Class::EVENT_TRIGGER => item.at_the_end(),
        _ => item,
    };
    if definition.create.is_empty() {
        item.obstacle = definition.note.clone();
        item.notes.clear();
        return Some(item);
    }
    if let Some(owner) = definition.owner.as_ref().filter(|_| context.options.owner) {
        item.push_owner(&definition.noun, &definition.identity, owner);
    }
    context.describe(&mut item, ObjectId::whole(id), &definition.noun, &definition.identity);
    Some(item)
}

/// The kind of item for a class.
fn kind_of(class: Class) -> ItemKind {
    match class {
        Class::ACCESS_METHOD => ItemKind::AccessMethod,
        Class::LANGUAGE => ItemKind::Language,
        Class::FOREIGN_DATA_WRAPPER => ItemKind::ForeignDataWrapper,
        Class::SERVER => ItemKind::Server,
        Class::USER_MAPPING => ItemKind::UserMapping,
        Class::COLLATION => ItemKind::Collation,
        Class::CONVERSION => ItemKind::Conversion,
        Class::OPERATOR => ItemKind::Operator,
        Class::OPERATOR_FAMILY => ItemKind::OperatorFamily,
        Class::OPERATOR_CLASS => ItemKind::OperatorClass,
        Class::OPERATOR_MEMBER | Class::FUNCTION_MEMBER => ItemKind::FamilyMember,
        Class::CAST => ItemKind::Cast,
        Class::TRANSFORM => ItemKind::Transform,
        Class::STATISTICS => ItemKind::Statistics,
        Class::PUBLICATION => ItemKind::Publication,
        Class::PUBLICATION_RELATION | Class::PUBLICATION_SCHEMA => ItemKind::PublicationMember,
        Class::SUBSCRIPTION => ItemKind::Subscription,
        Class::EVENT_TRIGGER => ItemKind::EventTrigger,
        _ => ItemKind::TextSearch,
    }
}
