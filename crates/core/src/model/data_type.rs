//! Data types: what the data path must know of any type, and the definitions of the user's own.

use serde::Deserialize;

/// The kinds of type, as in `pg_type.typtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum TypeKind {
    #[serde(rename = "b")]
    Base,
    #[serde(rename = "c")]
    Composite,
    #[serde(rename = "d")]
    Domain,
    #[serde(rename = "e")]
    Enum,
    #[serde(rename = "p")]
    Pseudo,
    #[serde(rename = "r")]
    Range,
    #[serde(rename = "m")]
    Multirange,
}

/// What copying needs to know of a type that some column uses, directly or within another type.
#[derive(Debug, Clone, Deserialize)]
pub struct TypeInfo {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub typtype: TypeKind,
    /// Whether it has a binary output function.
    pub has_send: bool,
    /// Whether it has a binary input function.
    pub has_receive: bool,
    /// For a true array: the type of its elements, else 0.
    pub element_oid: u32,
    /// For a domain: the type beneath, else 0.
    pub base_oid: u32,
    /// For a range or multirange: the type of its bounds, else 0.
    pub subtype_oid: u32,
    /// For a composite: the types of its attributes, in order.
    pub attribute_oids: Vec<u32>,
    /// For a composite: the names of its attributes, in order.
    pub attribute_names: Vec<String>,
    /// For an enum: its labels, in order.
    pub labels: Vec<String>,
    /// The extension it belongs to.
    pub extension: Option<String>,
    pub extension_version: Option<String>,
    /// Whether every server of every version has it under the same OID.
    pub is_builtin: bool,
}

/// A user's type that is not a table's row type and not an array.
#[derive(Debug, Clone, Deserialize)]
pub struct DataType {
    pub oid: u32,
    pub array_oid: u32,
    pub schema: String,
    pub name: String,
    pub owner: String,
    #[serde(flatten)]
    pub definition: TypeDefinition,
}

/// What is particular to each kind of type.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TypeDefinition {
    Enum {
        labels: Vec<String>,
    },
    Domain(DomainType),
    Composite(CompositeType),
    Range(RangeType),
    Base(Box<BaseType>),
    /// A name without a definition.
    Shell,
}

/// A domain without its CHECK constraints, which are among the constraints.
#[derive(Debug, Clone, Deserialize)]
pub struct DomainType {
    pub base_sql: String,
    pub collation: Option<String>,
    pub default_sql: Option<String>,
    pub not_null: bool,
    /// Name of the NOT NULL constraint; servers from 17 on only.
    pub not_null_name: Option<String>,
    pub not_null_oid: Option<u32>,
}

/// A stand-alone composite type.
#[derive(Debug, Clone, Deserialize)]
pub struct CompositeType {
    pub relation_oid: u32,
    /// Filled in by the reader.
    #[serde(skip)]
    pub columns: Vec<super::Column>,
}

/// A range type; names are qualified and quoted.
#[derive(Debug, Clone, Deserialize)]
pub struct RangeType {
    pub subtype_sql: String,
    /// Only where it is not the default for the subtype.
    pub operator_class: Option<String>,
    pub collation: Option<String>,
    pub canonical: Option<String>,
    pub subtype_diff: Option<String>,
    /// Name of the multirange type; servers from 14 on only.
    pub multirange_schema: Option<String>,
    pub multirange_name: Option<String>,
    pub multirange_oid: Option<u32>,
    pub multirange_array_oid: Option<u32>,
}

/// A base type; functions are qualified and quoted names without arguments.
#[derive(Debug, Clone, Deserialize)]
pub struct BaseType {
    pub input: String,
    pub output: String,
    pub receive: Option<String>,
    pub send: Option<String>,
    pub typmod_in: Option<String>,
    pub typmod_out: Option<String>,
    pub analyze: Option<String>,
    pub subscript: Option<String>,
    /// Bytes, -1 for variable.
    pub length: i16,
    pub by_value: bool,
    /// `char`, `int2`, `int4` or `double`.
    pub alignment: String,
    pub storage: String,
    pub category: String,
    pub is_preferred: bool,
    pub default_value: Option<String>,
    pub element_sql: Option<String>,
    pub delimiter: String,
    pub is_collatable: bool,
}
