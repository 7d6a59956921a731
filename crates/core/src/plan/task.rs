//! A task of the run's graph: what is done in one transaction, what it waits for, what it locks.
//!
//! Tasks are written to `pgmig.task` once, when the plan is made; `work` is stored as JSON and is all
//! that a worker needs to do the task.

use serde::{Deserialize, Serialize};

use crate::name::QualifiedName;

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

/// A statement for the target and the object it makes or changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Identity of the object, such as `table public.votes`.
    pub object: String,
    pub sql: String,
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
    },
}

/// Rows of one source table to be written to one target table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Load {
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

/// A table to be compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckTable {
    pub source: QualifiedName,
    pub target: QualifiedName,
    pub columns: Vec<String>,
    pub format: Format,
    /// The user's `where` for the table.
    pub predicate: Option<String>,
    pub rows: i64,
    pub bytes: i64,
}
