//! What two major versions write differently about the same thing.
//!
//! One pg_dump reads both sides, but servers print views and triggers themselves, and each has
//! properties that the other has not. Each rule here is a reason why lines of two dumps may differ
//! although nothing was lost; what differs after all rules were applied to both dumps is a finding.

/// How an entry of a dump begins; its name and type follow.
const ENTRY: &str = "-- Name: ";

/// Every privilege on tables that all versions know, in pg_dump's order.
const ALL_ON_TABLE: &str = "SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE ON TABLE";

/// The major version of the server that a dump is of, and that of the one it is compared with.
#[derive(Debug, Clone, Copy)]
struct Majors {
    own: u32,
    other: u32,
}

impl Majors {
    /// Whether this server has what came with `major`, and the other has not.
    fn alone_since(self, major: u32) -> bool {
        self.own >= major && self.other < major
    }

    /// Whether `major` brought a difference between the two.
    fn differ_at(self, major: u32) -> bool {
        (self.own >= major) != (self.other >= major)
    }
}

/// Takes out of a dump what it cannot have in common with that of another major version.
pub(crate) fn translate(dump: &str, own: u32, other: u32) -> String {
    let majors = Majors { own, other };
    let mut kind = "";
    let mut translated = String::with_capacity(dump.len());
    for statement in statements(dump) {
        let mut kept = String::new();
        for line in statement.split_inclusive('\n') {
            if let Some(entry) = line.strip_prefix(ENTRY) {
                kind = entry
                    .split("; Type: ")
                    .nth(1)
                    .and_then(|rest| rest.split(';').next())
                    .unwrap_or_default();
            }
            if let Some(line) = translate_line(line.trim_end_matches('\n'), kind, majors) {
                kept.push_str(&line);
                kept.push('\n');
            }
        }
        translated.push_str(&without_column_versions(kept));
    }
    translated
}

/// Cuts a dump after every line that ends a statement, or looks like it.
fn statements(dump: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = dump;
    while let Some(end) = rest.find(";\n") {
        let (statement, tail) = rest.split_at(end + 2);
        found.push(statement);
        rest = tail;
    }
    found.push(rest);
    found
}

/// Recent minor releases number the versions of columns in their options; only a pg_dump of the
/// same major version knows that these are nobody else's business.
fn without_column_versions(statement: String) -> String {
    let Some(start) = statement.find(" SET (pg_attver=") else { return statement };
    let option = start + " SET (".len();
    match statement[option..].find(", ") {
        Some(end) => statement[..option].to_owned() + &statement[option + end + 2..],
        None => String::new(),
    }
}

/// Returns a line as both versions would write it; nothing for one that only one of them writes.
fn translate_line(line: &str, kind: &str, majors: Majors) -> Option<String> {
    let mut line = line.to_owned();
    // What is left out leaves empty lines behind.
    if line.is_empty() {
        return None;
    }
    // Table access methods came with 12, and pg_dump names the default one.
    if majors.alone_since(12) && line == "SET default_table_access_method = heap;" {
        return None;
    }
    // Every range type has a multirange since 14.
    if majors.alone_since(14) && line.starts_with("    multirange_type_name = ") {
        return None;
    }
    // What triggers call is printed as a function since 12.
    if majors.differ_at(12) && kind == "TRIGGER" {
        line = line.replace(" EXECUTE PROCEDURE ", " EXECUTE FUNCTION ");
    }
    // Since 16 the columns of a single relation are printed without its name.
    if majors.differ_at(16) && ["VIEW", "MATERIALIZED VIEW", "RULE"].contains(&kind) {
        line = without_qualifiers(&line);
    }
    // MAINTAIN came with 17; without it there is no difference between all and all but that.
    if majors.differ_at(17) && kind.ends_with("ACL") {
        line = line.replace(",MAINTAIN", "").replace(ALL_ON_TABLE, "ALL ON TABLE");
        // Before, owners could do without it.
        if line.starts_with("GRANT MAINTAIN ON TABLE ") {
            return None;
        }
    }
    // NOT NULL is a constraint with a name since 18, and a child can have one of its own.
    if majors.differ_at(18) && ["TABLE", "FOREIGN TABLE"].contains(&kind) {
        if line.starts_with("    NOT NULL ") {
            return None;
        }
        line = line.trim_end_matches(',').to_owned();
        if let (Some(start), Some(end)) = (line.find(" CONSTRAINT "), line.find(" NOT NULL")) {
            line.replace_range(start..end, "");
        }
    }
    Some(line)
}

/// Removes names that a period follows from a line of SQL.
fn without_qualifiers(line: &str) -> String {
    let mut kept = String::new();
    for part in line.split_inclusive('.') {
        let name = part.strip_suffix('.').filter(|name| !name.is_empty());
        let start = name.and_then(|name| match name.strip_suffix('"') {
            Some(quoted) => quoted.rfind('"'),
            None => {
                let length = name
                    .chars()
                    .rev()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .map(char::len_utf8)
                    .sum::<usize>();
                (length > 0).then(|| name.len() - length)
            }
        });
        kept.push_str(start.map_or(part, |start| &part[..start]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_reads_the_same_with_and_without_names_of_relations() {
        let old = "    max((customer_names.\"na.me\")::text) AS \"t.p\" -- 1.5";
        let new = "    max((\"na.me\")::text) AS \"t.p\" -- 1.5";
        assert_eq!(without_qualifiers(old), without_qualifiers(new));
        assert_ne!(without_qualifiers("SELECT a.b"), without_qualifiers("SELECT a.c"));
    }

    #[test]
    fn only_versions_of_columns_are_taken_out_of_options() {
        let statement =
            "ALTER TABLE ONLY \"a\nb\" ALTER COLUMN c SET (pg_attver=12, n_distinct=7);\n";
        assert_eq!(
            without_column_versions(statement.to_owned()),
            "ALTER TABLE ONLY \"a\nb\" ALTER COLUMN c SET (n_distinct=7);\n"
        );
        let alone = "ALTER TABLE ONLY a ALTER COLUMN c SET (pg_attver=12);\n";
        assert_eq!(without_column_versions(alone.to_owned()), "");
        let other = "ALTER TABLE ONLY a ALTER COLUMN c SET (n_distinct=12);\n";
        assert_eq!(without_column_versions(other.to_owned()), other);
    }

    #[test]
    fn a_rule_applies_only_where_the_versions_differ_about_it() {
        let dump = "-- Name: t; Type: TABLE; Schema: s; Owner: o\n    a integer CONSTRAINT x NOT NULL,\n    NOT NULL b\n";
        assert_eq!(
            translate(dump, 18, 17),
            "-- Name: t; Type: TABLE; Schema: s; Owner: o\n    a integer NOT NULL\n"
        );
        assert_eq!(translate(dump, 17, 16), dump);
    }
}
