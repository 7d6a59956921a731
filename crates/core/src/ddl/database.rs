//! What a database has besides its contents, stated for the target's database.

use super::context::{Context, literal};
use super::item::{Attribute, Item, ItemKind};
use super::privilege;
use super::setting::Setting;
use crate::model::{Class, Database, ObjectId};
use crate::name::quote_ident;

/// Settings, comment, privileges and the limit of connections.
pub(super) fn render(context: &Context, database: &Database) -> Option<Item> {
    let target = context.options.database.as_ref()?;
    let id = ObjectId::new(Class::DATABASE, database.oid);
    let object = format!("database {}", target.name);
    let mut item = Item::new(id, ItemKind::Database, object, &target.name).at_the_end();
    let identity = quote_ident(&target.name);
    if database.connection_limit >= 0 {
        let limit = database.connection_limit;
        item.push_attribute(format!("alter database {identity} connection limit {limit}"));
    }
    if database.is_template {
        item.push_attribute(format!("alter database {identity} is_template true"));
    }
    for stored in &database.settings {
        let Some(setting) = Setting::parse(&stored.setting) else {
            continue;
        };
        if !setting.is_known(&target.settings) {
            item.notes.push(format!("the target has no setting \"{}\", left out", setting.name));
            continue;
        }
        let setting = setting.render();
        item.attributes.push(match &stored.role {
            None => {
                Attribute { sql: format!("alter database {identity} {setting}"), roles: Vec::new() }
            }
            Some(role) => Attribute {
                sql: format!("alter role {} in database {identity} {setting}", quote_ident(role)),
                roles: vec![role.clone()],
            },
        });
    }
    if let Some(comment) = database.comment.as_ref().filter(|_| context.options.comments) {
        item.push_attribute(format!("comment on database {identity} is{}", literal(comment)));
    }
    context.label(&mut item, id, "database", &identity);
    if context.options.privileges {
        item.attributes.extend(privilege::render_database(&identity, database, context.options));
    }
    (!item.attributes.is_empty() || !item.notes.is_empty()).then_some(item)
}
