//! One schema under another name on the target.
//!
//! Definitions come from the source's deparsers under an empty search path, so that the schema is
//! followed wherever it is a name (`text`). Text inside function bodies and other literals is not
//! followed; what mentions the schema there is reported.

mod text;

use super::Note;
use crate::ddl::{Item, ItemKind};
use crate::model::{Catalog, DefaultAcl};

/// A schema's name on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    pub from: String,
    pub to: String,
}

impl Rename {
    /// The name that a schema of the source has on the target.
    pub fn schema<'a>(&'a self, name: &'a str) -> &'a str {
        if name == self.from { &self.to } else { name }
    }

    /// Renames in everything that the kept items say; notes what could not be followed.
    pub fn items(&self, items: &mut [Item], is_kept: &[bool], notes: &mut Vec<Note>) {
        let kept = items.iter_mut().zip(is_kept).filter(|(_, is_kept)| **is_kept);
        for (item, _) in kept {
            let (mut in_body, mut in_literal) = (false, false);
            let attributes = item.attributes.iter_mut().map(|attribute| &mut attribute.sql);
            let statements = item.create.iter_mut().chain(attributes);
            for sql in statements.chain(&mut item.index_definition).chain(&mut item.using_index) {
                let renamed = self.rewrite(sql);
                in_body |= renamed.is_in_body;
                in_literal |= renamed.is_in_literal && !sql.starts_with("comment on ");
                *sql = renamed.sql;
            }
            item.object = self.object(item);
            if item.schema.as_ref() == Some(&self.from) {
                item.schema = Some(self.to.clone());
            }
            if item.kind == ItemKind::Schema && item.name == self.from {
                item.name.clone_from(&self.to);
            }
            for (is_hidden, place) in [(in_body, "its body"), (in_literal, "a literal of it")] {
                if is_hidden {
                    notes.push(Note {
                        object: item.object.clone(),
                        message: format!(
                            "{place} mentions schema \"{}\", which was not renamed there",
                            self.from
                        ),
                    });
                }
            }
        }
    }

    /// An item's identity for messages, by which it is found on the target, too.
    fn object(&self, item: &Item) -> String {
        if item.kind == ItemKind::Schema && item.name == self.from {
            return format!("schema {}", self.to);
        }
        if has_quoted_identity(item.kind) {
            return self.identity(&item.object);
        }
        let old = format!(" {}.", self.from);
        match item.object.split_once(&old).filter(|_| item.schema.as_ref() == Some(&self.from)) {
            // Arguments of functions are SQL.
            Some((noun, rest)) => match rest.split_at_checked(item.name.len()) {
                Some((name, arguments)) if name == item.name => {
                    format!("{noun} {}.{name}{}", self.to, self.identity(arguments))
                }
                _ => format!("{noun} {}.{rest}", self.to),
            },
            None => item.object.clone(),
        }
    }

    /// Says of the target's default privileges which schema of the source they are for.
    pub fn default_acls(&self, acls: &mut Vec<DefaultAcl>) {
        acls.retain(|acl| acl.schema.as_ref() != Some(&self.from) || self.from == self.to);
        for acl in acls.iter_mut().filter(|acl| acl.schema.as_ref() == Some(&self.to)) {
            acl.schema = Some(self.from.clone());
        }
    }

    /// Renames where the plan looks at tables and sequences.
    pub fn catalog(&self, catalog: &mut Catalog) {
        for table in &mut catalog.tables {
            table.schema = self.schema(&table.schema).to_owned();
            for column in &mut table.columns {
                column.type_sql = self.identity(&column.type_sql);
            }
        }
        for view in &mut catalog.views {
            view.schema = self.schema(&view.schema).to_owned();
        }
        for sequence in &mut catalog.sequences {
            sequence.schema = self.schema(&sequence.schema).to_owned();
        }
        for config in catalog.extensions.iter_mut().flat_map(|extension| &mut extension.config) {
            config.schema = self.schema(&config.schema).to_owned();
        }
    }
}

/// Whether the identity of such items is SQL text.
fn has_quoted_identity(kind: ItemKind) -> bool {
    matches!(
        kind,
        ItemKind::Collation
            | ItemKind::Conversion
            | ItemKind::Operator
            | ItemKind::OperatorFamily
            | ItemKind::OperatorClass
            | ItemKind::FamilyMember
            | ItemKind::Cast
            | ItemKind::Transform
            | ItemKind::TextSearch
            | ItemKind::Statistics
            | ItemKind::PublicationMember
            | ItemKind::Privileges
            | ItemKind::DefaultPrivileges
    )
}
