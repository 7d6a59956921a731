//! The catalog of one database as plain data, decoded from the JSON of the catalog queries.
//!
//! Comes in from `source::catalog`, goes out to `plan` and `ddl`. Names are unquoted unless a field
//! says otherwise; fields ending in `_sql` and definitions are the server's own deparsed text under an
//! empty search path. OIDs are those of the database read and mean nothing elsewhere.

mod builtins;
mod constraint;
mod data_type;
mod definition;
mod large_object;
mod object;
mod relation;
mod rewrite;
mod role;
mod routine;

use std::collections::HashSet;

use serde::Deserialize;

pub use builtins::{BuiltinFunction, Builtins};
pub use constraint::{Constraint, ConstraintKind, Index, IndexColumnStatistics};
pub use data_type::{
    BaseType, CompositeType, DataType, DomainType, RangeType, TypeDefinition, TypeInfo, TypeKind,
};
pub use definition::{DefaultAcl, Definition, OlderForm};
pub use large_object::LargeObject;
pub use object::{
    Acl, Annotations, Class, Comment, Depend, DependKind, Grant, ObjectId, SecurityLabel,
};
pub use relation::{
    Column, ForeignOption, Generated, Identity, NotNull, PartitionColumn, PartitionStrategy,
    Partitioning, Persistence, ReplicaIdentity, Sequence, SequenceLink, Table, TableKind,
    TextOrder, View,
};
pub use rewrite::{Enabled, Policy, Rule, Trigger};
pub use role::{Database, DatabaseSetting, Membership, Role};
pub use routine::{Aggregate, Function, RoutineKind};

/// Everything that is known of one database.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub server: ServerInfo,
    pub builtins: Builtins,
    pub schemas: Vec<Schema>,
    pub extensions: Vec<Extension>,
    /// The user's types.
    pub types: Vec<DataType>,
    /// Every type that a column uses, directly or not, built-in ones included.
    pub type_infos: Vec<TypeInfo>,
    pub functions: Vec<Function>,
    pub sequences: Vec<Sequence>,
    pub tables: Vec<Table>,
    pub constraints: Vec<Constraint>,
    pub indexes: Vec<Index>,
    /// Views and materialized views.
    pub views: Vec<View>,
    pub triggers: Vec<Trigger>,
    pub rules: Vec<Rule>,
    pub policies: Vec<Policy>,
    /// Objects of the smaller classes, those of extensions included.
    pub definitions: Vec<Definition>,
    pub default_acls: Vec<DefaultAcl>,
    /// Those of the whole cluster.
    pub roles: Vec<Role>,
    pub database: Database,
    pub annotations: Annotations,
    /// Functions that run statements, extensions' own included.
    pub procedural_functions: HashSet<u32>,
    pub depends: Vec<Depend>,
}

/// The server and database that were read.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ServerInfo {
    pub version_num: u32,
    /// The long form of the version.
    pub version: String,
    pub database: String,
    pub database_owner: String,
    pub encoding: String,
    pub collate: String,
    pub ctype: String,
    /// Whether the database's default collation compares text byte by byte.
    pub orders_by_bytes: bool,
    pub is_in_recovery: bool,
    /// What tells this database from any other of any cluster, as far as the server lets on.
    pub system_identifier: Option<String>,
    pub database_oid: u32,
}

/// A schema.
#[derive(Debug, Clone, Deserialize)]
pub struct Schema {
    pub oid: u32,
    pub name: String,
    pub owner: String,
}

/// An extension.
#[derive(Debug, Clone, Deserialize)]
pub struct Extension {
    pub oid: u32,
    pub name: String,
    pub schema: String,
    pub version: String,
    /// Configuration tables, whose rows belong to the user.
    pub config: Vec<ExtensionConfig>,
}

/// A configuration table (or sequence) of an extension.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ExtensionConfig {
    pub relation_oid: u32,
    pub schema: String,
    pub name: String,
    /// `where …`, or nothing.
    pub condition: String,
    pub is_sequence: bool,
    /// Whether the session may read its rows.
    pub is_readable: bool,
    /// Those that are not generated.
    pub columns: Vec<String>,
}
