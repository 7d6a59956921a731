//! Puts items in an order in which each can be made, and finds what stands in the way of one.
//!
//! In come rendered items and `pg_depend`; out go the same items, those before the data first, each with
//! the positions of those it needs. Whatever needs something after the data is after the data too. Among
//! items that do not need each other, kind, schema and name decide, so the order does not depend on OIDs.
//! A dependency on something that no item provides (an array type, an extension's function) counts as
//! one on whatever that in turn depends on.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::ddl::{Item, ItemKind, Section};
use crate::model::{Class, Depend, DependKind, ObjectId};

/// Sorts items and fills in `section` and `depends_on`.
pub fn sort(mut items: Vec<Item>, depends: &[Depend]) -> Vec<Item> {
    let graph = Graph::new(&items, depends);
    let sections = graph.find_sections(&items);
    for (item, section) in items.iter_mut().zip(sections) {
        item.section = section;
    }
    let order = graph.sort(&items);
    let mut position_of = vec![0; items.len()];
    for (position, &index) in order.iter().enumerate() {
        position_of[index] = position;
    }
    let mut slots: Vec<Option<Item>> = items.into_iter().map(Some).collect();
    let mut sorted = Vec::with_capacity(slots.len());
    for (position, &index) in order.iter().enumerate() {
        let mut item = slots[index].take().expect("an order names each item once");
        item.depends_on = graph.edges[index]
            .iter()
            .map(|edge| position_of[edge.to])
            .filter(|&needed| needed < position)
            .collect();
        item.depends_on.sort_unstable();
        item.depends_on.dedup();
        sorted.push(item);
    }
    sorted
}

/// The parts of items to be made separately so that an order exists; empty when one does.
pub(crate) fn find_splits(items: &[Item], depends: &[Depend]) -> Vec<ObjectId> {
    let graph = Graph::new(items, depends);
    let splits = graph.find_cycle_splits(items);
    if splits.is_empty() { graph.find_section_splits(items) } else { splits }
}

/// What each item needs.
pub(super) fn find_edges(items: &[Item], depends: &[Depend]) -> Vec<Vec<Edge>> {
    Graph::new(items, depends).edges
}

/// That an item needs another, on behalf of one of the addresses that it provides.
pub(super) struct Edge {
    pub(super) to: usize,
    pub(super) part: ObjectId,
}

/// What each item needs.
struct Graph {
    edges: Vec<Vec<Edge>>,
}

impl Graph {
    fn new(items: &[Item], depends: &[Depend]) -> Self {
        let providers = Providers::new(items, depends);
        let mut edges: Vec<Vec<Edge>> = items.iter().map(|_| Vec::new()).collect();
        let mut schemas = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            if item.kind == ItemKind::Schema {
                schemas.insert(item.name.as_str(), index);
            }
        }
        for (index, item) in items.iter().enumerate() {
            let schema = item.schema.as_deref().and_then(|schema| schemas.get(schema));
            let required = item.requires.iter().flat_map(|&id| providers.resolve(id));
            for to in required.chain(schema.copied()).filter(|&to| to != index) {
                edges[index].push(Edge { to, part: item.id });
            }
        }
        for depend in depends {
            let Some((index, part)) = providers.find(depend.object) else {
                continue;
            };
            if is_owned_sequence(&items[index], depend) {
                continue;
            }
            for to in providers.resolve_for(depend).into_iter().filter(|&to| to != index) {
                edges[index].push(Edge { to, part });
            }
        }
        let mut graph = Graph { edges };
        graph.link_refreshes(items);
        graph
    }

    /// Filling a materialized view waits for the filling of those that it reads.
    fn link_refreshes(&mut self, items: &[Item]) {
        let mut refreshes = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            if item.kind == ItemKind::Refresh {
                refreshes.insert(item.table_oid, index);
            }
        }
        let mut bodies = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            if item.kind == ItemKind::ViewBody {
                bodies.insert(item.table_oid, index);
            }
        }
        for &refresh in refreshes.values() {
            let part = items[refresh].id;
            let mut seen: HashSet<usize> = HashSet::from([refresh]);
            let mut waiting = vec![refresh];
            while let Some(index) = waiting.pop() {
                let needed: Vec<usize> = self.edges[index].iter().map(|edge| edge.to).collect();
                for to in needed {
                    let table_oid = items[to].table_oid;
                    let filled = match items[to].kind {
                        ItemKind::MaterializedView => refreshes.get(&table_oid),
                        ItemKind::View => bodies.get(&table_oid),
                        _ => None,
                    };
                    for next in [Some(to), filled.copied()].into_iter().flatten() {
                        if seen.insert(next) {
                            waiting.push(next);
                            self.edges[refresh].push(Edge { to: next, part });
                        }
                    }
                }
            }
        }
    }

    /// The section of each item: its own, or that of what it needs if that is later.
    fn find_sections(&self, items: &[Item]) -> Vec<Section> {
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
        for (index, edges) in self.edges.iter().enumerate() {
            for edge in edges {
                dependents[edge.to].push(index);
            }
        }
        let mut sections: Vec<Section> = items.iter().map(|item| item.section).collect();
        let mut waiting: Vec<usize> = (0..items.len()).collect();
        while let Some(index) = waiting.pop() {
            for &dependent in &dependents[index] {
                if sections[dependent] < sections[index] {
                    sections[dependent] = sections[index];
                    waiting.push(dependent);
                }
            }
        }
        sections
    }

    /// Positions in an order that respects the edges; should a cycle be left, it is entered at the item
    /// that would come first without it.
    fn sort(&self, items: &[Item]) -> Vec<usize> {
        let mut missing: Vec<usize> = vec![0; items.len()];
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
        for (index, edges) in self.edges.iter().enumerate() {
            let needed: HashSet<usize> = edges.iter().map(|edge| edge.to).collect();
            missing[index] = needed.len();
            for to in needed {
                dependents[to].push(index);
            }
        }
        let mut by_rank: Vec<usize> = (0..items.len()).collect();
        by_rank.sort_by_key(|&index| rank(&items[index]));
        let mut rank_of = vec![0; items.len()];
        for (rank, &index) in by_rank.iter().enumerate() {
            rank_of[index] = rank;
        }
        let mut ready: BinaryHeap<Reverse<usize>> = (0..items.len())
            .filter(|&index| missing[index] == 0)
            .map(|index| Reverse(rank_of[index]))
            .collect();
        let mut is_placed = vec![false; items.len()];
        let mut order = Vec::with_capacity(items.len());
        let mut left = by_rank.iter();
        loop {
            let next = match ready.pop() {
                Some(Reverse(rank)) => by_rank[rank],
                None => match left.find(|&&index| !is_placed[index]) {
                    Some(&index) => index,
                    None => return order,
                },
            };
            if std::mem::replace(&mut is_placed[next], true) {
                continue;
            }
            order.push(next);
            for &dependent in &dependents[next] {
                missing[dependent] -= 1;
                if missing[dependent] == 0 {
                    ready.push(Reverse(rank_of[dependent]));
                }
            }
        }
    }

    /// In each cycle, the defaults and checks that are part of it, or else the bodies of its views.
    fn find_cycle_splits(&self, items: &[Item]) -> Vec<ObjectId> {
        let components = self.find_components();
        let mut sizes = vec![0_usize; items.len()];
        for &component in &components {
            sizes[component] += 1;
        }
        let mut values: HashMap<usize, Vec<ObjectId>> = HashMap::new();
        let mut bodies: HashMap<usize, Vec<ObjectId>> = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            let component = components[index];
            if sizes[component] < 2 {
                continue;
            }
            for edge in &self.edges[index] {
                if components[edge.to] == component && item.splittable.contains(&edge.part) {
                    let group =
                        if edge.part.class == Class::RULE { &mut bodies } else { &mut values };
                    group.entry(component).or_default().push(edge.part);
                }
            }
        }
        bodies.retain(|component, _| !values.contains_key(component));
        values.into_values().chain(bodies.into_values()).flatten().collect()
    }

    /// What drags tables behind the data: their defaults and checks, and the views whose row types they
    /// use.
    fn find_section_splits(&self, items: &[Item]) -> Vec<ObjectId> {
        let sections = self.find_sections(items);
        let is_late = |index: usize| sections[index] > Section::PreData;
        let mut splits = Vec::new();
        let mut seen: HashSet<usize> = (0..items.len())
            .filter(|&index| is_late(index) && items[index].kind == ItemKind::Table)
            .collect();
        let mut waiting: Vec<usize> = seen.iter().copied().collect();
        while let Some(index) = waiting.pop() {
            for edge in self.edges[index].iter().filter(|edge| is_late(edge.to)) {
                if items[index].splittable.contains(&edge.part) {
                    splits.push(edge.part);
                } else if seen.insert(edge.to) {
                    waiting.push(edge.to);
                }
            }
        }
        splits
    }

    /// Numbers the strongly connected components (Tarjan's algorithm, without recursion).
    fn find_components(&self) -> Vec<usize> {
        const UNSEEN: usize = usize::MAX;
        let count = self.edges.len();
        let mut number = vec![UNSEEN; count];
        let mut lowest = vec![0; count];
        let mut component = vec![UNSEEN; count];
        let mut open = Vec::new();
        let mut next_number = 0;
        let mut next_component = 0;
        for root in 0..count {
            if number[root] != UNSEEN {
                continue;
            }
            let mut path = vec![(root, 0)];
            while let Some((index, edge)) = path.pop() {
                if edge == 0 {
                    number[index] = next_number;
                    lowest[index] = next_number;
                    next_number += 1;
                    open.push(index);
                }
                if let Some(&Edge { to, .. }) = self.edges[index].get(edge) {
                    path.push((index, edge + 1));
                    if number[to] == UNSEEN {
                        path.push((to, 0));
                    } else if component[to] == UNSEEN {
                        lowest[index] = lowest[index].min(number[to]);
                    }
                    continue;
                }
                if lowest[index] == number[index] {
                    while let Some(member) = open.pop() {
                        component[member] = next_component;
                        if member == index {
                            break;
                        }
                    }
                    next_component += 1;
                }
                if let Some(&(parent, _)) = path.last() {
                    lowest[parent] = lowest[parent].min(lowest[index]);
                }
            }
        }
        component
    }
}

/// What decides between items that do not need each other.
fn rank(item: &Item) -> (Section, ItemKind, Option<&str>, &str, &str, ObjectId) {
    (item.section, item.kind, item.schema.as_deref(), &item.name, &item.object, item.id)
}

/// Whether a dependency is that of a sequence on the column that owns it, which comes later.
fn is_owned_sequence(item: &Item, depend: &Depend) -> bool {
    item.kind == ItemKind::Sequence
        && depend.kind == DependKind::Auto
        && depend.reference.class == Class::RELATION
        && depend.reference.subid > 0
}

/// Which item makes which address.
struct Providers {
    by_id: HashMap<ObjectId, usize>,
    /// What objects that no item makes depend on.
    references: HashMap<ObjectId, Vec<ObjectId>>,
    /// The functions that a type which starts as a shell is made of.
    support: HashSet<(u32, u32)>,
}

impl Providers {
    fn new(items: &[Item], depends: &[Depend]) -> Self {
        let mut by_id = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            for &id in &item.provides {
                by_id.insert(id, index);
            }
        }
        let mut providers =
            Providers { by_id, references: HashMap::new(), support: HashSet::new() };
        for depend in depends {
            let (object, reference) = (depend.object, depend.reference);
            if providers.find(object).is_none() {
                providers.references.entry(object.whole()).or_default().push(reference);
            }
            if object.class == Class::TYPE
                && reference.class == Class::FUNCTION
                && providers.by_id.contains_key(&ObjectId::new(Class::SHELL_TYPE, object.oid))
            {
                providers.support.insert((object.oid, reference.oid));
            }
        }
        providers
    }

    /// The item that makes an address, and which of its addresses that is.
    fn find(&self, id: ObjectId) -> Option<(usize, ObjectId)> {
        [id, id.whole()]
            .into_iter()
            .find_map(|candidate| self.by_id.get(&candidate).map(|&index| (index, candidate)))
    }

    /// The items behind the reference of a dependency; a type's own functions need only its shell.
    fn resolve_for(&self, depend: &Depend) -> Vec<usize> {
        let (object, reference) = (depend.object, depend.reference);
        let is_support = object.class == Class::FUNCTION
            && reference.class == Class::TYPE
            && self.support.contains(&(reference.oid, object.oid));
        if is_support {
            self.resolve(ObjectId::new(Class::SHELL_TYPE, reference.oid))
        } else {
            self.resolve(reference)
        }
    }

    /// The items that must exist for an address to exist.
    fn resolve(&self, id: ObjectId) -> Vec<usize> {
        let mut found = Vec::new();
        let mut seen = HashSet::from([id.whole()]);
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            if let Some((index, _)) = self.find(id) {
                found.push(index);
                continue;
            }
            for &reference in self.references.get(&id.whole()).into_iter().flatten() {
                if seen.insert(reference.whole()) {
                    waiting.push(reference);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(class: Class, oid: u32) -> ObjectId {
        ObjectId::new(class, oid)
    }

    fn needs(object: ObjectId, reference: ObjectId) -> Depend {
        Depend { object, reference, kind: DependKind::Normal }
    }

    fn item(object: ObjectId, kind: ItemKind, name: &str) -> Item {
        Item::new(object, kind, name.to_owned(), name)
    }

    fn names(items: &[Item]) -> Vec<&str> {
        items.iter().map(|item| item.name.as_str()).collect()
    }

    #[test]
    fn dependencies_come_before_kinds_and_kinds_before_names() {
        let [table, function] = [id(Class::RELATION, 1), id(Class::FUNCTION, 2)];
        let other = id(Class::FUNCTION, 3);
        let items = vec![
            item(table, ItemKind::Table, "a table"),
            item(function, ItemKind::Function, "z needs the table"),
            item(other, ItemKind::Function, "b"),
        ];
        let sorted = sort(items, &[needs(function, table)]);
        assert_eq!(names(&sorted), ["b", "a table", "z needs the table"]);
        assert_eq!(sorted[2].depends_on, [1]);
    }

    #[test]
    fn what_needs_something_after_the_data_is_after_the_data() {
        let [key, view] = [id(Class::CONSTRAINT, 1), id(Class::RELATION, 2)];
        let items = vec![
            item(view, ItemKind::View, "view"),
            item(key, ItemKind::PrimaryKey, "key").after_data(),
        ];
        let sorted = sort(items, &[needs(view, key)]);
        assert_eq!(names(&sorted), ["key", "view"]);
        assert_eq!(sorted[1].section, Section::PostData);
    }

    #[test]
    fn a_reference_that_no_item_makes_leads_on_to_what_it_depends_on() {
        let [function, array, row] =
            [id(Class::FUNCTION, 1), id(Class::TYPE, 2), id(Class::TYPE, 3)];
        let table = id(Class::RELATION, 4);
        let items = vec![
            item(function, ItemKind::Function, "function"),
            item(table, ItemKind::Table, "table"),
        ];
        let depends = [needs(function, array), needs(array, row), needs(row, table)];
        assert_eq!(names(&sort(items, &depends)), ["table", "function"]);
    }

    #[test]
    fn a_cycle_is_broken_at_a_default_rather_than_at_a_view() {
        let [table, view] = [id(Class::RELATION, 1), id(Class::RELATION, 2)];
        let [default, rule] = [id(Class::COLUMN_DEFAULT, 3), id(Class::RULE, 4)];
        let mut with_default = item(table, ItemKind::Table, "table");
        with_default.provides.push(default);
        with_default.splittable.push(default);
        let mut with_rule = item(view, ItemKind::View, "view");
        with_rule.provides.push(rule);
        with_rule.splittable.push(rule);
        let depends = [needs(default, view), needs(rule, table)];
        assert_eq!(find_splits(&[with_default, with_rule], &depends), [default]);
    }
}
