//! Settings that functions run under and the target does not have: left out, or the function would fail
//! as it is made.

use std::collections::HashSet;

use super::Losses;
use crate::model::{Builtins, Catalog, Class};

/// How the server begins a line about a setting in a function's definition.
const LINE: &str = " SET ";

/// Settings of the source that the target does not have.
pub(super) fn find_missing<'a>(source: &'a Builtins, target: &'a Builtins) -> HashSet<&'a str> {
    source.settings.difference(&target.settings).map(String::as_str).collect()
}

/// Takes them out of the definitions of functions.
pub(super) fn leave_out(catalog: &mut Catalog, missing: &HashSet<&str>, losses: &mut Losses) {
    for function in &mut catalog.functions {
        let Some(definition) = &mut function.definition else {
            continue;
        };
        let mut kept = String::with_capacity(definition.len());
        let mut is_head = true;
        for line in definition.split_inclusive('\n') {
            is_head &= !line.starts_with("AS ") && !line.starts_with("BEGIN ATOMIC");
            let name = line.strip_prefix(LINE).filter(|_| is_head);
            let name = name.and_then(|rest| rest.split(" TO ").next()).unwrap_or_default();
            if missing.contains(name.trim_matches('"').to_lowercase().as_str()) {
                let note = format!("the target has no setting \"{name}\", left out");
                losses.add(Class::FUNCTION, function.oid, note);
            } else {
                kept.push_str(line);
            }
        }
        if kept.len() < definition.len() {
            *definition = kept;
        }
    }
}
