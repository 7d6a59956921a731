//! What the user wrote: checked option by option against `VALID` and brought into one form.
//!
//! In goes any JSON; out comes an object that has a value of exactly one form for every option given:
//! patterns as an array, settings as strings, spans of time with a unit; null is left out.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::valid::{IntervalRange, Kind, OptionSpec, VALID, list_quoted};
use super::{condition, interval, settings};
use crate::Result;
use crate::error::Error;

/// Bytes of the longest name PostgreSQL keeps (NAMEDATALEN - 1).
const MAX_NAME_BYTES: usize = 63;

/// Characters of a wrong value that an error message repeats.
const MAX_SHOWN_CHARS: usize = 40;

/// Returns the options in canonical form.
pub(super) fn canonicalize(json: &Value) -> Result<Value> {
    let Value::Object(given) = json else {
        return Err(Error::Option {
            message: "options must be a JSON object".to_owned(),
            detail: Some(format!("What was given is {}.", describe(json))),
            hint: Some("Write options as in '{\"jobs\": 8}'.".to_owned()),
        });
    };
    let mut canonical = Map::new();
    for (name, value) in given {
        let spec = VALID.iter().find(|spec| spec.name == name).ok_or_else(|| unknown(name))?;
        if !value.is_null() {
            canonical.insert(name.clone(), canonicalize_value(spec, value)?);
        }
    }
    Ok(Value::Object(canonical))
}

/// Returns the canonical form of one option's value, which is not null.
fn canonicalize_value(spec: &OptionSpec, value: &Value) -> Result<Value> {
    match (&spec.kind, value) {
        (Kind::Flag, Value::Bool(_)) => Ok(value.clone()),
        (Kind::Count(range), Value::Number(number)) if !number.is_f64() => {
            match number.as_u64().filter(|count| range.contains(count)) {
                Some(_) => Ok(value.clone()),
                None => Err(out_of_range(spec, &number.to_string(), &show_counts(range))),
            }
        }
        (Kind::Choice(words), Value::String(word)) => match words.contains(&word.as_str()) {
            true => Ok(value.clone()),
            false => Err(unknown_word(spec, words, word)),
        },
        (Kind::Name, Value::String(name)) => match find_name_flaw(name) {
            None => Ok(value.clone()),
            Some(flaw) => Err(invalid(spec, value, flaw)),
        },
        (Kind::Patterns, Value::String(_)) => Ok(Value::Array(vec![value.clone()])),
        (Kind::Patterns, Value::Array(patterns)) if patterns.iter().all(Value::is_string) => {
            Ok(value.clone())
        }
        (Kind::Conditions, Value::Object(conditions)) => canonicalize_conditions(spec, conditions),
        (Kind::Settings, Value::Object(given)) => canonicalize_settings(given),
        (Kind::Interval(range), Value::Bool(false)) if range.has_off => {
            Ok(Value::String(interval::format(0)))
        }
        (Kind::Interval(range), Value::Number(number)) => {
            canonicalize_interval(spec, range, value, &number.to_string())
        }
        (Kind::Interval(range), Value::String(text)) => {
            canonicalize_interval(spec, range, value, text)
        }
        _ => Err(wrong_type(spec, value)),
    }
}

/// Returns a span of time with its unit.
fn canonicalize_interval(
    spec: &OptionSpec,
    range: &IntervalRange,
    value: &Value,
    text: &str,
) -> Result<Value> {
    let Some(seconds) = interval::parse(text, range.unit_s) else {
        return Err(Error::Option {
            message: format!("invalid value for option \"{}\"", spec.name),
            detail: Some(format!(
                "What was given is {}, which is no span of time.",
                describe(value)
            )),
            hint: Some("Write whole numbers with units, as in \"90s\" or \"30 days\".".to_owned()),
        });
    };
    let is_off = range.has_off && seconds == 0;
    if !is_off && !range.range_s.contains(&seconds) {
        let shown = format!(
            "{} .. {}",
            interval::format(*range.range_s.start()),
            interval::format(*range.range_s.end())
        );
        return Err(out_of_range(spec, &interval::format(seconds), &shown));
    }
    Ok(Value::String(interval::format(seconds)))
}

/// Checks every condition; null ones are left out.
fn canonicalize_conditions(spec: &OptionSpec, conditions: &Map<String, Value>) -> Result<Value> {
    let mut canonical = Map::new();
    for (table, condition) in conditions.iter().filter(|(_, condition)| !condition.is_null()) {
        let flaw = match condition {
            Value::String(text) => condition::find_flaw(text),
            _ => Some("it is not a string"),
        };
        if let Some(flaw) = flaw {
            return Err(Error::Option {
                message: format!("invalid condition for \"{table}\" in option \"{}\"", spec.name),
                detail: Some(format!("The text cannot be a condition: {flaw}.")),
                hint: Some("Write a condition as after WHERE, for one table.".to_owned()),
            });
        }
        canonical.insert(table.clone(), condition.clone());
    }
    Ok(Value::Object(canonical))
}

/// Checks every setting and writes its value as a string; null ones are left out.
fn canonicalize_settings(given: &Map<String, Value>) -> Result<Value> {
    let mut canonical = Map::new();
    for (name, value) in given {
        if let Some(flaw) = settings::find_flaw(name) {
            return Err(Error::Option {
                message: format!("option \"settings\" cannot set \"{name}\""),
                detail: Some(flaw),
                hint: None,
            });
        }
        let text = match value {
            Value::Null => continue,
            Value::Bool(true) => "on".to_owned(),
            Value::Bool(false) => "off".to_owned(),
            Value::Number(number) => number.to_string(),
            Value::String(text) if !text.contains('\0') => text.clone(),
            _ => {
                return Err(Error::Option {
                    message: format!("invalid value for \"{name}\" in option \"settings\""),
                    detail: Some(format!("What was given is {}.", describe(value))),
                    hint: Some("Give a string, a number, true or false.".to_owned()),
                });
            }
        };
        canonical.insert(name.clone(), Value::String(text));
    }
    Ok(Value::Object(canonical))
}

/// Why a name cannot be a schema's; None if it can.
fn find_name_flaw(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is empty"),
        "information_schema" => Some("it belongs to the system"),
        _ if name.starts_with("pg_") => Some("names that begin with \"pg_\" belong to the system"),
        _ if name.len() > MAX_NAME_BYTES => Some("names have at most 63 bytes"),
        _ if name.contains('\0') => Some("it contains a zero byte"),
        _ => None,
    }
}

/// The error for an option that does not exist.
fn unknown(name: &str) -> Error {
    let names: Vec<&str> = VALID.iter().map(|spec| spec.name).collect();
    Error::Option {
        message: format!("unrecognized option \"{name}\""),
        detail: Some(format!("Valid options are {}.", list_quoted(&names))),
        hint: find_nearest(name, &names)
            .map(|nearest| format!("Perhaps you meant the option \"{nearest}\".")),
    }
}

/// The error for a word that an option does not know.
fn unknown_word(spec: &OptionSpec, words: &[&str], word: &str) -> Error {
    Error::Option {
        message: format!("invalid value for option \"{}\": \"{word}\"", spec.name),
        detail: Some(format!("Valid values are {}.", list_quoted(words))),
        hint: find_nearest(word, words).map(|nearest| format!("Perhaps you meant \"{nearest}\".")),
    }
}

/// The error for a value of another type than the option's.
fn wrong_type(spec: &OptionSpec, value: &Value) -> Error {
    Error::Option {
        message: format!("option \"{}\" must be {}", spec.name, spec.kind.describe()),
        detail: Some(format!("What was given is {}.", describe(value))),
        hint: None,
    }
}

/// The error for a value of the right type that cannot be.
fn invalid(spec: &OptionSpec, value: &Value, flaw: &str) -> Error {
    Error::Option {
        message: format!("invalid value for option \"{}\"", spec.name),
        detail: Some(format!("What was given is {}: {flaw}.", describe(value))),
        hint: None,
    }
}

/// The error for a value outside of the option's range.
fn out_of_range(spec: &OptionSpec, shown: &str, range: &str) -> Error {
    Error::Option {
        message: format!(
            "{shown} is outside the valid range for option \"{}\" ({range})",
            spec.name
        ),
        detail: None,
        hint: None,
    }
}

/// A range of counts as error messages show it.
fn show_counts(range: &RangeInclusive<u64>) -> String {
    format!("{} .. {}", range.start(), range.end())
}

/// A JSON value as error messages show it; large ones only by their type.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() <= MAX_SHOWN_CHARS => {
            format!("the string \"{text}\"")
        }
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The candidate that is spelt most like `word`, if any is close enough to be meant.
fn find_nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let wanted = word.to_lowercase().replace('-', "_");
    candidates
        .iter()
        .map(|candidate| (count_edits(&wanted, candidate), *candidate))
        .min()
        .filter(|(edits, candidate)| *edits <= candidate.len().div_ceil(3))
        .map(|(_, candidate)| candidate)
}

/// Characters to insert, delete or replace to get from one word to the other (Levenshtein).
fn count_edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let replaced = above[column] + usize::from(a != *b);
            current.push(replaced.min(above[column + 1] + 1).min(current[column] + 1));
        }
        above = current;
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Message, detail and hint of the error that `json` gives.
    fn refuse(json: Value) -> (String, String, String) {
        let error = canonicalize(&json).expect_err("refused");
        assert_eq!(error.sqlstate(), "22023");
        (
            error.to_string(),
            error.detail().unwrap_or_default().to_owned(),
            error.hint().unwrap_or_default().to_owned(),
        )
    }

    #[test]
    fn an_unknown_option_is_named_with_the_valid_ones_and_the_nearest() {
        let (message, detail, hint) = refuse(json!({"job": 8}));
        assert_eq!(message, "unrecognized option \"job\"");
        assert!(detail.starts_with("Valid options are \"source_schema\", \"target_schema\", "));
        assert_eq!(hint, "Perhaps you meant the option \"jobs\".");
        assert!(refuse(json!({"Exclude-Table": []})).2.contains("\"exclude_tables\""));
        assert_eq!(refuse(json!({"zzz": null})).2, "");
    }

    #[test]
    fn a_wrong_type_is_named_with_the_right_one() {
        for (json, message, detail) in [
            (
                json!({"jobs": "4"}),
                "option \"jobs\" must be a whole number",
                "What was given is the string \"4\".",
            ),
            (
                json!({"jobs": 1.5}),
                "option \"jobs\" must be a whole number",
                "What was given is the number 1.5.",
            ),
            (
                json!({"owner": "no"}),
                "option \"owner\" must be true or false",
                "What was given is the string \"no\".",
            ),
            (
                json!({"tables": ["a", 1]}),
                "option \"tables\" must be a pattern or an array of patterns",
                "What was given is an array.",
            ),
            (
                json!({"where": "a"}),
                "option \"where\" must be an object of tables and conditions",
                "What was given is the string \"a\".",
            ),
            (
                json!({"keep_history": false}),
                "option \"keep_history\" must be a span of time",
                "What was given is false.",
            ),
            (
                json!({"chunk_by": 1}),
                "option \"chunk_by\" must be one of \"auto\", \"pk\", \"ctid\", \"none\"",
                "What was given is the number 1.",
            ),
            (json!([1]), "options must be a JSON object", "What was given is an array."),
        ] {
            let (given_message, given_detail, _) = refuse(json);
            assert_eq!((given_message.as_str(), given_detail.as_str()), (message, detail));
        }
    }

    #[test]
    fn a_value_out_of_range_is_told_the_range() {
        for json in [json!({"jobs": 0}), json!({"jobs": -1}), json!({"jobs": 1025})] {
            let (message, ..) = refuse(json);
            assert!(
                message.ends_with("is outside the valid range for option \"jobs\" (1 .. 1024)")
            );
        }
        assert_eq!(
            refuse(json!({"progress": "2d"})).0,
            "2d is outside the valid range for option \"progress\" (1s .. 1d)"
        );
        assert!(canonicalize(&json!({"progress": 0, "keep_history": 0})).is_ok());
    }

    #[test]
    fn a_misspelt_word_is_told_the_valid_ones() {
        let (message, detail, hint) = refuse(json!({"validation": "checksums"}));
        assert_eq!(message, "invalid value for option \"validation\": \"checksums\"");
        assert_eq!(detail, "Valid values are \"rows\", \"checksum\", \"none\".");
        assert_eq!(hint, "Perhaps you meant \"checksum\".");
    }

    #[test]
    fn values_within_objects_are_checked() {
        assert!(refuse(json!({"where": {"t": "a) or (b"}})).1.contains("parenthesis"));
        assert!(refuse(json!({"where": {"t": 1}})).1.contains("not a string"));
        assert!(refuse(json!({"settings": {"role": "x"}})).0.contains("cannot set \"role\""));
        assert!(refuse(json!({"settings": {"jit": []}})).1.contains("an array"));
    }

    #[test]
    fn schemas_of_the_system_are_refused_by_name() {
        for name in ["", "pg_catalog", "information_schema", "pg_x", &"é".repeat(32), "a\0"] {
            refuse(json!({"source_schema": name}));
        }
        assert!(canonicalize(&json!({"source_schema": "my_pgmig_x"})).is_ok());
    }

    #[test]
    fn a_long_value_is_not_repeated() {
        let (_, detail, _) = refuse(json!({"jobs": "x".repeat(1000)}));
        assert_eq!(detail, "What was given is a string.");
    }
}
