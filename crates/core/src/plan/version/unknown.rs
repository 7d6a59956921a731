//! Functions and syntax of another version in what the source's objects say: what needs them is left
//! out by name, since it would fail as it is made, a table with all its rows for the sake of a default.

use std::collections::HashMap;

use super::{Losses, text};
use crate::model::{BuiltinFunction, Builtins, Catalog, Class, TypeDefinition};

/// What the target does not know.
pub(super) struct Unknown<'a> {
    /// By name, the functions of the source and of the target where they differ.
    functions: HashMap<&'a str, Signatures<'a>>,
    major: u32,
    has_all_syntax: bool,
}

/// What a function's name can be called with.
#[derive(Default)]
struct Signatures<'a> {
    source: Vec<&'a BuiltinFunction>,
    target: Vec<&'a BuiltinFunction>,
}

impl<'a> Unknown<'a> {
    pub(super) fn new(source: &'a Builtins, target: &'a Builtins, major: u32) -> Self {
        let mut functions: HashMap<&str, Signatures<'_>> = HashMap::new();
        if source.functions != target.functions {
            for function in &source.functions {
                functions.entry(&function.name).or_default().source.push(function);
            }
            for function in &target.functions {
                if let Some(signatures) = functions.get_mut(function.name.as_str()) {
                    signatures.target.push(function);
                }
            }
            functions.retain(|_, signatures| signatures.source != signatures.target);
        }
        Unknown { has_all_syntax: functions.is_empty(), functions, major }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// The first thing in some SQL that the target does not know.
    pub(super) fn find(&self, sql: &str) -> Option<String> {
        if self.has_all_syntax {
            return None;
        }
        if let Some(syntax) = text::newer_syntax(sql, self.major) {
            return Some(syntax.to_owned());
        }
        let is_unknown = |call: &text::Call| {
            let takes = |functions: &[&BuiltinFunction]| {
                let count = call.argument_count;
                functions.iter().any(|function| {
                    function.min <= count && function.max.is_none_or(|max| count <= max)
                })
            };
            let signatures = self.functions.get(call.name.as_str());
            signatures.is_some_and(|names| takes(&names.source) && !takes(&names.target))
        };
        let call = text::calls(sql).into_iter().find(is_unknown)?;
        Some(match call.argument_count {
            0 => format!("function {}()", call.name),
            1 => format!("function {} with an argument", call.name),
            count => format!("function {} with {count} arguments", call.name),
        })
    }

    /// Why something that needs such a thing cannot be made.
    fn find_obstacle<'t>(&self, texts: impl IntoIterator<Item = &'t String>) -> Option<String> {
        let missing = texts.into_iter().find_map(|sql| self.find(sql))?;
        Some(format!("left out, since the target does not know {missing}"))
    }

    /// Leaves out what needs what the target does not know; constraints are dealt with elsewhere.
    pub(super) fn leave_out(&self, catalog: &mut Catalog, losses: &mut Losses) {
        if self.is_empty() {
            return;
        }
        self.leave_out_defaults(catalog, losses);
        let mut obstruct = |class, oid, obstacle: Option<String>| {
            if let Some(obstacle) = obstacle {
                losses.obstruct(class, oid, obstacle);
            }
        };
        for view in &catalog.views {
            obstruct(Class::RELATION, view.oid, self.find_obstacle([&view.definition]));
        }
        for index in catalog.indexes.iter().filter(|index| index.constraint_oid == 0) {
            obstruct(Class::RELATION, index.oid, self.find_obstacle([&index.definition]));
        }
        for trigger in &catalog.triggers {
            obstruct(Class::TRIGGER, trigger.oid, self.find_obstacle([&trigger.definition]));
        }
        for rule in &catalog.rules {
            obstruct(Class::RULE, rule.oid, self.find_obstacle([&rule.definition]));
        }
        for policy in &catalog.policies {
            let texts = policy.using_sql.iter().chain(&policy.check_sql);
            obstruct(Class::POLICY, policy.oid, self.find_obstacle(texts));
        }
        for function in &catalog.functions {
            obstruct(Class::FUNCTION, function.oid, self.find_obstacle(&function.definition));
        }
        for definition in catalog.definitions.iter().filter(|d| d.has_secret != Some(true)) {
            let id = definition.id;
            obstruct(id.class, id.oid, self.find_obstacle(&definition.create));
        }
    }

    fn leave_out_defaults(&self, catalog: &mut Catalog, losses: &mut Losses) {
        for table in &mut catalog.tables {
            for column in &mut table.columns {
                let Some(missing) = column.default_sql.as_deref().and_then(|sql| self.find(sql))
                else {
                    continue;
                };
                column.is_frozen = column.generated.is_some();
                let name = &column.name;
                let loss = match column.generated.take() {
                    Some(_) => format!(
                        "column \"{name}\" is not generated but has the values it has, since the \
                         target does not know {missing}"
                    ),
                    None => format!(
                        "the default of column \"{name}\" is left out, since the target does not \
                         know {missing}"
                    ),
                };
                column.default_sql = None;
                column.default_oid = 0;
                losses.add(Class::RELATION, table.oid, loss);
            }
        }
        for data_type in &mut catalog.types {
            if let TypeDefinition::Domain(domain) = &mut data_type.definition
                && let Some(missing) = domain.default_sql.as_deref().and_then(|sql| self.find(sql))
            {
                domain.default_sql = None;
                let loss =
                    format!("its default is left out, since the target does not know {missing}");
                losses.add(Class::TYPE, data_type.oid, loss);
            }
        }
    }
}
