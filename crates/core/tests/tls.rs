//! TLS against a real server, with certificates made for it.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use pgmig_core::source::dsn::Dsn;
use pgmig_core::source::wire::Connection;
use pgmig_core::{Error, Result};
use support::Cluster;
use support::certificates::{Authority, Certified, Files, Purpose};

/// Who may come in how. `any` may come in both ways, `cert` needs a client certificate of that name.
const HBA: &str = "\
    hostssl all tls_only 127.0.0.1/32 scram-sha-256\n\
    hostnossl all plain_only 127.0.0.1/32 scram-sha-256\n\
    host all any 127.0.0.1/32 scram-sha-256\n\
    hostssl all cert 127.0.0.1/32 cert\n\
    hostssl all twice 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n\
    host all md5 127.0.0.1/32 md5\n\
    host all trusted 127.0.0.1/32 trust";

/// The name that the server's certificate is for.
const HOST: &str = "db.example.test";

/// A server with TLS, and the certificates around it.
struct Guarded {
    cluster: Cluster,
    files: Files,
    authority: Authority,
}

impl Guarded {
    /// Starts a server whose certificate is for `HOST`.
    fn start() -> Guarded {
        let files = Files::new();
        let authority = Authority::root("pgmig test root");
        let server = authority.certify(Purpose::Server, HOST, &[HOST]);
        let certificate = files.write("server.crt", &server.certificate);
        let key = files.write("server.key", &server.key);
        let root = files.write("root.crt", &authority.pem());
        files.write("other.crt", &Authority::root("another root").pem());
        let settings = format!(
            "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nssl_ca_file = '{}'",
            certificate.display(),
            key.display(),
            root.display()
        );
        let cluster = Cluster::start(HBA, &settings);
        cluster
            .client()
            .batch_execute(
                "set password_encryption = 'scram-sha-256';\
                 create role tls_only login password 'geheim';\
                 create role plain_only login password 'geheim';\
                 create role \"any\" login password 'geheim';\
                 create role cert login;\
                 create role twice login password 'geheim';\
                 create role trusted login;\
                 set password_encryption = 'md5';\
                 create role md5 login password 'geheim'",
            )
            .unwrap();
        Guarded { cluster, files, authority }
    }

    /// The server that tests share which do not change it; it stops with the last of them.
    fn shared() -> Arc<Guarded> {
        static SHARED: Mutex<Weak<Guarded>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Guarded::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A connection string, with `ROOT` and the like standing for files.
    fn dsn(&self, parameters: &str) -> String {
        let directory = self.files.directory().display();
        format!(
            "host={HOST} hostaddr=127.0.0.1 port={} dbname=postgres password=geheim {}",
            self.cluster.port,
            parameters.replace("FILES", &directory.to_string())
        )
    }

    fn connect(&self, parameters: &str) -> Result<Connection> {
        Connection::connect(&Dsn::parse(&self.dsn(parameters))?, "pgmig test")
    }

    /// The TLS version of a session, empty if there is none; or the error with its hint.
    fn outcome(&self, parameters: &str) -> std::result::Result<String, String> {
        match self.connect(parameters) {
            Ok(mut connection) => Ok(tls_version(&mut connection)),
            Err(error) => Err(format!("{} {error} {:?}", error.sqlstate(), error.hint())),
        }
    }

    /// Fails unless the parameters lead to this TLS version, or to an error that contains this text.
    fn expect(&self, parameters: &str, expected: std::result::Result<&str, &str>) {
        let outcome = self.outcome(parameters);
        let is_met = match (&outcome, expected) {
            (Ok(version), Ok(expected)) => version == expected,
            (Err(error), Err(expected)) => error.contains(expected) && !error.contains("geheim"),
            _ => false,
        };
        assert!(is_met, "{parameters}: {outcome:?} instead of {expected:?}");
    }

    /// Has the server show another certificate from now on.
    fn show(&self, name: &str, certified: &Certified, rest_of_chain: &str) {
        let chain = format!("{}{rest_of_chain}", certified.certificate);
        let certificate = self.files.write(&format!("{name}.crt"), &chain);
        let key = self.files.write(&format!("{name}.key"), &certified.key);
        self.cluster.configure(&[
            ("ssl_cert_file", &certificate.display().to_string()),
            ("ssl_key_file", &key.display().to_string()),
        ]);
    }
}

/// The TLS version that the server sees, empty if there is none.
fn tls_version(connection: &mut Connection) -> String {
    let sql = "select coalesce(version, '') from pg_stat_ssl where pid = pg_backend_pid()";
    connection.query(sql).unwrap().remove(0).remove(0).unwrap()
}

const V13: std::result::Result<&str, &str> = Ok("TLSv1.3");
const PLAIN: std::result::Result<&str, &str> = Ok("");

#[test]
fn sslmode_decides_whether_a_session_is_encrypted() {
    let server = Guarded::shared();
    let can_direct = server.connect("user=any").unwrap().server().version_num >= 170_000;
    let direct = if can_direct { V13 } else { Err("08001") };
    for (parameters, expected) in [
        ("user=any", V13),
        ("user=any sslmode=disable", PLAIN),
        ("user=any sslmode=allow", PLAIN),
        ("user=any sslmode=prefer", V13),
        ("user=any sslmode=require", V13),
        ("user=tls_only sslmode=disable", Err("28000")),
        ("user=tls_only sslmode=allow", V13),
        ("user=tls_only sslmode=prefer", V13),
        ("user=plain_only sslmode=allow", PLAIN),
        ("user=plain_only sslmode=prefer", PLAIN),
        ("user=plain_only sslmode=require", Err("28000")),
        ("user=any sslmode=prefer password=wrong", Err("28P01")),
        ("user=nobody sslmode=prefer", Err("28000")),
        ("user=any sslmode=require ssl_max_protocol_version=TLSv1.2", Ok("TLSv1.2")),
        ("user=any sslmode=require ssl_min_protocol_version=TLSv1.3", V13),
        ("user=any sslmode=require sslnegotiation=direct", direct),
        ("user=any sslmode=require sslsni=0", V13),
    ] {
        server.expect(parameters, expected);
    }
}

#[test]
fn a_server_without_tls_serves_those_who_only_prefer_it() {
    let cluster = Cluster::start("host all all 127.0.0.1/32 trust", "");
    let connect = |parameters: &str| {
        let dsn = format!(
            "host=127.0.0.1 port={} user=postgres dbname=postgres {parameters}",
            cluster.port
        );
        Connection::connect(&Dsn::parse(&dsn).unwrap(), "pgmig test")
    };
    for mode in ["disable", "allow", "prefer"] {
        assert_eq!(tls_version(&mut connect(&format!("sslmode={mode}")).unwrap()), "");
    }
    let error = connect("sslmode=require").err().unwrap();
    assert!(error.to_string().contains("does not support TLS"), "{error}");
    assert!(error.hint().unwrap().contains("ssl on"), "{error:?}");
    let error = connect("channel_binding=require").err().unwrap();
    assert!(error.to_string().contains("channel_binding"), "{error}");
    let socket = cluster.socket().display();
    let dsn = format!("host={socket} port={} user=postgres sslmode=require", cluster.port);
    assert!(Connection::connect(&Dsn::parse(&dsn).unwrap(), "pgmig test").is_ok());
}

#[test]
fn a_certificate_is_checked_as_far_as_sslmode_says() {
    let server = Guarded::shared();
    let name = "host=wrong.example.test";
    for (parameters, expected) in [
        ("sslmode=verify-ca sslrootcert=FILES/root.crt", V13),
        ("sslmode=verify-full sslrootcert=FILES/root.crt", V13),
        (
            "sslmode=verify-full sslrootcert=FILES/root.crt ssl_max_protocol_version=TLSv1.2",
            Ok("TLSv1.2"),
        ),
        (&format!("sslmode=verify-ca sslrootcert=FILES/root.crt {name}"), V13),
        (
            &format!("sslmode=verify-full sslrootcert=FILES/root.crt {name}"),
            Err("not one for host name \"wrong.example.test\""),
        ),
        ("sslmode=verify-full sslrootcert=FILES/root.crt host=127.0.0.1", Err("host name")),
        ("sslmode=verify-full sslrootcert=FILES/other.crt", Err("no trusted authority")),
        ("sslmode=verify-ca sslrootcert=FILES/other.crt", Err("no trusted authority")),
        ("sslmode=require sslrootcert=FILES/other.crt", Err("no trusted authority")),
        ("sslmode=prefer sslrootcert=FILES/other.crt", V13),
        ("sslmode=verify-full", Err("sslrootcert=system")),
        ("sslrootcert=system", Err("operating system")),
        ("sslmode=require sslrootcert=system", Err("verify-full")),
        ("sslmode=verify-ca sslrootcert=FILES/missing.crt", Err("missing.crt")),
        ("sslmode=verify-ca sslrootcert=FILES/server.key", Err("no certificate in it")),
        ("sslmode=verify-ca sslrootcert=FILES", Err("regular file")),
    ] {
        server.expect(&format!("user=tls_only {parameters}"), expected);
    }
}

#[test]
fn certificates_of_every_kind_are_judged_as_libpq_judges_them() {
    let server = Guarded::start();
    let root = &server.authority;
    let full = "user=tls_only sslmode=verify-full sslrootcert=FILES/root.crt";
    let revoked = format!("{full} sslcrl=FILES/list.crl");
    server.files.write("list.crl", &root.revoke(7));

    server.show("expired", &root.certify_expired(HOST), "");
    server.expect(full, Err("has expired"));
    server.expect("user=tls_only sslmode=require", V13);

    server.show("star", &root.certify(Purpose::Server, "x", &["*.example.test"]), "");
    server.expect(full, V13);
    server.show("nested", &root.certify(Purpose::Server, HOST, &["*.test"]), "");
    server.expect(full, Err("host name"));

    // The common name counts only where no alternative name of the kind is.
    server.show("common", &root.certify(Purpose::Server, HOST, &[]), "");
    server.expect(full, V13);
    server.show("address", &root.certify(Purpose::Server, HOST, &["127.0.0.1"]), "");
    server.expect(full, V13);
    server.expect(&format!("{full} host=127.0.0.1"), V13);
    server.expect(&format!("{full} host=127.0.0.2"), Err("host name"));
    server.show("client", &root.certify(Purpose::Client, HOST, &[HOST]), "");
    server.expect(full, Err("cannot be trusted"));

    let intermediate = root.intermediate("between");
    let below = intermediate.certify(Purpose::Server, HOST, &[HOST]);
    server.show("lonely", &below, "");
    server.expect(full, Err("no trusted authority"));
    server.show("chain", &below, &intermediate.pem());
    server.expect(full, V13);

    server.show("revoked", &root.certify_numbered(HOST, 7), "");
    server.expect(full, V13);
    server.expect(&revoked, Err("revoked"));
    server.show("valid", &root.certify_numbered(HOST, 8), "");
    server.expect(&revoked, V13);
}

/// Runs a shell script with openssl commands in the directory, as the servers' user.
fn run_openssl(files: &Files, script: &str) {
    let script = format!("cd {} && {{ {script}; }}", files.directory().display());
    support::output(support::command("bash").args(["-euo", "pipefail", "-c", &script]));
}

#[test]
fn the_certificates_of_postgresqls_documentation_are_taken() {
    let server = Guarded::start();
    // Self-signed; signed by a root; signed by an intermediate authority. The latter two are of
    // version 1 with OpenSSL before 3.2.
    run_openssl(
        &server.files,
        &format!(
            "exec 2>/dev/null
             openssl req -new -x509 -days 365 -nodes -out self.crt -keyout self.key -subj /CN={HOST}
             printf '[v3_ca]\\nbasicConstraints=critical,CA:true\\n' > ca.cnf
             openssl req -new -nodes -out ca.csr -keyout ca.key -subj /CN=ca
             openssl x509 -req -in ca.csr -days 3650 -extfile ca.cnf -extensions v3_ca \
                 -signkey ca.key -out ca.crt
             openssl req -new -nodes -out between.csr -keyout between.key -subj /CN=between
             openssl x509 -req -in between.csr -days 1825 -extfile ca.cnf -extensions v3_ca \
                 -CA ca.crt -CAkey ca.key -CAcreateserial -out between.crt
             for by in ca between; do
                 openssl req -new -nodes -out by_$by.csr -keyout by_$by.key -subj /CN={HOST}
                 openssl x509 -req -in by_$by.csr -days 365 -CA $by.crt -CAkey $by.key \
                     -CAcreateserial -out by_$by.crt
             done
             cat between.crt >> by_between.crt
             openssl req -new -nodes -out client.csr -keyout client.key -subj /CN=cert
             openssl x509 -req -in client.csr -days 365 -CA ca.crt -CAkey ca.key \
                 -CAcreateserial -out client.crt
             openssl req -new -nodes -out forged.csr -keyout forged.key -subj /CN=ca
             openssl x509 -req -in forged.csr -days 365 -extfile ca.cnf -extensions v3_ca \
                 -signkey forged.key -out forged.crt"
        ),
    );
    let path = |name: &str| server.files.path(name).display().to_string();
    for (name, root) in [("self", "self"), ("by_ca", "ca"), ("by_between", "ca")] {
        server.cluster.configure(&[
            ("ssl_cert_file", &path(&format!("{name}.crt"))),
            ("ssl_key_file", &path(&format!("{name}.key"))),
            ("ssl_ca_file", &path("ca.crt")),
        ]);
        for version in ["TLSv1.2", "TLSv1.3"] {
            let full = format!(
                "sslmode=verify-full sslrootcert=FILES/{root}.crt ssl_max_protocol_version={version}"
            );
            server.expect(&format!("user=tls_only channel_binding=require {full}"), Ok(version));
            server.expect(&format!("user=tls_only host=other {full}"), Err("host name"));
            let client = "sslcert=FILES/client.crt sslkey=FILES/client.key";
            server.expect(&format!("user=cert {client} {full}"), Ok(version));
        }
        for other in ["root", "forged"] {
            let wrong = format!("user=tls_only sslmode=verify-ca sslrootcert=FILES/{other}.crt");
            server.expect(&wrong, Err("no trusted authority"));
        }
    }
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_asks_for_it() {
    let server = Guarded::shared();
    let files = &server.files;
    let client = server.authority.certify(Purpose::Client, "cert", &[]);
    files.write("client.crt", &client.certificate);
    files.write("client.key", &client.key);
    let stranger = Authority::root("stranger").certify(Purpose::Client, "cert", &[]);
    files.write("stranger.crt", &stranger.certificate);
    files.write("stranger.key", &stranger.key);
    let open_key = files.write("open.key", &client.key);
    Command::new("chmod").arg("644").arg(&open_key).status().unwrap();
    let ours = "sslcert=FILES/client.crt sslkey=FILES/client.key";
    for (parameters, expected) in [
        (format!("user=cert {ours}"), V13),
        (format!("user=cert {ours} ssl_max_protocol_version=TLSv1.2"), Ok("TLSv1.2")),
        (format!("user=twice {ours}"), V13),
        (format!("user=cert {ours} sslcertmode=require"), V13),
        (format!("user=cert {ours} sslcertmode=disable"), Err("28000")),
        // Shown, but not needed.
        (format!("user=tls_only {ours}"), V13),
        ("user=cert".to_owned(), Err("28000")),
        ("user=twice".to_owned(), Err("28000")),
        ("user=cert sslcert=FILES/stranger.crt sslkey=FILES/stranger.key".to_owned(), Err("08")),
        (
            "user=cert sslcert=FILES/client.crt sslkey=FILES/stranger.key".to_owned(),
            Err("not the key"),
        ),
        (
            "user=cert sslcert=FILES/client.crt sslkey=FILES/open.key".to_owned(),
            Err("group or world"),
        ),
        ("user=cert sslcert=FILES/client.crt sslkey=FILES/none.key".to_owned(), Err("none.key")),
        (
            "user=cert sslcert=FILES/client.crt sslkey=FILES/client.crt".to_owned(),
            Err("client.crt"),
        ),
        (
            "user=cert sslcert=FILES/client.key sslkey=FILES/client.key".to_owned(),
            Err("client.key"),
        ),
    ] {
        server.expect(&format!("{parameters} sslmode=require"), expected);
    }
}

#[test]
fn a_login_is_bound_to_its_connection_if_it_can_be() {
    let server = Guarded::shared();
    for (parameters, expected) in [
        ("user=any", V13),
        ("user=any channel_binding=require", V13),
        ("user=any channel_binding=disable", V13),
        ("user=any channel_binding=require sslmode=disable", Err("channel_binding")),
        ("user=md5 channel_binding=require", Err("channel_binding")),
        ("user=trusted channel_binding=require", Err("channel_binding")),
        ("user=any channel_binding=require password=wrong", Err("28P01")),
        ("user=md5 require_auth=scram-sha-256", Err("require_auth")),
        ("user=md5 require_auth=!md5", Err("require_auth")),
        ("user=trusted require_auth=!none", Err("require_auth")),
        ("user=any require_auth=scram-sha-256", V13),
        ("user=trusted require_auth=none", V13),
    ] {
        server.expect(parameters, expected);
    }
}

/// A listener that hands everything on to a server and keeps what the clients sent.
fn eavesdrop(port: u16) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own_port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::clone(&heard);
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let number = {
                let mut sent: std::sync::MutexGuard<'_, Vec<Vec<u8>>> = sent.lock().unwrap();
                sent.push(Vec::new());
                sent.len() - 1
            };
            let sent = Arc::clone(&sent);
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    sent.lock().unwrap()[number].extend(&buffer[..count]);
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
            let (mut from, mut to) = (server, client);
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (own_port, heard)
}

#[test]
fn nobody_on_the_way_sees_statements_keys_or_passwords() {
    let server = Guarded::shared();
    let (port, heard) = eavesdrop(server.cluster.port);
    let mut connection = server.connect(&format!("user=tls_only port={port}")).unwrap();
    let token = connection.cancel_token();
    let sleeper = thread::spawn(move || connection.execute("select 'magic', pg_sleep(60)"));
    server
        .cluster
        .client()
        .batch_execute(
            "do $$ begin
             while not exists (select from pg_stat_activity where query like '%magic%pg_sleep%'
                 and usename = 'tls_only' and state = 'active') loop
                 perform pg_sleep(0.01), pg_stat_clear_snapshot();
             end loop; end $$",
        )
        .unwrap();
    token.cancel().unwrap();
    let outcome = sleeper.join().unwrap();
    assert!(
        matches!(&outcome, Err(Error::Remote(error)) if error.sqlstate == "57014"),
        "{outcome:?}"
    );
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2, "a session and a cancel request");
    for sent in heard.iter() {
        assert_eq!(sent[..8], [0, 0, 0, 8, 4, 210, 22, 47], "asks for TLS first");
        let text = String::from_utf8_lossy(sent);
        for secret in ["geheim", "magic", "tls_only"] {
            assert!(!text.contains(secret), "{secret}");
        }
        let cancel_request = [4, 210, 22, 46];
        assert!(!sent.windows(4).any(|window| window == cancel_request));
    }
}

#[test]
fn bulk_data_arrives_whole_over_tls() {
    let server = Guarded::shared();
    let copy = |parameters: &str| {
        let mut connection = server.connect(parameters).unwrap();
        let mut data = Vec::new();
        let sql =
            "copy (select i, repeat('x', i % 1000) from generate_series(1, 50000) i) to stdout";
        let rows = connection.copy_out(sql, &mut |buffer: Vec<u8>| {
            data.extend(buffer);
            ControlFlow::Continue(())
        });
        assert_eq!(rows.unwrap(), 50_000);
        let long = "x".repeat(3_000_000);
        let rows = connection.query(&format!("select '{long}', length('{long}')")).unwrap();
        assert!(rows == [[Some(long), Some("3000000".to_owned())]]);
        data
    };
    let expected = copy("user=any sslmode=disable");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let parameters = format!("user=any sslmode=require ssl_max_protocol_version={version}");
        assert!(copy(&parameters) == expected, "{version}");
    }
}

#[test]
fn passwords_come_from_a_file_that_only_its_owner_reads() {
    let server = Guarded::shared();
    let port = server.cluster.port;
    server
        .files
        .write("pass", &format!("other:{port}:*:*:wrong\n{HOST}:{port}:postgres:any:geheim\n"));
    server.files.write("wrong", &format!("{HOST}:{port}:postgres:any:wrong\n"));
    let open = server.files.write("open", "*:*:*:*:geheim\n");
    Command::new("chmod").arg("640").arg(open).status().unwrap();
    for (file, expected) in [
        ("pass", V13),
        ("wrong", Err("28P01")),
        ("open", Err("group or world")),
        ("missing", Err("missing")),
    ] {
        server.expect(&format!("user=any password='' passfile=FILES/{file}"), expected);
    }
}

/// A listener that answers the first bytes of each client with these, one piece after a pause another,
/// and then says nothing until the client leaves.
fn answer(pieces: Vec<Vec<u8>>, pause: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let pieces = pieces.clone();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                let _ = client.read(&mut buffer);
                for piece in pieces {
                    if client.write_all(&piece).is_err() {
                        return;
                    }
                    thread::sleep(pause);
                }
                while let Ok(1..) = client.read(&mut buffer) {}
            });
        }
    });
    port
}

#[test]
fn a_server_that_answers_the_request_for_tls_with_anything_else_is_refused_in_time() {
    let greeting = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I".to_vec();
    let trickle = [b"S".to_vec()].into_iter().chain(vec![vec![22]; 100]).collect();
    for (pieces, expected) in [
        (vec![b"N".to_vec()], "does not support TLS"),
        (vec![b"?".to_vec()], "as PostgreSQL does"),
        (vec![b"E\0\0\0\x20SFATAL\0Mgive up\0\0".to_vec()], "with an error"),
        (vec![b"S".to_vec(), b"HTTP/1.1 400\r\n\r\n".repeat(100)], "TLS failed"),
        // What comes in clear behind the answer is not believed.
        (vec![[b"S".to_vec(), greeting].concat()], "TLS failed"),
        (vec![b"S\x16\x03\x03\x40\x00\x02\xff\xff\xff".to_vec()], "within the time allowed"),
        (vec![b"S\x15\x03\x03\x00\x02\x02\x28".to_vec()], "HandshakeFailure"),
        (vec![b"S".to_vec()], "within the time allowed"),
        (vec![], "within the time allowed"),
        (trickle, ""),
    ] {
        let what = format!("{:?}", &pieces.first());
        let port = answer(pieces, Duration::from_millis(100));
        let dsn = format!("host=127.0.0.1 port={port} user=u sslmode=require connect_timeout=1");
        let begun = Instant::now();
        let error = Connection::connect(&Dsn::parse(&dsn).unwrap(), "test").err().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: {:?}", begun.elapsed());
        let text = error.to_string();
        assert!(text.contains(expected) && !text.contains("give up"), "{what}: {text}");
    }
}

/// The name in the greeting of the TLS client that connects with these parameters.
fn name_sent(parameters: &str) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let is_direct = parameters.contains("direct");
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        if !is_direct {
            client.read_exact(&mut [0; 8]).unwrap();
            client.write_all(b"S").unwrap();
        }
        let mut acceptor = rustls::server::Acceptor::default();
        let accepted = loop {
            acceptor.read_tls(&mut client).unwrap();
            if let Some(accepted) = acceptor.accept().map_err(|(error, _)| error).unwrap() {
                break accepted;
            }
        };
        accepted.client_hello().server_name().map(str::to_owned)
    });
    let dsn = format!("port={port} user=u {parameters}");
    // The server leaves without an answer.
    assert!(Connection::connect(&Dsn::parse(&dsn).unwrap(), "test").is_err());
    server.join().unwrap()
}

#[test]
fn the_hosts_name_is_sent_in_the_clear_unless_it_is_none_or_must_not_be() {
    for parameters in ["sslmode=require", "sslmode=require sslnegotiation=direct"] {
        let named = format!("host={HOST} hostaddr=127.0.0.1 {parameters}");
        assert_eq!(name_sent(&named).as_deref(), Some(HOST));
        assert_eq!(name_sent(&format!("{named} sslsni=0")), None);
        assert_eq!(name_sent(&format!("host=127.0.0.1 {parameters}")), None);
        assert_eq!(name_sent(&format!("hostaddr=127.0.0.1 {parameters}")), None);
    }
}

#[test]
fn the_roots_that_the_operating_system_trusts_are_trusted_if_that_is_asked_for() {
    const NAME: &str =
        "the_roots_that_the_operating_system_trusts_are_trusted_if_that_is_asked_for";
    // The process that has this server's authority among the system's roots is another one.
    if let Ok(dsn) = std::env::var("PGMIG_TEST_DSN") {
        let mut connection = Connection::connect(&Dsn::parse(&dsn).unwrap(), "test").unwrap();
        assert_eq!(tls_version(&mut connection), V13.unwrap());
        return;
    }
    let server = Guarded::shared();
    let connect = |root: &str, parameters: &str| {
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env("SSL_CERT_FILE", server.files.directory().join(root))
            .env("PGMIG_TEST_DSN", server.dsn(parameters))
            .output();
        let output = process.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text)
    };
    let (is_trusted, text) = connect("root.crt", "user=any sslrootcert=system");
    assert!(is_trusted, "{text}");
    let (is_trusted, text) = connect("other.crt", "user=any sslrootcert=system");
    assert!(!is_trusted && text.contains("certificate"), "{text}");
    // The name has to be right as well.
    let (is_trusted, text) = connect("root.crt", "user=any sslrootcert=system host=other.test");
    assert!(!is_trusted && text.contains("other.test"), "{text}");
}
