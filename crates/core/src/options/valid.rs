//! The list of options: what parsing, error messages and the documentation go by.

use std::ops::RangeInclusive;

use super::interval;

/// One option as users see it.
#[derive(Debug)]
pub struct OptionSpec {
    pub name: &'static str,
    pub kind: Kind,
    /// The default as the documentation gives it; JSON where it is a value.
    pub default: &'static str,
    /// One line without a period.
    pub meaning: &'static str,
}

/// What may be given for an option.
#[derive(Debug)]
pub enum Kind {
    /// True or false.
    Flag,
    /// A whole number within a range.
    Count(RangeInclusive<u64>),
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// The name of a schema.
    Name,
    /// A pattern or an array of patterns.
    Patterns,
    /// Tables and a condition for each.
    Conditions,
    /// Names of settings and a value for each.
    Settings,
    /// A span of time.
    Interval(IntervalRange),
}

/// Which spans of time may be given.
#[derive(Debug)]
pub struct IntervalRange {
    /// Seconds that a number without a unit counts.
    pub unit_s: u64,
    /// The range in seconds.
    pub range_s: RangeInclusive<u64>,
    /// Whether zero (and false) means never, even outside of the range.
    pub has_off: bool,
}

/// A day in seconds.
const DAY_S: u64 = 24 * 60 * 60;

/// More workers than any server has cores; PostgreSQL's own limit is far above.
const MAX_JOBS: u64 = 1024;

/// Attempts after which anybody would have looked.
const MAX_RETRIES: u64 = 1000;

/// Row counts stop at what a bigint holds.
const MAX_ROWS: u64 = 9_223_372_036_854_775_807;

/// Spans stop at a hundred years, far from any overflow of a timestamp.
const MAX_INTERVAL_S: u64 = 36_500 * DAY_S;

/// Every option there is, in the order of the documentation.
pub const VALID: &[OptionSpec] = &[
    OptionSpec {
        name: "source_schema",
        kind: Kind::Name,
        default: "null",
        meaning: "copy this one schema",
    },
    OptionSpec {
        name: "target_schema",
        kind: Kind::Name,
        default: "null",
        meaning: "the name that `source_schema` gets on the target",
    },
    OptionSpec {
        name: "schemas",
        kind: Kind::Patterns,
        default: "[]",
        meaning: "schemas to copy; none given: all but the system's",
    },
    OptionSpec {
        name: "exclude_schemas",
        kind: Kind::Patterns,
        default: "[]",
        meaning: "schemas to leave out",
    },
    OptionSpec {
        name: "tables",
        kind: Kind::Patterns,
        default: "[]",
        meaning: "tables to copy, as `name` or `schema.name`, with their partitions; none given: all",
    },
    OptionSpec {
        name: "exclude_tables",
        kind: Kind::Patterns,
        default: "[]",
        meaning: "tables to leave out, with their partitions",
    },
    OptionSpec {
        name: "exclude_table_data",
        kind: Kind::Patterns,
        default: "[]",
        meaning: "tables to create without their rows, with their partitions",
    },
    OptionSpec {
        name: "where",
        kind: Kind::Conditions,
        default: "{}",
        meaning: "conditions on the rows of tables and their partitions, evaluated on the source",
    },
    OptionSpec {
        name: "jobs",
        kind: Kind::Count(1..=MAX_JOBS),
        default: "null",
        meaning: "background workers; null: one per core, within the free worker slots",
    },
    OptionSpec {
        name: "partition_threshold",
        kind: Kind::Count(1..=MAX_ROWS),
        default: "null",
        meaning: "rows above which a table is copied in ranges; null: a million, if whole tables would leave one job with more to do than others",
    },
    OptionSpec {
        name: "max_partitions",
        kind: Kind::Count(1..=MAX_JOBS),
        default: "8",
        meaning: "ranges of one table that are copied at a time",
    },
    OptionSpec {
        name: "chunk_size",
        kind: Kind::Count(1..=MAX_ROWS),
        default: "null",
        meaning: "rows per range, the unit of work, commit and resume; null: by bytes",
    },
    OptionSpec {
        name: "chunk_by",
        kind: Kind::Choice(&["auto", "pk", "ctid", "none"]),
        default: "\"auto\"",
        meaning: "what ranges are cut by; `auto` takes what costs the source least",
    },
    OptionSpec {
        name: "use_unlogged_tables",
        kind: Kind::Flag,
        default: "false",
        meaning: "load into unlogged tables and make them logged in the end",
    },
    OptionSpec {
        name: "drop_existing_tables",
        kind: Kind::Flag,
        default: "false",
        meaning: "drop existing tables and create them again instead of truncating them",
    },
    OptionSpec {
        name: "overwrite",
        kind: Kind::Flag,
        default: "false",
        meaning: "truncate or drop also tables whose rows are not what an earlier run loaded",
    },
    OptionSpec {
        name: "schema_only",
        kind: Kind::Flag,
        default: "false",
        meaning: "copy definitions, no rows",
    },
    OptionSpec {
        name: "data_only",
        kind: Kind::Flag,
        default: "false",
        meaning: "copy rows into existing tables, no definitions",
    },
    OptionSpec {
        name: "owner",
        kind: Kind::Flag,
        default: "true",
        meaning: "give objects the owners they have on the source",
    },
    OptionSpec {
        name: "privileges",
        kind: Kind::Flag,
        default: "true",
        meaning: "copy privileges",
    },
    OptionSpec { name: "comments", kind: Kind::Flag, default: "true", meaning: "copy comments" },
    OptionSpec {
        name: "security_labels",
        kind: Kind::Flag,
        default: "true",
        meaning: "copy security labels",
    },
    OptionSpec {
        name: "extensions",
        kind: Kind::Flag,
        default: "true",
        meaning: "create extensions",
    },
    OptionSpec {
        name: "policies",
        kind: Kind::Flag,
        default: "true",
        meaning: "copy row security policies",
    },
    OptionSpec {
        name: "publications",
        kind: Kind::Flag,
        default: "true",
        meaning: "copy publications",
    },
    OptionSpec {
        name: "subscriptions",
        kind: Kind::Flag,
        default: "true",
        meaning: "copy subscriptions, disabled",
    },
    OptionSpec {
        name: "tablespaces",
        kind: Kind::Flag,
        default: "true",
        meaning: "put objects into the tablespaces they have on the source",
    },
    OptionSpec {
        name: "table_access_methods",
        kind: Kind::Flag,
        default: "true",
        meaning: "give tables the access methods they have on the source",
    },
    OptionSpec {
        name: "toast_compression",
        kind: Kind::Flag,
        default: "true",
        meaning: "give columns the compression methods they have on the source",
    },
    OptionSpec {
        name: "unlogged_table_data",
        kind: Kind::Flag,
        default: "true",
        meaning: "copy the rows of unlogged tables",
    },
    OptionSpec {
        name: "large_objects",
        kind: Kind::Flag,
        default: "null",
        meaning: "copy large objects; null: unless only schemas or tables are chosen",
    },
    OptionSpec {
        name: "roles",
        kind: Kind::Flag,
        default: "false",
        meaning: "create missing roles first",
    },
    OptionSpec {
        name: "database_properties",
        kind: Kind::Flag,
        default: "false",
        meaning: "copy settings, comment and privileges of the database itself",
    },
    OptionSpec {
        name: "foreign_keys",
        kind: Kind::Choice(&["validate", "trust", "not_valid", "skip"]),
        default: "\"validate\"",
        meaning: "`trust` marks foreign keys valid without a scan where the source vouches for them",
    },
    OptionSpec {
        name: "statistics",
        kind: Kind::Choice(&["copy", "analyze"]),
        default: "\"copy\"",
        meaning: "`copy` takes the planner's statistics from the source where it has good ones; else ANALYZE",
    },
    OptionSpec {
        name: "validation",
        kind: Kind::Choice(&["rows", "checksum", "none"]),
        default: "\"rows\"",
        meaning: "how source and target are compared",
    },
    OptionSpec {
        name: "on_error",
        kind: Kind::Choice(&["stop", "continue"]),
        default: "\"stop\"",
        meaning: "`continue` finishes all that does not depend on the failure, then fails",
    },
    OptionSpec {
        name: "retries",
        kind: Kind::Count(0..=MAX_RETRIES),
        default: "6",
        meaning: "attempts to get back to a lost source, or to get workers again, which may fail in a row",
    },
    OptionSpec {
        name: "retry_delay",
        kind: Kind::Interval(IntervalRange { unit_s: 1, range_s: 0..=3600, has_off: false }),
        default: "\"1s\"",
        meaning: "time before the first of them; each further one waits twice as long, up to a minute",
    },
    OptionSpec {
        name: "lock_timeout",
        kind: Kind::Interval(IntervalRange { unit_s: 1, range_s: 1..=DAY_S, has_off: true }),
        default: "\"0s\"",
        meaning: "longest wait for a lock of somebody else's, on either side; 0 or false: for ever",
    },
    OptionSpec {
        name: "settings",
        kind: Kind::Settings,
        default: "{}",
        meaning: "settings of the workers, such as `maintenance_work_mem`",
    },
    OptionSpec {
        name: "progress",
        kind: Kind::Interval(IntervalRange { unit_s: 1, range_s: 1..=DAY_S, has_off: true }),
        default: "\"5s\"",
        meaning: "time between two progress messages, in seconds or with a unit; false: none",
    },
    OptionSpec {
        name: "keep_history",
        kind: Kind::Interval(IntervalRange {
            unit_s: DAY_S,
            range_s: 0..=MAX_INTERVAL_S,
            has_off: false,
        }),
        default: "\"30d\"",
        meaning: "time after which the details of ended runs are pruned, in days or with a unit; of those \
                  that can be resumed not before 90 days",
    },
];

impl Kind {
    /// What is expected, as a noun phrase for error messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Kind::Flag => "true or false".to_owned(),
            Kind::Count(_) => "a whole number".to_owned(),
            Kind::Choice(words) => format!("one of {}", list_quoted(words)),
            Kind::Name => "the name of a schema".to_owned(),
            Kind::Patterns => "a pattern or an array of patterns".to_owned(),
            Kind::Conditions => "an object of tables and conditions".to_owned(),
            Kind::Settings => "an object of settings and values".to_owned(),
            Kind::Interval(range) if range.has_off => "a span of time or false".to_owned(),
            Kind::Interval(_) => "a span of time".to_owned(),
        }
    }

    /// Type and range for the documentation.
    fn render(&self) -> String {
        match self {
            Kind::Flag => "boolean".to_owned(),
            Kind::Count(range) if *range.end() == MAX_ROWS => format!("from {}", range.start()),
            Kind::Count(range) => format!("{} to {}", range.start(), range.end()),
            Kind::Choice(words) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            Kind::Name => "name".to_owned(),
            Kind::Patterns => "patterns".to_owned(),
            Kind::Conditions => "object".to_owned(),
            Kind::Settings => "object".to_owned(),
            Kind::Interval(IntervalRange { range_s, has_off, .. }) => format!(
                "{} to {}{}",
                interval::format(*range_s.start()),
                interval::format(*range_s.end()),
                if *has_off { ", or false" } else { "" }
            ),
        }
    }
}

/// The words in double quotes, separated by commas.
pub(super) fn list_quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// The table of options for the documentation, in Markdown.
pub fn render_markdown() -> String {
    let mut table = String::from("| option | type | default | meaning |\n|---|---|---|---|\n");
    for spec in VALID {
        let default = match spec.default {
            "null" | "[]" | "{}" => "–".to_owned(),
            value => format!("`{}`", value.trim_matches('"')),
        };
        table.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            spec.name,
            spec.kind.render(),
            default,
            spec.meaning
        ));
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_documentation_lists_the_options_that_exist() {
        let documented = include_str!("../../../../docs/options.md");
        assert!(
            documented.contains(&render_markdown()),
            "docs/options.md: replace the table by the output of \
             `cargo run -p pgmig-core --example options_table`"
        );
    }
    use crate::options::Options;

    #[test]
    fn the_list_and_the_struct_name_the_same_options_and_defaults() {
        let defaults = Options::default().to_json().expect("canonical JSON");
        let fields = defaults.as_object().expect("an object");
        let listed: BTreeSet<&str> = VALID.iter().map(|spec| spec.name).collect();
        assert_eq!(listed.len(), VALID.len(), "an option is listed twice");
        assert_eq!(listed, fields.keys().map(String::as_str).collect());
        for spec in VALID {
            let default: Value = serde_json::from_str(spec.default).expect("a default in JSON");
            assert_eq!(default, fields[spec.name], "default of {}", spec.name);
        }
    }

    #[test]
    fn the_documentation_has_a_row_for_every_option() {
        let table = render_markdown();
        assert_eq!(table.lines().count(), VALID.len() + 2);
        assert!(table.contains("| `jobs` | 1 to 1024 | – | background workers;"));
        assert!(table.contains("| `progress` | 1s to 1d, or false | `5s` |"));
        assert!(table.lines().all(|line| line.matches('|').count() == 5), "{table}");
    }
}
