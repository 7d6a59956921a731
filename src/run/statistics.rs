//! Statistics of tables: those that the source has, or what ANALYZE finds out.
//!
//! A table whose rows were all copied has the distribution of values that it has on the source, and ANALYZE
//! has seen it there already. What `pg_stats` says is set here too, where it is all that ANALYZE would find
//! out and not outdated; every other table is analyzed.

use std::collections::{HashMap, HashSet};

use pgmig_core::plan::task::{Statement, StatementMode};
use pgmig_core::{Error, Result};
use pgrx::pg_sys;
use pgrx::spi::Spi;

use super::worker::TaskContext;
use crate::pg::statistics::{self, ColumnPlace, ColumnStatistics};
use crate::pg::{spi, transaction};

/// Tables of which the source is asked at once.
const TABLES_PER_QUERY: usize = 64;

/// What the source knows of some tables, by their OIDs there.
#[derive(Default)]
pub(super) struct SourceStatistics {
    /// The tables it was asked about.
    asked: HashSet<u32>,
    tables: HashMap<u32, TableStatistics>,
}

/// What the source knows of a table.
#[derive(Default)]
struct TableStatistics {
    rows: f64,
    columns: Vec<Column>,
}

/// A column with its name and its type by name.
struct Column {
    /// The index whose expression it is.
    index: Option<String>,
    name: String,
    type_name: String,
    statistics: ColumnStatistics,
}

impl SourceStatistics {
    /// Asks the source about the tables of the first statements; nothing is known of them if it refuses.
    fn read(context: &mut TaskContext, statements: &[Statement]) -> Result<Self> {
        let asked: HashSet<u32> = statements
            .iter()
            .filter_map(|statement| match statement.mode {
                StatementMode::Analyze(oid) => Some(oid),
                _ => None,
            })
            .take(TABLES_PER_QUERY)
            .collect();
        let oids: Vec<String> = asked.iter().map(u32::to_string).collect();
        let query = include_str!("statistics/read_source.sql").replace("{oids}", &oids.join(", "));
        let mut found = SourceStatistics { asked, tables: HashMap::new() };
        match context.source.get()?.call(move |connection| connection.query(&query)) {
            Ok(rows) => rows.into_iter().for_each(|row| found.add(row)),
            Err(Error::Remote(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(found)
    }

    /// Takes in a row of `read_source.sql`.
    fn add(&mut self, row: Vec<Option<String>>) {
        let mut values = row.into_iter();
        let mut next = || values.next().flatten();
        let (oid, rows, index, name, type_name) = (next(), next(), next(), next(), next());
        let Some(oid) = number::<u32>(oid) else {
            return;
        };
        let statistics = ColumnStatistics {
            null_share: number(next()).unwrap_or(0.0),
            width: number(next()).unwrap_or(0),
            distinct: number(next()).unwrap_or(0.0),
            common_values: next().zip(next()),
            bounds: next(),
            correlation: number(next()),
            common_elements: next().zip(next()),
            element_counts: next(),
        };
        let table = self.tables.entry(oid).or_default();
        table.rows = number(rows).unwrap_or(0.0);
        table.columns.push(Column {
            index,
            name: name.unwrap_or_default(),
            type_name: type_name.unwrap_or_default(),
            statistics,
        });
    }

    /// Sets the statistics of the table of the first statement, or analyzes it; the source is asked about
    /// those of the following ones too.
    pub fn apply(
        &mut self,
        context: &mut TaskContext,
        statements: &[Statement],
        oid: u32,
    ) -> Result<()> {
        if !self.asked.contains(&oid) {
            *self = SourceStatistics::read(context, statements)?;
        }
        let Some(statement) = statements.first() else {
            return Ok(());
        };
        let (Some(table), Some(name)) = (self.tables.get(&oid), &statement.relation) else {
            spi::execute(&statement.sql);
            return Ok(());
        };
        let Some((target, columns)) = table.find_target(&name.schema, &name.name)? else {
            spi::execute(&statement.sql);
            return Ok(());
        };
        // What another version or locale cannot read is no reason to fail.
        let set = transaction::run_nested(|| {
            statistics::set(target, table.rows, &columns);
            Ok(())
        });
        if set.is_err() {
            spi::execute(&statement.sql);
        }
        Ok(())
    }
}

impl TableStatistics {
    /// The table of the target and its columns with their statistics; None if it has others.
    fn find_target(&self, schema: &str, name: &str) -> Result<Option<Target<'_>>> {
        let key = |column: &Column| (column.index.clone(), column.name.clone());
        let columns: HashMap<_, &Column> =
            self.columns.iter().map(|column| (key(column), column)).collect();
        let mut found = Vec::new();
        let mut table = None;
        let mut is_same = true;
        Spi::connect(|client| {
            let query = include_str!("statistics/read_target.sql");
            let rows = client.select(query, None, &[schema.into(), name.into()]);
            for row in rows.map_err(spi::spi_error)? {
                table = row.get::<pg_sys::Oid>(1).map_err(spi::spi_error)?;
                let index = row.get::<String>(2).map_err(spi::spi_error)?;
                let index_oid = row.get::<pg_sys::Oid>(3).map_err(spi::spi_error)?;
                let number = row.get::<i16>(4).map_err(spi::spi_error)?;
                let name = row.get::<String>(5).map_err(spi::spi_error)?;
                let type_name = row.get::<&str>(6).map_err(spi::spi_error)?;
                let column = name.and_then(|name| columns.get(&(index, name)));
                match (number, column) {
                    (Some(number), Some(column)) if type_name == Some(&column.type_name) => {
                        let place = ColumnPlace { index: index_oid, number };
                        found.push((place, &column.statistics));
                    }
                    _ => is_same = false,
                }
            }
            Ok::<(), Error>(())
        })?;
        let is_same = is_same && found.len() == self.columns.len();
        Ok(table.filter(|_| is_same).map(|table| (table, found)))
    }
}

/// A table and what is known of its columns.
type Target<'a> = (pg_sys::Oid, Vec<(ColumnPlace, &'a ColumnStatistics)>);

fn number<T: std::str::FromStr>(text: Option<String>) -> Option<T> {
    text?.parse().ok()
}
