//! Reads the catalog of a database into `model::Catalog`: one `.sql` file per query, one pass each,
//! all of a half asked at once.
//!
//! Every query reads all objects of its kind that belong to the user; selecting schemas and tables is
//! the planner's. A line of a query that ends in `-- 14+` is for servers from 14 on, one that ends in
//! `-- 13-` for servers up to 13, `-- 15+ 16-` for those between; all others are for every version from 10 on. No query runs once per
//! object, so 20,000 tables take as many round trips as two.

mod batch;
mod definitions;
pub mod secret;

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use self::batch::{Batch, Rows};
use super::CatalogSession;
use crate::model::{
    Acl, Annotations, Catalog, Column, Comment, Constraint, Definition, Depend, Index, ObjectId,
    SecurityLabel, ServerInfo, TypeDefinition, TypeInfo,
};
use crate::{Error, Result};

/// A row that is an OID and nothing else.
#[derive(Deserialize)]
struct OidRow {
    oid: u32,
}

/// What is read about tables besides themselves, and of classes with few objects: about half of the work, for a
/// session beside the one that reads all else.
pub struct Keys {
    definitions: Vec<Definition>,
    type_infos: Vec<TypeInfo>,
    constraints: Vec<Constraint>,
    indexes: Vec<Index>,
    depends: Vec<Depend>,
}

impl Keys {
    /// Completes what `read_objects` has read under the same snapshot.
    pub fn join(self, catalog: &mut Catalog) {
        catalog.definitions = self.definitions;
        catalog.type_infos = self.type_infos;
        catalog.constraints = self.constraints;
        catalog.indexes = self.indexes;
        catalog.depends = self.depends;
    }
}

/// Reads everything. The session's `search_path` must be empty; with `jit = off` it takes half the time.
pub fn read(session: &mut dyn CatalogSession) -> Result<Catalog> {
    let mut catalog = read_objects(session)?;
    read_keys(session)?.join(&mut catalog);
    Ok(catalog)
}

/// Reads one half of everything.
pub fn read_keys(session: &mut dyn CatalogSession) -> Result<Keys> {
    let mut batch = Batch::new(session);
    let type_infos = batch.add(include_str!("type_infos.sql"));
    let constraints = batch.add(include_str!("constraints.sql"));
    let indexes = batch.add(include_str!("indexes.sql"));
    let depends = batch.add(include_str!("depends.sql"));
    let definitions = definitions::add(&mut batch);
    batch.run(session)?;
    Ok(Keys {
        definitions: definitions.into_iter().flat_map(Rows::take).collect(),
        type_infos: type_infos.take(),
        constraints: constraints.take(),
        indexes: indexes.take(),
        depends: depends.take(),
    })
}

/// Reads the other half, to be joined by the keys.
pub fn read_objects(session: &mut dyn CatalogSession) -> Result<Catalog> {
    let mut batch = Batch::new(session);
    let columns = batch.add(include_str!("columns.sql"));
    let server = batch.add(include_str!("server.sql"));
    let builtins = batch.add(include_str!("builtins.sql"));
    let schemas = batch.add(include_str!("schemas.sql"));
    let extensions = batch.add(include_str!("extensions.sql"));
    let types = batch.add(include_str!("types.sql"));
    let functions = batch.add(include_str!("functions.sql"));
    let sequences = batch.add(include_str!("sequences.sql"));
    let tables = batch.add(include_str!("tables.sql"));
    let views = batch.add(include_str!("views.sql"));
    let triggers = batch.add(include_str!("triggers.sql"));
    let rules = batch.add(include_str!("rules.sql"));
    let policies = batch.add(include_str!("policies.sql"));
    let default_acls = batch.add(include_str!("default_acls.sql"));
    let roles = batch.add(include_str!("roles.sql"));
    let database = batch.add(include_str!("database.sql"));
    let comments = batch.add(include_str!("comments.sql"));
    let labels = batch.add(include_str!("labels.sql"));
    let acls = batch.add(include_str!("acls.sql"));
    let procedural_functions = batch.add::<OidRow>(include_str!("procedural_functions.sql"));
    batch.run(session)?;

    let mut columns = group_columns(columns.take());
    let mut catalog = Catalog {
        server: only_server(server.take())?,
        builtins: builtins.take().pop().unwrap_or_default(),
        schemas: schemas.take(),
        extensions: extensions.take(),
        types: types.take(),
        functions: functions.take(),
        sequences: sequences.take(),
        tables: tables.take(),
        views: views.take(),
        triggers: triggers.take(),
        rules: rules.take(),
        policies: policies.take(),
        default_acls: default_acls.take(),
        roles: roles.take(),
        database: database.take().pop().unwrap_or_default(),
        annotations: annotate(comments.take(), labels.take(), acls.take()),
        procedural_functions: procedural_functions.take().into_iter().map(|row| row.oid).collect(),
        ..Catalog::default()
    };
    for table in &mut catalog.tables {
        table.columns = columns.remove(&table.oid).unwrap_or_default();
    }
    for view in &mut catalog.views {
        view.columns = columns.remove(&view.oid).unwrap_or_default();
    }
    for data_type in &mut catalog.types {
        if let TypeDefinition::Composite(composite) = &mut data_type.definition {
            composite.columns = columns.remove(&composite.relation_oid).unwrap_or_default();
        }
    }
    Ok(catalog)
}

/// Reads the one row about the server.
pub fn read_server(session: &mut dyn CatalogSession) -> Result<ServerInfo> {
    only_server(read_rows(session, include_str!("server.sql"))?)
}

fn only_server(mut rows: Vec<ServerInfo>) -> Result<ServerInfo> {
    rows.pop().ok_or_else(|| Error::Internal("the database is not in its own catalog".to_owned()))
}

/// Gathers comments, labels and privileges by object.
fn annotate(comments: Vec<Comment>, labels: Vec<SecurityLabel>, acls: Vec<Acl>) -> Annotations {
    let mut annotations = Annotations::default();
    for comment in comments {
        annotations.comments.insert(comment.id, comment.text);
    }
    for label in labels {
        annotations.labels.entry(label.id).or_default().push(label);
    }
    for acl in acls {
        annotations.acls.entry(ObjectId::whole(acl.id)).or_default().push(acl);
    }
    annotations
}

/// Gathers columns by relation; they come in the order of their numbers.
fn group_columns(columns: Vec<Column>) -> HashMap<u32, Vec<Column>> {
    let mut groups: HashMap<u32, Vec<Column>> = HashMap::new();
    for column in columns {
        groups.entry(column.relation_oid).or_default().push(column);
    }
    groups
}

/// Runs the query as it reads for the session's version, without secrets, and decodes its rows.
pub(super) fn read_rows<T: DeserializeOwned>(
    session: &mut dyn CatalogSession,
    query: &str,
) -> Result<Vec<T>> {
    let text = select_lines(query, session.version_num() / 10_000, Secrets::Redacted);
    let mut rows = Vec::new();
    session.query_json(&text, &mut |json| {
        rows.push(decode(query, json)?);
        Ok(())
    })?;
    Ok(rows)
}

/// Decodes a row of a query.
fn decode<T: DeserializeOwned>(query: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| {
        let title = query.lines().next().unwrap_or_default();
        Error::Internal(format!("could not decode a catalog row: {error} ({title})"))
    })
}

/// Which of the lines about secrets are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrets {
    /// Those that end in `-- redacted`.
    Redacted,
    /// Those that end in `-- secret`.
    Shown,
}

/// Keeps the lines of a query that are meant for servers of major version `major`.
fn select_lines(query: &str, major: u32, secrets: Secrets) -> String {
    let is_meant_by = |mark: &str| match mark {
        "redacted" => secrets == Secrets::Redacted,
        "secret" => secrets == Secrets::Shown,
        _ => is_within(mark, major),
    };
    let mut text = String::with_capacity(query.len());
    for line in query.lines().filter(|line| !line.starts_with("--")) {
        let (sql, is_meant) = match line.rsplit_once(" -- ") {
            Some((sql, marks)) => (sql, marks.split(' ').all(is_meant_by)),
            None => (line, true),
        };
        if is_meant {
            text.push_str(sql);
            text.push('\n');
        }
    }
    text
}

/// Whether a mark such as `14+` or `13-` admits servers of major version `major`.
fn is_within(mark: &str, major: u32) -> bool {
    let (bound, is_first) = match (mark.strip_suffix('+'), mark.strip_suffix('-')) {
        (Some(first), _) => (first, true),
        (_, Some(last)) => (last, false),
        _ => return true,
    };
    bound.parse().is_ok_and(|bound: u32| if is_first { major >= bound } else { major <= bound })
}

#[cfg(test)]
mod tests {
    use super::{Secrets, select_lines};

    #[test]
    fn lines_marked_for_other_versions_are_left_out() {
        let select_lines = |query, major| select_lines(query, major, Secrets::Redacted);
        let query = "-- title\nselect a, -- 14+\n  null as a, -- 13-\n  b\n";
        assert_eq!(select_lines(query, 14), "select a,\n  b\n");
        assert_eq!(select_lines(query, 13), "  null as a,\n  b\n");
        assert_eq!(select_lines("x -- 15+ 16-\n", 16), "x\n");
        assert_eq!(select_lines("x -- 15+ 16-\n", 17), "");
    }

    #[test]
    fn a_secret_is_read_only_by_those_who_ask() {
        let query = "a -- secret\nb -- redacted\nc -- 14+ secret\n";
        assert_eq!(select_lines(query, 15, Secrets::Redacted), "b\n");
        assert_eq!(select_lines(query, 15, Secrets::Shown), "a\nc\n");
        assert_eq!(select_lines(query, 13, Secrets::Shown), "a\n");
    }
}
