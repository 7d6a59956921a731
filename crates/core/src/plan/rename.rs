//! One schema under another name on the target.
//!
//! Definitions come from the source's deparsers under an empty search path, so every mention of the
//! schema is a name followed by a dot, the name after the keyword SCHEMA, or part of a literal that is
//! cast to `regclass` and its like. These are followed; text inside function bodies is not, and what
//! mentions the schema there is reported. An alias that is called like the schema cannot be told from
//! it; the statement then fails, which is reported too.

use super::Note;
use crate::ddl::Item;
use crate::model::Catalog;
use crate::name::{quote_ident, quote_literal};
use crate::options::condition::comment_length;

/// A schema's name on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    pub from: String,
    pub to: String,
}

impl Rename {
    /// The name that a schema of the source has on the target.
    pub fn schema<'a>(&'a self, name: &'a str) -> &'a str {
        if name == self.from { &self.to } else { name }
    }

    /// Renames in everything that the kept items say; notes what could not be followed.
    pub fn items(&self, items: &mut [Item], is_kept: &[bool], notes: &mut Vec<Note>) {
        let kept = items.iter_mut().zip(is_kept).filter(|(_, is_kept)| **is_kept);
        for (item, _) in kept {
            let mut is_hidden = false;
            let attributes = item.attributes.iter_mut().map(|attribute| &mut attribute.sql);
            let statements = item.create.iter_mut().chain(attributes);
            for sql in statements.chain(&mut item.index_definition).chain(&mut item.using_index) {
                is_hidden |= self.mentions_in_body(sql);
                *sql = self.statement(sql);
            }
            if is_hidden {
                notes.push(Note {
                    object: item.object.clone(),
                    message: format!(
                        "its body mentions schema \"{}\", which was not renamed there",
                        self.from
                    ),
                });
            }
            if item.schema.as_ref() == Some(&self.from) {
                let old = format!(" {}.", self.from);
                item.object = item.object.replacen(&old, &format!(" {}.", self.to), 1);
                item.schema = Some(self.to.clone());
            }
            if item.kind == crate::ddl::ItemKind::Schema && item.name == self.from {
                item.object = format!("schema {}", self.to);
                item.name.clone_from(&self.to);
            }
        }
    }

    /// Renames where the plan looks at tables and sequences.
    pub fn catalog(&self, catalog: &mut Catalog) {
        for table in &mut catalog.tables {
            table.schema = self.schema(&table.schema).to_owned();
            for column in &mut table.columns {
                column.type_sql = self.statement(&column.type_sql);
            }
        }
        for view in &mut catalog.views {
            view.schema = self.schema(&view.schema).to_owned();
        }
        for sequence in &mut catalog.sequences {
            sequence.schema = self.schema(&sequence.schema).to_owned();
        }
    }

    /// Renames in one statement or expression.
    pub fn statement(&self, sql: &str) -> String {
        let tokens = tokenize(sql);
        let mut renamed = String::with_capacity(sql.len());
        for (position, token) in tokens.iter().enumerate() {
            let before = tokens[..position].iter().rev().find(|token| !token.is_blank());
            let mut after = tokens[position + 1..].iter().filter(|token| !token.is_blank());
            let next = after.next();
            let is_name = token.name().is_some_and(|name| name == self.from);
            if is_name && self.is_schema_here(before, next) {
                renamed.push_str(&quote_ident(&self.to));
            } else if let Token::Literal(text) = token
                && next.is_some_and(|next| next.text() == "::")
                && is_object_type(after)
            {
                renamed.push_str(&self.literal(text));
            } else {
                renamed.push_str(token.text());
            }
        }
        renamed
    }

    fn is_schema_here(&self, before: Option<&Token<'_>>, next: Option<&Token<'_>>) -> bool {
        let follows_dot = before.is_some_and(|token| token.text() == ".");
        let precedes_dot = next.is_some_and(|token| token.text() == ".");
        let follows_keyword = before.is_some_and(
            |token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("schema")),
        );
        (precedes_dot && !follows_dot) || (follows_keyword && !precedes_dot)
    }

    /// Renames within the literal of an object's name.
    fn literal(&self, text: &str) -> String {
        let Some(inner) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) else {
            return text.to_owned();
        };
        quote_literal(&self.statement(&inner.replace("''", "'"))).trim_start().to_owned()
    }

    /// Whether a quoted body mentions the schema.
    fn mentions_in_body(&self, sql: &str) -> bool {
        let plain = format!("{}.", self.from);
        let quoted = format!("{}.", quote_ident(&self.from));
        tokenize(sql).iter().any(|token| {
            matches!(token, Token::Body(body) if body.contains(&plain) || body.contains(&quoted))
        })
    }
}

/// Whether the next tokens name a type whose text form is an object's name.
fn is_object_type<'a>(mut tokens: impl Iterator<Item = &'a Token<'a>>) -> bool {
    let mut name = tokens.next().map(Token::text);
    if name == Some("pg_catalog") {
        name = tokens.nth(1).map(Token::text);
    }
    name.is_some_and(|name| name.starts_with("reg"))
}

/// A piece of SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
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
    fn text(&self) -> &'a str {
        match self {
            Token::Blank(text)
            | Token::Word(text)
            | Token::Quoted(text)
            | Token::Literal(text)
            | Token::Body(text)
            | Token::Symbol(text) => text,
        }
    }

    fn is_blank(&self) -> bool {
        matches!(self, Token::Blank(_))
    }

    /// The name that the token is, unquoted.
    fn name(&self) -> Option<String> {
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
fn tokenize(sql: &str) -> Vec<Token<'_>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rename(sql: &str) -> String {
        Rename { from: "shop".to_owned(), to: "New \"one".to_owned() }.statement(sql)
    }

    #[test]
    fn qualified_names_are_followed_and_columns_of_that_name_are_not() {
        assert_eq!(
            rename("create view shop.v as select t.shop.x, shop from shop.t where 'shop.t' <> ''"),
            "create view \"New \"\"one\".v as select t.shop.x, shop from \"New \"\"one\".t where \
             'shop.t' <> ''"
        );
        assert_eq!(rename("select \"shop\" . f()"), "select \"New \"\"one\" . f()");
        assert_eq!(
            rename("select shopping.f(), \"SHOP\".g()"),
            "select shopping.f(), \"SHOP\".g()"
        );
    }

    #[test]
    fn names_in_literals_are_followed_where_they_are_cast_to_objects() {
        assert_eq!(rename("nextval('shop.s'::regclass)"), "nextval('\"New \"\"one\".s'::regclass)");
        assert_eq!(
            rename("'shop.s'::pg_catalog.regclass || 'shop.s'::text"),
            "'\"New \"\"one\".s'::pg_catalog.regclass || 'shop.s'::text"
        );
    }

    #[test]
    fn the_schema_itself_is_renamed_after_its_keyword() {
        assert_eq!(
            rename("grant usage on schema shop to shop"),
            "grant usage on schema \"New \"\"one\" to shop"
        );
    }

    #[test]
    fn bodies_comments_and_odd_literals_are_left_alone() {
        for sql in [
            "as $f$ select shop.t $f$",
            "as $$ shop.t $$",
            "/* shop./* shop.x */ y */ 1",
            "-- shop.t",
            "E'\\' shop.t'",
            "'it''s shop.t'",
            "$1 + $2",
        ] {
            assert_eq!(rename(sql), sql);
        }
    }

    #[test]
    fn any_text_comes_out_as_it_was_when_nothing_is_to_be_renamed() {
        let rename = Rename { from: "absent".to_owned(), to: "x".to_owned() };
        for sql in ["'unfinished", "\"unfinished", "$tag$ unfinished", "/* unfinished", "é.ü", "$"]
        {
            assert_eq!(rename.statement(sql), sql);
        }
    }
}
