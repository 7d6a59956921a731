//! Roles, and what belongs to a database besides its contents.

use serde::Deserialize;

use super::Grant;

/// A role of the cluster.
#[derive(Debug, Clone, Deserialize)]
pub struct Role {
    pub oid: u32,
    pub name: String,
    pub is_superuser: bool,
    pub inherits: bool,
    pub can_create_roles: bool,
    pub can_create_databases: bool,
    pub can_login: bool,
    pub can_replicate: bool,
    pub bypasses_row_security: bool,
    /// -1 without a limit.
    pub connection_limit: i32,
    pub valid_until: Option<String>,
    /// As `name=value`.
    pub settings: Vec<String>,
    pub comment: Option<String>,
    /// Whether the session may read passwords.
    pub is_password_readable: bool,
    pub memberships: Vec<Membership>,
}

/// A role that another role is a member of; from version 16 on there can be one for each grantor.
#[derive(Debug, Clone, Deserialize)]
pub struct Membership {
    pub role: String,
    pub is_admin: bool,
    /// None before version 16.
    pub inherits: Option<bool>,
    /// None before version 16.
    pub can_set: Option<bool>,
    /// None if the role is gone.
    pub grantor: Option<String>,
    /// Whether the grantor is the superuser that the cluster was made with.
    pub is_grantor_system: bool,
}

/// The database itself.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Database {
    pub oid: u32,
    pub name: String,
    pub owner: String,
    /// -1 without a limit.
    pub connection_limit: i32,
    pub is_template: bool,
    pub comment: Option<String>,
    pub settings: Vec<DatabaseSetting>,
    pub grants: Vec<Grant>,
    pub initial: Vec<Grant>,
}

/// A setting of a database, for one role or for all.
#[derive(Debug, Clone, Deserialize)]
pub struct DatabaseSetting {
    pub role: Option<String>,
    /// As `name=value`.
    pub setting: String,
}
