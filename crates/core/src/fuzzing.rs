//! What the fuzz targets in `fuzz/` run, and the same over their corpus as plain tests.
//!
//! Comes in: any bytes. Nothing goes out: what must hold is asserted, and that nothing panics, hangs
//! or takes memory out of proportion is what a fuzzer looks for.

use std::ops::ControlFlow;

use crate::name::quote_ident;
use crate::options::Options;
use crate::source::CatalogSession;
use crate::source::dsn::Dsn;
use crate::source::wire::fake;

/// The password in what the targets log in with.
const PASSWORD: &str = "ge'heim\u{ef}";

/// A server's bytes, after a byte that says who reads them and one that says in which pieces.
pub fn read_wire(data: &[u8]) {
    let [reader, piece, bytes @ ..] = data else {
        return;
    };
    let pieces = [usize::from(*piece).max(1), usize::MAX];
    let mut connection = fake::session(bytes.to_vec(), &pieces);
    let mut count = 0;
    match reader % 4 {
        0 => {
            let dsn = format!("user=u password='{}'", PASSWORD.replace('\'', "\\'"));
            let dsn = Dsn::parse(&dsn).expect("a connection string of our own");
            if let Err(error) = fake::log_in(bytes.to_vec(), &pieces, &dsn) {
                assert!(!format!("{error:?}").contains("heim"), "{error:?}");
            }
        }
        1 => {
            let rows = connection.query("select").unwrap_or_default();
            count = rows.iter().flatten().flatten().map(String::len).sum();
        }
        2 => {
            let _ = connection.copy_out("copy", &mut |buffer: Vec<u8>| {
                count += buffer.len();
                ControlFlow::Continue(())
            });
        }
        _ => {
            let _ = connection.query_json("select", &mut |json| {
                count += json.len();
                Ok(())
            });
        }
    }
    assert!(count <= bytes.len(), "more came out than went in");
}

/// A connection string.
pub fn parse_connection_string(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Dsn::parse(text) {
        Ok(dsn) => assert!(!dsn.endpoints().is_empty()),
        Err(error) => {
            let shown = format!("{error:?}");
            let is_password =
                text.contains("password=geheim") && text.matches("geheim").count() == 1;
            assert!(!is_password || !shown.contains("geheim"), "{text}: {shown}");
        }
    }
}

/// Options as JSON.
pub fn parse_options(data: &[u8]) {
    let Ok(json) = serde_json::from_slice(data) else {
        return;
    };
    if let Ok(options) = Options::parse(&json) {
        let canonical = options.to_json().expect("options that were read can be written");
        let again = Options::parse(&canonical).expect("canonical options are valid");
        let canonical_again = again.to_json().expect("as above");
        assert_eq!(canonical.to_string(), canonical_again.to_string());
    }
}

/// A name, which must come out of its quotes as it went in.
pub fn quote_name(data: &[u8]) {
    let Ok(name) = std::str::from_utf8(data) else {
        return;
    };
    let quoted = quote_ident(name);
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.expect("a name is always quoted");
    assert_eq!(inner.replace("\"\"", ""), inner.replace("\"\"", "").replace('"', ""));
    assert_eq!(inner.replace("\"\"", "\""), name);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Inputs made of each target's corpus.
    const ROUNDS: u32 = 10_000;

    /// Numbers at which lengths and counts go wrong.
    const EDGES: [i32; 10] = [0, 1, 3, 4, 5, -1, i32::MAX, i32::MIN, 0x0400_0000, 0x7fff_fffb];

    /// A generator of numbers that are the same in every run.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// A number below `limit`, 0 if that is 0.
        fn below(&mut self, limit: usize) -> usize {
            usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
        }

        /// A range within `length` elements.
        fn range(&mut self, length: usize) -> std::ops::Range<usize> {
            let start = self.below(length + 1);
            start..start + self.below((length - start).min(32) + 1)
        }
    }

    /// Changes an input in one of the ways in which inputs go wrong.
    fn mutate(input: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
        let at = numbers.below(input.len());
        match numbers.below(8) {
            0 if !input.is_empty() => input[at] ^= 1 << numbers.below(8),
            1 if !input.is_empty() => input[at] = numbers.next().to_le_bytes()[0],
            2 => input.truncate(at),
            3 => drop(input.drain(numbers.range(input.len()))),
            4 => {
                let copied = input[numbers.range(input.len())].to_vec();
                drop(input.splice(at..at, copied));
            }
            5 => {
                let borrowed = other[numbers.range(other.len())].to_vec();
                drop(input.splice(at..at, borrowed));
            }
            6 if input.len() >= 4 => {
                let at = numbers.below(input.len() - 3);
                let edge = EDGES[numbers.below(EDGES.len())];
                input[at..at + 4].copy_from_slice(&edge.to_be_bytes());
            }
            _ => input.extend(&other[numbers.range(other.len())]),
        }
    }

    /// Runs a target over its corpus and over what a deterministic mutator makes of it.
    fn run(target: &str, check: fn(&[u8])) {
        let directory =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut paths: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let corpus: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        assert!(!corpus.is_empty());
        corpus.iter().for_each(|input| check(input));
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..ROUNDS {
            let mut input = corpus[numbers.below(corpus.len())].clone();
            let other = &corpus[numbers.below(corpus.len())];
            for _ in 0..=numbers.below(4) {
                mutate(&mut input, other, &mut numbers);
            }
            check(&input);
        }
    }

    #[test]
    fn no_bytes_of_a_server_break_the_reader() {
        run("read_wire", read_wire);
    }

    #[test]
    fn no_connection_string_breaks_its_parser() {
        run("parse_connection_string", parse_connection_string);
    }

    #[test]
    fn no_options_break_their_parser() {
        run("parse_options", parse_options);
    }

    #[test]
    fn every_name_comes_out_of_its_quotes_as_it_went_in() {
        run("quote_name", quote_name);
    }
}
