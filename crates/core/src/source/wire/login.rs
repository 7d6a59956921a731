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

    let mut greeting =
        Greeting { password_used: authenticate(channel, user, dsn)?, ..Greeting::default() };
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
    channel.send(&message::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message()))?;
    let failed = |error: std::io::Error| {
        refusal(format!("SCRAM authentication failed: {error}"), Some(PROTOCOL_VIOLATION), None)
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
    Error::Connect { message, sqlstate: sqlstate.map(str::to_owned), hint: hint.map(str::to_owned) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::wire::{Connection, fake};

    /// Connects to a server that follows the script; returns the outcome and what it was sent.
    fn connect(script: &[Vec<u8>], parameters: &str) -> (Result<Connection>, Vec<Vec<u8>>) {
        let (port, server) = fake::serve(script.to_vec());
        let dsn = format!("host=127.0.0.1 port={port} user=u {parameters}");
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
            (fake::authentication(5, b"salt"), md5_hash(b"u", b"secret", *b"salt")),
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
        let dsn = format!("host=127.0.0.1,127.0.0.1 port={starting},{serving} user=u");
        assert!(Connection::connect(&Dsn::parse(&dsn).unwrap(), "test").is_ok());
        first.join().unwrap();
        second.join().unwrap();

        let (refusing, server) = fake::serve(vec![fake::error("28P01", "wrong")]);
        let dsn = format!("host=127.0.0.1,/nowhere port={refusing},1 user=u");
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
