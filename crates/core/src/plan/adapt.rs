//! What the target is not given although its version knows it.
//!
//! `adapt` rewrites the source's catalog before anything is rendered: objects leave tablespaces that the
//! target does not have, indexes that are not valid are left out. Each is noted with its object.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::model::{Catalog, Class, Index, ObjectId};

/// Rewrites the catalog for a target on which the run may use these tablespaces; None: objects are not
/// put into tablespaces at all.
pub fn adapt(catalog: &mut Cow<'_, Catalog>, tablespaces: Option<&HashSet<String>>) {
    if catalog.indexes.iter().any(is_left_out) {
        leave_out_indexes(catalog.to_mut());
    }
    if let Some(tablespaces) = tablespaces {
        let is_missing = |place: &&String| !tablespaces.contains(*place);
        if places(catalog).any(|place| is_missing(&place)) {
            leave_tablespaces(catalog.to_mut(), tablespaces);
        }
    }
}

/// The index of a partitioned table is not valid as long as some partition has none.
fn is_left_out(index: &Index) -> bool {
    !index.is_valid && !index.is_partitioned
}

fn leave_out_indexes(catalog: &mut Catalog) {
    for index in catalog.indexes.iter().filter(|index| is_left_out(index)) {
        let table = ObjectId::new(Class::RELATION, index.table_oid);
        let note =
            format!("index {}.{} is left out, since it is not valid", index.schema, index.name);
        catalog.annotations.losses.entry(table).or_default().push(note);
    }
    catalog.indexes.retain(|index| !is_left_out(index));
}

/// The tablespaces that are named.
fn places(catalog: &Catalog) -> impl Iterator<Item = &String> {
    let tables = catalog.tables.iter().filter_map(|table| table.tablespace.as_ref());
    let views = catalog.views.iter().filter_map(|view| view.tablespace.as_ref());
    tables.chain(views).chain(catalog.indexes.iter().filter_map(|index| index.tablespace.as_ref()))
}

fn leave_tablespaces(catalog: &mut Catalog, tablespaces: &HashSet<String>) {
    let tables = catalog.tables.iter_mut().map(|table| (table.oid, &mut table.tablespace));
    let views = catalog.views.iter_mut().map(|view| (view.oid, &mut view.tablespace));
    let indexes = catalog.indexes.iter_mut().map(|index| (index.oid, &mut index.tablespace));
    for (oid, place) in tables.chain(views).chain(indexes) {
        let Some(missing) = place.take_if(|place| !tablespaces.contains(place)) else {
            continue;
        };
        let note = format!(
            "goes into the default tablespace, since the target has no tablespace \"{missing}\" that \
             the role may create objects in"
        );
        let object = ObjectId::new(Class::RELATION, oid);
        catalog.annotations.losses.entry(object).or_default().push(note);
    }
}
