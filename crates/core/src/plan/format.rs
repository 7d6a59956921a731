//! Binary or text: the wire format of every table, by the types of its columns.
//!
//! Binary is chosen where every column's type proves to have one wire format on both sides. A type is
//! looked into down to its parts: domains, arrays, ranges and composites are as good as what they are
//! made of, enums travel as their labels.
//!
//! Arrays and composites carry the type OIDs of their parts, and a user's type has another OID on the
//! target. Servers from 14 on (`array_recv`, `record_recv`) object to a foreign OID only if it and the
//! expected one are both below 10000, where types have the same OID everywhere. The target is 15 or
//! newer, whatever the source is. Ranges carry no OIDs. A checksum would differ with those OIDs, though,
//! so where rows are hashed, tables with such columns travel as text.
//!
//! The format makes no difference to encodings: text within binary columns is converted to and from
//! `client_encoding` by the types' own functions, as whole lines are in text format.
//!
//! `money` travels as the number of its smallest units, so binary keeps what is stored. Text would print
//! it under the source's `lc_monetary` and read it under the target's, which fails or, worse, does not.

use std::collections::{HashMap, HashSet};

use super::task::Format;
use crate::model::{TypeInfo, TypeKind};
use crate::options::Validation;

/// Types whose binary form is an OID, which means something else on the target.
pub(super) const OID_ALIASES: &[&str] = &[
    "regclass",
    "regcollation",
    "regconfig",
    "regdatabase",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

/// Types with a receive function that always fails.
const NEVER_RECEIVED: &[&str] = &[
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_ndistinct",
    "pg_node_tree",
];

/// Types whose receive function, in some minor releases at least, refuses the binary form of an empty value.
const NEVER_RECEIVED_EMPTY: &[&str] = &["int2vector", "oidvector", "tsquery"];

/// The first version whose intervals may be infinite. An older server takes their binary form for a
/// finite interval, without a word; in text it refuses it.
const INFINITE_INTERVAL_VERSION: u32 = 170_000;

/// The first version that prints floating-point numbers with the fewest digits that tell them apart.
const SHORTEST_FLOATS_VERSION: u32 = 120_000;

/// Types whose text has floating-point numbers in it.
const FLOATING: &[&str] =
    &["float4", "float8", "point", "line", "lseg", "box", "path", "polygon", "circle"];

/// The extension whose type has such numbers in its text, too, and no binary form before 14.
const FLOATING_EXTENSION: &str = "cube";

/// What the target is able to do.
#[derive(Debug, Clone, Default)]
pub struct TargetFormats {
    pub version_num: u32,
    /// Names of the built-in types with binary input and output.
    pub binary_types: HashSet<String>,
    /// Versions by name of the extensions that the target has, or will have by the time of the copy.
    pub extension_versions: HashMap<String, String>,
}

/// What keeps each type of the source from travelling in binary, if anything does.
#[derive(Debug)]
pub struct Formats<'a> {
    types: HashMap<u32, &'a TypeInfo>,
    /// By OID, of the types that cannot.
    flaws: HashMap<u32, String>,
    source_version: u32,
}

impl<'a> Formats<'a> {
    /// Examines all types that columns of the source have, with those they are made of.
    pub fn new(
        source_types: &'a [TypeInfo],
        source_version: u32,
        target: &TargetFormats,
        validation: Validation,
    ) -> Formats<'a> {
        let types: HashMap<u32, &TypeInfo> = source_types.iter().map(|t| (t.oid, t)).collect();
        let is_hashed = validation == Validation::Checksum;
        let examiner = Examiner { types: &types, source_version, target, is_hashed };
        let flaws = source_types
            .iter()
            .filter_map(|own| Some((own.oid, examiner.find_flaw(own.oid, &mut HashSet::new())?)))
            .collect();
        Formats { types, flaws, source_version }
    }

    /// The format for a table of these columns, given by name and type.
    pub fn choose<'c>(&self, columns: impl IntoIterator<Item = (&'c str, u32)> + Clone) -> Format {
        for (name, type_oid) in columns.clone() {
            let flaw = match (self.types.contains_key(&type_oid), self.flaws.get(&type_oid)) {
                (true, None) => continue,
                (true, Some(flaw)) => flaw.as_str(),
                (false, _) => "nothing is known of its type",
            };
            return self.text(format!("column \"{name}\": {flaw}"), columns);
        }
        Format::Binary
    }

    /// Text for a table of these columns, with what keeps it from being compared.
    pub fn text<'c>(
        &self,
        reason: String,
        columns: impl IntoIterator<Item = (&'c str, u32)>,
    ) -> Format {
        let has_old_floats = self.source_version < SHORTEST_FLOATS_VERSION;
        let float = columns
            .into_iter()
            .find(|(_, oid)| has_old_floats && self.holds_float(*oid, &mut HashSet::new()));
        let incomparable = float.map(|(name, _)| {
            format!("servers before 12 print floating-point numbers otherwise, column \"{name}\"")
        });
        Format::Text { reason, incomparable }
    }

    /// Whether values of a type, or of one it is made of, hold floating-point numbers.
    fn holds_float(&self, oid: u32, visited: &mut HashSet<u32>) -> bool {
        let Some(own) = self.types.get(&oid).filter(|_| visited.insert(oid)) else {
            return false;
        };
        own.is_builtin && FLOATING.contains(&own.name.as_str())
            || own.extension.as_deref() == Some(FLOATING_EXTENSION)
            || [own.element_oid, own.base_oid, own.subtype_oid]
                .iter()
                .chain(&own.attribute_oids)
                .any(|part| self.holds_float(*part, visited))
    }
}

/// Looks into types.
struct Examiner<'a> {
    types: &'a HashMap<u32, &'a TypeInfo>,
    source_version: u32,
    target: &'a TargetFormats,
    /// Whether the bytes must be the same on both sides.
    is_hashed: bool,
}

impl Examiner<'_> {
    /// What keeps a type, or one it is made of, from travelling in binary.
    ///
    /// `visited` holds the types looked into already: a composite may contain an array of itself.
    fn find_flaw(&self, oid: u32, visited: &mut HashSet<u32>) -> Option<String> {
        if !visited.insert(oid) {
            return None;
        }
        let Some(own) = self.types.get(&oid) else {
            return Some(format!("nothing is known of the type with OID {oid} within its type"));
        };
        if !own.has_send || !own.has_receive {
            return Some(format!("type {} has no binary form", display(own)));
        }
        // Extensions may change what their types look like, whatever kind of type that is.
        if let Some(flaw) = self.find_extension_flaw(own) {
            return Some(flaw);
        }
        let parts = match own.typtype {
            TypeKind::Enum => return None,
            TypeKind::Pseudo => return Some(format!("type {} is a pseudo-type", display(own))),
            TypeKind::Base if own.element_oid == 0 => return self.find_base_flaw(own),
            TypeKind::Base => std::slice::from_ref(&own.element_oid),
            TypeKind::Domain => std::slice::from_ref(&own.base_oid),
            TypeKind::Range | TypeKind::Multirange => std::slice::from_ref(&own.subtype_oid),
            TypeKind::Composite => own.attribute_oids.as_slice(),
        };
        let carries_oids = own.element_oid != 0 || own.typtype == TypeKind::Composite;
        if self.is_hashed && carries_oids && parts.iter().any(|part| self.is_foreign(*part)) {
            let name = display(own);
            return Some(format!(
                "for a checksum, since the binary form of type {name} carries OIDs"
            ));
        }
        parts.iter().find_map(|part| self.find_flaw(*part, visited))
    }

    /// Whether a type has another OID on the target.
    fn is_foreign(&self, oid: u32) -> bool {
        self.types.get(&oid).is_none_or(|own| !own.is_builtin)
    }

    /// What keeps a type that has no parts from travelling in binary.
    fn find_base_flaw(&self, own: &TypeInfo) -> Option<String> {
        // A user's own base type has the same functions on the target, since it is created with them.
        if !own.is_builtin {
            return None;
        }
        let name = own.name.as_str();
        let has_infinity = |version| version >= INFINITE_INTERVAL_VERSION;
        if OID_ALIASES.contains(&name) {
            Some(format!("the binary form of type {name} is an OID of the source"))
        } else if NEVER_RECEIVED.contains(&name) || !self.target.binary_types.contains(name) {
            Some(format!("the target cannot read type {name} in binary"))
        } else if NEVER_RECEIVED_EMPTY.contains(&name) {
            Some(format!("servers do not read empty values of type {name} in binary"))
        } else if name == "interval"
            && has_infinity(self.source_version)
            && !has_infinity(self.target.version_num)
        {
            Some("the target does not know infinite values of type interval".to_owned())
        } else {
            None
        }
    }

    /// Whether the target has another version of the extension that a type belongs to.
    fn find_extension_flaw(&self, own: &TypeInfo) -> Option<String> {
        let extension = own.extension.as_ref()?;
        let here = self.target.extension_versions.get(extension).map(String::as_str);
        let there = own.extension_version.as_deref();
        (here.is_none() || here != there).then(|| {
            format!(
                "type {} belongs to extension \"{extension}\", whose version is {} on the source \
                 and {} on the target",
                display(own),
                there.unwrap_or("unknown"),
                here.unwrap_or("unknown")
            )
        })
    }
}

/// A type's name as messages show it.
fn display(own: &TypeInfo) -> String {
    match own.schema.as_str() {
        "pg_catalog" => own.name.clone(),
        schema => format!("\"{schema}.{}\"", own.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A built-in base type with both functions.
    fn builtin(oid: u32, name: &str) -> TypeInfo {
        TypeInfo {
            oid,
            schema: "pg_catalog".to_owned(),
            name: name.to_owned(),
            typtype: TypeKind::Base,
            has_send: true,
            has_receive: true,
            element_oid: 0,
            base_oid: 0,
            subtype_oid: 0,
            attribute_oids: Vec::new(),
            attribute_names: Vec::new(),
            labels: Vec::new(),
            extension: None,
            extension_version: None,
            is_builtin: true,
        }
    }

    /// A user's type.
    fn user(oid: u32, name: &str, typtype: TypeKind) -> TypeInfo {
        let schema = "s".to_owned();
        TypeInfo { schema, typtype, is_builtin: false, ..builtin(oid, name) }
    }

    fn array(oid: u32, element_oid: u32) -> TypeInfo {
        TypeInfo { element_oid, ..user(oid, "_array", TypeKind::Base) }
    }

    fn domain(oid: u32, base_oid: u32) -> TypeInfo {
        TypeInfo { base_oid, ..user(oid, "domain", TypeKind::Domain) }
    }

    fn composite(oid: u32, attribute_oids: &[u32]) -> TypeInfo {
        let attribute_oids = attribute_oids.to_vec();
        TypeInfo { attribute_oids, ..user(oid, "composite", TypeKind::Composite) }
    }

    fn extension(oid: u32, name: &str, version: &str) -> TypeInfo {
        TypeInfo {
            extension: Some("ext".to_owned()),
            extension_version: Some(version.to_owned()),
            ..user(oid, name, TypeKind::Base)
        }
    }

    fn target() -> TargetFormats {
        let names = [
            "int2vector",
            "int4",
            "text",
            "oid",
            "interval",
            "regclass",
            "pg_node_tree",
            "money",
            "xml",
        ];
        TargetFormats {
            version_num: 150_000,
            binary_types: names.iter().map(|name| (*name).to_owned()).collect(),
            extension_versions: HashMap::from([("ext".to_owned(), "1.1".to_owned())]),
        }
    }

    /// Why a column of type `oid` is copied as text; empty for binary.
    fn reason(types: &[TypeInfo], oid: u32) -> String {
        reason_with(types, oid, Validation::Rows)
    }

    fn reason_with(types: &[TypeInfo], oid: u32, validation: Validation) -> String {
        match Formats::new(types, 150_000, &target(), validation).choose([("c", oid)]) {
            Format::Binary => String::new(),
            Format::Text { reason, .. } => reason,
        }
    }

    #[test]
    fn built_in_types_are_binary_where_both_sides_are_able_to() {
        for name in ["int4", "text", "oid", "money", "xml", "interval"] {
            assert_eq!(reason(&[builtin(23, name)], 23), "", "{name}");
        }
        let aclitem = TypeInfo { has_send: false, has_receive: false, ..builtin(1033, "aclitem") };
        assert_eq!(reason(&[aclitem], 1033), "column \"c\": type aclitem has no binary form");
        assert!(reason(&[builtin(9, "newer")], 9).ends_with("cannot read type newer in binary"));
        assert!(reason(&[builtin(194, "pg_node_tree")], 194).contains("cannot read"));
        assert!(reason(&[builtin(22, "int2vector")], 22).contains("empty values"));
    }

    #[test]
    fn oids_with_a_meaning_travel_as_text_however_deep_they_are() {
        let types = [
            builtin(26, "oid"),
            builtin(2205, "regclass"),
            array(20_001, 2205),
            domain(20_002, 20_001),
            composite(20_003, &[26, 20_002]),
            array(20_004, 20_003),
        ];
        assert_eq!(reason(&types, 26), "");
        for oid in [2205, 20_001, 20_002, 20_003, 20_004] {
            let expected = "column \"c\": the binary form of type regclass is an OID of the source";
            assert_eq!(reason(&types, oid), expected);
        }
    }

    #[test]
    fn types_made_of_good_ones_are_binary() {
        let types = [
            builtin(23, "int4"),
            user(20_001, "mood", TypeKind::Enum),
            array(20_002, 20_001),
            domain(20_003, 20_002),
            domain(20_004, 20_003),
            composite(20_005, &[23, 20_004]),
            TypeInfo { subtype_oid: 20_005, ..user(20_006, "range", TypeKind::Range) },
            TypeInfo { subtype_oid: 20_005, ..user(20_007, "multi", TypeKind::Multirange) },
            user(20_008, "own_base", TypeKind::Base),
        ];
        for own in &types {
            assert_eq!(reason(&types, own.oid), "", "{}", own.name);
        }
    }

    #[test]
    fn oids_in_the_bytes_rule_binary_out_where_rows_are_hashed() {
        let types = [
            builtin(23, "int4"),
            array(1007, 23),
            user(20_001, "mood", TypeKind::Enum),
            array(20_002, 20_001),
            composite(20_003, &[23, 1007]),
            composite(20_004, &[23, 20_001]),
            array(20_005, 20_003),
            domain(20_006, 20_002),
            TypeInfo { subtype_oid: 20_001, ..user(20_007, "range", TypeKind::Range) },
            TypeInfo { subtype_oid: 20_004, ..user(20_008, "range", TypeKind::Range) },
        ];
        let types = types.map(|own| TypeInfo { is_builtin: own.oid < 10_000, ..own });
        for (oid, is_binary) in [
            (1007, true),
            (20_001, true),
            (20_002, false),
            (20_003, true),
            (20_004, false),
            (20_005, false),
            (20_006, false),
            (20_007, true),
            (20_008, false),
        ] {
            let reason = reason_with(&types, oid, Validation::Checksum);
            assert_eq!(reason.is_empty(), is_binary, "{oid}: {reason}");
            assert_eq!(reason_with(&types, oid, Validation::Rows), "");
        }
    }

    #[test]
    fn a_type_that_contains_itself_is_looked_into_once() {
        let types = [
            composite(20_001, &[20_002, 2205]),
            array(20_002, 20_001),
            builtin(2205, "regclass"),
            composite(20_003, &[20_004]),
            array(20_004, 20_003),
        ];
        assert!(reason(&types, 20_002).contains("regclass"));
        assert_eq!(reason(&types, 20_004), "");
    }

    #[test]
    fn types_of_an_extension_need_the_same_version_on_both_sides() {
        let types = [extension(20_001, "a", "1.1"), extension(20_002, "b", "1.0")];
        assert_eq!(reason(&types, 20_001), "");
        assert_eq!(
            reason(&types, 20_002),
            "column \"c\": type \"s.b\" belongs to extension \"ext\", whose version is 1.0 on the \
             source and 1.1 on the target"
        );
        let other = TypeInfo { extension: Some("x".to_owned()), ..extension(20_003, "c", "1.0") };
        assert!(reason(&[other], 20_003).ends_with("and unknown on the target"));
    }

    #[test]
    fn infinite_intervals_do_not_slip_into_older_servers() {
        let types = [builtin(1186, "interval"), array(20_001, 1186)];
        let choose = |source, version_num| {
            let target = TargetFormats { version_num, ..target() };
            Formats::new(&types, source, &target, Validation::Rows).choose([("c", 20_001)])
        };
        assert!(matches!(choose(170_000, 160_000), Format::Text { .. }));
        assert_eq!(choose(170_000, 180_000), Format::Binary);
        assert_eq!(choose(160_000, 150_000), Format::Binary);
    }

    #[test]
    fn one_column_decides_for_the_table_and_is_named() {
        let types = [builtin(23, "int4"), builtin(2205, "regclass")];
        let target = target();
        let formats = Formats::new(&types, 150_000, &target, Validation::Rows);
        let Format::Text { reason, .. } = formats.choose([("a", 23), ("b", 2205), ("d", 4)]) else {
            panic!("binary");
        };
        assert!(reason.starts_with("column \"b\": "));
        assert_eq!(formats.choose([("a", 23)]), Format::Binary);
        assert_eq!(formats.choose([]), Format::Binary);
        assert!(matches!(formats.choose([("a", 4)]), Format::Text { .. }));
    }
}
