//! Conditions of option `where`: they must stay within the parentheses that the plan puts around them.
//!
//! A condition such as `true) or (true` would undo the range it is ANDed with, and rows would be copied
//! twice. The source's parser sees only the whole, so the text is scanned as its lexer would, with
//! `standard_conforming_strings` on. Strings continued on another line are refused: whether a backslash
//! counts in them hangs on the first one.

/// Why a text cannot be a condition; None if it can.
pub(super) fn find_flaw(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() {
        return Some("it is empty");
    }
    if text.contains('\0') {
        return Some("it contains a zero byte");
    }
    let mut depth: usize = 0;
    let mut position = 0;
    let mut follows_string = false;
    while let Some(c) = text[position..].chars().next() {
        let rest = &text[position..];
        let token_length = match c {
            '\'' if follows_string => return Some("a string in it is continued by another one"),
            '\'' => quoted_length(rest, '\'', is_escape_string(&text[..position])),
            '"' => quoted_length(rest, '"', false),
            '$' => dollar_quoted_length(rest, &text[..position]),
            _ if rest.starts_with("--") => Some(rest.find('\n').map_or(rest.len(), |end| end + 1)),
            _ if rest.starts_with("/*") => comment_length(rest),
            ';' => return Some("it contains a semicolon"),
            '(' => {
                depth += 1;
                Some(1)
            }
            ')' if depth == 0 => return Some("it closes a parenthesis that it does not open"),
            ')' => {
                depth -= 1;
                Some(1)
            }
            _ => Some(c.len_utf8()),
        };
        let is_space = c.is_whitespace() || rest.starts_with("--") || rest.starts_with("/*");
        follows_string = c == '\'' || (follows_string && is_space);
        match token_length {
            Some(length) => position += length,
            None => return Some("a quote or comment in it does not end"),
        }
    }
    (depth > 0).then_some("it opens a parenthesis that it does not close")
}

/// Words with which a condition looks beyond the row: at other rows, at the clock, at who asks.
const UNSTEADY_WORDS: [&str; 14] = [
    "select",
    "exists",
    "values",
    "table",
    "user",
    "current",
    "session",
    "system",
    "local",
    "now",
    "today",
    "tomorrow",
    "yesterday",
    "nextval",
];

/// Whether a condition certainly gives the same answer for a row for as long as the row stays the same:
/// it calls no function and has none of the words above, in strings neither ('now' is a time).
pub fn is_steady(condition: &str) -> bool {
    let text = condition.to_lowercase();
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '$');
    let has_word = words.any(|word| UNSTEADY_WORDS.contains(&word));
    let mut calls = text.match_indices('(').filter_map(|(at, _)| {
        let before = text[..at].trim_end();
        let word = before.rsplit(|c: char| !is_name_char(c)).next().unwrap_or_default();
        let is_call = before.ends_with('"') || !word.is_empty();
        (is_call && !["and", "or", "not", "in", "any", "all"].contains(&word)).then_some(())
    });
    !has_word && calls.next().is_none()
}

/// Whether the characters before a quote make it an escape string (`E'…'`).
fn is_escape_string(before: &str) -> bool {
    let mut reversed = before.chars().rev();
    matches!(reversed.next(), Some('e' | 'E')) && !reversed.next().is_some_and(is_name_char)
}

/// Whether a character may be part of an unquoted name.
fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

/// Bytes of the quoted text at the start; a doubled quote does not end it.
fn quoted_length(text: &str, quote: char, has_escapes: bool) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((offset, c)) = chars.next() {
        let is_doubled = c == quote && text[offset + 1..].starts_with(quote);
        if is_doubled || (has_escapes && c == '\\') {
            chars.next();
        } else if c == quote {
            return Some(offset + 1);
        }
    }
    None
}

/// Bytes of the dollar-quoted text at the start, or 1 where the dollar starts none.
fn dollar_quoted_length(text: &str, before: &str) -> Option<usize> {
    let tag_end = text[1..].find('$').map(|end| end + 1);
    let is_tag =
        |tag: &str| !tag.starts_with(|c: char| c.is_ascii_digit()) && tag.chars().all(is_name_char);
    match tag_end {
        Some(end) if is_tag(&text[1..end]) && !before.ends_with(is_name_char) => {
            let tag = &text[..=end];
            text[end + 1..].find(tag).map(|close| end + 1 + close + tag.len())
        }
        _ => Some(1),
    }
}

/// Bytes of the comment at the start; comments nest; None if it does not end.
pub(crate) fn comment_length(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut position = 0;
    while position < text.len() {
        let rest = &text[position..];
        if rest.starts_with("/*") {
            depth += 1;
            position += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            position += 2;
            if depth == 0 {
                return Some(position);
            }
        } else {
            position += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn conditions_that_look_beyond_the_row_are_told_from_others() {
        for steady in [
            "id > 5",
            "(created >= '2024-01-01') and (not (a in (1, 2) or b is null))",
            "\"T\".v = any ('{1}'::int[])",
        ] {
            assert!(super::is_steady(steady), "{steady}");
        }
        for unsteady in [
            "created > now()",
            "id in (select id from other)",
            "created > 'now'::timestamptz",
            "created < CURRENT_DATE",
            "\"f\" (id)",
            "s.f(id) = 1",
            "owner = session_user",
        ] {
            assert!(!super::is_steady(unsteady), "{unsteady}");
        }
    }

    use super::*;

    #[test]
    fn conditions_that_keep_to_themselves_pass() {
        for text in [
            "created >= '2024-01-01'",
            "(a or b) and f(c)[1]",
            "name <> ')' and note <> 'it''s ('",
            "\")\" = 1 and \"a\"\"(\" = 2",
            "a = E'\\')' and b = e'(\\\\'",
            "a = E'x'')' and b",
            "a = $$)$$ or b = $x$ $$ ) $x$",
            "a$b = 1 and c = $1$",
            "a -- )\nand b",
            "a -- (",
            "a /* ) /* ( */ ) */ and b",
            "a = E'x'') or (true'",
            "lée = ')'",
            "type = '\\' or b",
        ] {
            assert_eq!(find_flaw(text), None, "{text}");
        }
    }

    #[test]
    fn conditions_that_reach_out_are_refused() {
        for text in [
            "",
            " \n",
            "true) or (true",
            "(a",
            "a; drop table x",
            "a = 'x",
            "a = \"x",
            "a = $$x",
            "a /* x",
            "type'\\') or (true or b = '",
            "E'\\'' ) or ('",
            "E'a' -- b\n'\\'') or (b = 'x",
            "a\0",
        ] {
            assert!(find_flaw(text).is_some(), "{text}");
        }
    }
}
