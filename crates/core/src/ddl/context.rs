//! What every renderer looks up: relations by OID, annotations, and which parts are made separately.

use std::collections::{HashMap, HashSet};

use super::DdlOptions;
use super::item::Item;
use super::privilege;
use super::separate::RowReaders;
use crate::model::{
    Acl, Catalog, Class, Column, Constraint, DependKind, Index, ObjectId, Sequence, Table, View,
};
use crate::name::{quote_ident, quote_literal, quote_qualified};

/// A table or view, as far as objects that belong to it need to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relation<'a> {
    pub(super) schema: &'a str,
    pub(super) name: &'a str,
    pub(super) columns: &'a [Column],
}

impl Relation<'_> {
    /// The name as SQL text.
    pub(super) fn quoted(&self) -> String {
        quote_qualified(self.schema, self.name)
    }
}

/// The catalog with indexes over it.
pub(super) struct Context<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) options: &'a DdlOptions,
    separate: &'a HashSet<ObjectId>,
    readers: &'a RowReaders,
    tables: HashMap<u32, &'a Table>,
    views: HashMap<u32, &'a View>,
    constraints_by_table: HashMap<u32, Vec<&'a Constraint>>,
    constraints_by_domain: HashMap<u32, Vec<&'a Constraint>>,
    sequences_by_table: HashMap<u32, Vec<&'a Sequence>>,
    indexes: HashMap<u32, &'a Index>,
    partition_indexes: HashMap<u32, Vec<u32>>,
    members: HashSet<ObjectId>,
    /// The extensions that an object does not belong to but goes with.
    companions: HashMap<ObjectId, Vec<&'a str>>,
    schemas: HashMap<&'a str, u32>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        catalog: &'a Catalog,
        options: &'a DdlOptions,
        separate: &'a HashSet<ObjectId>,
        readers: &'a RowReaders,
    ) -> Self {
        let mut constraints_by_table: HashMap<u32, Vec<&Constraint>> = HashMap::new();
        let mut constraints_by_domain: HashMap<u32, Vec<&Constraint>> = HashMap::new();
        for constraint in &catalog.constraints {
            match constraint.domain_oid {
                0 => constraints_by_table.entry(constraint.table_oid),
                domain_oid => constraints_by_domain.entry(domain_oid),
            }
            .or_default()
            .push(constraint);
        }
        let mut sequences_by_table: HashMap<u32, Vec<&Sequence>> = HashMap::new();
        for sequence in &catalog.sequences {
            if let Some(table_oid) = sequence.owner_table_oid {
                sequences_by_table.entry(table_oid).or_default().push(sequence);
            }
        }
        let mut partition_indexes: HashMap<u32, Vec<u32>> = HashMap::new();
        for index in catalog.indexes.iter().filter(|index| index.parent_index != 0) {
            partition_indexes.entry(index.parent_index).or_default().push(index.oid);
        }
        let extensions: HashMap<u32, &str> =
            catalog.extensions.iter().map(|e| (e.oid, e.name.as_str())).collect();
        let mut companions: HashMap<ObjectId, Vec<&str>> = HashMap::new();
        for depend in catalog.depends.iter().filter(|d| d.kind == DependKind::AutoExtension) {
            let extension = extensions.get(&depend.reference.oid);
            companions.entry(depend.object).or_default().extend(extension);
        }
        Context {
            catalog,
            options,
            separate,
            readers,
            tables: catalog.tables.iter().map(|table| (table.oid, table)).collect(),
            views: catalog.views.iter().map(|view| (view.oid, view)).collect(),
            constraints_by_table,
            constraints_by_domain,
            sequences_by_table,
            indexes: catalog.indexes.iter().map(|index| (index.oid, index)).collect(),
            partition_indexes,
            schemas: catalog.schemas.iter().map(|s| (s.name.as_str(), s.oid)).collect(),
            companions,
            members: catalog
                .depends
                .iter()
                .filter(|depend| depend.kind == DependKind::Extension)
                .map(|depend| depend.object)
                .collect(),
        }
    }

    /// Whether a default, check or view's body is made by an item of its own.
    pub(super) fn is_separate(&self, id: ObjectId) -> bool {
        self.separate.contains(&id)
    }

    /// Whether building an index may read the rows of other tables.
    pub(super) fn reads_rows(&self, index: &Index) -> bool {
        self.readers.indexes.contains(&index.oid)
    }

    pub(super) fn table(&self, oid: u32) -> Option<&'a Table> {
        self.tables.get(&oid).copied()
    }

    pub(super) fn index(&self, oid: u32) -> Option<&'a Index> {
        self.indexes.get(&oid).copied()
    }

    /// The constraints of a table, by name.
    pub(super) fn constraints_of(&self, table_oid: u32) -> &[&'a Constraint] {
        self.constraints_by_table.get(&table_oid).map_or(&[], Vec::as_slice)
    }

    /// The checks of a domain, by name.
    pub(super) fn constraints_of_domain(&self, type_oid: u32) -> &[&'a Constraint] {
        self.constraints_by_domain.get(&type_oid).map_or(&[], Vec::as_slice)
    }

    /// The sequences that columns of a table own.
    pub(super) fn sequences_of(&self, table_oid: u32) -> &[&'a Sequence] {
        self.sequences_by_table.get(&table_oid).map_or(&[], Vec::as_slice)
    }

    /// A table, view or materialized view of the catalog.
    pub(super) fn relation(&self, oid: u32) -> Option<Relation<'a>> {
        let table = self.tables.get(&oid).map(|table| Relation {
            schema: &table.schema,
            name: &table.name,
            columns: &table.columns,
        });
        table.or_else(|| {
            self.views.get(&oid).map(|view| Relation {
                schema: &view.schema,
                name: &view.name,
                columns: &view.columns,
            })
        })
    }

    /// The schema of an object with privileges, if it is in the catalog.
    pub(super) fn schema_oid(&self, acl: &Acl) -> Option<u32> {
        self.schemas.get(acl.schema.as_deref()?).copied()
    }

    /// Whether an object comes with an extension.
    pub(super) fn is_member(&self, id: ObjectId) -> bool {
        self.members.contains(&id)
    }

    /// The attachments that make a partitioned index whole, at every depth.
    pub(super) fn attachments_of(&self, index_oid: u32) -> Vec<ObjectId> {
        let mut attachments = Vec::new();
        let mut waiting = vec![index_oid];
        while let Some(parent) = waiting.pop() {
            for &child in self.partition_indexes.get(&parent).into_iter().flatten() {
                attachments.push(ObjectId::new(Class::INHERITS, child));
                waiting.push(child);
            }
        }
        attachments
    }

    /// Adds owner, comment and labels to an item. `noun` and `identity` name the object in
    /// ALTER, COMMENT and SECURITY LABEL.
    pub(super) fn annotate(
        &self,
        item: &mut Item,
        id: ObjectId,
        noun: &str,
        identity: &str,
        owner: &str,
    ) {
        self.take_back_defaults(item, noun, identity);
        if self.options.owner {
            item.push_owner(noun, identity, owner);
        }
        self.describe(item, id, noun, identity);
    }

    /// Takes back what the target grants on any new object, which the source's need not grant.
    pub(super) fn take_back_defaults(&self, item: &mut Item, noun: &str, identity: &str) {
        let is_shell = item.create == [format!("create type {identity}")];
        if self.options.privileges && !self.options.default_acls.is_empty() && !is_shell {
            let statements = privilege::take_back(self.options, item, noun, identity);
            item.attributes.extend(statements);
        }
    }

    /// Adds the comment and labels on an object or column, the extensions that it goes with, and what
    /// the target cannot have of it.
    pub(super) fn describe(&self, item: &mut Item, id: ObjectId, noun: &str, identity: &str) {
        let annotations = &self.catalog.annotations;
        if item.id == id {
            item.obstacle = annotations.obstacles.get(&id).cloned();
        }
        item.notes.extend(annotations.losses.get(&id).into_iter().flatten().cloned());
        for extension in self.companions.get(&id).into_iter().flatten() {
            let extension = quote_ident(extension);
            let sql = format!("alter {noun} {identity} depends on extension {extension}");
            item.push_attribute(sql);
        }
        if let Some(text) = annotations.comments.get(&id).filter(|_| self.options.comments) {
            item.push_attribute(format!("comment on {noun} {identity} is{}", literal(text)));
        }
        self.label(item, id, noun, identity);
    }

    /// Adds the security labels on an object or column.
    pub(super) fn label(&self, item: &mut Item, id: ObjectId, noun: &str, identity: &str) {
        for label in self.catalog.annotations.labels.get(&id).into_iter().flatten() {
            if self.options.security_labels {
                item.push_attribute(format!(
                    "security label for {} on {noun} {identity} is{}",
                    quote_ident(&label.provider),
                    literal(&label.label)
                ));
            }
        }
    }
}

/// A literal with one blank before it, whichever form it takes.
pub(super) fn literal(text: &str) -> String {
    let quoted = quote_literal(text);
    if quoted.starts_with(' ') { quoted } else { format!(" {quoted}") }
}
