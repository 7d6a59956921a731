//! Text of the source's catalog that is not UTF-8: a database in SQL_ASCII takes any bytes, and the
//! server then refuses to send them without saying which. Here they are looked for, to be named.

use std::collections::BTreeSet;

use pgmig_core::{Error, Result};

use super::super::coordinator::Run;
use super::source::list_names;

/// SQLSTATE of text that is not valid in its encoding.
const INVALID_TEXT: &str = "22021";

/// The error of a reading, or a better one where text of the catalog could not be read.
pub(super) fn explain(run: &Run, error: Error) -> Error {
    if !matches!(error, Error::Remote(_)) || error.sqlstate() != INVALID_TEXT {
        return error;
    }
    match find_invalid(run) {
        Ok(objects) if !objects.is_empty() => refuse(&objects),
        _ => error,
    }
}

/// The objects whose names, comments or definitions are not UTF-8.
fn find_invalid(run: &Run) -> Result<Vec<String>> {
    let session = run.login.open()?;
    let rows = session.call(|connection| connection.query(include_str!("list_text.sql")))?;
    let mut objects = BTreeSet::new();
    for row in rows {
        let mut columns = row.into_iter().flatten().map(|column| decode_hex(&column));
        if let (Some(object), Some(text)) = (columns.next(), columns.next())
            && (std::str::from_utf8(&text).is_err() || std::str::from_utf8(&object).is_err())
        {
            objects.insert(String::from_utf8_lossy(&object).into_owned());
        }
    }
    Ok(objects.into_iter().collect())
}

/// Bytes from pairs of digits.
fn decode_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let bytes = digits.chunks_exact(2).map(|pair| pair[0] * 16 + pair[1]);
    bytes.filter_map(|byte| u8::try_from(byte).ok()).collect()
}

fn refuse(objects: &[String]) -> Error {
    Error::Preflight {
        message: format!(
            "names, comments or definitions of {} objects of the source are not UTF-8",
            objects.len()
        ),
        detail: Some(format!("They are those of {}.", list_names(objects))),
        hint: Some(
            "The source's encoding is SQL_ASCII, which takes any bytes; write them anew in UTF-8 \
             there."
                .to_owned(),
        ),
        sqlstate: INVALID_TEXT,
    }
}
