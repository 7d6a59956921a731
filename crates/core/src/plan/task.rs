//! A task of the run's graph: what is done in one transaction, what it waits for, what it locks.
//!
//! Tasks are written to `pgmig.task` once, when the plan is made; `work` is stored as JSON and is all
//! that a worker needs to do the task.

use serde::{Deserialize, Serialize};

use crate::model::ObjectId;
use crate::name::{QualifiedName, quote_ident};

/// The kinds of task, as `pgmig.tasks` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    Ddl,
    Copy,
    Index,
    Constraint,
    ForeignKey,
    Sequence,
    LargeObject,
    Refresh,
    Analyze,
    Check,
}

/// PostgreSQL's table lock modes, in the order of their strength, with the server's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    AccessShare = 1,
    RowShare = 2,
    RowExclusive = 3,
    ShareUpdateExclusive = 4,
    Share = 5,
    ShareRowExclusive = 6,
    Exclusive = 7,
    AccessExclusive = 8,
}

/// A lock that a task takes on a table of the target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskLock {
    pub table: QualifiedName,
    pub mode: LockMode,
}

/// One unit of work, commit and resume.
#[derive(Debug, Clone)]
pub struct Task {
    /// Position in the plan, from 1.
    pub id: i32,
    pub kind: TaskKind,
    /// What the task works on, as shown to people.
    pub object: String,
    /// The target table it belongs to, if it belongs to one.
    pub table: Option<QualifiedName>,
    pub work: Work,
    /// Ids of the tasks that must be done first; all smaller than `id`.
    pub depends_on: Vec<i32>,
    pub locks: Vec<TaskLock>,
    /// Rows expected to be read or written.
    pub rows: i64,
    /// Bytes expected to be read or written, TOAST included.
    pub bytes: i64,
}

/// A table of the run, as `pgmig.tables` shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunTable {
    /// The table's number within the run, from 1.
    pub table_id: i32,
    pub source: QualifiedName,
    pub target: QualifiedName,
    /// Whether the target had the table before the run.
    pub is_existing: bool,
    pub is_unlogged: bool,
    pub copies_data: bool,
    /// Ids of the first and the last of its copy tasks, which are numbered without gaps.
    pub copies: Option<(i32, i32)>,
    pub format: Format,
    pub rows: i64,
    pub bytes: i64,
    /// The relations that its copied rows are in; none for what is not in tables.
    pub parts: Vec<RunPart>,
}

/// A relation with rows that a run copies: the table itself, or a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPart {
    /// OID on the source.
    pub oid: u32,
    pub source: QualifiedName,
    pub target: QualifiedName,
}

/// A statement for the target and the object it makes or changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Identity of the object, such as `table public.votes`.
    pub object: String,
    pub sql: String,
    #[serde(default, skip_serializing_if = "StatementMode::is_plain")]
    pub mode: StatementMode,
    /// The relation of the target that it is about, if its mode asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<QualifiedName>,
}

impl Statement {
    /// A statement to be run as it is.
    pub fn new(object: &str, sql: &str) -> Self {
        Statement {
            object: object.to_owned(),
            sql: sql.to_owned(),
            mode: StatementMode::Plain,
            relation: None,
        }
    }
}

/// What a definition says that an index or key is built with, as the server writes it; names that contain the word
/// may add to it.
pub(super) fn access_methods(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(" USING ").skip(1).filter_map(|rest| rest.split_once(' ')).map(|(method, _)| method)
}

/// How a statement is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementMode {
    /// As it is.
    #[default]
    Plain,
    /// Clears what the target has: unless it succeeds, nothing that comes after its task may be done.
    Vital,
    /// Creates a table, or completes it.
    Table,
    /// Creates an index, or prepares for that.
    Index,
    /// Adds a foreign key after a check of the rows.
    CheckedForeignKey,
    /// Adds a foreign key that is marked valid without looking at the rows.
    TrustedForeignKey,
    /// Adds a foreign key that is left not valid.
    NotValidForeignKey,
    /// Makes a table logged that was loaded unlogged: what was copied into it then survives a crash.
    SetLogged,
    /// Builds what an earlier run had dropped and could not build: it may fail again.
    Owed,
    /// Changes what the target need not have, or not let the run's role change.
    Optional,
    /// Analyzes a table, or sets what the source knows of the one with this OID.
    Analyze(u32),
    /// The text is for people only; what runs holds a secret and is read from the source.
    Secret(ObjectId),
}

impl StatementMode {
    fn is_plain(&self) -> bool {
        *self == StatementMode::Plain
    }
}

/// What a worker does for a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Work {
    /// Run statements in one transaction.
    Statements { statements: Vec<Statement> },
    /// Copy one range of a table, or several small tables, in one transaction.
    Copy { loads: Vec<Load> },
    /// Set sequences to the source's values, read when the task runs.
    Sequences { sequences: Vec<QualifiedNamePair> },
    /// Count (and hash) tables on both sides.
    Check { tables: Vec<CheckTable> },
    /// Copy the user's rows of an extension's tables, unless the target has some, and its sequences.
    Configuration { loads: Vec<Load>, sequences: Vec<QualifiedNamePair> },
    /// Remove large objects of the target.
    RemoveLargeObjects { oids: Vec<u32> },
    /// Copy the large objects with OIDs from `first` to `last`.
    LargeObjects { table_id: i32, first: u32, last: u32 },
    /// Count (and hash) large objects on both sides.
    CheckLargeObjects { table_id: i32 },
}

impl Work {
    /// Whether the work needs a session with the source.
    pub fn reads_source(&self) -> bool {
        match self {
            Work::Copy { .. }
            | Work::Sequences { .. }
            | Work::Configuration { .. }
            | Work::Check { .. }
            | Work::LargeObjects { .. }
            | Work::CheckLargeObjects { .. } => true,
            Work::Statements { statements } => statements.iter().any(|statement| {
                matches!(statement.mode, StatementMode::Secret(_) | StatementMode::Analyze(_))
            }),
            Work::RemoveLargeObjects { .. } => false,
        }
    }

    /// The relations of the source whose rows are read.
    pub fn source_relations(&self) -> Vec<&QualifiedName> {
        match self {
            Work::Copy { loads } => loads.iter().map(|load| &load.source).collect(),
            Work::Check { tables } => {
                tables.iter().flat_map(|table| &table.source).map(|part| &part.relation).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What is done, as SQL for people: statements for the target, or those that the source is asked.
    pub fn statements(&self) -> Vec<String> {
        match self {
            Work::Statements { statements } => {
                statements.iter().map(|statement| format!("{};", statement.sql)).collect()
            }
            Work::Copy { loads } | Work::Configuration { loads, .. } => {
                loads.iter().map(|load| load.copy_out_statement()).collect()
            }
            Work::Sequences { sequences } => sequences
                .iter()
                .map(|pair| format!("select last_value, is_called from {};", pair.source.quoted()))
                .collect(),
            Work::Check { tables } => tables
                .iter()
                .flat_map(|table| &table.source)
                .map(|part| format!("{};", part.count_statement()))
                .collect(),
            Work::RemoveLargeObjects { oids } => {
                oids.iter().map(|oid| format!("select pg_catalog.lo_unlink({oid});")).collect()
            }
            Work::LargeObjects { first, last, .. } => vec![format!(
                "select loid, pageno, data from pg_catalog.pg_largeobject \
                 where loid between {first} and {last} order by loid, pageno;"
            )],
            Work::CheckLargeObjects { .. } => {
                vec![
                    "select pg_catalog.count(*) from pg_catalog.pg_largeobject_metadata;"
                        .to_owned(),
                ]
            }
        }
    }
}

/// `copy … to stdout` for some columns and rows of a table; without a condition the table itself is
/// copied, which spares the source an executor.
pub fn copy_out_statement(
    table: &QualifiedName,
    columns: &[String],
    predicate: Option<&str>,
    format: &Format,
) -> String {
    let names: Vec<_> = columns.iter().map(|column| quote_ident(column)).collect();
    let names = names.join(", ");
    let what = match predicate {
        None if !columns.is_empty() => format!("{} ({names})", table.quoted()),
        None => format!("(select from only {})", table.quoted()),
        Some(predicate) => {
            format!("(select {names} from only {} where {predicate})", table.quoted())
        }
    };
    match format {
        Format::Binary => format!("copy {what} to stdout (format binary)"),
        Format::Text { .. } => format!("copy {what} to stdout"),
    }
}

impl Load {
    /// The statement that makes the source send the load's rows.
    pub fn copy_out_statement(&self) -> String {
        copy_out_statement(&self.source, &self.columns, self.predicate.as_deref(), &self.format)
    }
}

/// The name of a relation on the source and on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualifiedNamePair {
    pub source: QualifiedName,
    pub target: QualifiedName,
}

/// The wire format of one table's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Binary,
    /// Text, because of the reason given.
    Text {
        reason: String,
        /// Why equal values may have another text on the other side, if they may.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incomparable: Option<String>,
    },
}

impl Format {
    /// Text that is the same on both sides.
    pub fn text(reason: impl Into<String>) -> Self {
        Format::Text { reason: reason.into(), incomparable: None }
    }

    /// Why the two sides cannot be compared by what they send.
    pub fn incomparable(&self) -> Option<&str> {
        match self {
            Format::Text { incomparable, .. } => incomparable.as_deref(),
            Format::Binary => None,
        }
    }
}

/// Rows of one source table to be written to one target table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Load {
    /// The table's number within the run, from 1.
    pub table_id: i32,
    pub source: QualifiedName,
    pub target: QualifiedName,
    /// Columns in the order of the stream; generated and dropped ones are left out.
    pub columns: Vec<String>,
    pub format: Format,
    /// Conditions on the source's rows, ANDed: the range and the user's `where`. None: all rows.
    pub predicate: Option<String>,
    /// Whether this transaction truncates the table first, so that its rows can be frozen.
    pub truncate: bool,
    pub rows: i64,
    pub bytes: i64,
}

/// A table to be compared, row counts and, if asked for, contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckTable {
    /// The table's number within the run, from 1.
    pub table_id: i32,
    /// Where its rows are on the source; nowhere if it does not exist there.
    pub source: Vec<CheckPart>,
    /// Where they are on the target; nowhere if it does not exist there.
    pub target: Vec<CheckPart>,
    pub columns: Vec<String>,
    pub format: Format,
    /// What is known to differ, so that contents cannot be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

/// A relation with rows of a table to be compared: the table itself, or a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckPart {
    pub relation: QualifiedName,
    /// Which of its rows; None: all.
    pub predicate: Option<String>,
}

impl CheckPart {
    /// The statement that counts the part's rows.
    pub fn count_statement(&self) -> String {
        let condition = match &self.predicate {
            Some(predicate) => format!(" where {predicate}"),
            None => String::new(),
        };
        format!("select pg_catalog.count(*) from only {}{condition}", self.relation.quoted())
    }
}
