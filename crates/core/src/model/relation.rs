//! Relations with rows or columns: tables, views, sequences.

use serde::Deserialize;

/// The kinds of table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum TableKind {
    #[serde(rename = "r")]
    Ordinary,
    #[serde(rename = "p")]
    Partitioned,
    #[serde(rename = "f")]
    Foreign,
}

/// Whether a relation survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Persistence {
    #[serde(rename = "p")]
    Permanent,
    #[serde(rename = "u")]
    Unlogged,
}

/// What identifies a row for logical replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum ReplicaIdentity {
    #[serde(rename = "d")]
    Default,
    #[serde(rename = "n")]
    Nothing,
    #[serde(rename = "f")]
    Full,
    #[serde(rename = "i")]
    Index,
}

/// An ordinary, partitioned or foreign table.
#[derive(Debug, Clone, Deserialize)]
pub struct Table {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub owner: String,
    pub relkind: TableKind,
    pub persistence: Persistence,
    pub is_partition: bool,
    /// The tables it inherits from, or the one it is a partition of, in order.
    pub parents: Vec<u32>,
    /// `for values …` or `default`, for a partition.
    pub partition_bound: Option<String>,
    /// `range (…)` and so on, for a partitioned table.
    pub partition_key: Option<String>,
    /// The same for a machine.
    pub partitioning: Option<Partitioning>,
    /// The composite type that a typed table is made of, as SQL.
    pub of_type: Option<String>,
    pub access_method: Option<String>,
    pub tablespace: Option<String>,
    /// Storage parameters as `name=value`, those of the TOAST table as `toast.name=value`.
    pub options: Vec<String>,
    pub row_security: bool,
    pub force_row_security: bool,
    pub replica_identity: ReplicaIdentity,
    /// Whether it has a system column `oid`, as tables could before version 12.
    pub has_oids: bool,
    /// The server and the options (`name=value`) of a foreign table.
    pub foreign_server: Option<String>,
    pub foreign_options: Vec<ForeignOption>,
    /// OID of the row type.
    pub row_type_oid: u32,
    /// The planner's estimate; -1 when unknown.
    pub row_estimate: f64,
    pub page_count: i64,
    /// Size of the heap's main fork.
    pub main_bytes: i64,
    /// Size of heap and TOAST, without indexes.
    pub total_bytes: i64,
    pub has_select_privilege: bool,
    /// Filled in by the reader, in the order of `attnum`, without dropped columns.
    #[serde(skip)]
    pub columns: Vec<Column>,
}

/// How a partitioned table finds the partition of a row.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Partitioning {
    pub strategy: PartitionStrategy,
    pub columns: Vec<PartitionColumn>,
}

/// The strategies of partitioning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum PartitionStrategy {
    #[serde(rename = "r")]
    Range,
    #[serde(rename = "l")]
    List,
    #[serde(rename = "h")]
    Hash,
}

/// A column or expression of a partition key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PartitionColumn {
    /// The column's type; for an expression, the one that its operator class takes.
    pub type_oid: u32,
    pub is_expression: bool,
    /// Whether the operator class is one that every server has.
    pub has_system_class: bool,
    pub order: TextOrder,
    pub is_deterministic: bool,
}

/// What the order of a key column's values depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextOrder {
    /// On the type alone.
    Own,
    /// On the text's bytes.
    Bytes,
    /// On the database's default collation.
    Database,
    /// On a locale of the operating system or of ICU.
    Locale,
}

/// An option of a foreign object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ForeignOption {
    pub name: String,
    pub value: String,
}

/// How a generated column gets its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Generated {
    #[serde(rename = "s")]
    Stored,
    #[serde(rename = "v")]
    Virtual,
}

/// Whether an identity column's value may be given by the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Identity {
    #[serde(rename = "a")]
    Always,
    #[serde(rename = "d")]
    ByDefault,
}

/// A column of a table, view or composite type.
#[derive(Debug, Clone, Deserialize)]
pub struct Column {
    pub relation_oid: u32,
    pub attnum: i16,
    pub name: String,
    pub type_oid: u32,
    pub type_schema: String,
    pub type_name: String,
    /// `format_type` of type and typmod.
    pub type_sql: String,
    pub typmod: i32,
    /// Qualified and quoted; only where it differs from the type's default.
    pub collation: Option<String>,
    pub not_null: bool,
    /// The NOT NULL constraint behind it; servers from 18 on only.
    pub not_null_constraint: Option<NotNull>,
    /// The default or, for a generated column, its expression.
    pub default_sql: Option<String>,
    /// OID of the `pg_attrdef` row of the above, or 0.
    pub default_oid: u32,
    pub generated: Option<Generated>,
    /// Whether its values, which the source generates, are copied; filled in by `plan::version`.
    #[serde(skip)]
    pub is_frozen: bool,
    pub identity: Option<Identity>,
    /// `plain` and so on; only where it differs from the type's default.
    pub storage: Option<String>,
    pub compression: Option<String>,
    /// None is the system's default.
    pub statistics_target: Option<i32>,
    pub options: Vec<String>,
    pub foreign_options: Vec<ForeignOption>,
    pub is_local: bool,
    pub inherited_count: i32,
}

/// A NOT NULL constraint as servers from 18 on know it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NotNull {
    pub oid: u32,
    pub name: String,
    pub is_validated: bool,
    pub is_no_inherit: bool,
    pub is_local: bool,
}

/// A view or materialized view.
#[derive(Debug, Clone, Deserialize)]
pub struct View {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub owner: String,
    pub is_materialized: bool,
    /// Whether a materialized view has been filled.
    pub is_populated: bool,
    /// The query, without a semicolon.
    pub definition: String,
    /// OID of the `_RETURN` rule.
    pub rule_oid: u32,
    pub row_type_oid: u32,
    /// Options as `name=value`, without `check_option`; those of a materialized view's TOAST table as
    /// `toast.name=value`.
    pub options: Vec<String>,
    /// `local` or `cascaded`.
    pub check_option: Option<String>,
    pub replica_identity: ReplicaIdentity,
    pub access_method: Option<String>,
    pub tablespace: Option<String>,
    /// Filled in by the reader.
    #[serde(skip)]
    pub columns: Vec<Column>,
}

/// How a column owns a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum SequenceLink {
    /// `owned by`, as serial columns have it.
    #[serde(rename = "a")]
    Owned,
    /// The sequence behind an identity column.
    #[serde(rename = "i")]
    Identity,
}

/// A sequence, without its value.
#[derive(Debug, Clone, Deserialize)]
pub struct Sequence {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub owner: String,
    pub persistence: Persistence,
    /// `bigint`, `integer` or `smallint`.
    pub data_type: String,
    pub start: i64,
    pub increment: i64,
    pub min: i64,
    pub max: i64,
    pub cache: i64,
    pub cycle: bool,
    /// The table and column that own it.
    pub owner_table_oid: Option<u32>,
    pub owner_attnum: Option<i16>,
    pub link: Option<SequenceLink>,
    pub has_select_privilege: bool,
}
