//! What a server brings itself, as far as objects of the user can refer to it by name.

use std::collections::HashSet;

use serde::Deserialize;

/// The system's own functions, types and collations, and what the server was built with.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Builtins {
    pub functions: Vec<BuiltinFunction>,
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct BuiltinFunction {
    pub name: String,
    /// Arguments without a default.
    pub min: u32,
    /// All arguments; None if there can be any number.
    pub max: Option<u32>,
}
