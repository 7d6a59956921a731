//! Privileges on what the system and extensions bring, of which the target may have another version.

use std::collections::HashSet;

use pgmig_core::Result;
use pgmig_core::ddl::{Item, ItemKind};
use pgmig_core::model::{Catalog, Class, DependKind, ObjectId};
use pgmig_core::plan::Note;

use super::target::{TargetReading, names};
use crate::pg::transaction;

/// Leaves out the privileges on objects that the target does not have, nor will have: members of an
/// extension that the run creates are there only when it has.
pub(super) fn leave_out_unknown(
    items: &[Item],
    is_kept: &mut [bool],
    wanted: &Catalog,
    target: &TargetReading,
    notes: &mut Vec<Note>,
) -> Result<()> {
    let is_in_question = |item: &Item| item.is_foreign && item.kind == ItemKind::Privileges;
    if !items.iter().zip(&*is_kept).any(|(item, is_kept)| *is_kept && is_in_question(item)) {
        return Ok(());
    }
    let present = transaction::run(|| names(include_str!("list_foreign.sql")))?;
    let to_come = find_members_to_come(wanted, target);
    for (item, is_kept) in items.iter().zip(is_kept) {
        let is_known = || match item.id.class {
            Class::FUNCTION | Class::RELATION => present.contains(&item.name),
            // Schemas, types, languages and wrappers are few and stay.
            _ => true,
        };
        let is_there = || to_come.contains(&item.id.whole()) || is_known();
        if *is_kept && is_in_question(item) && !is_there() {
            *is_kept = false;
            notes.push(Note {
                object: item.object.clone(),
                message: "left out, since the target has no such object".to_owned(),
            });
        }
    }
    Ok(())
}

/// Members of extensions that the target does not have yet.
fn find_members_to_come(wanted: &Catalog, target: &TargetReading) -> HashSet<ObjectId> {
    let there: HashSet<&str> =
        target.catalog.extensions.iter().map(|extension| extension.name.as_str()).collect();
    let to_come: HashSet<u32> = wanted
        .extensions
        .iter()
        .filter(|extension| !there.contains(extension.name.as_str()))
        .map(|extension| extension.oid)
        .collect();
    wanted
        .depends
        .iter()
        .filter(|depend| depend.kind == DependKind::Extension)
        .filter(|depend| to_come.contains(&depend.reference.oid))
        .map(|depend| depend.object)
        .collect()
}
