//! Sequences and who owns them; their values are set at the end of the run by others.

use super::context::Context;
use super::item::{Item, ItemKind};
use crate::model::{Class, ObjectId, Persistence, Sequence, SequenceLink};
use crate::name::{quote_ident, quote_qualified};

/// A sequence of its own or a serial column's; those of identity columns come with their tables.
pub(super) fn render(context: &Context, sequence: &Sequence) -> Vec<Item> {
    if sequence.link == Some(SequenceLink::Identity) {
        return Vec::new();
    }
    let id = ObjectId::new(Class::RELATION, sequence.oid);
    let identity = quote_qualified(&sequence.schema, &sequence.name);
    let mut item =
        Item::in_schema(id, ItemKind::Sequence, "sequence", &sequence.schema, &sequence.name);
    let unlogged = match sequence.persistence {
        Persistence::Permanent => "",
        Persistence::Unlogged => "unlogged ",
    };
    item.create.push(format!(
        "create {unlogged}sequence {identity} as {} {}",
        sequence.data_type,
        render_options(sequence)
    ));
    context.annotate(&mut item, id, "sequence", &identity, &sequence.owner);
    let mut items = vec![item];
    items.extend(render_owner(context, sequence, &identity));
    items
}

/// The link from a serial column's sequence to the column.
fn render_owner(context: &Context, sequence: &Sequence, identity: &str) -> Option<Item> {
    let owner_oid = sequence.owner_table_oid?;
    let owner = context.relation(owner_oid)?;
    let mut columns = owner.columns.iter();
    let column = columns.find(|column| Some(column.attnum) == sequence.owner_attnum)?;
    let mut item = Item::in_schema(
        ObjectId::new(Class::SEQUENCE, sequence.oid),
        ItemKind::SequenceOwner,
        "owner of sequence",
        &sequence.schema,
        &sequence.name,
    );
    item.table_oid = Some(owner_oid);
    item.requires = vec![
        ObjectId::new(Class::RELATION, sequence.oid),
        ObjectId::new(Class::RELATION, owner_oid),
    ];
    item.create.push(format!(
        "alter sequence {identity} owned by {}.{}",
        owner.quoted(),
        quote_ident(&column.name)
    ));
    Some(item)
}

/// The options of CREATE SEQUENCE.
fn render_options(sequence: &Sequence) -> String {
    format!(
        "start with {} increment by {} minvalue {} maxvalue {} cache {} {}",
        sequence.start,
        sequence.increment,
        sequence.min,
        sequence.max,
        sequence.cache,
        if sequence.cycle { "cycle" } else { "no cycle" }
    )
}

/// The options of an identity column's sequence.
pub(super) fn render_identity_options(sequence: &Sequence) -> String {
    format!(
        "sequence name {} {}",
        quote_qualified(&sequence.schema, &sequence.name),
        render_options(sequence)
    )
}
