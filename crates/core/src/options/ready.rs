//! Contradictions between options, each of them valid alone.
//!
//! Options that merely have no effect beside another one are let through; those that ask for two things
//! at once are not. `foreign_keys: trust` beside `where` is none of these: trust is decided key by key,
//! and a key whose tables are not whole is validated.

use super::{ChunkBy, ForeignKeys, Options};
use crate::Result;
use crate::error::Error;

/// Refuses options that contradict each other.
pub(super) fn check(options: &Options) -> Result<()> {
    let chooses_schemas = !options.schemas.is_empty() || !options.exclude_schemas.is_empty();
    let wants_large_objects = options.large_objects == Some(true);
    let contradictions = [
        (
            options.schema_only && options.data_only,
            "options \"schema_only\" and \"data_only\" cannot be used together",
            "One asks for definitions alone, the other for rows alone.",
        ),
        (
            options.target_schema.is_some() && options.source_schema.is_none(),
            "option \"target_schema\" requires option \"source_schema\"",
            "Only a single schema can be copied under another name.",
        ),
        (
            options.source_schema.is_some() && chooses_schemas,
            "option \"source_schema\" cannot be used with \"schemas\" or \"exclude_schemas\"",
            "It names the one schema to copy.",
        ),
        (
            options.data_only && options.drop_existing_tables,
            "options \"data_only\" and \"drop_existing_tables\" cannot be used together",
            "A table that is dropped must be created again, which is a definition.",
        ),
        (
            options.data_only && options.use_unlogged_tables,
            "options \"data_only\" and \"use_unlogged_tables\" cannot be used together",
            "Making a table unlogged changes its definition.",
        ),
        (
            options.data_only && options.roles,
            "options \"data_only\" and \"roles\" cannot be used together",
            "Roles are created for definitions that name them.",
        ),
        (
            options.data_only && options.foreign_keys == ForeignKeys::Skip,
            "option \"data_only\" cannot be used with \"foreign_keys\" set to \"skip\"",
            "Existing foreign keys would be lost: they are dropped for the load.",
        ),
        (
            options.schema_only && options.use_unlogged_tables,
            "options \"schema_only\" and \"use_unlogged_tables\" cannot be used together",
            "Unlogged tables are for loading, and no rows are loaded.",
        ),
        (
            options.schema_only && !options.conditions.is_empty(),
            "options \"schema_only\" and \"where\" cannot be used together",
            "Conditions choose rows, and no rows are copied.",
        ),
        (
            options.schema_only && wants_large_objects,
            "options \"schema_only\" and \"large_objects\" cannot be used together",
            "Large objects are data.",
        ),
        (
            options.chunk_by == ChunkBy::None && options.chunk_size.is_some(),
            "option \"chunk_size\" cannot be used with \"chunk_by\" set to \"none\"",
            "Tables are not cut into ranges then.",
        ),
    ];
    match contradictions.into_iter().find(|(applies, ..)| *applies) {
        None => Ok(()),
        Some((_, message, detail)) => Err(Error::Option {
            message: message.to_owned(),
            detail: Some(detail.to_owned()),
            hint: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_that_ask_for_two_things_at_once_are_refused() {
        for json in [
            json!({"schema_only": true, "data_only": true}),
            json!({"target_schema": "b"}),
            json!({"source_schema": "a", "schemas": "b"}),
            json!({"source_schema": "a", "exclude_schemas": ["b"]}),
            json!({"data_only": true, "drop_existing_tables": true}),
            json!({"data_only": true, "use_unlogged_tables": true}),
            json!({"data_only": true, "roles": true}),
            json!({"data_only": true, "foreign_keys": "skip"}),
            json!({"schema_only": true, "use_unlogged_tables": true}),
            json!({"schema_only": true, "where": {"a": "b"}}),
            json!({"schema_only": true, "large_objects": true}),
            json!({"chunk_by": "none", "chunk_size": 1000}),
        ] {
            assert!(Options::parse(&json).is_err(), "{json}");
        }
    }

    #[test]
    fn options_that_merely_have_no_effect_are_let_through() {
        for json in [
            json!({"source_schema": "a", "target_schema": "b", "tables": "c"}),
            json!({"schema_only": true, "validation": "checksum", "exclude_table_data": "a"}),
            json!({"foreign_keys": "trust", "where": {"a": "b"}}),
            json!({"chunk_by": "none", "max_partitions": 4}),
            json!({"schema_only": false, "data_only": false, "target_schema": null}),
        ] {
            assert!(Options::parse(&json).is_ok(), "{json}");
        }
    }
}
