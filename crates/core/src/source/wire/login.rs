//! The login: startup, authentication, and the server's greeting up to its first ReadyForQuery.
//!
//! Comes in: a channel in its login phase. Goes out: what the server said about the session. Every
//! refusal is an error that says what to change.

use postgres_protocol::authentication::{md5_hash, sasl};

use super::channel::{Channel, Message};
use super::message;
use crate::error::RemoteError;
use crate::source::dsn::Dsn;
use crate::{Error, Result};

/// SQLSTATE of a wrong or missing password.
const INVALID_PASSWORD: &str = "28P01";

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

/// Logs in.
pub(super) fn log_in(channel: &mut Channel, dsn: &Dsn, application_name: &str) -> Result<Greeting> {
    let Some(user) = dsn.user() else {
        return Err(Error::ConnectionString {
            message: "connection string names no user".to_owned(),
            hint: Some("Add user=name.".to_owned()),
        });
    };
    let application_name = dsn.application_name().unwrap_or(application_name);
    let mut parameters = vec![("user", user), ("application_name", application_name)];
    parameters.extend(dsn.dbname().map(|dbname| ("database", dbname)));
    parameters.extend(dsn.options().map(|options| ("options", options)));
    parameters.extend(STARTUP_SETTINGS);
    channel.send(&message::startup(&parameters))?;
    if let Some(text) = channel.receive_old_error()? {
        return Err(refusal(text, None, None));
    }

    let mut greeting = Greeting {
        password_used: authenticate(channel, user, dsn)?,
        ..Greeting::default()
    };
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

/// Answers the server's authentication requests; returns whether a password was asked for.
fn authenticate(channel: &mut Channel, user: &str, dsn: &Dsn) -> Result<bool> {
    let mut password_used = false;
    loop {
        let message = channel.receive()?;
        if message.tag != b'R' {
            return Err(unexpected(channel, &message));
        }
        let mut body = channel.body(&message);
        let request = message::take_i32(&mut body);
        let method = match (request, body) {
            (Some(0), _) => return Ok(password_used),
            (Some(3), _) if !password_used => {
                let answer = message::password(require_password(dsn)?);
                channel.send(&answer)?;
                password_used = true;
                continue;
            }
            (Some(5), &[a, b, c, d]) if !password_used => {
                let hash = md5_hash(user.as_bytes(), require_password(dsn)?, [a, b, c, d]);
                channel.send(&message::password(hash.as_bytes()))?;
                password_used = true;
                continue;
            }
            (Some(10), mechanisms) if !password_used => {
                if offers_scram(mechanisms) {
                    run_scram(channel, require_password(dsn)?)?;
                    password_used = true;
                    continue;
                }
                "SASL"
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
                "In the source's pg_hba.conf, admit this server with scram-sha-256, md5 or trust.",
            ),
        ));
    }
}

/// The password, or the error that says that one is needed.
fn require_password(dsn: &Dsn) -> Result<&[u8]> {
    dsn.password().ok_or_else(|| {
        refusal(
            "the server asks for a password, and none was given".to_owned(),
            Some(INVALID_PASSWORD),
            Some("Add a password to the connection string, or use a foreign server with one."),
        )
    })
}

/// Whether the list of a SASL request contains SCRAM-SHA-256.
fn offers_scram(mut mechanisms: &[u8]) -> bool {
    while let Some(mechanism) = message::take_text(&mut mechanisms) {
        if mechanism == sasl::SCRAM_SHA_256 {
            return true;
        }
    }
    false
}

/// Runs the SCRAM-SHA-256 exchange, which also proves that the server knows the password.
fn run_scram(channel: &mut Channel, password: &[u8]) -> Result<()> {
    let mut scram = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
    channel.send(&message::sasl_initial_response(
        sasl::SCRAM_SHA_256,
        scram.message(),
    ))?;
    let failed = |error: std::io::Error| {
        refusal(
            format!("SCRAM authentication failed: {error}"),
            Some(PROTOCOL_VIOLATION),
            None,
        )
    };
    let challenge = receive_sasl(channel, 11)?;
    scram.update(&challenge).map_err(failed)?;
    channel.send(&message::sasl_response(scram.message()))?;
    let proof = receive_sasl(channel, 12)?;
    scram.finish(&proof).map_err(failed)
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
    Error::Connect {
        message,
        sqlstate: sqlstate.map(str::to_owned),
        hint: hint.map(str::to_owned),
    }
}

/// What to do about a server's refusal of a login.
pub(super) fn hint_for(error: &RemoteError) -> Option<String> {
    let hint = match error.sqlstate.as_str() {
        INVALID_PASSWORD => "Check user and password in the connection string.",
        "28000" => {
            "Check the user, and that the source's pg_hba.conf admits this server without TLS, \
             which is not supported yet."
        }
        "3D000" => "Check dbname in the connection string.",
        "53300" => "Use fewer jobs, or raise max_connections on the source.",
        "57P03" => "The source is starting up or shutting down; try again later.",
        PROTOCOL_VIOLATION if error.message.contains("startup parameter") => {
            "This looks like a connection pooler; connect to the server itself."
        }
        _ => return error.hint.clone(),
    };
    Some(hint.to_owned())
}
