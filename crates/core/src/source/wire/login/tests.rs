use std::io::{self, Write};
use std::net::TcpListener;
use std::thread;

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
        (&[fake::greeting(), [fake::error("42883", "unknown"), fake::ready()].concat()], "42883"),
        (&[fake::greeting(), [fake::complete("X"), fake::ready()].concat()], "version"),
    ];
    for (script, expected) in cases {
        let text = failure(script, "password=secret");
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(text.contains("could not connect to the source at \"127.0.0.1\", port"), "{text}");
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
    let dsn = format!("host=127.0.0.1,127.0.0.1 port={starting},{serving} sslmode=disable user=u");
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
    assert!(error.to_string().contains("/nowhere") && error.to_string().contains("/neverwhere"));
    assert_eq!(error.sqlstate(), "08001");
}

#[test]
fn a_standby_that_is_not_there_is_replaced_only_if_it_was_a_preference() {
    let script = || vec![fake::greeting(), identity()];
    let (text, _) = connect(&script(), "target_session_attrs=standby");
    assert!(text.err().unwrap().to_string().contains("target_session_attrs"));
    assert!(connect(&script(), "target_session_attrs=primary").0.is_ok());
}

/// A server in a state that lets anybody in; its port.
fn server_in_state(state: [&'static str; 2]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let pid = fake::PROCESS_ID;
            let identity = fake::identity_in_state("150001", "PostgreSQL 15.1", pid, state);
            client.write_all(&[fake::greeting(), identity].concat()).unwrap();
            // Until the client has gone.
            let _ = io::copy(&mut client, &mut io::sink());
        }
    });
    port
}

#[test]
fn of_several_hosts_the_first_in_the_state_asked_for_is_taken() {
    let names = ["standby", "read-only", "primary"];
    let ports = [["t", "t"], ["f", "t"], ["f", "f"]].map(server_in_state);
    let connect = |order: &[usize], wanted: &str| {
        let ports_in_order: Vec<_> = order.iter().map(|host| ports[*host].to_string()).collect();
        let hosts = vec!["127.0.0.1"; order.len()].join(",");
        let dsn = format!(
            "host={hosts} port={} sslmode=disable user=u target_session_attrs={wanted}",
            ports_in_order.join(",")
        );
        let connection = Connection::connect(&Dsn::parse(&dsn).unwrap(), "test").ok()?;
        let Endpoint::Tcp { port, .. } = connection.endpoint() else { unreachable!() };
        ports.iter().position(|other| other == port).map(|position| names[position])
    };
    for (wanted, of_all, of_all_backwards, of_standbys, of_primaries) in [
        ("any", "standby", "primary", Some("standby"), Some("primary")),
        ("read-write", "primary", "primary", None, Some("primary")),
        ("read-only", "standby", "read-only", Some("standby"), None),
        ("primary", "read-only", "primary", None, Some("primary")),
        ("standby", "standby", "standby", Some("standby"), None),
        ("prefer-standby", "standby", "standby", Some("standby"), Some("primary")),
    ] {
        assert_eq!(connect(&[0, 1, 2], wanted), Some(of_all), "{wanted}");
        assert_eq!(connect(&[2, 1, 0], wanted), Some(of_all_backwards), "{wanted}");
        assert_eq!(connect(&[0, 0], wanted), of_standbys, "{wanted}");
        assert_eq!(connect(&[2, 2], wanted), of_primaries, "{wanted}");
    }
}
