//! Owner, privileges, comment and labels of a large object that exists.

use super::DdlOptions;
use super::context::literal;
use super::item::Attribute;
use super::privilege;
use crate::model::LargeObject;
use crate::name::quote_ident;

/// The statements that make the large object, owned by `creator`, what it is on the source.
pub fn render(object: &LargeObject, creator: &str, options: &DdlOptions) -> Vec<Attribute> {
    let identity = format!("large object {}", object.oid);
    let state = |sql| Attribute { sql, roles: Vec::new() };
    let mut attributes = Vec::new();
    if options.owner && object.owner != creator {
        attributes.push(Attribute {
            sql: format!("alter {identity} owner to {}", quote_ident(&object.owner)),
            roles: vec![object.owner.clone()],
        });
    }
    if options.privileges {
        attributes.extend(privilege::render_large_object(&identity, object, options));
    }
    if let Some(comment) = object.comment.as_ref().filter(|_| options.comments) {
        attributes.push(state(format!("comment on {identity} is{}", literal(comment))));
    }
    for (provider, label) in object.labels.iter().filter(|_| options.security_labels) {
        let provider = quote_ident(provider);
        let label = literal(label);
        attributes.push(state(format!("security label for {provider} on {identity} is{label}")));
    }
    attributes
}
