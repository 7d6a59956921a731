//! Large objects, as far as they are not contents.

use serde::Deserialize;

use super::Grant;

/// A large object without its contents.
#[derive(Debug, Clone, Deserialize)]
pub struct LargeObject {
    pub oid: u32,
    pub owner: String,
    pub comment: Option<String>,
    /// Provider and label.
    pub labels: Vec<(String, String)>,
    /// What roles may do with it.
    pub grants: Vec<Grant>,
    /// What they may do with a new one of the same owner.
    pub initial: Vec<Grant>,
}
