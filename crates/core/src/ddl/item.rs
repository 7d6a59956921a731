//! One object as statements, with what is needed to put it in order.

use serde::{Deserialize, Serialize};

use crate::model::ObjectId;
use crate::name::quote_ident;

/// The `subid` in the address of the item that states an object's privileges.
pub const PRIVILEGES: i32 = -1;

/// The parts of a run that an item can belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Before the rows.
    PreData,
    /// After the rows.
    PostData,
    /// When everything else is there: privileges, the filling of materialized views, event triggers.
    Finish,
}

/// The kinds of item, in the order in which items that do not depend on each other come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    Schema,
    Extension,
    AccessMethod,
    Language,
    ForeignDataWrapper,
    Server,
    UserMapping,
    Collation,
    ShellType,
    Type,
    Function,
    Transform,
    Aggregate,
    Operator,
    OperatorFamily,
    OperatorClass,
    FamilyMember,
    Cast,
    Conversion,
    TextSearch,
    Sequence,
    Table,
    Default,
    SequenceOwner,
    AttachPartition,
    View,
    /// The real query of a view that was made as a dummy first.
    ViewBody,
    MaterializedView,
    Index,
    PrimaryKey,
    Unique,
    Exclusion,
    AttachIndex,
    Statistics,
    /// A check of a table or domain that may read other tables, or that was never validated.
    Check,
    ForeignKey,
    Rule,
    Trigger,
    Policy,
    RowSecurity,
    Privileges,
    Refresh,
    Publication,
    PublicationMember,
    Subscription,
    DefaultPrivileges,
    /// Settings and the like of the database itself.
    Database,
    /// Behind everything that it could fire at.
    EventTrigger,
}

/// A statement that follows the creation of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub sql: String,
    /// The roles that the statement names; when one is missing the statement cannot run.
    pub roles: Vec<String>,
}

/// An object of the target, or a part of one that is made separately.
#[derive(Debug, Clone)]
pub struct Item {
    /// Address on the source. Parts of objects have the address of the catalog row they are: a
    /// default that of `pg_attrdef`, a view's body that of its rule.
    pub id: ObjectId,
    pub kind: ItemKind,
    /// Identity for messages, such as `table public.votes`.
    pub object: String,
    pub schema: Option<String>,
    pub name: String,
    /// The table or view that this belongs to.
    pub table_oid: Option<u32>,
    /// The table that a foreign key points to.
    pub referenced_table_oid: Option<u32>,
    pub section: Section,
    /// Whether making it may read the rows of any table.
    pub reads_rows: bool,
    pub create: Vec<String>,
    /// The roles that the above name; when one is missing the object cannot be made.
    pub roles: Vec<String>,
    /// Whether `create` is what may be shown and the statement to run must be read when it runs.
    pub has_secret: bool,
    pub attributes: Vec<Attribute>,
    /// Whether the object comes with the system or an extension, of which the target may have another
    /// version: then the attributes may fail.
    pub is_foreign: bool,
    /// Why the object cannot be made, in words.
    pub obstacle: Option<String>,
    /// What cannot be carried, in words.
    pub notes: Vec<String>,
    /// For a primary key or unique constraint: its index as a plain CREATE UNIQUE INDEX.
    pub index_definition: Option<String>,
    /// The statement that turns that index into the constraint.
    pub using_index: Option<String>,
    /// Addresses of the source that come into being with this item.
    pub provides: Vec<ObjectId>,
    /// Those of the above that can be made by an item of their own instead.
    pub splittable: Vec<ObjectId>,
    /// Addresses that must exist first, beyond what `pg_depend` says.
    pub requires: Vec<ObjectId>,
    /// Positions of the items that must come first; filled in by sorting.
    pub depends_on: Vec<usize>,
}

impl Item {
    /// An item before the data that provides its own address and does nothing yet.
    pub(crate) fn new(id: ObjectId, kind: ItemKind, object: String, name: &str) -> Self {
        Item {
            id,
            kind,
            object,
            schema: None,
            name: name.to_owned(),
            table_oid: None,
            referenced_table_oid: None,
            section: Section::PreData,
            reads_rows: false,
            create: Vec::new(),
            roles: Vec::new(),
            has_secret: false,
            is_foreign: false,
            obstacle: None,
            attributes: Vec::new(),
            notes: Vec::new(),
            index_definition: None,
            using_index: None,
            provides: vec![id],
            splittable: Vec::new(),
            requires: Vec::new(),
            depends_on: Vec::new(),
        }
    }

    /// An item for an object that lives in a schema.
    pub(super) fn in_schema(
        id: ObjectId,
        kind: ItemKind,
        noun: &str,
        schema: &str,
        name: &str,
    ) -> Self {
        let mut item = Item::new(id, kind, format!("{noun} {schema}.{name}"), name);
        item.schema = Some(schema.to_owned());
        item
    }

    /// The same item, after the data.
    pub(crate) fn after_data(mut self) -> Self {
        self.section = Section::PostData;
        self
    }

    /// The same item, at the very end.
    pub(super) fn at_the_end(mut self) -> Self {
        self.section = Section::Finish;
        self
    }

    /// Adds a statement that follows the creation.
    pub(super) fn push_attribute(&mut self, sql: String) {
        self.attributes.push(Attribute { sql, roles: Vec::new() });
    }

    /// Adds the statement that gives the object to its owner.
    pub(super) fn push_owner(&mut self, noun: &str, identity: &str, owner: &str) {
        self.attributes.push(Attribute {
            sql: format!("alter {noun} {identity} owner to {}", quote_ident(owner)),
            roles: vec![owner.to_owned()],
        });
    }
}
