//! What a server brings itself, as far as objects of the user can refer to it by name.

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;

/// The system's own functions, types and collations, and what the server was built with.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Builtins {
    pub functions: BTreeSet<BuiltinFunction>,
    /// Names of types, pseudo-types included.
    pub types: HashSet<String>,
    /// Names of collations that the database's encoding admits.
    pub collations: HashSet<String>,
    /// Names of settings without a prefix, in lower case.
    pub settings: HashSet<String>,
    /// Methods of compression that columns can have.
    pub compressions: HashSet<String>,
    pub has_icu: bool,
}

/// A function of the system by what a call of it looks like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct BuiltinFunction {
    pub name: String,
    /// Arguments without a default.
    pub min: u32,
    /// All arguments; None if there can be any number.
    pub max: Option<u32>,
}

impl TryFrom<String> for BuiltinFunction {
    type Error = String;

    /// From the name and both numbers, as the query writes them: JSON of thousands takes a server longer.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut words = text.split(' ');
        let name = words.next().map(str::to_owned);
        let min = words.next().and_then(|word| word.parse().ok());
        let max = words.next().map(|word| word.parse().ok());
        match (name, min, max) {
            (Some(name), Some(min), None) => Ok(BuiltinFunction { name, min, max: None }),
            (Some(name), Some(min), Some(Some(max))) => {
                Ok(BuiltinFunction { name, min, max: Some(max) })
            }
            _ => Err(format!("\"{text}\" is no function with numbers of arguments")),
        }
    }
}
