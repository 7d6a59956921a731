//! Which objects of the source a run makes: those selected, those they need, nothing else.
//!
//! What depends on something left out is left out too, with a note that says why. Where only schemas or
//! tables are chosen, what lives in no schema (extensions, languages, servers) comes along if it is
//! needed, casts and transforms if they are about something chosen, publications if all that they
//! publish is.

use std::collections::{HashMap, HashSet};

use super::Note;
use super::select::Selection;
use crate::ddl::{Item, ItemKind, PUBLIC};
use crate::model::{Catalog, Class, SequenceLink};
use crate::options::{ForeignKeys, Options};

/// The choice among the items of a catalog.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Which items are made.
    pub is_kept: Vec<bool>,
    /// What is left out as a consequence, and what the items kept have to say.
    pub notes: Vec<Note>,
    /// Positions of what was selected and needs something left out.
    pub left_out: Vec<usize>,
}

/// What the choice is made from.
pub(super) struct Chooser<'a> {
    pub(super) items: &'a [Item],
    selection: &'a Selection,
    options: &'a Options,
    /// OIDs of the relations that are not selected; sequences only if they are left out by name.
    unselected: HashSet<u32>,
    partitions: HashSet<u32>,
    extension_schemas: HashMap<u32, String>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(
        items: &'a [Item],
        catalog: &Catalog,
        selection: &'a Selection,
        options: &'a Options,
    ) -> Self {
        let partitions = catalog.tables.iter().filter(|table| table.is_partition);
        let extensions = catalog.extensions.iter();
        Chooser {
            items,
            selection,
            options,
            unselected: find_unselected(catalog, selection),
            partitions: partitions.map(|table| table.oid).collect(),
            extension_schemas: extensions.map(|e| (e.oid, e.schema.clone())).collect(),
        }
    }

    /// Marks the items to be made and notes what is left out as a consequence.
    ///
    /// Items are in the order of their dependencies; `roles` are those of the target.
    pub(super) fn choose(&self, roles: &HashSet<String>) -> Chosen {
        let mut chosen = Chosen {
            is_kept: self.items.iter().map(|item| self.is_selected(item)).collect(),
            ..Chosen::default()
        };
        if self.selection.is_partial() {
            self.add_what_follows(&mut chosen.is_kept);
            self.settle_publications(&mut chosen);
            self.add_needed(&mut chosen.is_kept);
        }
        self.leave_out_dependents(&mut chosen, roles);
        for (item, _) in self.items.iter().zip(&chosen.is_kept).filter(|(_, is_kept)| **is_kept) {
            let note =
                |message: &String| Note { object: item.object.clone(), message: message.clone() };
            chosen.notes.extend(item.notes.iter().map(note));
        }
        let database = self.items.iter().find(|item| item.kind == ItemKind::Database);
        if let Some(item) = database.filter(|_| !self.options.database_properties) {
            chosen.notes.push(Note {
                object: item.object.clone(),
                message: "the source's has settings, a comment or privileges of its own, which \
                          option \"database_properties\" would carry"
                    .to_owned(),
            });
        }
        chosen
    }

    /// Whether the options ask for an item, whatever it depends on.
    fn is_selected(&self, item: &Item) -> bool {
        let (selection, options) = (self.selection, self.options);
        if !self.is_switched_on(item.kind) {
            return false;
        }
        let is_of_sequence = item.kind == ItemKind::SequenceOwner;
        let is_relation = item.id.class == Class::RELATION || is_of_sequence;
        if item.table_oid.is_some_and(|oid| self.unselected.contains(&oid))
            || is_relation && self.unselected.contains(&item.id.oid)
        {
            return false;
        }
        let is_left_empty = |schema| selection.excludes_data(schema, &item.name);
        if item.kind == ItemKind::Refresh && item.schema.as_deref().is_some_and(is_left_empty) {
            return false;
        }
        let belongs_to_table = item.table_oid.is_some() || item.kind == ItemKind::Table;
        match &item.schema {
            // With the objects that they are for.
            _ if item.kind == ItemKind::Privileges => false,
            Some(schema) if item.kind == ItemKind::Sequence && selection.chooses_tables() => {
                selection.selects_table(schema, &item.name)
            }
            _ if selection.chooses_tables() => belongs_to_table || is_view(item.kind),
            Some(schema) => selection.selects_schema(schema),
            None if item.kind == ItemKind::Extension && selection.is_partial() => {
                let schema = self.extension_schemas.get(&item.id.oid);
                schema.is_some_and(|schema| selection.selects_schema(schema))
            }
            None if item.kind == ItemKind::Database => options.database_properties,
            None => belongs_to_table || !selection.is_partial(),
        }
    }

    fn is_switched_on(&self, kind: ItemKind) -> bool {
        let options = self.options;
        match kind {
            ItemKind::Extension => options.extensions,
            ItemKind::Policy | ItemKind::RowSecurity => options.policies,
            ItemKind::Publication | ItemKind::PublicationMember => options.publications,
            ItemKind::Database => options.database_properties,
            ItemKind::Subscription => options.subscriptions,
            ItemKind::ForeignKey => options.foreign_keys != ForeignKeys::Skip,
            _ => true,
        }
    }

    /// Adds what lives in no schema and is about something chosen.
    fn add_what_follows(&self, is_kept: &mut [bool]) {
        for (position, item) in self.items.iter().enumerate() {
            let follows = match item.kind {
                ItemKind::Cast | ItemKind::Transform => !self.selection.chooses_tables(),
                ItemKind::PublicationMember => item.table_oid.is_none(),
                _ => false,
            };
            if follows && self.is_switched_on(item.kind) {
                is_kept[position] = item.depends_on.iter().any(|needed| is_kept[*needed]);
            }
        }
    }

    /// Keeps the publications of which everything is chosen; a part of one would be another one.
    fn settle_publications(&self, chosen: &mut Chosen) {
        let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
        for (position, item) in self.items.iter().enumerate() {
            if item.kind == ItemKind::PublicationMember {
                let is_publication =
                    |needed: &&usize| self.items[**needed].kind == ItemKind::Publication;
                if let Some(publication) = item.depends_on.iter().find(is_publication) {
                    members.entry(*publication).or_default().push(position);
                }
            }
        }
        for (publication, members) in members {
            let kept = members.iter().filter(|member| chosen.is_kept[**member]).count();
            chosen.is_kept[publication] = kept == members.len();
            if kept > 0 && kept < members.len() {
                members.iter().for_each(|member| chosen.is_kept[*member] = false);
                chosen.notes.push(Note {
                    object: self.items[publication].object.clone(),
                    message: "left out, since it publishes more than what is copied".to_owned(),
                });
            }
        }
    }

    /// Adds what the chosen objects cannot be made without: for tables also what lives in schemas.
    fn add_needed(&self, is_kept: &mut [bool]) {
        // Dependencies come earlier, so one walk from the end sees every need before it is passed.
        for position in (0..self.items.len()).rev() {
            if !is_kept[position] {
                continue;
            }
            for needed in &self.items[position].depends_on {
                is_kept[*needed] |= self.can_be_added(&self.items[*needed]);
            }
        }
    }

    fn can_be_added(&self, item: &Item) -> bool {
        let is_excluded = item
            .schema
            .as_deref()
            .is_some_and(|schema| self.selection.excludes(schema, &item.name));
        let is_placeless = matches!(
            item.kind,
            ItemKind::Schema
                | ItemKind::Extension
                | ItemKind::AccessMethod
                | ItemKind::Language
                | ItemKind::ForeignDataWrapper
                | ItemKind::Server
        );
        let is_part = matches!(
            item.kind,
            ItemKind::Collation
                | ItemKind::ShellType
                | ItemKind::Type
                | ItemKind::Function
                | ItemKind::Aggregate
                | ItemKind::Sequence
                | ItemKind::SequenceOwner
                | ItemKind::Operator
                | ItemKind::OperatorClass
                | ItemKind::OperatorFamily
                | ItemKind::TextSearch
        );
        // It is there, and is to be as it is on the source only where it is chosen.
        let is_public = item.kind == ItemKind::Schema && item.name == PUBLIC;
        self.is_switched_on(item.kind)
            && !is_excluded
            && !is_public
            && (is_placeless || is_part && self.selection.chooses_tables())
    }

    /// Leaves out what depends on something left out, and says so.
    fn leave_out_dependents(&self, chosen: &mut Chosen, roles: &HashSet<String>) {
        for (position, item) in self.items.iter().enumerate() {
            if item.kind == ItemKind::Privileges {
                chosen.is_kept[position] = self.keeps_object_of(item, &chosen.is_kept);
                continue;
            }
            if !chosen.is_kept[position] {
                continue;
            }
            if let Some(obstacle) = &item.obstacle {
                chosen.is_kept[position] = false;
                let note = Note { object: item.object.clone(), message: obstacle.clone() };
                chosen.notes.push(note);
                continue;
            }
            let role = item.roles.iter().find(|role| !roles.contains(*role));
            let reason = match role {
                Some(role) => Some(format!("role \"{role}\" does not exist on the target")),
                None => self.find_missing(item, &chosen.is_kept).map(|missing| {
                    chosen.left_out.push(position);
                    format!("{} is left out", missing.object)
                }),
            };
            if let Some(reason) = reason {
                chosen.is_kept[position] = false;
                chosen.notes.push(Note {
                    object: item.object.clone(),
                    message: format!("left out, since {reason}"),
                });
            }
        }
    }

    /// Whether the object that privileges are for is made, or comes with something that is; those on the
    /// system's objects are carried with whole databases.
    fn keeps_object_of(&self, privileges: &Item, is_kept: &[bool]) -> bool {
        let object = privileges.id.whole();
        let needed = || privileges.depends_on.iter().copied();
        match needed().find(|needed| self.items[*needed].provides.contains(&object)) {
            Some(maker) => is_kept[maker],
            None => match needed().find(|at| self.items[*at].kind == ItemKind::Extension) {
                Some(extension) => self.has(privileges, extension, is_kept),
                None => !self.selection.is_partial(),
            },
        }
    }

    /// Something that an item needs and that is not made.
    fn find_missing(&self, item: &Item, is_kept: &[bool]) -> Option<&'a Item> {
        let missing = item.depends_on.iter().find(|needed| !self.has(item, **needed, is_kept));
        missing.map(|position| &self.items[*position])
    }

    /// Whether what an item needs is made, or taken for granted: what a switch leaves out on purpose,
    /// the schema `public`, and the table that a partition is to be attached to later.
    pub(super) fn has(&self, item: &Item, needed: usize, is_kept: &[bool]) -> bool {
        let (selection, name) = (self.selection, &self.items[needed].name);
        let is_assumed = match self.items[needed].kind {
            ItemKind::Extension => !self.options.extensions,
            ItemKind::Schema => {
                selection.selects_schema(name) || selection.chooses_tables() || name == PUBLIC
            }
            ItemKind::Table => {
                item.kind == ItemKind::Table && self.partitions.contains(&item.id.oid)
            }
            _ => false,
        };
        is_kept[needed] || is_assumed
    }
}

fn find_unselected(catalog: &Catalog, selection: &Selection) -> HashSet<u32> {
    let tables = catalog.tables.iter().map(|table| (table.oid, &table.schema, &table.name));
    let views = catalog.views.iter().map(|view| (view.oid, &view.schema, &view.name));
    let relations = tables
        .chain(views)
        .filter(|(_, schema, name)| !selection.selects_table(schema, name))
        .map(|(oid, _, _)| oid);
    let sequences = catalog
        .sequences
        .iter()
        .filter(|sequence| sequence.link != Some(SequenceLink::Identity))
        .filter(|sequence| selection.excludes(&sequence.schema, &sequence.name))
        .map(|sequence| sequence.oid);
    relations.chain(sequences).collect()
}

fn is_view(kind: ItemKind) -> bool {
    matches!(kind, ItemKind::View | ItemKind::ViewBody | ItemKind::MaterializedView)
}
