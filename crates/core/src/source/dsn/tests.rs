use super::*;

fn tcp(host: &str, port: u16) -> Endpoint {
    Endpoint::Tcp { host: host.to_owned(), address: None, port }
}

fn message(text: &str) -> String {
    let error = Dsn::parse(text).unwrap_err();
    format!("{error} {}", error.hint().unwrap_or(""))
}

#[test]
fn pairs_and_uris_say_the_same() {
    for text in [
        "host=h port=5433 dbname='my db' user=u password='it\\'s\\\\'",
        " host = h port=5433 dbname=my\\ db user=u  password=it\\'s\\\\ ",
        "postgresql://u:it's%5C@h:5433/my%20db",
        "postgres://h/my%20db?user=u&password=it's%5c&port=5433",
    ] {
        let dsn = Dsn::parse(text).unwrap();
        assert_eq!(dsn.endpoints(), [tcp("h", 5433)], "{text}");
        assert_eq!(dsn.dbname(), Some("my db"), "{text}");
        assert_eq!(dsn.user(), Some("u"), "{text}");
        let password = dsn.password(&tcp("h", 5433)).unwrap();
        assert_eq!(password.as_deref().map(Vec::as_slice), Some(&b"it's\\"[..]), "{text}");
    }
}

#[test]
fn hosts_addresses_and_sockets_are_tried_in_order() {
    let unix = |directory: &str, port| Endpoint::Unix { directory: directory.into(), port };
    let v6 = Endpoint::Tcp { host: "b".into(), address: Some("::1".parse().unwrap()), port: 2 };
    let v4 =
        Endpoint::Tcp { host: "a".into(), address: Some("10.0.0.1".parse().unwrap()), port: 1 };
    for (text, expected) in [
        ("host=a,/s,b port=1,,3", vec![tcp("a", 1), unix("/s", 5432), tcp("b", 3)]),
        ("host=a,b port=7", vec![tcp("a", 7), tcp("b", 7)]),
        ("host=a,b hostaddr=10.0.0.1,::1 port=1,2", vec![v4, v6]),
        ("postgresql://[::1]:9,%2Fs/", vec![tcp("::1", 9), unix("/s", 5432)]),
        ("postgresql:///x?host=/s&port=4", vec![unix("/s", 4)]),
        ("dbname=x", vec![unix("/var/run/postgresql", 5432), unix("/tmp", 5432)]),
    ] {
        assert_eq!(Dsn::parse(text).unwrap().endpoints(), expected, "{text}");
    }
    assert!(message("host=a,b port=1,2,3").contains("do not match"));
    assert!(message("host=a,b hostaddr=10.0.0.1").contains("do not match"));
}

#[test]
fn timeouts_have_the_units_of_libpq() {
    let dsn = Dsn::parse("connect_timeout=3 tcp_user_timeout=1500 keepalives_count=4").unwrap();
    assert_eq!(dsn.connect_timeout(), Some(Duration::from_secs(3)));
    assert_eq!(dsn.tcp().user_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(dsn.tcp().keepalives_count, Some(4));
    assert_eq!(Dsn::parse("connect_timeout=0").unwrap().connect_timeout(), None);
    assert_eq!(Dsn::parse("").unwrap().connect_timeout(), Some(DEFAULT_CONNECT_TIMEOUT));
}

#[test]
fn what_is_not_carried_out_is_refused_by_name() {
    for (text, expected) in [
        ("sslmode=nonsense", "\"sslmode\""),
        ("sslnegotiation=later", "\"sslnegotiation\""),
        ("sslcrldir=/x", "\"sslcrldir\""),
        ("sslpassword=x", "\"sslpassword\""),
        ("require_auth=!md5,none", "\"require_auth\""),
        ("require_auth=scram", "\"require_auth\""),
        ("ssl_max_protocol_version=TLSv1", "\"ssl_max_protocol_version\""),
        ("load_balance_hosts=maybe", "\"load_balance_hosts\""),
        ("postgresql://h/d?service=x", "\"service\""),
        ("hots=x", "\"hots\""),
        ("port=x", "\"port\""),
        ("port=0", "\"port\""),
        ("port=65536", "\"port\""),
        ("target_session_attrs=x", "prefer-standby"),
        ("host", "without \"=\""),
        ("password='x", "closing quote"),
        ("postgresql://u:a%zz@h", "hexadecimal"),
        ("postgresql://[::1", "bracket"),
    ] {
        assert!(message(text).contains(expected), "{text}: {}", message(text));
    }
    for text in [
        "sslmode=prefer",
        "sslmode=disable gssencmode=disable channel_binding=prefer",
        "sslcompression=0 sslsni=0 ssl_min_protocol_version=TLSv1 sslcertmode=disable",
    ] {
        assert!(Dsn::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn no_output_repeats_a_piece_of_the_password() {
    for text in [
        "user=u password=top secret=1 host=h",
        "user=u password=top secret",
        "password='top secret",
        "postgresql://u:top@secret@h/d",
        "postgresql://u:top/secret@h/d",
        "postgresql://u:secret%0@h/d",
        "postgresql://h/d?password=top&secret=1",
        "postgressql://u:secret@h/d?sslmode=require",
        "postgres:/u:secret@h/d?sslmode=require",
        "password=secret port=secret",
    ] {
        assert!(!message(text).contains("secret"), "{text}: {}", message(text));
    }
    let dsn = Dsn::parse("host=h user=u dbname=d password=secret").unwrap();
    assert!(dsn.has_password());
    assert_eq!(format!("{dsn:?}"), "Dsn(host=h port=5432 dbname=d user=u)");
}

#[test]
fn a_foreign_server_gives_the_connection_and_its_own_options_are_left_alone() {
    let dsn = Dsn::from_options([
        ("host", "h"),
        ("fetch_size", "100"),
        ("dbname", "d"),
        ("password", "p"),
    ])
    .unwrap();
    assert_eq!(dsn.redacted(), "host=h port=5432 dbname=d");
    assert!(Dsn::from_options([("sslmode", "verify-full")]).is_err());
}

#[test]
fn parameters_of_tls_are_seen_together() {
    for (text, expected) in [
        ("sslmode=verify-ca", "sslrootcert"),
        ("sslmode=require sslrootcert=system", "verify-full"),
        ("sslnegotiation=direct", "sslmode require"),
        ("sslcert=/c", "sslkey"),
        ("sslkey=/k", "sslcert"),
        ("sslcrl=/l", "sslrootcert"),
        ("sslcertmode=require", "sslcert"),
        ("ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", "above"),
    ] {
        assert!(message(text).contains(expected), "{text}: {}", message(text));
    }
    let mode = |text: &str| Dsn::parse(text).unwrap().tls().mode;
    assert_eq!(mode(""), TlsMode::Prefer);
    assert_eq!(mode("sslrootcert=system"), TlsMode::VerifyFull);
    assert_eq!(mode("sslrootcert=/r sslmode=require"), TlsMode::Require);
}

#[test]
fn parameters_that_name_files_are_told() {
    for (text, expected) in [
        ("sslrootcert=system", None),
        ("sslrootcert=/r", Some("sslrootcert")),
        ("sslcert=/c sslkey=/k", Some("sslcert")),
        ("sslrootcert=system sslcrl=/l", Some("sslcrl")),
        ("passfile=/p", Some("passfile")),
        ("passfile=", None),
    ] {
        assert_eq!(Dsn::parse(text).unwrap().file_parameter(), expected, "{text}");
    }
}

#[test]
fn methods_of_authentication_are_listed_or_excluded() {
    let all = [Method::None, Method::Password, Method::Md5, Method::Scram];
    for (text, expected) in [
        ("", &all[..]),
        ("require_auth=", &all[..]),
        ("require_auth=scram-sha-256,md5", &[Method::Md5, Method::Scram]),
        ("require_auth='!password, !md5'", &[Method::None, Method::Scram]),
        ("require_auth=gss", &[]),
        ("require_auth=!gss", &all[..]),
    ] {
        let dsn = Dsn::parse(text).unwrap();
        let allowed: Vec<_> =
            all.into_iter().filter(|method| dsn.authentication().allows(*method)).collect();
        assert_eq!(allowed, expected, "{text}");
    }
}

#[test]
fn a_default_user_never_replaces_a_given_one() {
    let mut dsn = Dsn::parse("").unwrap();
    dsn.set_default_user("a");
    dsn.set_default_user("b");
    assert_eq!(dsn.user(), Some("a"));
}
