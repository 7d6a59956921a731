//! Settings of roles and databases, as the catalog stores them, to what SET takes.

use std::collections::HashSet;

use crate::name::{quote_ident, quote_literal};

/// Settings whose values are lists of names, each quoted where it is stored.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Settings of every server that `pg_settings` does not list.
const UNLISTED: [&str; 2] = ["role", "session_authorization"];

/// A stored `name=value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting<'a> {
    pub name: &'a str,
    value: &'a str,
}

impl<'a> Setting<'a> {
    /// Splits what the catalog stores.
    pub fn parse(stored: &'a str) -> Option<Setting<'a>> {
        stored.split_once('=').map(|(name, value)| Setting { name, value })
    }

    /// Whether a server with these settings accepts it; any takes those with a prefix, from 14 on only
    /// under names that need no quotes.
    pub fn is_known(&self, settings: &HashSet<String>) -> bool {
        let name = self.name.to_lowercase();
        let is_custom = name.contains('.') && name.split('.').all(is_identifier);
        is_custom || UNLISTED.contains(&name.as_str()) || settings.contains(&name)
    }

    /// The rest of an ALTER that puts the setting into force.
    pub fn render(&self) -> String {
        let value = if LISTS.contains(&self.name) {
            let names: Vec<_> = split_names(self.value).iter().map(|n| quote_literal(n)).collect();
            names.join(", ")
        } else {
            quote_literal(self.value)
        };
        let name: Vec<_> = self.name.split('.').map(quote_ident).collect();
        format!("set {} to {value}", name.join("."))
    }
}

/// Whether a part of a name is an identifier as it stands.
fn is_identifier(part: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    part.starts_with(is_start)
        && part.chars().all(|c| is_start(c) || c.is_ascii_digit() || c == '$')
}

/// The names in a stored list; an empty list is one empty name.
fn split_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut is_quoted = false;
    let mut characters = list.trim().chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => names.push(std::mem::take(&mut name)),
            c if c.is_whitespace() && !is_quoted => {}
            c => name.push(c),
        }
    }
    names.push(name);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(stored: &str) -> String {
        Setting::parse(stored).expect("name and value").render()
    }

    #[test]
    fn a_list_of_names_is_set_name_by_name() {
        assert_eq!(
            render("search_path=\"$user\", public, \"a, \"\"b\"\"\""),
            "set \"search_path\" to '$user', 'public', 'a, \"b\"'"
        );
        assert_eq!(render("search_path=\"\""), "set \"search_path\" to ''");
    }

    #[test]
    fn settings_of_one_s_own_need_names_that_the_server_takes() {
        let known = HashSet::from(["work_mem".to_owned()]);
        for (stored, expected) in [
            ("my.thing=x", true),
            ("größe.x$1._y=x", true),
            ("my %.thing=x", false),
            ("my.1thing=x", false),
            ("Work_Mem=1", true),
            ("role=x", true),
            ("default_with_oids=on", false),
        ] {
            let setting = Setting::parse(stored).expect("name and value");
            assert_eq!(setting.is_known(&known), expected, "{stored}");
        }
    }

    #[test]
    fn other_values_are_one_literal() {
        assert_eq!(render("DateStyle=ISO, DMY"), "set \"DateStyle\" to 'ISO, DMY'");
        assert_eq!(render("my.thing=it's = 1"), "set \"my\".\"thing\" to 'it''s = 1'");
    }
}
