//! The target's side of planning, read through SPI by the same queries as the source.

use std::collections::{HashMap, HashSet};

use pgmig_core::model::{Catalog, DefaultAcl, Table};
use pgmig_core::name::quote_qualified;
use pgmig_core::plan::existing;
use pgmig_core::plan::format::TargetFormats;
use pgmig_core::source::{CatalogSession, binary_types, catalog};
use pgmig_core::{Error, Result};
use pgrx::prelude::*;

use super::super::coordinator::Run;
use super::super::settings;
use super::distributed;
use crate::pg::{spi, transaction};

/// What was read of the target.
pub(super) struct TargetReading {
    pub catalog: Catalog,
    pub formats: TargetFormats,
    pub roles: HashSet<String>,
    /// The run's role.
    pub role: String,
    /// Names of the server's settings, in lower case.
    pub settings: HashSet<String>,
    /// Tablespaces that the role may create objects in.
    pub tablespaces: HashSet<String>,
    /// Extensions that are there or can be created.
    pub extensions: HashSet<String>,
    /// OIDs of tables that hold exactly what an earlier run loaded, with the number of rows that they
    /// must have where only that can tell.
    unchanged: HashMap<u32, Option<i64>>,
    /// OIDs of tables whose rows Citus keeps elsewhere.
    pub distributed: HashSet<u32>,
    /// Event triggers that fire at what the run does.
    pub firing_triggers: Vec<String>,
    /// What earlier runs dropped and did not build again.
    pub owed: Vec<existing::Drop>,
}

/// The target as a session that answers catalog queries.
struct LocalSession {
    version_num: u32,
}

impl CatalogSession for LocalSession {
    fn query_json(&mut self, query: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let query = format!("select pg_catalog.row_to_json(q)::text from ({query}\n) q");
        spi::for_each_text(&query, each)
    }

    fn version_num(&self) -> u32 {
        self.version_num
    }
}

/// Reads the target in a transaction of its own.
pub(super) fn read(run: &Run) -> Result<TargetReading> {
    transaction::run(|| {
        let mut session = LocalSession { version_num: version_num()? };
        let catalog = catalog::read(&mut session)?;
        let formats = TargetFormats {
            version_num: session.version_num,
            binary_types: binary_types::read_binary_types(&mut session)?,
            extension_versions: extension_versions()?,
        };
        let unchanged = run.state.read_unchanged()?.into_iter().collect();
        Ok(TargetReading {
            catalog,
            formats,
            roles: names("select r.rolname::text from pg_catalog.pg_roles r order by 1")?,
            role: settings::current_role()?,
            settings: names(
                "select pg_catalog.lower(s.name) from pg_catalog.pg_settings s order by 1",
            )?,
            tablespaces: names(
                "select t.spcname::text from pg_catalog.pg_tablespace t
                join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
                where t.oid = d.dattablespace
                    or pg_catalog.has_tablespace_privilege(t.oid, 'create')
                order by 1",
            )?,
            extensions: names(
                "select e.name::text from pg_catalog.pg_available_extensions e order by 1",
            )?,
            unchanged,
            distributed: distributed::read()?,
            firing_triggers: firing_triggers()?,
            owed: run.state.read_owed()?,
        })
    })
}

impl TargetReading {
    /// What the target grants on any new object that the run makes.
    pub(super) fn default_acls(&self) -> Vec<DefaultAcl> {
        let acls = self.catalog.default_acls.iter();
        acls.filter(|acl| acl.role == self.role).cloned().collect()
    }

    /// Whether a table's rows may be replaced without asking; inside a transaction. A table that no
    /// run has loaded holds nothing to lose if it is empty.
    pub(super) fn is_replaceable(&self, table: &Table) -> Result<bool> {
        let name = quote_qualified(&table.schema, &table.name);
        let query = match self.unchanged.get(&table.oid) {
            Some(None) => return Ok(true),
            Some(Some(rows)) => {
                format!("select (pg_catalog.count(*) = {rows})::text from only {name}")
            }
            None => format!("select (not exists (select from only {name}))::text"),
        };
        Ok(names(&query)?.contains("true"))
    }
}

/// Versions of the extensions that are there, else of those that would be created.
fn extension_versions() -> Result<HashMap<String, String>> {
    let mut versions = HashMap::new();
    let query = "select pg_catalog.json_build_array(e.name,
                     coalesce(e.installed_version, e.default_version))::text
                 from pg_catalog.pg_available_extensions e
                 where e.default_version is not null or e.installed_version is not null
                 order by e.name";
    spi::for_each_text(query, &mut |row| {
        let (name, version) = serde_json::from_str::<(String, String)>(row)
            .map_err(|error| Error::Internal(format!("extensions cannot be read: {error}")))?;
        versions.insert(name, version);
        Ok(())
    })?;
    Ok(versions)
}

/// Event triggers that no setting of this session silences, by name.
fn firing_triggers() -> Result<Vec<String>> {
    let query = if settings::silences_event_triggers() {
        "select e.evtname::text from pg_catalog.pg_event_trigger e
         where e.evtenabled <> 'D'
             and pg_catalog.current_setting('event_triggers') = 'on'"
    } else {
        "select e.evtname::text from pg_catalog.pg_event_trigger e
         where e.evtenabled = 'A'
             or e.evtenabled
                 = case pg_catalog.current_setting('session_replication_role')
                     when 'replica' then 'R'
                     else 'O'
                 end"
    };
    let mut triggers: Vec<String> = names(query)?.into_iter().collect();
    triggers.sort();
    Ok(triggers)
}

fn version_num() -> Result<u32> {
    Spi::get_one::<i32>("select pg_catalog.current_setting('server_version_num')::int4")
        .ok()
        .flatten()
        .and_then(|version| u32::try_from(version).ok())
        .ok_or_else(|| Error::Internal("the server does not tell its version".to_owned()))
}

/// The texts that a query of the target returns; inside a transaction.
pub(super) fn names(query: &str) -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    spi::for_each_text(query, &mut |name| {
        names.insert(name.to_owned());
        Ok(())
    })?;
    Ok(names)
}
