//! What servers were built with. Debian's have every library that tests use; those that are fetched for
//! other versions do not.

use anyhow::Result;

use crate::cluster::{Cluster, SUPERUSER};
use crate::data::Script;

impl Cluster {
    /// Whether statements succeed.
    pub fn can(&self, sql: &str) -> bool {
        self.execute(SUPERUSER, sql).is_ok()
    }

    /// Whether the server has ICU's collations.
    pub fn has_icu(&self) -> bool {
        self.can("select 1 / count(*) from pg_catalog.pg_collation where collname = 'und-x-icu'")
    }

    /// Whether the server reads XML.
    pub fn has_xml(&self) -> bool {
        self.can("select xmlparse(content 'x')")
    }

    /// Whether the server compresses with lz4.
    pub fn has_lz4(&self) -> bool {
        self.can("set default_toast_compression = lz4")
    }

    /// SQL as the server can run it: collations of ICU become those of the C library, and lz4 pglz, where
    /// there are none.
    pub fn adapt(&self, sql: &str) -> String {
        let mut sql = sql.to_owned();
        if !self.has_icu() {
            let rules = "provider = icu, locale = 'und-u-ks-level2', deterministic = false";
            sql = sql
                .replace("\"en-x-icu\"", "\"POSIX\"")
                .replace("\"de-x-icu\"", "\"POSIX\"")
                .replace(rules, "locale = 'C'");
        }
        if !self.has_lz4() {
            sql = sql.replace("compression lz4", "compression pglz");
        }
        sql
    }

    /// Loads `types.sql`, for a target like this server.
    pub fn load_types(&self, database: &str) -> Result<()> {
        let has_xml = self.has_xml().to_string();
        Script::Types.load(self, database, &[("xml", &has_xml)])
    }
}
