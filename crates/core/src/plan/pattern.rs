//! Patterns for names, as psql knows them, without its case folding.
//!
//! `*` stands for any characters, `?` for one, `[a-z]` for one of a class, `[^a-z]` for one outside of
//! it. A dot separates schema and name. Between double quotes every character stands for itself, a
//! doubled quote for one. Letters match as they are written: `Users` is not `users`, quoted or not.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// A pattern for relations, `name` or `schema.name`, or for schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    schema: Option<Glob>,
    name: Glob,
}

/// A pattern for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Glob(Vec<Token>);

/// What one place of a pattern stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    AnyChar,
    AnyChars,
    Class { is_negated: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    /// Reads `name` or `schema.name`; an error says what is wrong, to follow a colon.
    pub fn parse_relation(text: &str) -> Result<Pattern, &'static str> {
        let mut parts = parse_parts(text)?;
        let name = parts.pop().ok_or("it is empty")?;
        let schema = parts.pop();
        match parts.is_empty() {
            true => Ok(Pattern { text: text.to_owned(), schema, name }),
            false => Err("it has more than two parts; names with dots need double quotes"),
        }
    }

    /// Reads a pattern for schemas; an error says what is wrong, to follow a colon.
    pub fn parse_schema(text: &str) -> Result<Pattern, &'static str> {
        let mut parts = parse_parts(text)?;
        let name = parts.pop().ok_or("it is empty")?;
        match parts.is_empty() {
            true => Ok(Pattern { text: text.to_owned(), schema: None, name }),
            false => Err("it has more than one part; names with dots need double quotes"),
        }
    }

    /// Whether a schema fits.
    pub fn matches_schema(&self, schema: &str) -> bool {
        self.name.matches(schema)
    }

    /// Whether a relation fits; a pattern without a schema fits in any.
    pub fn matches_relation(&self, schema: &str, name: &str) -> bool {
        self.schema.as_ref().is_none_or(|glob| glob.matches(schema)) && self.name.matches(name)
    }
}

/// The pattern as it was written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits a pattern at its dots and reads every part.
fn parse_parts(text: &str) -> Result<Vec<Glob>, &'static str> {
    let mut parts = Vec::new();
    let mut tokens = Vec::new();
    let mut is_part = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => parse_quoted(&mut chars, &mut tokens)?,
            '[' => tokens.push(parse_class(&mut chars)?),
            '*' => tokens.push(Token::AnyChars),
            '?' => tokens.push(Token::AnyChar),
            '.' if tokens.is_empty() => return Err("a part of it is empty"),
            '.' => parts.push(Glob(std::mem::take(&mut tokens))),
            _ => tokens.push(Token::Char(c)),
        }
        is_part = c != '.';
    }
    match is_part && !tokens.is_empty() {
        true => parts.push(Glob(tokens)),
        false if text.is_empty() => return Err("it is empty"),
        false => return Err("a part of it is empty"),
    }
    Ok(parts)
}

/// Reads up to the closing quote.
fn parse_quoted(
    chars: &mut Peekable<Chars<'_>>,
    tokens: &mut Vec<Token>,
) -> Result<(), &'static str> {
    while let Some(c) = chars.next() {
        if c == '"' && chars.next_if_eq(&'"').is_none() {
            return Ok(());
        }
        tokens.push(Token::Char(c));
    }
    Err("a double quote in it is not closed")
}

/// Reads up to the closing bracket, which stands for itself when it comes first.
fn parse_class(chars: &mut Peekable<Chars<'_>>) -> Result<Token, &'static str> {
    const UNCLOSED: &str = "a bracket in it is not closed";
    let is_negated = chars.next_if(|c| matches!(c, '^' | '!')).is_some();
    let mut ranges = Vec::new();
    loop {
        let first = chars.next().ok_or(UNCLOSED)?;
        if first == ']' && !ranges.is_empty() {
            return Ok(Token::Class { is_negated, ranges });
        }
        // A hyphen at the end stands for itself.
        let is_range =
            chars.peek() == Some(&'-') && chars.clone().nth(1).is_some_and(|next| next != ']');
        let last = match is_range {
            true => chars.nth(1).ok_or(UNCLOSED)?,
            false => first,
        };
        if last < first {
            return Err("a range in brackets runs backwards");
        }
        ranges.push((first, last));
    }
}

impl Token {
    /// Whether the token stands for this one character.
    fn matches(&self, c: char) -> bool {
        match self {
            Token::Char(own) => *own == c,
            Token::AnyChar | Token::AnyChars => true,
            Token::Class { is_negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *is_negated
            }
        }
    }
}

impl Glob {
    /// Whether the whole name fits; goes back to the last `*` only, so never takes exponential time.
    fn matches(&self, name: &str) -> bool {
        let Glob(tokens) = self;
        let mut token = 0;
        let mut rest = name.chars();
        let mut last_star: Option<(usize, Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            match (tokens.get(token), rest.next()) {
                (Some(Token::AnyChars), _) => {
                    last_star = Some((token + 1, before.clone()));
                    rest = before;
                    token += 1;
                }
                (None, None) => return true,
                (Some(own), Some(c)) if own.matches(c) => token += 1,
                _ => {
                    // The last `*` takes one more character.
                    let Some((after_star, taken)) = &mut last_star else {
                        return false;
                    };
                    if taken.next().is_none() {
                        return false;
                    }
                    token = *after_star;
                    rest = taken.clone();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a pattern for relations matches `schema` and `name`.
    fn matches(pattern: &str, schema: &str, name: &str) -> bool {
        Pattern::parse_relation(pattern).expect("a valid pattern").matches_relation(schema, name)
    }

    #[test]
    fn wildcards_and_classes_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "any.thing", true),
            ("a*", "abc", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdef", false),
            ("*a", "aa", true),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "ab", false),
            ("a?c", "a€c", true),
            ("a?c", "ac", false),
            ("log_[0-9][0-9]", "log_07", true),
            ("log_[0-9][0-9]", "log_7", false),
            ("[^a-z]x", "Ax", true),
            ("[!a-z]x", "ax", false),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            ("Users", "users", false),
            ("100%", "100%", true),
            ("a_b", "axb", false),
        ] {
            assert_eq!(matches(pattern, "s", name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn quotes_make_every_character_stand_for_itself() {
        for (pattern, schema, name, expected) in [
            ("\"My.Schema\".tbl", "My.Schema", "tbl", true),
            ("\"My.Schema\".tbl", "My", "Schema", false),
            ("\"a*\"", "s", "a*", true),
            ("\"a*\"", "s", "ab", false),
            ("\"a\"*", "s", "ab", true),
            ("\"q\"\"q\"", "s", "q\"q", true),
            ("\"[x]?\".\"\n\"", "[x]?", "\n", true),
            ("a\\b", "s", "a\\b", true),
        ] {
            assert_eq!(matches(pattern, schema, name), expected, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_without_a_schema_fits_in_any() {
        assert!(matches("votes", "public", "votes"));
        assert!(matches("votes", "archive", "votes"));
        assert!(!matches("public.votes", "archive", "votes"));
        assert!(matches("*.votes", "archive", "votes"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in ["", ".", "a.", ".a", "a..b", "a.b.c", "\"a", "[a", "[", "[z-a]", "\"\""] {
            assert!(Pattern::parse_relation(text).is_err(), "{text}");
        }
        assert!(Pattern::parse_schema("a.b").is_err());
        assert!(Pattern::parse_schema("\"a.b\"").is_ok_and(|p| p.matches_schema("a.b")));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = format!("{}b", "*a".repeat(30));
        assert!(!matches(&pattern, "s", &"a".repeat(2_000)));
    }
}
