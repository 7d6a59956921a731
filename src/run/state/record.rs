//! The rows of pgmig's tables as Rust values.

use pgmig_core::Error;
use pgmig_core::digest::Digest;
use pgmig_core::plan::task::Work;
use pgrx::prelude::*;
use serde::{Deserialize, Serialize, Serializer};

/// The states in which a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalState {
    Done,
    Mismatch,
    Failed,
    Cancelled,
}

impl FinalState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            FinalState::Done => "done",
            FinalState::Mismatch => "mismatch",
            FinalState::Failed => "failed",
            FinalState::Cancelled => "cancelled",
        }
    }
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    Migrate,
    Validate,
    Plan,
}

impl RunKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            RunKind::Migrate => "migrate",
            RunKind::Validate => "validate",
            RunKind::Plan => "plan",
        }
    }
}

/// Where a run stands, as other sessions see it.
#[derive(Debug, Clone, Deserialize)]
pub struct RunStatus {
    /// As in `pgmig.runs.kind`.
    pub kind: RunKind,
    /// As in `pgmig.runs.state`.
    pub state: String,
    /// As in `pgmig.runs.phase`.
    pub phase: String,
    /// Whether the row says how the run has ended.
    pub has_ended: bool,
    pub options: serde_json::Value,
    /// The foreign server that the source was given as.
    pub server: Option<String>,
    pub coordinator_pid: i32,
    pub sqlstate: Option<String>,
    pub message: Option<String>,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl RunStatus {
    /// Whether a process still works on the run.
    pub fn is_live(&self) -> bool {
        matches!(self.state.as_str(), "planning" | "running")
    }
}

/// One row of the validation table.
#[derive(Debug, Clone, Deserialize)]
pub struct ValidationRow {
    pub table_schema: String,
    pub table_name: String,
    pub source_rows: Option<i64>,
    pub target_rows: Option<i64>,
    pub source_checksum: Option<String>,
    pub target_checksum: Option<String>,
    pub bytes_copied: i64,
    /// Seconds between the table's first byte and its last.
    pub elapsed_s: Option<f64>,
    pub status: String,
    pub detail: Option<String>,
}

/// One row of a dry run.
#[derive(Debug, Clone, Deserialize)]
pub struct PlanRow {
    pub step: i32,
    pub kind: String,
    pub object: String,
    pub work: Work,
    pub rows_expected: i64,
    pub bytes_expected: i64,
    pub depends_on: Vec<i32>,
}

impl PlanRow {
    /// Which part of the run the step belongs to.
    pub fn phase(&self) -> &'static str {
        match self.kind.as_str() {
            "ddl" => "schema",
            "copy" | "large_object" | "sequence" => "data",
            "check" => "validation",
            _ => "keys and indexes",
        }
    }

    /// The statements of the step, one a line.
    pub fn sql(&self) -> Option<String> {
        let lines = self.work.statements();
        Some(lines.join("\n")).filter(|sql| !sql.is_empty())
    }
}

/// What a copy task wrote to one table.
#[derive(Debug, Clone, Serialize)]
pub struct CopiedTable {
    pub table_id: i32,
    pub rows: i64,
    pub bytes: i64,
    #[serde(rename = "checksum", serialize_with = "serialize_digest")]
    pub digest: Option<Digest>,
    /// Whether crash recovery would empty the table.
    #[serde(skip)]
    pub is_unlogged: bool,
}

fn serialize_digest<S: Serializer>(
    digest: &Option<Digest>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    digest.map(|digest| digest.to_string()).serialize(serializer)
}

/// The comparison of one table on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct CheckedTable {
    pub table_id: i32,
    pub source_rows: Option<i64>,
    pub target_rows: Option<i64>,
    pub source_checksum: Option<String>,
    pub target_checksum: Option<String>,
    pub status: &'static str,
    pub detail: Option<String>,
}

/// How bad an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Warning,
    Error,
}

impl Severity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Something a run has to say.
#[derive(Debug, Clone)]
pub struct Event {
    pub severity: Severity,
    pub object: Option<String>,
    pub sqlstate: Option<String>,
    pub message: String,
    pub detail: Option<String>,
    pub statement: Option<String>,
}

impl Event {
    /// An event without an error behind it.
    pub fn new(severity: Severity, object: Option<String>, message: impl Into<String>) -> Self {
        Event {
            severity,
            object,
            sqlstate: None,
            message: message.into(),
            detail: None,
            statement: None,
        }
    }

    /// The failure of a statement or task.
    pub fn failure(object: &str, error: &Error) -> Self {
        let statement = match error {
            Error::Target(target) => target.statement.clone(),
            _ => None,
        };
        Event {
            severity: Severity::Error,
            object: Some(object.to_owned()),
            sqlstate: Some(error.sqlstate().to_owned()),
            message: error.to_string(),
            detail: error.detail().map(str::to_owned),
            statement,
        }
    }
}

/// A new run's row.
pub struct NewRun<'a> {
    pub kind: RunKind,
    pub role: pg_sys::Oid,
    /// The source without secrets.
    pub source: &'a str,
    /// Options in canonical JSON.
    pub options: &'a str,
    /// The foreign server that the source was given as.
    pub server: Option<&'a str>,
}
