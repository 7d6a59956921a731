//! What acts on a table's rows: triggers, rules, policies.

use serde::Deserialize;

/// When a trigger or rule fires, as in `tgenabled` and `ev_enabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Enabled {
    #[serde(rename = "O")]
    Origin,
    #[serde(rename = "D")]
    Disabled,
    #[serde(rename = "R")]
    Replica,
    #[serde(rename = "A")]
    Always,
}

/// A user's trigger.
#[derive(Debug, Clone, Deserialize)]
pub struct Trigger {
    pub oid: u32,
    pub table_oid: u32,
    pub name: String,
    /// `pg_get_triggerdef`.
    pub definition: String,
    pub enabled: Enabled,
    /// The parent table's trigger that this is a copy of, else 0.
    pub parent_oid: u32,
    /// How the trigger it is a copy of is enabled.
    pub parent_enabled: Option<Enabled>,
    /// For a constraint trigger, else 0.
    pub constraint_oid: u32,
}

/// A rule other than a view's own.
#[derive(Debug, Clone, Deserialize)]
pub struct Rule {
    pub oid: u32,
    pub table_oid: u32,
    pub name: String,
    /// `pg_get_ruledef`.
    pub definition: String,
    pub enabled: Enabled,
}

/// A row security policy.
#[derive(Debug, Clone, Deserialize)]
pub struct Policy {
    pub oid: u32,
    pub table_oid: u32,
    pub name: String,
    /// `all`, `select`, `insert`, `update` or `delete`.
    pub command: String,
    pub is_permissive: bool,
    /// None is PUBLIC.
    pub roles: Vec<Option<String>>,
    pub using_sql: Option<String>,
    pub check_sql: Option<String>,
}
