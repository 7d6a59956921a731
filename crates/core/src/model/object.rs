//! What all objects have in common: an address, dependencies, a comment, privileges, labels.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The OID of the system catalog that an object lives in; these are the same in every version.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Class(pub u32);

impl Class {
    /// Not a catalog: the filling of a materialized view, which has no row of its own anywhere.
    pub const REFRESH: Class = Class(0);
    /// Not a catalog: whether row security is on for a table.
    pub const ROW_SECURITY: Class = Class(1);
    /// Not a catalog: the shell that a base type starts as.
    pub const SHELL_TYPE: Class = Class(2);
    pub const DEFAULT_ACL: Class = Class(826);
    pub const TYPE: Class = Class(1247);
    pub const FUNCTION: Class = Class(1255);
    pub const RELATION: Class = Class(1259);
    pub const ROLE: Class = Class(1260);
    pub const DATABASE: Class = Class(1262);
    pub const SERVER: Class = Class(1417);
    pub const USER_MAPPING: Class = Class(1418);
    /// `pg_sequence`, used for the link from a sequence to the column that owns it.
    pub const SEQUENCE: Class = Class(2224);
    pub const FOREIGN_DATA_WRAPPER: Class = Class(2328);
    pub const ACCESS_METHOD: Class = Class(2601);
    pub const OPERATOR_MEMBER: Class = Class(2602);
    pub const FUNCTION_MEMBER: Class = Class(2603);
    pub const COLUMN_DEFAULT: Class = Class(2604);
    pub const CAST: Class = Class(2605);
    pub const CONSTRAINT: Class = Class(2606);
    pub const CONVERSION: Class = Class(2607);
    /// `pg_inherits`, used for the attachment of a partition or of a partition's index.
    pub const INHERITS: Class = Class(2611);
    pub const LANGUAGE: Class = Class(2612);
    pub const SCHEMA: Class = Class(2615);
    pub const OPERATOR_CLASS: Class = Class(2616);
    pub const OPERATOR: Class = Class(2617);
    pub const RULE: Class = Class(2618);
    pub const TRIGGER: Class = Class(2620);
    pub const OPERATOR_FAMILY: Class = Class(2753);
    pub const LARGE_OBJECT: Class = Class(2995);
    pub const EXTENSION: Class = Class(3079);
    pub const POLICY: Class = Class(3256);
    pub const STATISTICS: Class = Class(3381);
    pub const COLLATION: Class = Class(3456);
    pub const EVENT_TRIGGER: Class = Class(3466);
    pub const TRANSFORM: Class = Class(3576);
    pub const TEXT_SEARCH_DICTIONARY: Class = Class(3600);
    pub const TEXT_SEARCH_PARSER: Class = Class(3601);
    pub const TEXT_SEARCH_CONFIGURATION: Class = Class(3602);
    pub const TEXT_SEARCH_TEMPLATE: Class = Class(3764);
    pub const SUBSCRIPTION: Class = Class(6100);
    pub const PUBLICATION: Class = Class(6104);
    pub const PUBLICATION_RELATION: Class = Class(6106);
    pub const PUBLICATION_SCHEMA: Class = Class(6237);
}

/// The address of an object, as in `pg_depend`; `subid` is a column's number or 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct ObjectId {
    pub class: Class,
    pub oid: u32,
    #[serde(default)]
    pub subid: i32,
}

impl ObjectId {
    /// The address of a whole object.
    pub const fn new(class: Class, oid: u32) -> Self {
        ObjectId { class, oid, subid: 0 }
    }

    /// The address of a column.
    pub fn column(relation_oid: u32, attnum: i16) -> Self {
        ObjectId { class: Class::RELATION, oid: relation_oid, subid: i32::from(attnum) }
    }

    /// The object that this is a part of, or itself.
    pub const fn whole(self) -> Self {
        ObjectId { class: self.class, oid: self.oid, subid: 0 }
    }
}

/// The manner of a dependency, as in `pg_depend.deptype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DependKind {
    #[serde(rename = "n")]
    Normal,
    #[serde(rename = "a")]
    Auto,
    #[serde(rename = "i")]
    Internal,
    #[serde(rename = "P")]
    PartitionPrimary,
    #[serde(rename = "S")]
    PartitionSecondary,
    #[serde(rename = "e")]
    Extension,
    #[serde(rename = "x")]
    AutoExtension,
    #[serde(other)]
    Other,
}

/// One row of `pg_depend`: `object` needs `reference`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "DependRow")]
pub struct Depend {
    pub object: ObjectId,
    pub reference: ObjectId,
    pub kind: DependKind,
}

/// The query's form of a dependency: short, since there are many.
#[derive(Deserialize)]
struct DependRow {
    c: u32,
    o: u32,
    s: i32,
    rc: u32,
    ro: u32,
    rs: i32,
    k: DependKind,
}

impl From<DependRow> for Depend {
    fn from(row: DependRow) -> Self {
        Depend {
            object: ObjectId { class: Class(row.c), oid: row.o, subid: row.s },
            reference: ObjectId { class: Class(row.rc), oid: row.ro, subid: row.rs },
            kind: row.k,
        }
    }
}

/// One privilege that a role holds on an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Grant {
    pub grantor: String,
    /// None is PUBLIC.
    pub grantee: Option<String>,
    /// The privilege's name, such as `select`.
    pub privilege: String,
    pub is_grantable: bool,
}

/// The privileges on an object or column whose access list is not the default one.
#[derive(Debug, Clone, Deserialize)]
pub struct Acl {
    #[serde(flatten)]
    pub id: ObjectId,
    pub owner: String,
    pub schema: Option<String>,
    /// The object's name as SQL, qualified; a column carries its table's.
    pub identity: String,
    /// What the `on` clause of GRANT calls the object, such as `table` or `function`.
    pub kind: String,
    /// The column's name, for columns.
    pub column: Option<String>,
    /// Whether the object belongs to an extension or to the system.
    pub is_foreign: bool,
    /// What the object has.
    pub grants: Vec<Grant>,
    /// What a new object of this kind, owner and origin has.
    pub initial: Vec<Grant>,
}

/// A comment on an object or column.
#[derive(Debug, Clone, Deserialize)]
pub struct Comment {
    #[serde(flatten)]
    pub id: ObjectId,
    pub text: String,
}

/// A security label on an object or column.
#[derive(Debug, Clone, Deserialize)]
pub struct SecurityLabel {
    #[serde(flatten)]
    pub id: ObjectId,
    pub provider: String,
    pub label: String,
}

/// What is known about objects of any class, by address.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    pub comments: HashMap<ObjectId, String>,
    pub labels: HashMap<ObjectId, Vec<SecurityLabel>>,
    pub acls: HashMap<ObjectId, Vec<Acl>>,
    /// What the target's version cannot have of an object, in words; filled in by `plan::version`.
    pub losses: HashMap<ObjectId, Vec<String>>,
    /// Why an object cannot be made on the target, in words; filled in likewise.
    pub obstacles: HashMap<ObjectId, String>,
}
