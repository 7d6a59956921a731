//! SQL text cut into tokens, for those who have to find a place in a definition.

use crate::options::condition::comment_length;

/// A piece of SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Blank(&'a str),
    /// An unquoted name, keyword or number.
    Word(&'a str),
    /// A quoted name, quotes included.
    Quoted(&'a str),
    /// A string literal, quotes included.
    Literal(&'a str),
    /// A dollar-quoted literal, or one with escapes.
    Body(&'a str),
    Symbol(&'a str),
}

impl<'a> Token<'a> {
    /// The text as it stands.
    pub(crate) fn text(&self) -> &'a str {
        match self {
            Token::Blank(text)
            | Token::Word(text)
            | Token::Quoted(text)
            | Token::Literal(text)
            | Token::Body(text)
            | Token::Symbol(text) => text,
        }
    }

    /// Whether it is white space or a comment.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self, Token::Blank(_))
    }

    /// The name that the token is, unquoted.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Token::Word(word) => Some((*word).to_owned()),
            Token::Quoted(text) => {
                let inner = text.strip_prefix('"')?.strip_suffix('"')?;
                Some(inner.replace("\"\"", "\""))
            }
            _ => None,
        }
    }
}

/// Cuts SQL into tokens that together are the text again.
pub(crate) fn tokenize(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (token, length) = next_token(rest, first);
        tokens.push(token(&rest[..length]));
        rest = &rest[length..];
    }
    tokens
}

fn next_token<'a>(rest: &'a str, first: char) -> (fn(&'a str) -> Token<'a>, usize) {
    if first.is_whitespace() {
        return (Token::Blank, span(rest, char::is_whitespace));
    }
    if rest.starts_with("--") {
        return (Token::Blank, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Token::Blank, comment_length(rest).unwrap_or(rest.len()));
    }
    if rest.starts_with("::") {
        return (Token::Symbol, 2);
    }
    match first {
        '"' => (Token::Quoted, quoted_length(rest, '"')),
        '\'' => (Token::Literal, quoted_length(rest, '\'')),
        'E' | 'e' if rest[1..].starts_with('\'') => (Token::Body, 1 + escaped_length(&rest[1..])),
        '$' => match dollar_length(rest) {
            Some(length) => (Token::Body, length),
            None => (Token::Symbol, 1),
        },
        _ if is_word(first) => (Token::Word, span(rest, is_word)),
        _ => (Token::Symbol, first.len_utf8()),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Length of a quoted token in which the quote is doubled.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut end = 1;
    while let Some(found) = text[end..].find(quote) {
        end += found + 1;
        if !text[end..].starts_with(quote) {
            return end;
        }
        end += 1;
    }
    text.len()
}

/// Length of a literal in which the backslash escapes.
fn escaped_length(text: &str) -> usize {
    let mut is_escaped = false;
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((position, c)) = characters.next() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\'' if characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
            }
            '\'' => return position + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of a dollar-quoted literal at the start of the text.
fn dollar_length(text: &str) -> Option<usize> {
    let tag_end = text[1..].find('$')? + 2;
    let tag = &text[..tag_end];
    if !tag[1..tag_end - 1].chars().all(|c| is_word(c) && c != '$') {
        return None;
    }
    Some(text[tag_end..].find(tag).map_or(text.len(), |end| tag_end + end + tag_end))
}

/// The text with names bare wherever they are plain, as the server spells them; words that it would quote
/// as keywords come out bare, too.
pub(crate) fn with_bare_names(sql: &str) -> String {
    let mut bare = String::with_capacity(sql.len());
    for token in tokenize(sql) {
        let name = token.name().filter(|name| is_plain_name(name));
        match name {
            Some(name) => bare.push_str(&name),
            None => bare.push_str(token.text()),
        }
    }
    bare
}

/// Whether a name means the same with and without quotes, unless it is a keyword.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_together_are_the_text_whatever_it_is() {
        for sql in [
            "'unfinished",
            "\"unfinished",
            "$tag$ unfinished",
            "/* unfinished",
            "é.ü",
            "$",
            "E'\\'",
            "select \"a\"\"b\".c, 'it''s'::text -- x\n + $1 /* /* */ */ . $f$ $g$ $f$",
        ] {
            let tokens = tokenize(sql);
            assert_eq!(tokens.iter().map(Token::text).collect::<String>(), sql);
        }
    }
}
