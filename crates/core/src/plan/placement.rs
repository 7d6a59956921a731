//! Which partitions rows may be loaded into directly.
//!
//! A row belongs into the partition on the target that it comes from if the partition key's values
//! compare or hash there as they do on the source. Hashes of enums do not: they are those of OIDs. Text
//! is compared by locales that differ between servers, and hashed by its bytes, which differ between
//! encodings. Where there is doubt, the rows of all partitions go through the partitioned table, which
//! finds each row's place anew, and only the tree as a whole can be compared afterwards.

use std::collections::{HashMap, HashSet};

use super::format::OID_ALIASES;
use crate::model::{
    Catalog, PartitionColumn, PartitionStrategy, ServerInfo, Table, TextOrder, TypeInfo, TypeKind,
};

/// Built-in types with text in them that have no collation of their own.
const TEXT_INSIDE: &[&str] =
    &["bpchar", "json", "jsonb", "name", "text", "tsquery", "tsvector", "varchar", "xml"];

/// What it takes to judge partition keys of the source.
pub struct Placement<'a> {
    types: HashMap<u32, &'a TypeInfo>,
    tables: HashMap<u32, &'a Table>,
    is_same_encoding: bool,
    /// Whether both databases' default collations compare bytes.
    is_same_default: bool,
}

impl<'a> Placement<'a> {
    /// Judges the tables of `source` as they will be on `target`.
    pub fn new(source: &'a Catalog, target: &ServerInfo) -> Placement<'a> {
        Placement {
            types: source.type_infos.iter().map(|own| (own.oid, own)).collect(),
            tables: source.tables.iter().map(|table| (table.oid, table)).collect(),
            is_same_encoding: source.server.encoding == target.encoding,
            is_same_default: source.server.orders_by_bytes && target.orders_by_bytes,
        }
    }

    /// The topmost partitioned table above a partition that its rows have to go through, with the
    /// reason; only tables in `members` can be gone through.
    pub fn find_route(&self, table: &Table, members: &HashSet<u32>) -> Option<(&'a Table, String)> {
        let mut route = None;
        let mut below = table;
        while below.is_partition
            && let Some(parent) = below.parents.first().and_then(|oid| self.tables.get(oid))
            && members.contains(&parent.oid)
        {
            if let Some(doubt) = self.find_doubt(parent) {
                route = Some((*parent, doubt));
            }
            below = parent;
        }
        route
    }

    /// Why rows of a partitioned table may belong into other partitions on the target.
    pub fn find_doubt(&self, table: &Table) -> Option<String> {
        let key = table.partitioning.as_ref()?;
        key.columns.iter().find_map(|column| self.doubt_column(key.strategy, column))
    }

    fn doubt_column(
        &self,
        strategy: PartitionStrategy,
        column: &PartitionColumn,
    ) -> Option<String> {
        if !column.has_system_class {
            return Some("its partition key has an operator class of its own".to_owned());
        }
        if let Some(doubt) = self.doubt_order(strategy, column.order) {
            return Some(doubt.to_owned());
        }
        if !column.is_deterministic {
            return Some("its partition key has a collation that depends on the server".to_owned());
        }
        let is_computed_text = column.is_expression && column.order != TextOrder::Own;
        if is_computed_text && column.order != TextOrder::Bytes {
            return Some("its partition key is a text computed under a locale".to_owned());
        }
        let order = Some(column.order).filter(|order| *order != TextOrder::Own);
        self.doubt_type(strategy, column.type_oid, order, &mut HashSet::new())
    }

    /// Why text may be in another order, or have another hash, on the target.
    fn doubt_order(&self, strategy: PartitionStrategy, order: TextOrder) -> Option<&'static str> {
        let is_ordered_alike = match order {
            TextOrder::Own => return None,
            TextOrder::Bytes => true,
            TextOrder::Database => self.is_same_default,
            TextOrder::Locale => false,
        };
        match strategy {
            PartitionStrategy::List => None,
            PartitionStrategy::Range if !is_ordered_alike => {
                Some("its partition key is text in an order that depends on the server")
            }
            _ if !self.is_same_encoding => {
                Some("its partition key is text, and the databases' encodings differ")
            }
            _ => None,
        }
    }

    /// Why values of a type may compare or hash differently; `order` is known for text at the top.
    fn doubt_type(
        &self,
        strategy: PartitionStrategy,
        oid: u32,
        order: Option<TextOrder>,
        visited: &mut HashSet<u32>,
    ) -> Option<String> {
        if !visited.insert(oid) {
            return None;
        }
        let Some(own) = self.types.get(&oid) else {
            return Some(format!("nothing is known of its partition key's type with OID {oid}"));
        };
        let name = own.name.as_str();
        match own.typtype {
            TypeKind::Enum if strategy == PartitionStrategy::Hash => Some(format!(
                "the hash of enum type \"{name}\" in its partition key is that of OIDs"
            )),
            TypeKind::Enum => None,
            TypeKind::Base if OID_ALIASES.contains(&name) => {
                Some(format!("values of type {name} in its partition key are OIDs"))
            }
            TypeKind::Base if own.element_oid != 0 => {
                self.doubt_type(strategy, own.element_oid, order, visited)
            }
            TypeKind::Base if !own.is_builtin => {
                Some(format!("its partition key has type \"{name}\", which is not the system's"))
            }
            TypeKind::Base if order.is_none() && TEXT_INSIDE.contains(&name) => {
                self.doubt_order(strategy, TextOrder::Locale).map(str::to_owned)
            }
            TypeKind::Base => None,
            TypeKind::Domain => self.doubt_type(strategy, own.base_oid, order, visited),
            TypeKind::Range | TypeKind::Multirange => {
                self.doubt_type(strategy, own.subtype_oid, None, visited)
            }
            TypeKind::Composite => own
                .attribute_oids
                .iter()
                .find_map(|part| self.doubt_type(strategy, *part, None, visited)),
            TypeKind::Pseudo => Some(format!("its partition key has pseudo-type \"{name}\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Partitioning;

    fn type_info(oid: u32, name: &str, typtype: &str) -> TypeInfo {
        serde_json::from_value(json!({
            "oid": oid, "schema": "s", "name": name, "typtype": typtype, "has_send": true,
            "has_receive": true, "element_oid": 0, "base_oid": 0, "subtype_oid": 0,
            "attribute_oids": [], "attribute_names": [], "labels": [], "extension": null,
            "extension_version": null, "is_builtin": oid < 10_000,
        }))
        .expect("a type")
    }

    fn table(
        oid: u32,
        parent: Option<u32>,
        strategy: Option<&str>,
        key: &[PartitionColumn],
    ) -> Table {
        let partitioning = strategy.map(|strategy| Partitioning {
            strategy: serde_json::from_value(json!(strategy)).expect("a strategy"),
            columns: key.to_vec(),
        });
        let mut table: Table = serde_json::from_value(json!({
            "oid": oid, "schema": "s", "name": "t", "owner": "o",
            "relkind": if strategy.is_some() { "p" } else { "r" }, "persistence": "p",
            "is_partition": parent.is_some(), "parents": parent.into_iter().collect::<Vec<_>>(),
            "partition_bound": null, "partition_key": null, "partitioning": null, "of_type": null,
            "access_method": null, "tablespace": null, "options": [], "row_security": false,
            "force_row_security": false, "replica_identity": "d", "has_oids": false, "foreign_server": null,
            "foreign_options": [], "row_type_oid": 0, "row_estimate": 0.0, "page_count": 0,
            "main_bytes": 0, "total_bytes": 0, "has_select_privilege": true,
        }))
        .expect("a table");
        table.partitioning = partitioning;
        table
    }

    fn column(type_oid: u32, order: TextOrder) -> PartitionColumn {
        PartitionColumn {
            type_oid,
            is_expression: false,
            has_system_class: true,
            order,
            is_deterministic: true,
        }
    }

    fn catalog(tables: Vec<Table>) -> Catalog {
        let server = ServerInfo {
            encoding: "UTF8".to_owned(),
            orders_by_bytes: true,
            ..ServerInfo::default()
        };
        let array = TypeInfo { element_oid: 20_001, ..type_info(20_002, "_mood", "b") };
        let composite = TypeInfo { attribute_oids: vec![23, 25], ..type_info(20_003, "pair", "c") };
        let type_infos = vec![
            type_info(23, "int4", "b"),
            type_info(25, "text", "b"),
            type_info(2205, "regclass", "b"),
            type_info(20_001, "mood", "e"),
            array,
            composite,
        ];
        Catalog { server, tables, type_infos, ..Catalog::default() }
    }

    /// Whether a key is in doubt, with the target's encoding and order of text.
    fn is_doubted(strategy: &str, key: PartitionColumn, encoding: &str, by_bytes: bool) -> bool {
        let source = catalog(vec![table(1, None, Some(strategy), &[key])]);
        let target = ServerInfo {
            encoding: encoding.to_owned(),
            orders_by_bytes: by_bytes,
            ..ServerInfo::default()
        };
        Placement::new(&source, &target).find_doubt(&source.tables[0]).is_some()
    }

    #[test]
    fn hashes_of_enums_are_in_doubt_however_deep_they_are() {
        for (strategy, oid, expected) in [
            ("h", 20_001, true),
            ("h", 20_002, true),
            ("l", 20_001, false),
            ("r", 20_001, false),
            ("h", 23, false),
            ("l", 2205, true),
            ("h", 99, true),
        ] {
            let key = column(oid, TextOrder::Own);
            assert_eq!(is_doubted(strategy, key, "UTF8", true), expected, "{strategy} {oid}");
        }
    }

    #[test]
    fn text_is_in_doubt_where_order_or_bytes_depend_on_the_server() {
        use TextOrder::{Bytes, Database, Locale};
        for (strategy, order, encoding, by_bytes, expected) in [
            ("r", Bytes, "UTF8", false, false),
            ("r", Bytes, "LATIN1", true, true),
            ("r", Database, "UTF8", true, false),
            ("r", Database, "UTF8", false, true),
            ("r", Locale, "UTF8", true, true),
            ("l", Locale, "LATIN1", false, false),
            ("h", Locale, "UTF8", false, false),
            ("h", Bytes, "LATIN1", true, true),
        ] {
            let key = column(25, order);
            let doubted = is_doubted(strategy, key, encoding, by_bytes);
            assert_eq!(doubted, expected, "{strategy} {order:?} {encoding} {by_bytes}");
        }
        assert!(is_doubted("r", column(20_003, TextOrder::Own), "UTF8", true));
        assert!(!is_doubted("h", column(20_003, TextOrder::Own), "UTF8", true));
        let lower = PartitionColumn { is_expression: true, ..column(25, Locale) };
        assert!(is_doubted("l", lower, "UTF8", true));
        let icu = PartitionColumn { is_deterministic: false, ..column(25, Locale) };
        assert!(is_doubted("h", icu, "UTF8", true));
    }

    #[test]
    fn rows_go_through_the_topmost_table_in_doubt_that_the_run_knows() {
        let (certain, doubtful) = (column(23, TextOrder::Own), column(20_001, TextOrder::Own));
        let source = catalog(vec![
            table(1, None, Some("r"), &[certain]),
            table(2, Some(1), Some("h"), std::slice::from_ref(&doubtful)),
            table(3, Some(2), Some("h"), &[doubtful]),
            table(4, Some(3), None, &[]),
            table(5, Some(1), None, &[]),
        ]);
        let placement = Placement::new(&source, &source.server);
        let route = |oid: usize, members: &[u32]| {
            let members = members.iter().copied().collect();
            placement.find_route(&source.tables[oid - 1], &members).map(|(table, _)| table.oid)
        };
        assert_eq!(route(4, &[1, 2, 3, 4, 5]), Some(2));
        assert_eq!(route(5, &[1, 2, 3, 4, 5]), None);
        assert_eq!(route(4, &[3, 4]), Some(3));
        assert_eq!(route(4, &[4]), None);
    }
}
