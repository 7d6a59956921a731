//! The databases that are copied.

use anyhow::Result;
use pgmig_tests::Cluster;
use pgmig_tests::data::Script;

/// A database to copy.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Its name in `ONLY`, in the report and in the source cluster.
    pub name: &'static str,
    script: Script,
}

/// What is in it.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub table_count: i64,
    pub row_count: i64,
    /// Bytes of tables and their TOAST, without indexes.
    pub table_bytes: i64,
    /// Bytes of the whole database.
    pub database_bytes: i64,
}

/// Every database there is.
pub const SUBJECTS: [Subject; 2] = [
    Subject { name: "stackoverflow", script: Script::StackOverflow },
    Subject { name: "small_tables", script: Script::SmallTables },
];

impl Subject {
    /// Makes the database in the source cluster.
    pub fn fill(self, source: &Cluster, scale: f64) -> Result<Size> {
        source.create_database(self.name)?;
        self.script.load(source, self.name, &[("scale", &scale.to_string())])?;
        source.execute(self.name, "vacuum")?;
        let row = source.client(self.name)?.query_one(include_str!("size.sql"), &[])?;
        Ok(Size {
            table_count: row.get(0),
            row_count: row.get(1),
            table_bytes: row.get(2),
            database_bytes: row.get(3),
        })
    }
}
