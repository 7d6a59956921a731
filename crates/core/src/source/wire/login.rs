//! The login: startup, authentication, and the server's greeting up to its first ReadyForQuery.
//!
//! Comes in: a channel in its login phase. Goes out: what the server said about the session. Every
//! refusal is an error that says what to change.

use std::fmt::Write;

use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::channel::{Channel, Message};
use super::message;
use super::scram::{Binding, Exchange};
use crate::error::{RemoteError, TOO_MANY_CONNECTIONS};
use crate::source::dsn::{ChannelBinding, Dsn, Endpoint, Method};
use crate::{Error, Result};

/// SQLSTATE of a wrong or missing password.
const INVALID_PASSWORD: &str = "28P01";

/// SQLSTATE of a login that is refused before any password.
pub(super) const INVALID_AUTHORIZATION: &str = "28000";

/// SQLSTATE for what this client cannot do.
const NOT_SUPPORTED: &str = "0A000";

/// SQLSTATE of a protocol violation.
pub(super) const PROTOCOL_VIOLATION: &str = "08P01";

/// Values that must hold from the first statement on, whatever defaults role and database have; they
/// exist in every supported version.
const STARTUP_SETTINGS: [(&str, &str); 4] = [
    ("client_encoding", "UTF8"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// What the server said about the session.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    /// Process id by the server's own account.
    pub(super) process_id: i32,
    /// Key for cancel requests.
    pub(super) secret_key: i32,
    /// Whether the server asked for the password and took it.
    pub(super) password_used: bool,
}

/// What the login runs over.
#[derive(Debug, Default)]
pub(super) struct Security {
    pub(super) is_encrypted: bool,
    /// What a login can be bound to.
    pub(super) end_point: Option<Vec<u8>>,
}

/// Logs in.
pub(super) fn log_in(
    channel: &mut Channel,
    security: &Security,
    dsn: &Dsn,
    endpoint: &Endpoint,
    application_name: &str,
) -> Result<Greeting> {
    let Some(user) = dsn.user() else {
        return Err(Error::ConnectionString {
            message: "connection string names no user".to_owned(),
            hint: Some("Add user=name.".to_owned()),
        });
    };
    // Ours comes first: the server cuts long ones off, and a run knows its sessions by it.
    let application_name = match dsn.application_name() {
        Some(theirs) => format!("{application_name} {theirs}"),
        None => application_name.to_owned(),
    };
    let mut parameters = vec![("user", user), ("application_name", application_name.as_str())];
    parameters.extend(dsn.dbname().map(|dbname| ("database", dbname)));
    parameters.extend(dsn.options().map(|options| ("options", options)));
    parameters.extend(STARTUP_SETTINGS);
    channel.send(&message::startup(&parameters))?;
    if let Some(text) = channel.receive_old_error()? {
        return Err(refusal(text, None, None));
    }

    let credentials = Credentials { user, dsn, endpoint, security };
    let password_used = authenticate(channel, &credentials)?;
    let mut greeting = Greeting { password_used, ..Greeting::default() };
    loop {
        let message = channel.receive()?;
        match message.tag {
            b'K' => {
                let mut body = channel.body(&message);
                let numbers = (message::take_i32(&mut body), message::take_i32(&mut body));
                let (Some(process_id), Some(secret_key)) = numbers else {
                    return Err(channel.violate("the server's process id cannot be read"));
                };
                greeting.process_id = process_id;
                greeting.secret_key = secret_key;
            }
            b'Z' => return Ok(greeting),
            _ => return Err(unexpected(channel, &message)),
        }
    }
}

/// Who logs in, where, and what the login must be like.
struct Credentials<'a> {
    user: &'a str,
    dsn: &'a Dsn,
    endpoint: &'a Endpoint,
    security: &'a Security,
}

impl Credentials<'_> {
    /// Refuses a method that `require_auth` or `channel_binding` rules out.
    fn check(&self, method: Method, is_bound: bool) -> Result<()> {
        let options = self.dsn.authentication();
        let asks = match method {
            Method::None => "lets us in without a password",
            Method::Password => "asks for the password in clear",
            Method::Md5 => "asks for md5 authentication",
            Method::Scram => "asks for SCRAM-SHA-256",
        };
        let ruled_out = if !options.allows(method) {
            "require_auth"
        } else if options.channel_binding == ChannelBinding::Require && !is_bound {
            "channel_binding"
        } else {
            return Ok(());
        };
        Err(refusal(
            format!("the server {asks}, which {ruled_out} rules out"),
            Some(INVALID_AUTHORIZATION),
            (ruled_out == "channel_binding").then_some(
                "channel_binding=require needs TLS, scram-sha-256 in the source's pg_hba.conf, and \
                 PostgreSQL 11 or newer.",
            ),
        ))
    }

    /// The password, or the error that says that one is needed.
    fn password(&self) -> Result<Zeroizing<Vec<u8>>> {
        self.dsn.password(self.endpoint)?.ok_or_else(|| {
            refusal(
                "the server asks for a password, and none was given".to_owned(),
                Some(INVALID_PASSWORD),
                Some("Add a password to the connection string, or use a foreign server with one."),
            )
        })
    }
}

/// Answers the server's authentication requests; returns whether a password was asked for.
fn authenticate(channel: &mut Channel, credentials: &Credentials<'_>) -> Result<bool> {
    let mut password_used = false;
    let mut is_bound = false;
    loop {
        let message = channel.receive()?;
        if message.tag != b'R' {
            return Err(unexpected(channel, &message));
        }
        let mut body = channel.body(&message);
        let request = message::take_i32(&mut body);
        let method = match (request, body) {
            (Some(0), _) => {
                if !password_used {
                    credentials.check(Method::None, is_bound)?;
                }
                return Ok(password_used);
            }
            (Some(3), _) if !password_used => {
                credentials.check(Method::Password, is_bound)?;
                channel.send(&message::password(&credentials.password()?))?;
                password_used = true;
                continue;
            }
            (Some(5), &[a, b, c, d]) if !password_used => {
                credentials.check(Method::Md5, is_bound)?;
                let hash = md5_hash(credentials.user, &credentials.password()?, [a, b, c, d]);
                channel.send(&message::password(hash.as_bytes()))?;
                password_used = true;
                continue;
            }
            (Some(10), mechanisms) if !password_used => {
                match choose_binding(mechanisms, credentials) {
                    Some(binding) => {
                        is_bound = matches!(binding, Binding::EndPoint(_));
                        credentials.check(Method::Scram, is_bound)?;
                        run_scram(channel, &credentials.password()?, binding)?;
                        password_used = true;
                        continue;
                    }
                    None => "SASL",
                }
            }
            (Some(2), _) => "Kerberos",
            (Some(6), _) => "SCM credentials",
            (Some(7 | 8), _) => "GSSAPI",
            (Some(9), _) => "SSPI",
            _ => return Err(channel.violate("an authentication request cannot be read")),
        };
        return Err(refusal(
            format!("the server asks for {method} authentication, which is not supported"),
            Some(NOT_SUPPORTED),
            Some(
                "In the source's pg_hba.conf, admit this server with scram-sha-256, md5, cert or \
                 trust.",
            ),
        ));
    }
}

/// What a SCRAM exchange is bound to, by the mechanisms that the server offers; None if it offers none
/// of them.
fn choose_binding(mut mechanisms: &[u8], credentials: &Credentials<'_>) -> Option<Binding> {
    let mut offers = Vec::new();
    while let Some(mechanism) = message::take_text(&mut mechanisms) {
        offers.push(mechanism);
    }
    let is_offered = |binding: &Binding| offers.iter().any(|offer| offer == binding.mechanism());
    let wants = credentials.dsn.authentication().channel_binding != ChannelBinding::Disable;
    let bound = credentials.security.end_point.clone().filter(|_| wants).map(Binding::EndPoint);
    match bound {
        Some(bound) if is_offered(&bound) => Some(bound),
        Some(_) => Some(Binding::NotOffered).filter(is_offered),
        None => Some(Binding::None).filter(is_offered),
    }
}

/// The answer to a request for md5: the hash of salt and of the hash that the server has stored.
fn md5_hash(user: &str, password: &[u8], salt: [u8; 4]) -> Zeroizing<String> {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(Zeroizing::new(String::new()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    let stored = hex(&Md5::new().chain_update(password).chain_update(user).finalize());
    let mut answer = Zeroizing::new("md5".to_owned());
    answer
        .push_str(&hex(&Md5::new().chain_update(stored.as_bytes()).chain_update(salt).finalize()));
    answer
}

/// Runs the SCRAM exchange, which also proves that the server knows the password.
fn run_scram(channel: &mut Channel, password: &[u8], binding: Binding) -> Result<()> {
    let failed = |why: &str| {
        refusal(format!("SCRAM authentication failed: {why}"), Some(PROTOCOL_VIOLATION), None)
    };
    let mechanism = binding.mechanism();
    let exchange = Exchange::new(password, binding).map_err(failed)?;
    let first = message::sasl_initial_response(mechanism, exchange.first_message().as_bytes());
    channel.send(&first)?;
    let challenge = receive_sasl(channel, 11)?;
    let (answer, expectation) = exchange.answer(&challenge).map_err(failed)?;
    channel.send(&message::sasl_response(answer.as_bytes()))?;
    let proof = receive_sasl(channel, 12)?;
    expectation.check(&proof).map_err(failed)
}

/// Receives the SASL message of the given kind.
fn receive_sasl(channel: &mut Channel, kind: i32) -> Result<Vec<u8>> {
    let message = channel.receive()?;
    let mut body = channel.body(&message);
    if message.tag == b'R' && message::take_i32(&mut body) == Some(kind) {
        return Ok(body.to_vec());
    }
    Err(unexpected(channel, &message))
}

/// The error for a message that has no place in a login: usually the server's own refusal.
fn unexpected(channel: &mut Channel, message: &Message) -> Error {
    if message.tag == b'E' {
        if let Some(error) = message::parse_error(channel.body(message)) {
            channel.close("the server refused the login");
            return Error::Remote(Box::new(error));
        }
    }
    channel.violate("an unexpected message during login")
}

/// An error of the login that no ErrorResponse stands for.
fn refusal(message: String, sqlstate: Option<&str>, hint: Option<&str>) -> Error {
    Error::Connect { message, sqlstate: sqlstate.map(str::to_owned), hint: hint.map(str::to_owned) }
}

/// What to do about a server's refusal of a login.
pub(super) fn hint_for(error: &RemoteError) -> Option<String> {
    let hint = match error.sqlstate.as_str() {
        INVALID_PASSWORD => "Check user and password in the connection string.",
        INVALID_AUTHORIZATION => {
            "Check the user, sslmode and sslcert, and that the source's pg_hba.conf admits this server."
        }
        "3D000" => "Check dbname in the connection string.",
        TOO_MANY_CONNECTIONS => "Use fewer jobs, or raise max_connections on the source.",
        "57P03" => "The source is starting up or shutting down; try again later.",
        PROTOCOL_VIOLATION if error.message.contains("startup parameter") => {
            "This looks like a connection pooler; connect to the server itself."
        }
        _ => return error.hint.clone(),
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests;
