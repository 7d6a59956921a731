//! Objects that need nothing but their statements: the smaller classes, spelled out by their queries.

use serde::Deserialize;

use super::{Grant, ObjectId};

/// An object whose query already renders it.
#[derive(Debug, Clone, Deserialize)]
pub struct Definition {
    #[serde(flatten)]
    pub id: ObjectId,
    /// What the object is called in ALTER and COMMENT.
    pub noun: String,
    pub schema: Option<String>,
    pub name: String,
    /// The object's name as SQL, with whatever else ALTER and COMMENT need to find it.
    pub identity: String,
    /// None where the class has no owner.
    pub owner: Option<String>,
    /// The table it belongs to, if it belongs to one.
    pub table_oid: Option<u32>,
    pub create: Vec<String>,
    /// Roles that the above name.
    pub roles: Option<Vec<String>>,
    /// Whether what runs differs from what is shown above, which holds secrets.
    pub has_secret: Option<bool>,
    /// What cannot be carried, in words.
    pub note: Option<String>,
    /// Addresses of what comes into being with it.
    pub parts: Option<Vec<ObjectId>>,
    /// What to tell older servers instead, the oldest first.
    pub older: Option<Vec<OlderForm>>,
}

impl Definition {
    /// What a server of this major version has to be told instead, if anything.
    pub fn older_form(&self, major: u32) -> Option<&OlderForm> {
        let is_for = |form: &&OlderForm| form.below.is_some_and(|below| major < below);
        self.older.iter().flatten().find(is_for)
    }
}

/// An object as servers before some version can have it.
#[derive(Debug, Clone, Deserialize)]
pub struct OlderForm {
    /// The major version that needs it no more; None if no version needs it.
    pub below: Option<u32>,
    /// Nothing where the object cannot be had.
    pub create: Vec<String>,
    /// What is lost, in words.
    pub note: String,
}

/// What new objects of a kind, made by a role, grant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DefaultAcl {
    pub oid: u32,
    pub role: String,
    pub schema: Option<String>,
    /// `tables` and so on, as ALTER DEFAULT PRIVILEGES has it.
    pub kind: String,
    pub grants: Vec<Grant>,
    pub initial: Vec<Grant>,
}

impl DefaultAcl {
    /// The first major version that knows default privileges on this kind.
    pub fn since(&self) -> u32 {
        if self.kind == "large objects" { 18 } else { 10 }
    }
}
