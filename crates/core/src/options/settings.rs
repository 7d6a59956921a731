//! Option `settings`: which settings a user may give to the workers.

/// Settings that decide how pgmig's own statements and the data are read, and so are pgmig's alone.
const RESERVED: &[&str] = &[
    "application_name",
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "check_function_bodies",
    "client_encoding",
    "datestyle",
    "default_table_access_method",
    "default_tablespace",
    "default_with_oids",
    "escape_string_warning",
    "extra_float_digits",
    "intervalstyle",
    "is_superuser",
    "lc_monetary",
    "lo_compat_privileges",
    "role",
    "row_security",
    "search_path",
    "session_authorization",
    "session_replication_role",
    "standard_conforming_strings",
    "synchronous_commit",
    "timezone",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
];

/// Beginnings of the names of further such settings.
const RESERVED_PREFIXES: &[&str] = &["default_transaction_", "transaction_"];

/// The only timeout that waits for others and not for pgmig's own work to end.
const ALLOWED_TIMEOUT: &str = "lock_timeout";

/// Why a setting cannot be given, as a sentence; None if it can.
pub(super) fn find_flaw(name: &str) -> Option<String> {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'))
    };
    if !name.split('.').all(is_part) {
        return Some("It is not the name of a setting.".to_owned());
    }
    // Names of settings are case-insensitive.
    let folded = name.to_ascii_lowercase();
    let is_reserved = RESERVED.contains(&folded.as_str())
        || RESERVED_PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
        || (folded.ends_with("_timeout") && !folded.contains('.') && folded != ALLOWED_TIMEOUT);
    is_reserved.then(|| "pgmig sets it itself, or its workers' identity hangs on it.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_tune_are_allowed() {
        for name in
            ["maintenance_work_mem", "lock_timeout", "auto_explain.log_timeout", "JIT", "a.b_c"]
        {
            assert_eq!(find_flaw(name), None, "{name}");
        }
    }

    #[test]
    fn settings_that_pgmig_sets_are_refused_in_any_case() {
        for name in [
            "role",
            "Session_Authorization",
            "search_path",
            "TimeZone",
            "statement_timeout",
            "transaction_timeout",
            "default_transaction_read_only",
            "transaction_isolation",
            "a b",
            "a'",
            "",
            "a.",
            "1a",
        ] {
            assert!(find_flaw(name).is_some(), "{name}");
        }
    }
}
