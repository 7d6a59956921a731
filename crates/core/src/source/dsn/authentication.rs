//! The parameters that say how a login may prove itself, with libpq's meaning.

use std::path::PathBuf;

use super::parameter::{invalid_value, split_list};
use crate::Result;

/// Whether the login is bound to the TLS connection it runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    /// If server and connection can.
    Prefer,
    Require,
}

/// A way for the server to make sure of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not at all, or by the client certificate.
    None,
    Password,
    Md5,
    Scram,
}

/// What `require_auth` may list, with the methods of it that exist here.
const METHODS: [(&str, Option<Method>); 7] = [
    ("none", Some(Method::None)),
    ("password", Some(Method::Password)),
    ("md5", Some(Method::Md5)),
    ("scram-sha-256", Some(Method::Scram)),
    ("gss", None),
    ("sspi", None),
    ("oauth", None),
];

/// All that is said of authentication, the password aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticationOptions {
    pub channel_binding: ChannelBinding,
    /// The methods that `require_auth` leaves; None is all.
    methods: Option<Vec<Method>>,
    /// A file of passwords.
    pub passfile: Option<PathBuf>,
}

impl AuthenticationOptions {
    /// What holds when nothing is said.
    pub(super) fn new() -> Self {
        AuthenticationOptions {
            channel_binding: ChannelBinding::Prefer,
            methods: None,
            passfile: None,
        }
    }

    /// Takes a parameter; false if it is none of authentication.
    pub(super) fn set(&mut self, key: &str, text: &str) -> Result<bool> {
        match key {
            "channel_binding" => {
                self.channel_binding = match text {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    _ => return Err(invalid_value(key, "It is disable, prefer or require.")),
                }
            }
            "require_auth" => self.methods = parse_methods(key, text)?,
            "passfile" => {
                self.passfile = Some(PathBuf::from(text)).filter(|_| !text.is_empty());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether the server may use this method.
    pub fn allows(&self, method: Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(&method))
    }
}

/// Parses `require_auth`: methods that may be used, or with `!` before each those that may not.
fn parse_methods(key: &str, text: &str) -> Result<Option<Vec<Method>>> {
    let invalid = || {
        invalid_value(
            key,
            "It lists some of none, password, md5, scram-sha-256, gss, sspi and oauth, either all of \
             them with a \"!\" in front or none.",
        )
    };
    let is_negated = text.starts_with('!');
    let mut listed = Vec::new();
    for element in split_list(text) {
        if element.starts_with('!') != is_negated {
            return Err(invalid());
        }
        let name = element.trim_start_matches('!');
        let (_, method) = METHODS.iter().find(|(known, _)| *known == name).ok_or_else(invalid)?;
        listed.extend(*method);
    }
    if text.is_empty() {
        return Ok(None);
    }
    let methods = METHODS.iter().filter_map(|(_, method)| *method);
    Ok(Some(methods.filter(|method| listed.contains(method) != is_negated).collect()))
}
