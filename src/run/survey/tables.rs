//! The tables of a run: which relations hold their rows, and how these travel.

use std::collections::{HashMap, HashSet};

use pgmig_core::Result;
use pgmig_core::ddl::{Item, ItemKind};
use pgmig_core::model::{Catalog, Class, Table, TableKind};
use pgmig_core::name::QualifiedName;
use pgmig_core::options::Options;
use pgmig_core::plan::build::{self, Plan};
use pgmig_core::plan::data_table::{DataTable, Part, combine_tree_conditions};
use pgmig_core::plan::format::Formats;
use pgmig_core::plan::placement::Placement;
use pgmig_core::plan::ranges::{self, Limits, Split, TableFacts};
use pgmig_core::plan::rename::Rename;
use pgmig_core::plan::select::Selection;
use pgmig_core::plan::task::QualifiedNamePair;
use pgmig_core::plan::validation;
use pgmig_core::source::wire::Connection;

use super::super::coordinator::Run;
use super::source::SourceReading;
use super::target::TargetReading;
use crate::pg::thread::Actor;

/// What is known when tables are described.
pub(super) struct Known<'a> {
    pub run: &'a Run,
    pub source: &'a SourceReading,
    pub target: &'a TargetReading,
    /// The source's catalog under the names that it gets on the target.
    pub wanted: &'a Catalog,
    /// OIDs of the tables to be made, partitioned ones included.
    pub kept: HashSet<u32>,
    pub selection: &'a Selection,
}

/// OIDs of the tables among the items to be made.
pub(super) fn kept_tables(items: &[Item], is_kept: &[bool]) -> HashSet<u32> {
    items
        .iter()
        .zip(is_kept)
        .filter(|(item, is_kept)| **is_kept && item.kind == ItemKind::Table)
        .map(|(item, _)| item.id.oid)
        .collect()
}

impl<'a> Known<'a> {
    /// OIDs of the tables whose rows are copied, or compared.
    pub fn with_data(&self) -> HashSet<u32> {
        self.ordinary_tables()
            .filter(|table| self.copies_rows(table))
            .map(|table| table.oid)
            .collect()
    }

    fn options(&self) -> &'a Options {
        &self.run.options
    }

    /// Ordinary tables to be made, in the catalog's order.
    fn ordinary_tables(&self) -> impl Iterator<Item = &'a Table> {
        let tables = self.wanted.tables.iter();
        tables
            .filter(|table| table.relkind == TableKind::Ordinary && self.kept.contains(&table.oid))
    }

    /// Whether a table's rows are to be copied.
    fn copies_rows(&self, table: &Table) -> bool {
        let options = self.options();
        let is_excluded_unlogged = build::is_unlogged(table) && !options.unlogged_table_data;
        let name = self.source_name(table);
        self.selection.selects_data(&name.schema, &name.name)
            && !options.schema_only
            && !is_excluded_unlogged
    }

    fn source_name(&self, table: &Table) -> QualifiedName {
        let own = || QualifiedName::new(&table.schema, &table.name);
        self.source.names.get(&table.oid).cloned().unwrap_or_else(own)
    }

    /// The user's condition for a table.
    fn condition(&self, table: &Table) -> Option<&'a str> {
        self.selection.condition(&self.source_name(table))
    }

    fn formats(&self) -> Formats<'a> {
        let catalog = &self.source.catalog;
        Formats::new(
            &catalog.type_infos,
            catalog.server.version_num,
            &self.target.formats,
            self.options().validation,
        )
    }

    /// Decides how each table's rows travel: columns, wire format, ranges, and through which table.
    pub fn describe(&self, session: &Actor<Connection>) -> Result<Vec<DataTable>> {
        let sizes: Vec<i64> = self.ordinary_tables().map(|table| table.total_bytes).collect();
        let version = self.source.catalog.server.version_num;
        let limits = Limits::new(self.options(), version, &sizes, self.run.job_count());
        let formats = self.formats();
        let placement = Placement::new(self.wanted, &self.target.catalog.server);
        let by_oid: HashMap<u32, &Table> =
            self.wanted.tables.iter().map(|table| (table.oid, table)).collect();
        let computed = self.computed_on_source();
        let new_table =
            |table: &Table, reason, part| self.new_table(&formats, table, reason, part, &computed);
        let mut described: Vec<DataTable> = Vec::new();
        let mut routed: HashMap<u32, usize> = HashMap::new();
        for table in self.ordinary_tables() {
            let part = self.describe_part(session, &limits, table, &by_oid)?;
            match placement.find_route(table, &self.kept) {
                None => described.push(new_table(table, None, part)),
                Some((root, reason)) => match routed.get(&root.oid) {
                    Some(position) => described[*position].parts.push(part),
                    None => {
                        routed.insert(root.oid, described.len());
                        described.push(new_table(root, Some(reason), part));
                    }
                },
            }
        }
        Ok(described)
    }

    fn new_table(
        &self,
        formats: &Formats<'_>,
        table: &Table,
        route_reason: Option<String>,
        part: Part,
        computed: &HashSet<u32>,
    ) -> DataTable {
        let columns: Vec<_> =
            table.columns.iter().filter(|column| column.generated.is_none()).collect();
        let typed = columns.iter().map(|column| (column.name.as_str(), column.type_oid));
        DataTable {
            source: self.source_name(table),
            target: QualifiedName::new(&table.schema, &table.name),
            format: formats.choose(typed),
            has_computed: computed.contains(&table.oid),
            columns: columns.iter().map(|column| column.name.clone()).collect(),
            parts: vec![part],
            route_reason,
        }
    }

    /// OIDs of the tables with columns that are generated on the source and ordinary ones on the target.
    fn computed_on_source(&self) -> HashSet<u32> {
        let count_generated = |table: &Table| {
            table.columns.iter().filter(|column| column.generated.is_some()).count()
        };
        let source = self.source.catalog.tables.iter();
        let counts: HashMap<u32, usize> =
            source.map(|table| (table.oid, count_generated(table))).collect();
        let wanted = self.wanted.tables.iter();
        wanted
            .filter(|table| counts.get(&table.oid).copied() > Some(count_generated(table)))
            .map(|table| table.oid)
            .collect()
    }

    fn describe_part(
        &self,
        session: &Actor<Connection>,
        limits: &Limits,
        table: &Table,
        by_oid: &HashMap<u32, &'a Table>,
    ) -> Result<Part> {
        let copies_data = self.copies_rows(table);
        let facts = TableFacts {
            name: self.source_name(table),
            rows: ranges::estimate_rows(table.row_estimate, table.page_count, table.main_bytes),
            main_bytes: table.main_bytes,
            total_bytes: table.total_bytes,
            is_heap: table.access_method.as_deref().is_none_or(|method| method == "heap"),
        };
        let split = match copies_data {
            true => split_table(session, &facts, limits)?,
            false => ranges::keep_whole(&facts, None),
        };
        let condition = combine_tree_conditions(table, by_oid, |table| self.condition(table));
        // COPY of a table does not read what the source generates; that of a query does.
        let reads_generated = table.columns.iter().any(|column| column.is_frozen);
        Ok(Part {
            oid: table.oid,
            source: facts.name,
            target: QualifiedName::new(&table.schema, &table.name),
            split,
            condition: condition.or_else(|| reads_generated.then(|| "(true)".to_owned())),
            copies_data,
            is_unlogged: build::is_unlogged(table),
            rows: facts.rows,
            bytes: facts.total_bytes,
            main_bytes: facts.main_bytes,
        })
    }

    /// Sequences among the items to be made, with identity columns' ones.
    pub fn sequences(&self, items: &[Item], is_kept: &[bool]) -> Vec<QualifiedNamePair> {
        let kept: HashSet<u32> = items
            .iter()
            .zip(is_kept)
            .filter(|(_, is_kept)| **is_kept)
            .flat_map(|(item, _)| item.provides.iter())
            .filter(|id| id.class == Class::RELATION)
            .map(|id| id.oid)
            .collect();
        let wanted = self.wanted.sequences.iter();
        self.source
            .catalog
            .sequences
            .iter()
            .zip(wanted)
            .filter(|(source, _)| kept.contains(&source.oid))
            .filter(|(source, _)| !self.selection.excludes_data(&source.schema, &source.name))
            .map(|(source, target)| QualifiedNamePair {
                source: QualifiedName::new(&source.schema, &source.name),
                target: QualifiedName::new(&target.schema, &target.name),
            })
            .collect()
    }

    /// Makes the plan of a run that only compares.
    pub fn plan_validation(&self, rename: Option<&Rename>) -> Plan {
        let is_selected = |table: &&Table| {
            let schema = match rename {
                Some(rename) if table.schema == rename.to => &rename.from,
                _ => &table.schema,
            };
            self.selection.selects_data(schema, &table.name)
        };
        let target = &self.target.catalog;
        let conditions = self.wanted.tables.iter().filter_map(|table| {
            self.condition(table).map(|condition| (table.oid, condition.to_owned()))
        });
        validation::build(&validation::Input {
            wanted: self.wanted,
            selected: &self.kept,
            with_data: &self.with_data(),
            source_names: &self.source.names,
            target,
            target_selected: &target.tables.iter().filter(is_selected).map(|t| t.oid).collect(),
            formats: &self.formats(),
            placement: &Placement::new(self.wanted, &target.server),
            conditions: &conditions.collect(),
        })
    }
}

/// Cuts a table; only large ones ask the source anything.
fn split_table(session: &Actor<Connection>, facts: &TableFacts, limits: &Limits) -> Result<Split> {
    if ranges::count_ranges(facts, limits) <= 1 {
        return Ok(ranges::keep_whole(facts, None));
    }
    let (facts, limits) = (facts.clone(), limits.clone());
    session.call(move |connection| {
        pgmig_core::source::ranges::split_table(connection, &facts, &limits)
    })
}
