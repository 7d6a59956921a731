//! Statements that hold secrets, read anew whenever one is run, so that they are stored nowhere.

use zeroize::Zeroize;

use super::{Secrets, read_rows_with};
use crate::model::{Class, Definition, ObjectId};
use crate::source::CatalogSession;
use crate::{Error, Result};

/// The statement that makes the object, or gives the role its password, as it must run on a target of
/// major version `target_major`; None if there is none (any more).
pub fn read_statement(
    session: &mut dyn CatalogSession,
    id: ObjectId,
    target_major: u32,
) -> Result<Option<String>> {
    let query = match id.class {
        Class::USER_MAPPING => include_str!("definition/user_mappings.sql"),
        Class::SUBSCRIPTION => include_str!("definition/subscriptions.sql"),
        Class::ROLE => include_str!("definition/passwords.sql"),
        _ => return Err(Error::Internal(format!("class {} has no secrets", id.class.0))),
    };
    let mut definitions: Vec<Definition> = read_rows_with(session, query, Secrets::Shown)?;
    let found = definitions.iter().find(|definition| definition.id.oid == id.oid);
    let statement = found.and_then(|definition| {
        let create = match definition.older_form(target_major) {
            Some(older) => &older.create,
            None => &definition.create,
        };
        create.first().cloned()
    });
    // The secrets of all the others came along.
    for definition in &mut definitions {
        definition.create.zeroize();
        for older in definition.older.iter_mut().flatten() {
            older.create.zeroize();
        }
    }
    Ok(statement)
}
