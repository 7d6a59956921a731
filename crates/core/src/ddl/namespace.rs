//! Schemas and extensions.

use super::context::Context;
use super::item::{Item, ItemKind};
use crate::model::{Class, Extension, ObjectId, Schema};
use crate::name::quote_ident;

/// The schema that every new database has.
pub(crate) const PUBLIC: &str = "public";

/// Who owns it on servers from 15 on.
const PUBLIC_OWNER: &str = "pg_database_owner";

/// The first OID that is not the system's own.
const FIRST_USER_OID: u32 = 16384;

pub(super) fn render_schema(context: &Context, schema: &Schema) -> Item {
    let id = ObjectId::new(Class::SCHEMA, schema.oid);
    let identity = quote_ident(&schema.name);
    let object = format!("schema {}", schema.name);
    let mut item = Item::new(id, ItemKind::Schema, object, &schema.name);
    item.schema = Some(schema.name.clone());
    if schema.name == PUBLIC {
        item.create.push(format!("create schema if not exists {identity}"));
        annotate_public(context, &mut item, schema, &identity);
    } else {
        item.create.push(format!("create schema {identity}"));
        context.annotate(&mut item, id, "schema", &identity, &schema.owner);
    }
    item
}

/// The schema that is there already differs from the source's only by what is stated here.
fn annotate_public(context: &Context, item: &mut Item, schema: &Schema, identity: &str) {
    let annotations = &context.catalog.annotations;
    if context.options.owner && schema.owner != PUBLIC_OWNER {
        item.push_owner("schema", identity, &schema.owner);
    }
    if context.options.comments && !annotations.comments.contains_key(&item.id) {
        item.push_attribute(format!("comment on schema {identity} is null"));
    }
    context.describe(item, item.id, "schema", identity);
}

pub(super) fn render_extension(context: &Context, extension: &Extension) -> Item {
    let id = ObjectId::new(Class::EXTENSION, extension.oid);
    let identity = quote_ident(&extension.name);
    let object = format!("extension {}", extension.name);
    let mut item = Item::new(id, ItemKind::Extension, object, &extension.name);
    item.create.push(format!(
        "create extension if not exists {identity} with schema {}",
        quote_ident(&extension.schema)
    ));
    if extension.oid >= FIRST_USER_OID {
        context.describe(&mut item, id, "extension", &identity);
    }
    item
}
