//! JSON text taken apart in one pass, into an arena that is used again for the next one.
//!
//! Only what the server's parser accepts beyond doubt: a text with an escape by code point, one nested
//! too deeply, and anything that is not strictly valid is left to that, which has the words for it.
//! The text must be valid in the database's encoding.

/// Containers within containers, at most; the server's parser sets itself other limits.
const MOST_DEPTH: usize = 64;

/// Bytes of a text, at most, so that the arena stays small, and every place in what is made of it too.
const MOST_BYTES: usize = 1 << 20;

/// A part of the text, or of the strings that had escapes in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    from: u32,
    to: u32,
    is_unescaped: bool,
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    False,
    True,
    /// A number as it is written.
    Number(Span),
    String(Span),
    /// Elements from this place on, in order.
    Array {
        from: u32,
        count: u32,
    },
    /// Pairs from this place on, in the text's order, duplicates and all.
    Object {
        from: u32,
        count: u32,
    },
}

/// A key and its value.
pub(super) type Pair = (Span, Node);

/// The parts of one text.
#[derive(Debug, Default)]
pub(super) struct Arena {
    /// Elements of closed arrays; those of one array are neighbours.
    pub(super) elements: Vec<Node>,
    /// Pairs of closed objects; those of one object are neighbours.
    pub(super) pairs: Vec<Pair>,
    /// Elements and pairs of containers that are still open, the innermost last.
    open_elements: Vec<Node>,
    open_pairs: Vec<Pair>,
    /// Strings that had escapes, without them.
    unescaped: Vec<u8>,
}

impl Arena {
    /// Takes a text apart in place of the one before; None if it is not beyond doubt.
    pub(super) fn parse(&mut self, text: &[u8]) -> Option<Node> {
        if text.len() > MOST_BYTES {
            return None;
        }
        self.elements.clear();
        self.pairs.clear();
        self.open_elements.clear();
        self.open_pairs.clear();
        self.unescaped.clear();
        let mut parser = Parser { text, at: 0, arena: self };
        parser.skip_space();
        let node = parser.value(0)?;
        parser.skip_space();
        (parser.at == text.len()).then_some(node)
    }

    /// The bytes of a part of the text.
    pub(super) fn bytes<'a>(&'a self, text: &'a [u8], span: Span) -> &'a [u8] {
        let source = if span.is_unescaped { &self.unescaped } else { text };
        source.get(span.from as usize..span.to as usize).unwrap_or_default()
    }
}

/// A text on its way into an arena.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    arena: &'a mut Arena,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is not space, which is taken.
    fn take(&mut self) -> Option<u8> {
        self.skip_space();
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// A value that begins here, `depth` containers deep.
    fn value(&mut self, depth: usize) -> Option<Node> {
        match self.peek()? {
            b'"' => self.string().map(Node::String),
            b'{' if depth < MOST_DEPTH => self.object(depth),
            b'[' if depth < MOST_DEPTH => self.array(depth),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Node::True),
            b'f' => self.word(b"false", Node::False),
            b'n' => self.word(b"null", Node::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8], node: Node) -> Option<Node> {
        let is_there = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        is_there.then_some(node)
    }

    fn array(&mut self, depth: usize) -> Option<Node> {
        self.at += 1;
        let start = self.arena.open_elements.len();
        self.skip_space();
        if self.peek()? == b']' {
            self.at += 1;
        } else {
            loop {
                self.skip_space();
                let element = self.value(depth + 1)?;
                self.arena.open_elements.push(element);
                match self.take()? {
                    b',' => {}
                    b']' => break,
                    _ => return None,
                }
            }
        }
        let Arena { elements, open_elements, .. } = &mut *self.arena;
        let from = elements.len() as u32;
        elements.extend_from_slice(&open_elements[start..]);
        open_elements.truncate(start);
        Some(Node::Array { from, count: elements.len() as u32 - from })
    }

    fn object(&mut self, depth: usize) -> Option<Node> {
        self.at += 1;
        let start = self.arena.open_pairs.len();
        self.skip_space();
        if self.peek()? == b'}' {
            self.at += 1;
        } else {
            loop {
                self.skip_space();
                if self.peek()? != b'"' {
                    return None;
                }
                let key = self.string()?;
                if self.take()? != b':' {
                    return None;
                }
                self.skip_space();
                let value = self.value(depth + 1)?;
                self.arena.open_pairs.push((key, value));
                match self.take()? {
                    b',' => {}
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        let Arena { pairs, open_pairs, .. } = &mut *self.arena;
        let from = pairs.len() as u32;
        pairs.extend_from_slice(&open_pairs[start..]);
        open_pairs.truncate(start);
        Some(Node::Object { from, count: pairs.len() as u32 - from })
    }

    /// A number, whatever comes behind it.
    fn number(&mut self) -> Option<Node> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        // No zeros in front.
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(Node::Number(self.span(from)))
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    /// A string, whose opening quote is here.
    fn string(&mut self) -> Option<Span> {
        self.at += 1;
        let from = self.at;
        self.at += plain_bytes(&self.text[from..]);
        match self.peek()? {
            b'"' => {
                let span = self.span(from);
                self.at += 1;
                Some(span)
            }
            b'\\' => self.escaped_string(from),
            _ => None,
        }
    }

    /// The rest of a string that began at `from`, from the first escape on.
    fn escaped_string(&mut self, from: usize) -> Option<Span> {
        let unescaped = &mut self.arena.unescaped;
        let start = unescaped.len() as u32;
        unescaped.extend_from_slice(&self.text[from..self.at]);
        loop {
            let rest = &self.text[self.at..];
            match *rest {
                [b'"', ..] => {
                    self.at += 1;
                    let to = unescaped.len() as u32;
                    return Some(Span { from: start, to, is_unescaped: true });
                }
                [b'\\', escape, ..] => {
                    unescaped.push(match escape {
                        b'"' | b'\\' | b'/' => escape,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        // A code point, or nothing that may be escaped.
                        _ => return None,
                    });
                    self.at += 2;
                }
                _ => {
                    let count = plain_bytes(rest);
                    if count == 0 {
                        return None;
                    }
                    unescaped.extend_from_slice(&rest[..count]);
                    self.at += count;
                }
            }
        }
    }

    /// The text from `from` to here.
    fn span(&self, from: usize) -> Span {
        Span { from: from as u32, to: self.at as u32, is_unescaped: false }
    }
}

/// How many of the first bytes of a string stand for themselves: neither a quote nor a backslash nor
/// a control character.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let mut count = 0;
    // Eight bytes at once. The lowest byte found is right, bytes above it may not be.
    while let Some(chunk) = bytes[count..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let is_control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (is_control
            | is_zero(word ^ (ONES * u64::from(b'"')))
            | is_zero(word ^ (ONES * u64::from(b'\\'))))
            & HIGHS;
        if found != 0 {
            return count + found.trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    let is_plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    count + bytes[count..].iter().take_while(|byte| is_plain(byte)).count()
}
