//! A schema's name in the text of a statement.
//!
//! A mention of the schema is its name before a dot, the name after the keyword SCHEMA, part of a literal
//! that is cast to `regclass` and its like, or an element of a `search_path`. In a query an alias or table
//! that is called like the schema may stand before a dot as well: where a statement has such a name,
//! the clause tells what is meant. Keywords of queries come from the server's deparser, which writes them
//! in capitals and quotes names that are not in lower case.

use super::Rename;
use crate::name::quote_ident;
use crate::token::{Token, is_plain_name, tokenize};

/// A statement under the new name.
pub(super) struct Renamed {
    pub(super) sql: String,
    /// Whether a quoted body mentions the schema.
    pub(super) is_in_body: bool,
    /// Whether a literal that is no object's name mentions it.
    pub(super) is_in_literal: bool,
}

/// What may follow in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    /// Relations, or the statement is no query.
    Relations,
    Expressions,
}

impl Rename {
    /// Renames in one statement or expression.
    pub fn statement(&self, sql: &str) -> String {
        self.rewrite(sql).sql
    }

    /// Renames in an identity as the server spells it, which quotes names only where it must.
    pub(super) fn identity(&self, sql: &str) -> String {
        let quoted = match is_plain_name(&self.to) {
            true => self.to.clone(),
            false => quote_ident(&self.to),
        };
        self.rewrite_as(sql, &quoted).sql
    }

    pub(super) fn rewrite(&self, sql: &str) -> Renamed {
        self.rewrite_as(sql, &quote_ident(&self.to))
    }

    /// Renames in one statement; `name` is the new name as SQL.
    fn rewrite_as(&self, sql: &str, name: &str) -> Renamed {
        let all = tokenize(sql);
        // Positions in `all` of what is not blank.
        let solid: Vec<usize> = (0..all.len()).filter(|at| !all[*at].is_blank()).collect();
        let tokens: Vec<Token<'_>> = solid.iter().map(|at| all[*at]).collect();
        let mut texts: Vec<String> = all.iter().map(|token| token.text().to_owned()).collect();
        let (mut is_in_body, mut is_in_literal) = (false, false);
        let has_namesake = self.has_namesake(&tokens);
        let mut clauses = Clauses::default();
        let mut path_end = 0;
        for (position, token) in tokens.iter().enumerate() {
            clauses.pass(&tokens, position);
            path_end = path_end.max(end_of_search_path(&tokens, position));
            let is_name = token.name().is_some_and(|name| name == self.from);
            let renamed = match token {
                _ if is_name && position < path_end => Some(name.to_owned()),
                _ if is_name => {
                    let clause = if has_namesake { clauses.clause() } else { Clause::Relations };
                    self.is_schema(&tokens, position, clause).then(|| name.to_owned())
                }
                Token::Literal(text) => {
                    let inner = unquote(text);
                    let renamed = if position < path_end {
                        self.schema(&inner).to_owned()
                    } else {
                        self.rename_object(&inner, find_object_type(&tokens, position))
                    };
                    is_in_literal |= renamed == inner && self.is_mentioned_in(&inner);
                    (renamed != inner).then(|| format!("'{}'", renamed.replace('\'', "''")))
                }
                Token::Body(body) => {
                    is_in_body |= self.is_mentioned_in(body);
                    None
                }
                _ => None,
            };
            if let Some(renamed) = renamed {
                texts[solid[position]] = renamed;
            }
        }
        Renamed { sql: texts.concat(), is_in_body, is_in_literal }
    }

    /// Whether something else in the statement is called like the schema.
    fn has_namesake(&self, tokens: &[Token<'_>]) -> bool {
        tokens.iter().enumerate().any(|(position, token)| {
            token.name().is_some_and(|name| name == self.from)
                && (is_text(tokens, position, -1, ".") || !is_text(tokens, position, 1, "."))
        })
    }

    /// Whether a name that is the schema's stands for it.
    fn is_schema(&self, tokens: &[Token<'_>], position: usize, clause: Clause) -> bool {
        let is_at = |offset, text| is_text(tokens, position, offset, text);
        let follows = |keyword: &str| {
            text_at(tokens, position, -1).is_some_and(|text| text.eq_ignore_ascii_case(keyword))
        };
        if is_at(-1, ".") {
            return false;
        }
        if !is_at(1, ".") {
            return follows("schema");
        }
        let is_operator = is_at(-1, "(")
            && text_at(tokens, position, -2)
                .is_some_and(|text| text.eq_ignore_ascii_case("operator"));
        let is_whole_row = is_at(2, "*") && !is_operator;
        let is_certain = is_operator
            || is_at(-1, "::")
            || follows("collate")
            // A function, or a column of a table of the schema.
            || is_at(3, "(")
            || is_at(3, ".");
        !is_whole_row && (is_certain || clause == Clause::Relations)
    }

    /// Renames within a literal that names an object of a type like `regclass`.
    fn rename_object(&self, literal: &str, object_type: Option<&str>) -> String {
        match object_type {
            None => literal.to_owned(),
            Some("regnamespace") => match tokenize(literal).as_slice() {
                [only] if only.name().is_some_and(|name| name == self.from) => {
                    quote_ident(&self.to)
                }
                _ => literal.to_owned(),
            },
            Some(_) => self.identity(literal),
        }
    }

    /// Whether a text that is not followed has the schema's name in it, before a dot or on its own.
    fn is_mentioned_in(&self, text: &str) -> bool {
        let quoted = quote_ident(&self.from);
        text == self.from
            || text == quoted
            || [&self.from, &quoted].into_iter().any(|name| {
                text.match_indices(&format!("{name}.")).any(|(start, _)| {
                    let before = text[..start].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$')
                })
            })
    }
}

/// Where in a query a token is: one entry for each parenthesis that is open.
struct Clauses {
    open: Vec<(Clause, bool)>,
    is_query: bool,
}

impl Default for Clauses {
    fn default() -> Self {
        Clauses { open: vec![(Clause::Relations, false)], is_query: false }
    }
}

impl Clauses {
    /// What may stand where the last token passed stands.
    fn clause(&self) -> Clause {
        match self.open.last() {
            Some((clause, _)) if self.is_query => *clause,
            _ => Clause::Relations,
        }
    }

    /// Takes note of a token.
    fn pass(&mut self, tokens: &[Token<'_>], position: usize) {
        let before = text_at(tokens, position, -1).unwrap_or_default();
        if tokens[position].text() == ")" && self.open.len() > 1 {
            self.open.pop();
            return;
        }
        let Some((clause, is_query)) = self.open.last_mut() else {
            return;
        };
        match tokens[position].text() {
            "(" => {
                let is_nested = matches!(before, "FROM" | "JOIN" | "LATERAL" | "," | "(");
                let inner = if is_nested { *clause } else { Clause::Expressions };
                self.open.push((inner, false));
            }
            "SELECT" | "VALUES" => {
                (*clause, *is_query) = (Clause::Expressions, true);
                self.is_query = true;
            }
            "INSERT" | "UPDATE" | "DELETE" | "MERGE" => {
                (*clause, *is_query) = (Clause::Relations, true);
                self.is_query = true;
            }
            // Also part of EXTRACT and the like, and of IS DISTINCT FROM.
            "FROM" if *is_query && before != "DISTINCT" => *clause = Clause::Relations,
            "JOIN" | "INTO" | "TO" | "ON" => *clause = Clause::Relations,
            "WHERE" | "GROUP" | "HAVING" | "WINDOW" | "ORDER" | "LIMIT" | "OFFSET"
            | "RETURNING" | "SET" => *clause = Clause::Expressions,
            _ => {}
        }
    }
}

/// The text of a token some places further on or back.
fn text_at<'a>(tokens: &[Token<'a>], position: usize, offset: isize) -> Option<&'a str> {
    tokens.get(position.checked_add_signed(offset)?).map(Token::text)
}

fn is_text(tokens: &[Token<'_>], position: usize, offset: isize, text: &str) -> bool {
    text_at(tokens, position, offset) == Some(text)
}

/// The position after a search path whose assignment ends with the token at `position`, or 0.
fn end_of_search_path(tokens: &[Token<'_>], position: usize) -> usize {
    let is_assignment = matches!(tokens[position].text(), "TO" | "to" | "=")
        && position > 0
        && tokens[position - 1].name().is_some_and(|name| name == "search_path")
        && text_at(tokens, position, -2).is_some_and(|text| text.eq_ignore_ascii_case("set"));
    if !is_assignment {
        return 0;
    }
    let mut end = position + 2;
    while is_text(tokens, end, 0, ",") {
        end += 2;
    }
    end
}

/// The type, such as `regclass`, that a literal is cast to: directly, or by way of text.
fn find_object_type<'a>(tokens: &[Token<'a>], literal: usize) -> Option<&'a str> {
    let (mut start, mut end) = (literal, literal);
    loop {
        match text_at(tokens, end, 1)? {
            "::" => {
                end += 2;
                if is_text(tokens, end, 0, "pg_catalog") {
                    end += 2;
                }
                match text_at(tokens, end, 0)? {
                    name if name.starts_with("reg") => return Some(name),
                    "text" => {}
                    _ => return None,
                }
            }
            ")" if start > 0 && is_text(tokens, start, -1, "(") => {
                start -= 1;
                end += 1;
            }
            _ => return None,
        }
    }
}

/// The value of a plain literal.
fn unquote(literal: &str) -> String {
    let inner = literal.strip_prefix('\'').unwrap_or(literal);
    inner.strip_suffix('\'').unwrap_or(inner).replace("''", "'")
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
    fn names_are_followed_through_text_and_within_search_paths() {
        assert_eq!(
            rename("nextval(('shop.\"s s\"'::text)::regclass) + ('shop.s')::text"),
            "nextval(('\"New \"\"one\".\"s s\"'::text)::regclass) + ('shop.s')::text"
        );
        assert_eq!(rename("'shop'::regnamespace"), "'\"New \"\"one\"'::regnamespace");
        assert_eq!(
            rename("function f()\n SET search_path TO 'shop', 'pg_temp'\nAS 'shop'"),
            "function f()\n SET search_path TO 'New \"one', 'pg_temp'\nAS 'shop'"
        );
        assert_eq!(
            rename("alter role shop set search_path = shop, 'other'"),
            "alter role shop set search_path = \"New \"\"one\", 'other'"
        );
    }

    #[test]
    fn an_alias_that_is_called_like_the_schema_stays() {
        for (sql, expected) in [
            ("SELECT shop.id FROM shop.shop", "SELECT shop.id FROM N.shop"),
            (
                "SELECT shop.f(shop.*), 'x'::shop.e FROM (shop.a b JOIN shop.a shop ON ((shop.x = b.x))), \
                 shop.c WHERE EXTRACT(year FROM shop.d) OPERATOR(shop.*) 1 IS DISTINCT FROM shop.e",
                "SELECT N.f(shop.*), 'x'::N.e FROM (N.a b JOIN N.a shop ON ((shop.x = b.x))), \
                 N.c WHERE EXTRACT(year FROM shop.d) OPERATOR(N.*) 1 IS DISTINCT FROM shop.e",
            ),
            ("alter table shop.shop owner to shop", "alter table N.shop owner to shop"),
            (
                "CREATE TRIGGER shop BEFORE UPDATE ON shop.t EXECUTE FUNCTION shop.f()",
                "CREATE TRIGGER shop BEFORE UPDATE ON N.t EXECUTE FUNCTION N.f()",
            ),
        ] {
            assert_eq!(rename(sql).replace("\"New \"\"one\"", "N"), expected);
        }
    }

    #[test]
    fn what_is_not_followed_is_noticed() {
        let rename = Rename { from: "shop".to_owned(), to: "x".to_owned() };
        let notices = |sql| {
            let renamed = rename.rewrite(sql);
            (renamed.is_in_body, renamed.is_in_literal)
        };
        assert_eq!(
            notices("'shop.t'::regclass, 'workshop.t', 'shops', $$ workshop.t $$"),
            (false, false)
        );
        assert_eq!(notices("to_regclass('shop.t'::text)"), (false, true));
        assert_eq!(notices("has_schema_privilege('shop', 'usage')"), (false, true));
        assert_eq!(notices("as $$ select shop.t $$"), (true, false));
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
