//! The options of a run: from the JSON a user writes to values that are known to make sense.
//!
//! `valid` lists every option once; `raw` checks what was written against that list and brings it
//! into one canonical form; `ready` finds what no option can tell alone: contradictions.
//! `Options::to_json` gives the canonical form again, and parsing that gives equal options.

pub mod condition;
mod interval;
mod raw;
mod ready;
mod settings;
mod valid;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;
use crate::error::Error;

pub use valid::{Kind, OptionSpec, VALID, render_markdown};

/// Options that say how a run works and not what it does.
const RESUMABLE: &[&str] = &[
    "jobs",
    "max_partitions",
    "on_error",
    "retries",
    "retry_delay",
    "lock_timeout",
    "settings",
    "progress",
    "keep_history",
    "overwrite",
];

/// The options of one run, checked; field by field as `VALID` describes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub source_schema: Option<String>,
    pub target_schema: Option<String>,
    pub schemas: Vec<String>,
    pub exclude_schemas: Vec<String>,
    pub tables: Vec<String>,
    pub exclude_tables: Vec<String>,
    pub exclude_table_data: Vec<String>,
    /// Option `where`: table to condition.
    #[serde(rename = "where")]
    pub conditions: BTreeMap<String, String>,
    /// None: as many as the machine has cores and the server free worker slots.
    pub jobs: Option<u32>,
    /// Rows above which a table is copied in ranges; None: those that one worker would be long at.
    pub partition_threshold: Option<u64>,
    /// Ranges of one table copied at a time.
    pub max_partitions: u32,
    /// Rows per range; None: measured by bytes.
    pub chunk_size: Option<u64>,
    pub chunk_by: ChunkBy,
    pub use_unlogged_tables: bool,
    pub drop_existing_tables: bool,
    pub overwrite: bool,
    pub schema_only: bool,
    pub data_only: bool,
    pub owner: bool,
    pub privileges: bool,
    pub comments: bool,
    pub security_labels: bool,
    pub extensions: bool,
    pub policies: bool,
    pub publications: bool,
    pub subscriptions: bool,
    pub tablespaces: bool,
    pub table_access_methods: bool,
    pub toast_compression: bool,
    pub unlogged_table_data: bool,
    /// None: as `copies_large_objects` decides.
    pub large_objects: Option<bool>,
    pub roles: bool,
    pub database_properties: bool,
    pub foreign_keys: ForeignKeys,
    pub statistics: Statistics,
    pub validation: Validation,
    pub on_error: OnError,
    /// Attempts to get back to the source that fail in a row before the run does.
    pub retries: u32,
    /// Time before the first of them; every further one waits twice as long.
    #[serde(with = "interval")]
    pub retry_delay: Duration,
    /// Longest wait for a lock; zero: for ever.
    #[serde(with = "interval")]
    pub lock_timeout: Duration,
    /// Settings of the workers, name to value.
    pub settings: BTreeMap<String, String>,
    /// Time between two progress messages; zero: none.
    #[serde(with = "interval")]
    pub progress: Duration,
    /// Time after which the details of an ended run are pruned.
    #[serde(with = "interval")]
    pub keep_history: Duration,
}

/// How a large table is cut into ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkBy {
    /// Whatever costs the source least.
    Auto,
    /// By primary key or another unique key.
    Pk,
    /// By physical position.
    Ctid,
    /// Not at all.
    None,
}

/// How foreign keys come into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKeys {
    /// Added and checked.
    Validate,
    /// Marked valid without a scan where the source vouches for them.
    Trust,
    /// Added NOT VALID.
    NotValid,
    /// Not added.
    Skip,
}

/// Where the planner's statistics come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistics {
    /// From the source where it has them and they hold, else by ANALYZE.
    Copy,
    /// By ANALYZE.
    Analyze,
}

/// How source and target are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    Rows,
    Checksum,
    None,
}

/// What a failed task means for the rest of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    Stop,
    /// Finish all that does not depend on the failure.
    Continue,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            source_schema: None,
            target_schema: None,
            schemas: Vec::new(),
            exclude_schemas: Vec::new(),
            tables: Vec::new(),
            exclude_tables: Vec::new(),
            exclude_table_data: Vec::new(),
            conditions: BTreeMap::new(),
            jobs: None,
            partition_threshold: None,
            max_partitions: 8,
            chunk_size: None,
            chunk_by: ChunkBy::Auto,
            use_unlogged_tables: false,
            drop_existing_tables: false,
            overwrite: false,
            schema_only: false,
            data_only: false,
            owner: true,
            privileges: true,
            comments: true,
            security_labels: true,
            extensions: true,
            policies: true,
            publications: true,
            subscriptions: true,
            tablespaces: true,
            table_access_methods: true,
            toast_compression: true,
            unlogged_table_data: true,
            large_objects: None,
            roles: false,
            database_properties: false,
            foreign_keys: ForeignKeys::Validate,
            statistics: Statistics::Copy,
            validation: Validation::Rows,
            on_error: OnError::Stop,
            retries: 6,
            retry_delay: Duration::from_secs(1),
            lock_timeout: Duration::ZERO,
            settings: BTreeMap::new(),
            progress: Duration::from_secs(5),
            keep_history: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

impl Options {
    /// Reads options from a JSON object.
    ///
    /// # Errors
    /// `Error::Option` for an unknown option, a wrong type, a value out of range or a contradiction.
    pub fn parse(json: &Value) -> Result<Options> {
        let canonical = raw::canonicalize(json)?;
        let options: Options = serde_json::from_value(canonical)
            .map_err(|e| Error::Internal(format!("checked options do not fit: {e}")))?;
        ready::check(&options)?;
        Ok(options)
    }

    /// All options with their values, the defaults included, as `parse` takes them.
    pub fn to_json(&self) -> Result<Value> {
        serde_json::to_value(self)
            .map_err(|e| Error::Internal(format!("options cannot be written as JSON: {e}")))
    }

    /// The options of a run that is taken up again: those it was started with, `self`, with the given
    /// ones instead of its own.
    ///
    /// # Errors
    /// `Error::Option` for those that the plan of the run depends on, and as `parse`.
    pub fn resume_with(&self, json: &Value) -> Result<Options> {
        let given = raw::canonicalize(json)?;
        let mut options = self.to_json()?;
        for (name, value) in given.as_object().into_iter().flatten() {
            if !RESUMABLE.contains(&name.as_str()) && options.get(name) != Some(value) {
                return Err(Error::Option {
                    message: format!("option \"{name}\" cannot change when a run is resumed"),
                    detail: Some("The plan of the run was made with another value.".to_owned()),
                    hint: Some(format!(
                        "Options that can change are {}.",
                        valid::list_quoted(RESUMABLE)
                    )),
                });
            }
            options[name] = value.clone();
        }
        Options::parse(&options)
    }

    /// Whether neither schemas nor tables were chosen, so that what lies outside of them is wanted too.
    pub fn is_whole_database(&self) -> bool {
        self.source_schema.is_none() && self.schemas.is_empty() && self.tables.is_empty()
    }

    /// Whether large objects are copied: as asked for, else where pg_dump would.
    ///
    /// pg_dump takes them along by default unless only schemas, only some schemas or only some tables
    /// were asked for.
    pub fn copies_large_objects(&self) -> bool {
        self.large_objects.unwrap_or(!self.schema_only && self.is_whole_database())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(json: Value) -> Options {
        Options::parse(&json).expect("valid options")
    }

    #[test]
    fn an_empty_object_gives_the_defaults() {
        assert_eq!(parse(json!({})), Options::default());
    }

    #[test]
    fn null_means_the_default() {
        assert_eq!(
            parse(json!({"jobs": null, "schemas": null, "owner": null})),
            Options::default()
        );
    }

    #[test]
    fn every_kind_of_value_arrives() {
        let options = parse(json!({
            "tables": "public.*",
            "exclude_tables": ["a", "b.c"],
            "where": {"public.votes": "created >= '2024-01-01'"},
            "jobs": 4,
            "chunk_by": "ctid",
            "foreign_keys": "not_valid",
            "settings": {"maintenance_work_mem": "1GB", "max_parallel_workers": 4, "jit": false},
            "progress": false,
            "keep_history": "2 weeks",
        }));
        assert_eq!(options.tables, ["public.*"]);
        assert_eq!(options.exclude_tables, ["a", "b.c"]);
        assert_eq!(options.conditions["public.votes"], "created >= '2024-01-01'");
        assert_eq!(options.jobs, Some(4));
        assert_eq!(options.chunk_by, ChunkBy::Ctid);
        assert_eq!(options.foreign_keys, ForeignKeys::NotValid);
        assert_eq!(options.settings["max_parallel_workers"], "4");
        assert_eq!(options.settings["jit"], "off");
        assert_eq!(options.progress, Duration::ZERO);
        assert_eq!(options.keep_history, Duration::from_secs(14 * 86_400));
    }

    #[test]
    fn the_canonical_form_is_read_back_unchanged() {
        for json in [
            json!({}),
            json!({"schemas": "s", "progress": 90, "keep_history": 7, "large_objects": true}),
            json!({"settings": {"jit": true}, "where": {"t": "a\n= 'x'"}, "progress": false}),
        ] {
            let options = parse(json);
            let written = options.to_json().expect("canonical JSON");
            assert_eq!(parse(written.clone()), options);
            assert_eq!(parse(written.clone()).to_json().expect("canonical JSON"), written);
        }
    }

    #[test]
    fn a_resumed_run_takes_new_words_about_how_and_none_about_what() {
        let options = parse(json!({"jobs": 4, "tables": "a", "progress": false}));
        let resumed = options.resume_with(&json!({"jobs": 2, "tables": ["a"]})).expect("options");
        assert_eq!(resumed, parse(json!({"jobs": 2, "tables": "a", "progress": false})));
        for other in [json!({"tables": "b"}), json!({"schema_only": true}), json!({"job": 1})] {
            assert!(matches!(options.resume_with(&other), Err(Error::Option { .. })), "{other}");
        }
    }

    #[test]
    fn large_objects_follow_pg_dump_unless_asked_for() {
        assert!(parse(json!({})).copies_large_objects());
        assert!(!parse(json!({"tables": "a"})).copies_large_objects());
        assert!(!parse(json!({"schema_only": true})).copies_large_objects());
        assert!(parse(json!({"schemas": "a", "large_objects": true})).copies_large_objects());
    }
}
