//! Which schemas, relations and rows a run copies, by the options that choose them.
//!
//! A `Selection` is made of options alone. Once the source's schemas and relations are known, `resolve`
//! makes sure that every pattern means something there and finds the table of every condition. What
//! belongs to the system is never selected, whatever a pattern says. Patterns for tables fit views,
//! foreign tables and sequences just as well.
//!
//! What is said of a partitioned table holds for its partitions too, at every depth.

use std::collections::BTreeMap;

use super::pattern::Pattern;
use crate::Result;
use crate::error::Error;
use crate::name::QualifiedName;
use crate::options::Options;

/// Tables that an error message names at most.
const MAX_NAMED: usize = 5;

/// The choice of what is copied.
#[derive(Debug, Clone)]
pub struct Selection {
    source_schema: Option<String>,
    schemas: Vec<Pattern>,
    exclude_schemas: Vec<Pattern>,
    tables: Vec<Pattern>,
    exclude_tables: Vec<Pattern>,
    exclude_table_data: Vec<Pattern>,
    /// Conditions as they were given.
    given_conditions: Vec<(Pattern, String)>,
    /// Conditions by the table they were found to be for.
    conditions: BTreeMap<QualifiedName, String>,
    /// The partitioned table of each partition.
    parents: BTreeMap<QualifiedName, QualifiedName>,
}

/// A relation of the source that can be chosen.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub name: QualifiedName,
    /// Whether it is a table with rows of its own, or partitions with such rows.
    pub has_rows: bool,
    /// The partitioned table that it is a partition of.
    pub parent: Option<QualifiedName>,
}

impl Selection {
    /// Reads the patterns of the options.
    ///
    /// # Errors
    /// `Error::Option` for a malformed pattern.
    pub fn new(options: &Options) -> Result<Selection> {
        let parse_where = |(pattern, condition): (&String, &String)| {
            let pattern = parse("where", pattern, Pattern::parse_relation)?;
            Ok((pattern, condition.clone()))
        };
        Ok(Selection {
            source_schema: options.source_schema.clone(),
            schemas: parse_schemas("schemas", &options.schemas)?,
            exclude_schemas: parse_schemas("exclude_schemas", &options.exclude_schemas)?,
            tables: parse_relations("tables", &options.tables)?,
            exclude_tables: parse_relations("exclude_tables", &options.exclude_tables)?,
            exclude_table_data: parse_relations("exclude_table_data", &options.exclude_table_data)?,
            given_conditions: options.conditions.iter().map(parse_where).collect::<Result<_>>()?,
            conditions: BTreeMap::new(),
            parents: BTreeMap::new(),
        })
    }

    /// Whether a schema is among those chosen.
    pub fn selects_schema(&self, name: &str) -> bool {
        let is_chosen = match &self.source_schema {
            Some(only) => only == name,
            None => self.schemas.is_empty() || self.schemas.iter().any(|p| p.matches_schema(name)),
        };
        is_chosen
            && !is_system_schema(name)
            && !self.exclude_schemas.iter().any(|p| p.matches_schema(name))
    }

    /// Whether a relation (a table, view or sequence) is among those chosen.
    pub fn selects_table(&self, schema: &str, name: &str) -> bool {
        self.selects_schema(schema)
            && (self.tables.is_empty() || self.matches_any(&self.tables, schema, name))
            && !self.matches_any(&self.exclude_tables, schema, name)
    }

    /// Whether a table's rows are copied.
    pub fn selects_data(&self, schema: &str, name: &str) -> bool {
        self.selects_table(schema, name) && !self.excludes_data(schema, name)
    }

    /// Whether a relation is left out by name, or with its schema.
    pub fn excludes(&self, schema: &str, name: &str) -> bool {
        self.matches_any(&self.exclude_tables, schema, name)
            || self.exclude_schemas.iter().any(|pattern| pattern.matches_schema(schema))
    }

    /// Whether a table's rows, a sequence's value or the rows of a materialized view are left out.
    pub fn excludes_data(&self, schema: &str, name: &str) -> bool {
        self.matches_any(&self.exclude_table_data, schema, name)
    }

    /// Whether any pattern fits a relation or a partitioned table above it.
    fn matches_any(&self, patterns: &[Pattern], schema: &str, name: &str) -> bool {
        if patterns.is_empty() {
            return false;
        }
        let name = QualifiedName::new(schema, name);
        self.with_ancestors(&name).any(|table| {
            patterns.iter().any(|pattern| pattern.matches_relation(&table.schema, &table.name))
        })
    }

    /// A table and the partitioned tables above it, from the bottom up.
    fn with_ancestors<'a>(
        &'a self,
        table: &'a QualifiedName,
    ) -> impl Iterator<Item = &'a QualifiedName> {
        std::iter::successors(Some(table), |table| self.parents.get(table))
    }

    /// Whether only some tables were asked for, so that objects besides them are not.
    pub fn chooses_tables(&self) -> bool {
        !self.tables.is_empty()
    }

    /// Whether only some schemas or tables were asked for, so that what lives in no schema is copied only
    /// if these need it.
    pub fn is_partial(&self) -> bool {
        self.chooses_tables() || self.source_schema.is_some() || !self.schemas.is_empty()
    }

    /// The condition that was given for a table, after `resolve`; those of the partitioned tables above
    /// it hold besides.
    pub fn condition(&self, table: &QualifiedName) -> Option<&str> {
        self.conditions.get(table).map(String::as_str)
    }

    /// Holds the patterns against the schemas and tables of the source.
    ///
    /// # Errors
    /// `Error::Option` if a pattern fits nothing, or a condition not exactly one table that is copied.
    pub fn resolve(&mut self, schemas: &[&str], candidates: &[Candidate]) -> Result<()> {
        if let Some(name) = self.source_schema.as_ref().filter(|s| !schemas.contains(&s.as_str())) {
            return Err(Error::Option {
                message: format!("schema \"{name}\" does not exist on the source"),
                detail: None,
                hint: Some("Option \"source_schema\" takes a name as it is stored.".to_owned()),
            });
        }
        self.parents = candidates
            .iter()
            .filter_map(|table| Some((table.name.clone(), table.parent.clone()?)))
            .collect();
        let relations: Vec<&QualifiedName> = candidates.iter().map(|table| &table.name).collect();
        let unmatched = self.unmatched(schemas, &relations);
        if !unmatched.is_empty() {
            return Err(report_unmatched(&unmatched));
        }
        let tables = candidates.iter().filter(|table| table.has_rows);
        let tables: Vec<&QualifiedName> = tables.map(|table| &table.name).collect();
        let mut conditions = BTreeMap::new();
        for (pattern, condition) in &self.given_conditions {
            let table = self.find_conditioned(pattern, &tables)?;
            if conditions.insert(table.clone(), condition.clone()).is_some() {
                return Err(Error::Option {
                    message: format!("option \"where\" has two conditions for table \"{table}\""),
                    detail: None,
                    hint: Some("Combine them with AND.".to_owned()),
                });
            }
        }
        self.conditions = conditions;
        Ok(())
    }

    /// The patterns that fit nothing on the source, each with its option and what it should fit.
    ///
    /// A pattern that chooses relations has to fit one in the schemas chosen; one that leaves something out
    /// may name what is not chosen anyway.
    pub fn unmatched(
        &self,
        schemas: &[&str],
        relations: &[&QualifiedName],
    ) -> Vec<(&'static str, &'static str, &Pattern)> {
        let mut unmatched = Vec::new();
        for (option, patterns) in
            [("schemas", &self.schemas), ("exclude_schemas", &self.exclude_schemas)]
        {
            let fits = |p: &Pattern| {
                schemas.iter().any(|name| !is_system_schema(name) && p.matches_schema(name))
            };
            unmatched.extend(patterns.iter().filter(|p| !fits(p)).map(|p| (option, "schema", p)));
        }
        for (option, patterns, is_choice) in [
            ("tables", &self.tables, true),
            ("exclude_tables", &self.exclude_tables, false),
            ("exclude_table_data", &self.exclude_table_data, false),
        ] {
            let fits = |p: &Pattern| {
                relations.iter().any(|relation| {
                    p.matches_relation(&relation.schema, &relation.name)
                        && !is_system_schema(&relation.schema)
                        && (!is_choice || self.selects_schema(&relation.schema))
                })
            };
            let what = "table, view or sequence";
            unmatched.extend(patterns.iter().filter(|p| !fits(p)).map(|p| (option, what, p)));
        }
        unmatched
    }

    /// The one table, among those whose rows are copied, that a condition is for.
    fn find_conditioned<'a>(
        &self,
        pattern: &Pattern,
        tables: &[&'a QualifiedName],
    ) -> Result<&'a QualifiedName> {
        let fitting: Vec<&QualifiedName> = tables
            .iter()
            .copied()
            .filter(|table| pattern.matches_relation(&table.schema, &table.name))
            .filter(|table| !is_system_schema(&table.schema))
            .collect();
        let copied: Vec<&QualifiedName> = fitting
            .iter()
            .copied()
            .filter(|table| self.selects_data(&table.schema, &table.name))
            // Partitions that fit like their partitioned table are one with it.
            .filter(|table| {
                !self.with_ancestors(table).skip(1).any(|above| fitting.contains(&above))
            })
            .collect();
        let message = match (copied.as_slice(), fitting.as_slice()) {
            ([table], _) => return Ok(table),
            ([], []) => format!("\"{pattern}\" in option \"where\" matches no table"),
            ([], _) => {
                format!("\"{pattern}\" in option \"where\" matches no table whose rows are copied")
            }
            _ => format!("\"{pattern}\" in option \"where\" matches more than one table"),
        };
        let detail = (!fitting.is_empty()).then(|| {
            let named: Vec<String> =
                fitting.iter().take(MAX_NAMED).map(|table| format!("\"{table}\"")).collect();
            let more = if fitting.len() > MAX_NAMED { " and more" } else { "" };
            format!("It matches {}{more}.", named.join(", "))
        });
        let hint = "Give every condition a single table, as in '{\"public.votes\": \"id > 7\"}'.";
        Err(Error::Option { message, detail, hint: Some(hint.to_owned()) })
    }
}

/// Whether a schema is the server's own.
fn is_system_schema(name: &str) -> bool {
    name.starts_with("pg_") || name == "information_schema"
}

/// Reads the patterns for schemas of an option.
fn parse_schemas(option: &str, texts: &[String]) -> Result<Vec<Pattern>> {
    texts.iter().map(|text| parse(option, text, Pattern::parse_schema)).collect()
}

/// Reads the patterns for relations of an option.
fn parse_relations(option: &str, texts: &[String]) -> Result<Vec<Pattern>> {
    texts.iter().map(|text| parse(option, text, Pattern::parse_relation)).collect()
}

/// Reads one pattern of an option.
fn parse(
    option: &str,
    text: &str,
    parse: fn(&str) -> std::result::Result<Pattern, &'static str>,
) -> Result<Pattern> {
    parse(text).map_err(|flaw| Error::Option {
        message: format!("invalid pattern in option \"{option}\": \"{text}\""),
        detail: Some(format!("The pattern cannot be read: {flaw}.")),
        hint: Some("Write names in double quotes to take every character literally.".to_owned()),
    })
}

/// The error for patterns that fit nothing.
fn report_unmatched(unmatched: &[(&'static str, &'static str, &Pattern)]) -> Error {
    let named: Vec<String> = unmatched
        .iter()
        .map(|(option, what, pattern)| {
            format!("pattern \"{pattern}\" in option \"{option}\" matches no {what}")
        })
        .collect();
    let (message, rest) = match named.split_first() {
        Some((first, rest)) => (first.clone(), rest),
        None => (String::new(), &[] as &[String]),
    };
    Error::Option {
        message,
        detail: (!rest.is_empty()).then(|| format!("Likewise, {}.", rest.join(", "))),
        hint: Some("Patterns are case-sensitive; schemas of the system never match.".to_owned()),
    }
}

#[cfg(test)]
mod tests;
