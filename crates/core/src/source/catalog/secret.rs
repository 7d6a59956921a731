//! Statements that hold secrets, read anew whenever one is run, so that they are stored nowhere.
//!
//! Only the one that is wanted leaves the source, and what carries it through memory is wiped.

use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use super::{Secrets, select_lines};
use crate::model::{Class, ObjectId};
use crate::source::CatalogSession;
use crate::{Error, Result};

/// A row of `secret.sql`.
#[derive(Deserialize)]
struct Row {
    statement: Option<String>,
}

/// The statement that makes the object, or gives the role its password, as it must run on a target of
/// major version `target_major`; None if there is none (any more).
pub fn read_statement(
    session: &mut dyn CatalogSession,
    id: ObjectId,
    target_major: u32,
) -> Result<Option<Zeroizing<String>>> {
    let query = match id.class {
        Class::USER_MAPPING => include_str!("definition/user_mappings.sql"),
        Class::SUBSCRIPTION => include_str!("definition/subscriptions.sql"),
        Class::ROLE => include_str!("definition/passwords.sql"),
        _ => return Err(Error::Internal(format!("class {} has no secrets", id.class.0))),
    };
    let select_lines = |query| select_lines(query, session.version_num() / 10_000, Secrets::Shown);
    let query = select_lines(include_str!("secret.sql"))
        .replace("$1", &id.oid.to_string())
        .replace("$2", &target_major.to_string())
        .replace("$3", &select_lines(query));
    let mut statement = None;
    session.query_json(&query, &mut |json| {
        let unreadable = || Error::Internal("could not decode a statement".to_owned());
        // No error tells of what it is about.
        let row: Row = serde_json::from_str(json).map_err(|_| unreadable())?;
        if let Some(mut hex) = row.statement {
            let bytes = decode_hex(&hex).and_then(|bytes| String::from_utf8(bytes).ok());
            hex.zeroize();
            statement = Some(Zeroizing::new(bytes.ok_or_else(unreadable)?));
        }
        Ok(())
    })?;
    Ok(statement)
}

/// The bytes that a text in hexadecimal spells.
fn decode_hex(hex: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(hex.len() / 2);
    for pair in hex.as_bytes().chunks(2) {
        let digits = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    Some(bytes)
}
