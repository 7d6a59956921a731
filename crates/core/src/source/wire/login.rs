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
use crate::error::RemoteError;
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
    let application_name = dsn.application_name().unwrap_or(application_name);
    let mut parameters = vec![("user", user), ("application_name", application_name)];
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
        "53300" => "Use fewer jobs, or raise max_connections on the source.",
        "57P03" => "The source is starting up or shutting down; try again later.",
        PROTOCOL_VIOLATION if error.message.contains("startup parameter") => {
            "This looks like a connection pooler; connect to the server itself."
        }
        _ => return error.hint.clone(),
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::wire::{Connection, fake};

    /// Connects to a server that follows the script; returns the outcome and what it was sent.
    fn connect(script: &[Vec<u8>], parameters: &str) -> (Result<Connection>, Vec<Vec<u8>>) {
        let (port, server) = fake::serve(script.to_vec());
        let dsn = format!("host=127.0.0.1 port={port} sslmode=disable user=u {parameters}");
        let mut outcome = Connection::connect(&Dsn::parse(&dsn).unwrap(), "pgmig test");
        if let Ok(connection) = &mut outcome {
            connection.channel.close("the test is over");
        }
        (outcome, server.join().unwrap())
    }

    /// The error of a login, as one text.
    fn failure(script: &[Vec<u8>], parameters: &str) -> String {
        let error = connect(script, parameters).0.err().expect("the login must fail");
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
        format!("{} {error} {}", error.sqlstate(), error.hint().unwrap_or(""))
    }

    fn identity() -> Vec<u8> {
        fake::identity("150001", "PostgreSQL 15.1", fake::PROCESS_ID)
    }

    #[test]
    fn a_trusting_server_is_not_sent_the_password() {
        let script = [fake::greeting(), identity()];
        let (outcome, sent) = connect(&script, "password=secret dbname=d options='-c a=b'");
        let connection = outcome.unwrap();
        assert!(!connection.password_used());
        assert_eq!(connection.parameter("server_version"), Some("15.1"));
        assert_eq!(connection.process_id(), fake::PROCESS_ID);
        let startup = String::from_utf8_lossy(&sent[0]).into_owned();
        for pair in
            ["user\0u\0", "database\0d\0", "options\0-c a=b\0", "application_name\0pgmig test\0"]
        {
            assert!(startup.contains(pair), "{startup:?}");
        }
        assert!(!format!("{sent:?}").contains("secret"));
    }

    #[test]
    fn a_server_that_asks_for_it_is_sent_the_password_or_its_hash() {
        for (request, answer) in [
            (fake::authentication(3, b""), "secret".to_owned()),
            (fake::authentication(5, b"salt"), md5_hash("u", b"secret", *b"salt").to_string()),
        ] {
            let script = [request, fake::greeting(), identity()];
            let (outcome, sent) = connect(&script, "password=secret");
            assert!(outcome.unwrap().password_used());
            assert_eq!(sent[1][HEADER..], *format!("{answer}\0").as_bytes());
        }
    }

    /// Bytes before a message's body.
    const HEADER: usize = message::HEADER_BYTES;

    #[test]
    fn refusals_say_what_to_change_and_never_the_password() {
        let scram = fake::authentication(10, b"SCRAM-SHA-256\0\0");
        let cases: &[(&[Vec<u8>], &str)] = &[
            (&[fake::error("28P01", "password authentication failed")], "28P01"),
            (&[fake::error("28000", "no pg_hba.conf entry")], "pg_hba.conf admits"),
            (&[fake::error("3D000", "database does not exist")], "dbname"),
            (&[fake::error("53300", "too many clients")], "max_connections"),
            (&[fake::error("57P03", "starting up")], "try again"),
            (&[fake::error("08P01", "unsupported startup parameter: x")], "pooler"),
            (&[fake::authentication(2, b"")], "Kerberos"),
            (&[fake::authentication(7, b"")], "GSSAPI"),
            (&[fake::authentication(9, b"")], "SSPI"),
            (&[fake::authentication(10, b"OTHER\0\0")], "SASL"),
            (&[fake::authentication(77, b"")], "as PostgreSQL does"),
            (&[b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], "as PostgreSQL does"),
            (&[b"SSH-2.0-OpenSSH\r\n".to_vec()], "as PostgreSQL does"),
            (&[b"EFATAL:  could not fork\n\0".to_vec()], "could not fork"),
            (&[fake::ready()], "unexpected message"),
            (&[fake::message(b'R', b"")], "as PostgreSQL does"),
            (&[scram.clone(), fake::greeting()], "unexpected message"),
            (&[scram.clone(), fake::authentication(11, b"r=x,s=eA==,i=1")], "SCRAM"),
            (&[fake::authentication(3, b""), fake::authentication(3, b"")], "cannot be read"),
            (
                &[fake::greeting(), [fake::error("42883", "unknown"), fake::ready()].concat()],
                "42883",
            ),
            (&[fake::greeting(), [fake::complete("X"), fake::ready()].concat()], "version"),
        ];
        for (script, expected) in cases {
            let text = failure(script, "password=secret");
            assert!(text.contains(expected), "{expected}: {text}");
            assert!(
                text.contains("could not connect to the source at \"127.0.0.1\", port"),
                "{text}"
            );
            assert!(!text.contains("secret"), "{text}");
        }
        for request in [fake::authentication(3, b""), fake::authentication(5, b"salt"), scram] {
            assert!(failure(&[request], "").contains("28P01"));
        }
    }

    #[test]
    fn a_silent_server_is_given_up_after_the_connect_timeout() {
        let started = std::time::Instant::now();
        let text = failure(&[Vec::new()], "connect_timeout=1");
        assert!(text.contains("within the time allowed"), "{text}");
        assert!(started.elapsed().as_secs() < 5);
        assert!(failure(&[], "").contains("closed the connection"));
    }

    #[test]
    fn the_next_host_is_tried_when_one_cannot_serve_but_not_when_it_refuses() {
        let (starting, first) = fake::serve(vec![fake::error("57P03", "starting up")]);
        let (serving, second) = fake::serve(vec![fake::greeting(), identity()]);
        let dsn =
            format!("host=127.0.0.1,127.0.0.1 port={starting},{serving} sslmode=disable user=u");
        assert!(Connection::connect(&Dsn::parse(&dsn).unwrap(), "test").is_ok());
        first.join().unwrap();
        second.join().unwrap();

        let (refusing, server) = fake::serve(vec![fake::error("28P01", "wrong")]);
        let dsn = format!("host=127.0.0.1,/nowhere port={refusing},1 sslmode=disable user=u");
        let error = Connection::connect(&Dsn::parse(&dsn).unwrap(), "test").err().unwrap();
        assert!(!error.to_string().contains("/nowhere"), "{error}");
        server.join().unwrap();

        let dsn = Dsn::parse("host=/nowhere,/neverwhere user=u").unwrap();
        let error = Connection::connect(&dsn, "test").err().unwrap();
        assert!(
            error.to_string().contains("/nowhere") && error.to_string().contains("/neverwhere")
        );
        assert_eq!(error.sqlstate(), "08001");
    }

    #[test]
    fn a_standby_that_is_not_there_is_replaced_only_if_it_was_a_preference() {
        let script = || vec![fake::greeting(), identity()];
        let (text, _) = connect(&script(), "target_session_attrs=standby");
        assert!(text.err().unwrap().to_string().contains("target_session_attrs"));
        assert!(connect(&script(), "target_session_attrs=primary").0.is_ok());
    }
}
