//! Constraints and indexes.

use serde::Deserialize;

/// The kinds of constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum ConstraintKind {
    #[serde(rename = "p")]
    Primary,
    #[serde(rename = "u")]
    Unique,
    #[serde(rename = "c")]
    Check,
    #[serde(rename = "x")]
    Exclusion,
    #[serde(rename = "f")]
    ForeignKey,
    #[serde(rename = "t")]
    Trigger,
    #[serde(rename = "n")]
    NotNull,
}

/// A constraint on a table or domain.
#[derive(Debug, Clone, Deserialize)]
pub struct Constraint {
    pub oid: u32,
    /// 0 for a domain's constraint.
    pub table_oid: u32,
    /// 0 for a table's constraint.
    pub domain_oid: u32,
    pub name: String,
    pub kind: ConstraintKind,
    /// `pg_get_constraintdef`.
    pub definition: String,
    /// The table that a foreign key points to, else 0.
    pub referenced_table_oid: u32,
    /// The index behind it (for a foreign key: the referenced one), else 0.
    pub index_oid: u32,
    pub is_validated: bool,
    pub is_enforced: bool,
    pub is_deferrable: bool,
    pub is_deferred: bool,
    /// WITHOUT OVERLAPS or PERIOD.
    pub is_temporal: bool,
    /// The parent table's constraint that this is a copy of, else 0.
    pub parent_oid: u32,
    pub is_local: bool,
    pub inherited_count: i32,
    pub is_no_inherit: bool,
    /// Whether the triggers behind a foreign key fire at what its tables' users do.
    pub has_firing_triggers: bool,
}

/// An index, with or without a constraint on top.
#[derive(Debug, Clone, Deserialize)]
pub struct Index {
    pub oid: u32,
    pub table_oid: u32,
    pub schema: String,
    pub name: String,
    /// `pg_get_indexdef`, without its tablespace.
    pub definition: String,
    pub access_method: String,
    pub is_unique: bool,
    pub is_primary: bool,
    /// Whether queries may use it; a partitioned index is valid when every partition has one.
    pub is_valid: bool,
    pub is_partitioned: bool,
    /// The constraint it implements, else 0.
    pub constraint_oid: u32,
    /// The partitioned index it is attached to, else 0.
    pub parent_index: u32,
    pub is_clustered: bool,
    /// Whether it is on the system column `oid`, which tables could have before version 12.
    pub is_on_oid: bool,
    pub is_replica_identity: bool,
    /// Whether it is on plain columns in default order with default operator classes and without a
    /// predicate, so that a constraint can be put on it.
    pub is_plain: bool,
    pub tablespace: Option<String>,
    /// Storage parameters as `name=value`; the definition has them too.
    pub options: Vec<String>,
    /// Statistics targets that were set on its columns.
    pub statistics: Vec<IndexColumnStatistics>,
}

/// The statistics target of an index's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct IndexColumnStatistics {
    pub attnum: i16,
    pub target: i32,
}
