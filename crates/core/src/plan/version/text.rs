//! A look into SQL that a server has printed: which functions are called, which collations are named,
//! whether there is syntax of a newer version. Under an empty search path the system's own names are
//! printed bare and in lower case, keywords in capitals, all others qualified.

/// A piece of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// A word or quoted name, as it is written.
    Word(&'a str),
    Punctuation(char),
    /// A literal, or a body between dollars.
    Literal,
}

/// A call of a function of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub name: String,
    pub argument_count: u32,
}

/// Splits SQL into pieces, each with the place where it begins.
fn tokens(sql: &str) -> Vec<(usize, Token<'_>)> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'\'' => {
                let has_escapes = start > 0 && matches!(bytes[start - 1], b'E' | b'e');
                if has_escapes {
                    // The letter was taken for a word.
                    found.pop();
                }
                at = skip_quoted(bytes, at, b'\'', has_escapes);
                found.push((start, Token::Literal));
            }
            b'"' => {
                at = skip_quoted(bytes, at, b'"', false);
                found.push((start, Token::Word(&sql[start..at])));
            }
            b'$' if dollar_quote(sql, at).is_some() => {
                at = dollar_quote(sql, at).unwrap_or(bytes.len());
                found.push((start, Token::Literal));
            }
            b if b.is_ascii_alphanumeric() || b == b'_' || b >= 128 => {
                let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"_$".contains(b) || *b >= 128;
                at += bytes[at..].iter().take_while(|b| is_part(b)).count();
                found.push((start, Token::Word(&sql[start..at])));
            }
            b if b.is_ascii_whitespace() => at += 1,
            b => {
                at += 1;
                found.push((start, Token::Punctuation(char::from(b))));
            }
        }
    }
    found
}

/// The place behind a quoted text that begins at `at`.
fn skip_quoted(bytes: &[u8], at: usize, quote: u8, has_escapes: bool) -> usize {
    let mut end = at + 1;
    while end < bytes.len() {
        match bytes[end] {
            b'\\' if has_escapes => end += 2,
            b if b == quote && bytes.get(end + 1) == Some(&quote) => end += 2,
            b if b == quote => return end + 1,
            _ => end += 1,
        }
    }
    bytes.len()
}

/// The place behind a body between dollars, if one begins at `at`.
fn dollar_quote(sql: &str, at: usize) -> Option<usize> {
    let rest = &sql[at + 1..];
    let length = rest.find('$')?;
    let is_tag = rest[..length].chars().all(|c| c.is_alphanumeric() || c == '_')
        && !rest.starts_with(|c: char| c.is_ascii_digit());
    let tag = &sql[at..at + length + 2];
    let body = at + tag.len();
    is_tag.then(|| sql[body..].find(tag).map_or(sql.len(), |end| body + end + tag.len()))
}

/// The calls of functions whose names are bare: those of the system.
pub(super) fn calls(sql: &str) -> Vec<Call> {
    let tokens = tokens(sql);
    let mut calls = Vec::new();
    for (position, (_, token)) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let is_called = matches!(tokens.get(position + 1), Some((_, Token::Punctuation('('))));
        if !is_called || qualifier(&tokens, position).is_some_and(|name| name != "pg_catalog") {
            continue;
        }
        let name = match word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
            Some(name) => name.replace("\"\"", "\""),
            None => (*word).to_owned(),
        };
        calls.push(Call { name, argument_count: count_arguments(&tokens[position + 2..]) });
    }
    calls
}

/// What stands before a word and a period.
fn qualifier<'a>(tokens: &[(usize, Token<'a>)], position: usize) -> Option<&'a str> {
    match tokens.get(position.checked_sub(1)?)?.1 {
        Token::Punctuation('.') => match tokens.get(position.checked_sub(2)?)?.1 {
            Token::Word(word) => Some(word),
            _ => Some(""),
        },
        _ => None,
    }
}

/// Arguments of a call up to its closing parenthesis; `*` is none.
fn count_arguments(tokens: &[(usize, Token<'_>)]) -> u32 {
    let (mut depth, mut count) = (0, 0);
    for (position, (_, token)) in tokens.iter().enumerate() {
        match token {
            Token::Punctuation(')' | ']') if depth == 0 => break,
            Token::Punctuation('*') if position == 0 => {}
            Token::Punctuation(',') if depth == 0 => count += 1,
            Token::Punctuation('(' | '[') => depth += 1,
            Token::Punctuation(')' | ']') => depth -= 1,
            _ => {}
        }
        count = count.max(u32::from(*token != Token::Punctuation('*') || position > 0));
    }
    count
}

/// Keywords that stand for functions, with the first version that knows them. JSON is not among them: as
/// the name of a type it can be called, too.
const KEYWORDS: &[(u32, &str)] = &[
    (16, "JSON_ARRAY"),
    (16, "JSON_ARRAYAGG"),
    (16, "JSON_OBJECT"),
    (16, "JSON_OBJECTAGG"),
    (16, "SYSTEM_USER"),
    (17, "JSON_EXISTS"),
    (17, "JSON_QUERY"),
    (17, "JSON_SCALAR"),
    (17, "JSON_SERIALIZE"),
    (17, "JSON_TABLE"),
    (17, "JSON_VALUE"),
    (17, "MERGE_ACTION"),
];

/// Syntax that a server of this major version does not know.
pub(super) fn newer_syntax(sql: &str, major: u32) -> Option<&'static str> {
    let tokens = tokens(sql);
    let word = |position: usize| match tokens.get(position) {
        Some((_, Token::Word(word))) => *word,
        _ => "",
    };
    (0..tokens.len()).find_map(|position| {
        let follows_is = word(position) == "IS"
            && (word(position + 1) == "JSON"
                || word(position + 1) == "NOT" && word(position + 2) == "JSON");
        if follows_is {
            return (major < 16).then_some("IS JSON");
        }
        if word(position) == "AT" && word(position + 1) == "LOCAL" {
            return (major < 17).then_some("AT LOCAL");
        }
        let is_after_is = position > 0 && ["IS", "NOT"].contains(&word(position - 1));
        KEYWORDS
            .iter()
            .find(|(since, keyword)| major < *since && word(position) == *keyword && !is_after_is)
            .map(|(_, keyword)| *keyword)
    })
}

/// Replaces the names of collations of the system behind COLLATE; `replace` tells by what.
pub(super) fn replace_collations(
    sql: &str,
    replace: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<String> {
    let tokens = tokens(sql);
    let mut changed = String::new();
    let mut copied = 0;
    for (position, (_, token)) in tokens.iter().enumerate() {
        let Token::Word(keyword) = token else { continue };
        if !keyword.eq_ignore_ascii_case("collate") {
            continue;
        }
        let mut at = position + 1;
        // pg_catalog may be written out; other schemas are not the system's.
        if let (Some((_, Token::Word("pg_catalog"))), Some((_, Token::Punctuation('.')))) =
            (tokens.get(at), tokens.get(at + 1))
        {
            at += 2;
        }
        let Some((start, Token::Word(name))) = tokens.get(at) else { continue };
        if matches!(tokens.get(at + 1), Some((_, Token::Punctuation('.')))) {
            continue;
        }
        if let Some(other) = replace(name.trim_matches('"')) {
            changed.push_str(&sql[copied..tokens[position + 1].0]);
            changed.push_str(&other);
            copied = start + name.len();
        }
    }
    (copied > 0).then(|| changed + &sql[copied..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str) -> Vec<String> {
        calls(sql).iter().map(|call| format!("{}/{}", call.name, call.argument_count)).collect()
    }

    #[test]
    fn calls_of_the_system_s_functions_are_found_with_their_arguments() {
        assert_eq!(
            names("(\"overlay\"(a, lower('uuidv7() it''s'), 1) || shop.uuidv7() || count(*))"),
            ["overlay/3", "lower/1", "count/0"]
        );
        assert_eq!(names("pg_catalog.f(ARRAY[1, 2], (3), g())"), ["f/3", "g/0"]);
        assert_eq!(names(r#"E'\'x(' || "we.ird""x"(b)"#), ["we.ird\"x/1"]);
        assert_eq!(names("select $1 + $x$ uuidv7() $x$ + größe(1)"), ["größe/1"]);
    }

    #[test]
    fn syntax_of_newer_versions_is_told_from_names_and_texts() {
        assert_eq!(newer_syntax("(t IS NOT JSON OBJECT)", 15), Some("IS JSON"));
        assert_eq!(newer_syntax("(t IS JSON)", 16), None);
        assert_eq!(newer_syntax("JSON_SCALAR(1)", 16), Some("JSON_SCALAR"));
        assert_eq!(newer_syntax("json_object('{}'), 'IS JSON', \"JSON\"", 15), None);
        assert_eq!(newer_syntax("(now() AT LOCAL)", 16), Some("AT LOCAL"));
        assert_eq!(newer_syntax("SYSTEM_USER", 15), Some("SYSTEM_USER"));
    }

    #[test]
    fn collations_are_replaced_where_they_are_named() {
        let mut replace = |name: &str| (name == "pg_c_utf8").then(|| "\"C\"".to_owned());
        assert_eq!(
            replace_collations("lower(a COLLATE pg_c_utf8) = 'COLLATE pg_c_utf8'", &mut replace),
            Some("lower(a COLLATE \"C\") = 'COLLATE pg_c_utf8'".to_owned())
        );
        assert_eq!(
            replace_collations("a COLLATE pg_catalog.pg_c_utf8, b", &mut replace),
            Some("a COLLATE \"C\", b".to_owned())
        );
        assert_eq!(replace_collations("a COLLATE shop.pg_c_utf8", &mut replace), None);
        assert_eq!(replace_collations("a COLLATE pg_c_utf8.x", &mut replace), None);
    }
}
