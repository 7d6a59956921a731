//! Functions, procedures, window functions and aggregates.

use serde::Deserialize;

/// The kinds of routine, as in `pg_proc.prokind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum RoutineKind {
    #[serde(rename = "f")]
    Function,
    #[serde(rename = "p")]
    Procedure,
    #[serde(rename = "w")]
    Window,
    #[serde(rename = "a")]
    Aggregate,
}

/// A routine.
#[derive(Debug, Clone, Deserialize)]
pub struct Function {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub owner: String,
    pub kind: RoutineKind,
    /// The types that identify it, as SQL, without parentheses.
    pub identity_arguments: String,
    /// Name of the language.
    pub language: String,
    /// `pg_get_functiondef`; None for aggregates.
    pub definition: Option<String>,
    /// For aggregates.
    pub aggregate: Option<Aggregate>,
}

/// What makes an aggregate; names are qualified and quoted.
#[derive(Debug, Clone, Deserialize)]
pub struct Aggregate {
    /// The arguments with modes, names and `order by`, without defaults.
    pub arguments: String,
    /// `n` plain, `o` ordered set, `h` hypothetical set.
    pub kind: char,
    pub transition: String,
    pub state_type: String,
    pub state_space: i64,
    pub initial_value: Option<String>,
    pub finish: Option<String>,
    pub finish_extra: bool,
    pub finish_modify: char,
    pub combine: Option<String>,
    pub serialize: Option<String>,
    pub deserialize: Option<String>,
    pub moving_transition: Option<String>,
    pub moving_inverse: Option<String>,
    pub moving_state_type: Option<String>,
    pub moving_state_space: i64,
    pub moving_initial_value: Option<String>,
    pub moving_finish: Option<String>,
    pub moving_finish_extra: bool,
    pub moving_finish_modify: char,
    /// As SQL, such as `operator(pg_catalog.<)`.
    pub sort_operator: Option<String>,
    pub parallel: char,
}
