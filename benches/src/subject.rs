//! The databases that are copied.

use anyhow::Result;
use pgmig_tests::Cluster;
use pgmig_tests::data::Script;

/// A database to copy.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Its name in `ONLY`, in the report and in the source cluster.
    pub name: &'static str,
    pub content: Content,
}

/// What it is made by.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// A script, with psql variables besides `scale`, which counts if it is not among them.
    Script(Script, &'static [(&'static str, &'static str)]),
    /// Statements, in which `:scale` stands for the scale.
    Sql(&'static str),
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

/// The database of which the definitions are most of the work.
pub const SMALL_TABLES: &str = "small_tables";

/// The databases that all tools copy.
pub const SUBJECTS: [Subject; 2] = [
    Subject { name: "stackoverflow", content: Content::Script(Script::StackOverflow, &[]) },
    Subject { name: SMALL_TABLES, content: Content::Script(Script::SmallTables, &[]) },
];

/// Databases of other shapes, which all tools copy if they are asked for.
pub const SHAPES: [Subject; 8] = [
    Subject { name: "shop", content: Content::Sql(include_str!("shapes/shop.sql")) },
    Subject { name: "events", content: Content::Sql(include_str!("shapes/events.sql")) },
    Subject { name: "documents", content: Content::Sql(include_str!("shapes/documents.sql")) },
    Subject { name: "wide", content: Content::Sql(include_str!("shapes/wide.sql")) },
    Subject {
        name: "medium_tables",
        content: Content::Sql(include_str!("shapes/medium_tables.sql")),
    },
    Subject { name: "orders", content: Content::Sql(include_str!("shapes/orders.sql")) },
    Subject { name: "files", content: Content::Sql(include_str!("shapes/files.sql")) },
    Subject { name: SPOKEN, content: Content::Sql(include_str!("shapes/people.sql")) },
];

/// The one with texts of a language, of which the servers have to know the locale.
pub const SPOKEN: &str = "people";

/// That locale.
pub const LOCALE: &str = "en_US";

impl Subject {
    /// Makes the database in the source cluster.
    pub fn fill(self, source: &Cluster, scale: f64) -> Result<Size> {
        source.create_database(self.name)?;
        match self.content {
            Content::Script(script, variables) => {
                let scale = scale.to_string();
                let variables = [&[("scale", scale.as_str())], variables].concat();
                script.load(source, self.name, &variables)?;
            }
            Content::Sql(sql) => {
                source.execute(self.name, &sql.replace(":scale", &scale.to_string()))?;
            }
        }
        source.execute(self.name, "vacuum analyze")?;
        read_size(source, self.name)
    }
}

/// Counts what is in a database.
pub fn read_size(cluster: &Cluster, database: &str) -> Result<Size> {
    let row = cluster.client(database)?.query_one(include_str!("size.sql"), &[])?;
    Ok(Size {
        table_count: row.get(0),
        row_count: row.get(1),
        table_bytes: row.get(2),
        database_bytes: row.get(3),
    })
}
