//! Collations of the system that the target does not have: another takes their place wherever they are
//! named, so that what uses them arrives.

use std::collections::HashSet;

use super::Losses;
use crate::model::{Builtins, Catalog, Class, Definition, TypeDefinition};
use crate::name::quote_ident;
use crate::plan::version::text;

/// ICU's order without a language, which is what `unicode` stands for.
const UND_ICU: &str = "und-x-icu";

/// The collation that every server has.
const BYTES: &str = "C";

/// What the source names and the target has not.
pub(super) struct Collations<'a> {
    missing: HashSet<&'a str>,
    has_und_icu: bool,
}

impl<'a> Collations<'a> {
    pub(super) fn new(source: &'a Builtins, target: &'a Builtins) -> Self {
        Collations {
            missing: source.collations.difference(&target.collations).map(String::as_str).collect(),
            has_und_icu: target.collations.contains(UND_ICU),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// The collation that stands for a missing one, quoted.
    fn replacement(&self, name: &str) -> Option<String> {
        let is_icu = name == "unicode" && self.has_und_icu;
        self.missing.contains(name).then(|| quote_ident(if is_icu { UND_ICU } else { BYTES }))
    }

    /// Replaces them in all that the catalog says; user's collations of ICU become others where the
    /// target was built without it.
    pub(super) fn replace_all(&self, catalog: &mut Catalog, has_icu: bool, losses: &mut Losses) {
        if !has_icu {
            catalog.definitions.iter_mut().for_each(make_without_icu);
        }
        if self.missing.is_empty() {
            return;
        }
        for data_type in &mut catalog.types {
            let (class, oid) = (Class::TYPE, data_type.oid);
            match &mut data_type.definition {
                TypeDefinition::Range(range) => {
                    losses.extend(class, oid, self.replace_name(&mut range.collation));
                }
                TypeDefinition::Domain(domain) => {
                    losses.extend(class, oid, self.replace_name(&mut domain.collation));
                    let notes = domain.default_sql.as_mut().and_then(|sql| self.replace_in(sql));
                    losses.extend(class, oid, notes);
                }
                TypeDefinition::Composite(composite) => {
                    for column in &mut composite.columns {
                        losses.extend(class, oid, self.replace_name(&mut column.collation));
                    }
                }
                TypeDefinition::Enum { .. } | TypeDefinition::Base(_) | TypeDefinition::Shell => {}
            }
        }
        for table in &mut catalog.tables {
            let mut notes = Vec::new();
            for column in &mut table.columns {
                notes.extend(self.replace_name(&mut column.collation));
                notes.extend(column.default_sql.as_mut().and_then(|sql| self.replace_in(sql)));
            }
            notes.extend(table.partition_key.as_mut().and_then(|sql| self.replace_in(sql)));
            losses.extend(Class::RELATION, table.oid, notes);
        }
        for view in &mut catalog.views {
            for column in &mut view.columns {
                self.replace_name(&mut column.collation);
            }
            losses.extend(Class::RELATION, view.oid, self.replace_in(&mut view.definition));
        }
        for index in &mut catalog.indexes {
            losses.extend(Class::RELATION, index.oid, self.replace_in(&mut index.definition));
        }
        for constraint in &mut catalog.constraints {
            let notes = self.replace_in(&mut constraint.definition);
            losses.extend(Class::CONSTRAINT, constraint.oid, notes);
        }
        for trigger in &mut catalog.triggers {
            losses.extend(Class::TRIGGER, trigger.oid, self.replace_in(&mut trigger.definition));
        }
        for rule in &mut catalog.rules {
            losses.extend(Class::RULE, rule.oid, self.replace_in(&mut rule.definition));
        }
        for policy in &mut catalog.policies {
            for sql in [&mut policy.using_sql, &mut policy.check_sql].into_iter().flatten() {
                losses.extend(Class::POLICY, policy.oid, self.replace_in(sql));
            }
        }
        for function in &mut catalog.functions {
            let notes = function.definition.as_mut().and_then(|sql| self.replace_in(sql));
            losses.extend(Class::FUNCTION, function.oid, notes);
        }
        for definition in &mut catalog.definitions {
            for sql in &mut definition.create {
                losses.extend(definition.id.class, definition.id.oid, self.replace_in(sql));
            }
        }
    }

    /// Replaces a qualified name.
    fn replace_name(&self, collation: &mut Option<String>) -> Option<String> {
        let name = collation.as_deref()?.strip_prefix("pg_catalog.")?.trim_matches('"');
        let replacement = format!("pg_catalog.{}", self.replacement(name)?);
        let missing = collation.replace(replacement.clone())?;
        Some(describe(&replacement, &missing))
    }

    /// Replaces names within SQL.
    fn replace_in(&self, sql: &mut String) -> Option<String> {
        let mut note = None;
        let mut replace = |name: &str| {
            let replacement = self.replacement(name)?;
            note = Some(describe(&replacement, &quote_ident(name)));
            Some(replacement)
        };
        *sql = text::replace_collations(sql, &mut replace)?;
        note
    }
}

fn describe(replacement: &str, missing: &str) -> String {
    format!("collation {replacement} stands for {missing}, which the target does not have")
}

/// Gives a collation of ICU the order of bytes.
fn make_without_icu(definition: &mut Definition) {
    let is_icu = |sql: &String| sql.contains(" (provider = icu, ");
    if definition.id.class != Class::COLLATION || !definition.create.iter().any(is_icu) {
        return;
    }
    let identity = &definition.identity;
    definition.create = vec![format!(
        "create collation {identity} (provider = libc, lc_collate = 'C', lc_ctype = 'C')"
    )];
    definition.older = None;
    definition.note = Some("orders by bytes on the target, which was built without ICU".to_owned());
}
