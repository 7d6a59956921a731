//! The queries of classes whose objects are rendered by their query; a class is added by a file here.

use super::batch::{Batch, Rows};
use crate::model::Definition;

/// The first major version with a query's catalog, and the query.
const QUERIES: [(u32, &str); 24] = [
    (10, include_str!("definition/access_methods.sql")),
    (10, include_str!("definition/languages.sql")),
    (10, include_str!("definition/foreign_data_wrappers.sql")),
    (10, include_str!("definition/servers.sql")),
    (10, include_str!("definition/user_mappings.sql")),
    (10, include_str!("definition/collations.sql")),
    (10, include_str!("definition/conversions.sql")),
    (10, include_str!("definition/operators.sql")),
    (10, include_str!("definition/operator_families.sql")),
    (10, include_str!("definition/family_operators.sql")),
    (10, include_str!("definition/family_functions.sql")),
    (10, include_str!("definition/operator_classes.sql")),
    (10, include_str!("definition/casts.sql")),
    (10, include_str!("definition/transforms.sql")),
    (10, include_str!("definition/text_search_parsers.sql")),
    (10, include_str!("definition/text_search_templates.sql")),
    (10, include_str!("definition/text_search_dictionaries.sql")),
    (10, include_str!("definition/text_search_configurations.sql")),
    (10, include_str!("definition/statistics.sql")),
    (10, include_str!("definition/publications.sql")),
    (10, include_str!("definition/publication_tables.sql")),
    (15, include_str!("definition/publication_schemas.sql")),
    (10, include_str!("definition/subscriptions.sql")),
    (10, include_str!("definition/event_triggers.sql")),
];

/// Asks for all of them, members of extensions included.
pub(super) fn add(batch: &mut Batch) -> Vec<Rows<Definition>> {
    let major = batch.major();
    let queries = QUERIES.iter().filter(|(first_major, _)| *first_major <= major);
    queries.map(|(_, query)| batch.add(query)).collect()
}
