use super::*;
use crate::source::wire::fake;

/// A session that answers with these messages.
fn answering(messages: &[Vec<u8>]) -> Connection {
    fake::session(messages.concat(), &[usize::MAX])
}

#[test]
fn the_rows_of_the_last_result_are_returned_however_they_are_cut() {
    let bytes = [
        fake::columns(),
        fake::row(&[Some(b"dropped")]),
        fake::complete("SELECT 1"),
        fake::message(b'N', b"notice"),
        fake::columns(),
        fake::row(&[Some(b"a"), None, Some(b"")]),
        fake::message(b'A', b"notification"),
        fake::row(&[None, None, Some("é".as_bytes())]),
        fake::message(b'S', b"TimeZone\0UTC\0"),
        fake::complete("SELECT 2"),
        fake::message(b'Z', b"T"),
    ]
    .concat();
    for at in 1..bytes.len() {
        let mut connection = fake::session(bytes.clone(), &[at, bytes.len()]);
        let rows = connection.query("select").unwrap();
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(rows, [[text("a"), None, text("")], [None, None, text("é")]]);
        assert_eq!(connection.parameter("TimeZone"), Some("UTC"));
        assert_eq!(connection.transaction_status(), TransactionStatus::InTransaction);
    }
}

#[test]
fn an_error_leaves_the_session_usable() {
    let mut connection = answering(&[
        fake::columns(),
        fake::message(b'E', b"SERROR\0C22012\0Mdivision\0Dd\0Hh\0Wwhere\0\0"),
        fake::ready(),
        fake::complete("UPDATE 17"),
        fake::ready(),
        fake::message(b'I', b""),
        fake::ready(),
    ]);
    let error = connection.query("select 1/0").unwrap_err();
    assert_eq!(error.to_string(), "source: division");
    assert_eq!((error.sqlstate(), error.detail(), error.hint()), ("22012", Some("d"), Some("h")));
    assert_eq!(connection.execute("update").unwrap(), 17);
    assert_eq!(connection.execute("").unwrap(), 0);
}

#[test]
fn statements_sent_together_succeed_and_fail_each_by_itself() {
    let mut connection = answering(&[
        fake::complete("SET"),
        fake::ready(),
        fake::message(b'E', b"SERROR\0C22023\0Mno\0\0"),
        fake::ready(),
        fake::complete("UPDATE 17"),
        fake::ready(),
    ]);
    let [first, second] = connection.execute_both("set a", "set b").unwrap();
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().sqlstate(), "22023");
    assert_eq!(connection.execute("update").unwrap(), 17);
}

#[test]
fn an_error_of_the_callback_is_returned_once_the_rows_are_drained() {
    let mut connection = answering(&[
        fake::row(&[Some(b"1")]),
        fake::row(&[Some(b"2")]),
        fake::complete("SELECT 2"),
        fake::ready(),
        fake::complete("SET"),
        fake::ready(),
    ]);
    let mut calls = 0;
    let outcome = connection.for_each_row("select", &mut |_| {
        calls += 1;
        Err(Error::Internal("stop".to_owned()))
    });
    assert!(matches!(outcome, Err(Error::Internal(_))));
    assert_eq!(calls, 1);
    assert_eq!(connection.execute("set").unwrap(), 0);
}

#[test]
fn a_session_that_ends_with_its_error_returns_the_error() {
    let mut connection = answering(&[fake::error("57P01", "terminated by administrator")]);
    assert_eq!(connection.execute("select").unwrap_err().sqlstate(), "57P01");
    assert!(matches!(connection.execute("select"), Err(Error::Lost(_))));
}

#[test]
fn any_number_of_notices_and_parameters_takes_bounded_memory() {
    let mut bytes = fake::message(b'N', &vec![b'x'; 1 << 20]).repeat(100);
    for i in 0..1000 {
        bytes.extend(fake::message(b'S', format!("name{i}\0value\0").as_bytes()));
    }
    bytes.extend([fake::complete("SET"), fake::ready()].concat());
    let mut connection = fake::session(bytes, &[100_000]);
    connection.execute("set").unwrap();
    assert!(connection.parameter("name1").is_some() && connection.parameter("name999").is_none());
}

#[test]
fn a_server_without_end_is_given_up() {
    let row = fake::row(&[Some(&[b'x'; 30_000])]);
    for again in [
        fake::message(b'N', b"x"),
        fake::message(b'A', b""),
        fake::message(b'S', b"a\0b\0"),
        fake::message(b'I', b""),
        fake::complete("SET"),
        fake::columns(),
        row,
    ] {
        let mut connection = fake::endless(again.clone(), again.clone());
        let outcome = connection.for_each_row("select", &mut |_| Ok(()));
        assert!(matches!(outcome, Err(Error::Protocol(_))), "{again:?}: {outcome:?}");
    }
    let error = fake::error("22012", "again and again");
    let mut connection = fake::endless(error.clone(), error);
    assert_eq!(connection.execute("select").unwrap_err().sqlstate(), "22012");
    assert!(connection.is_closed());
}

#[test]
fn rows_that_are_kept_count_with_what_they_take_in_memory() {
    // On the wire each of these takes four bytes for every value.
    let row = fake::row(&[None; 1000]);
    let finite: Vec<Vec<u8>> = [
        vec![fake::columns()],
        vec![row; 10_000],
        vec![fake::complete("SELECT 10000"), fake::ready()],
    ]
    .concat();
    let kept = answering(&finite).query("select");
    assert!(matches!(kept, Err(Error::Protocol(_))), "kept");
}

#[test]
fn a_servers_texts_obey_nobody() {
    let error = "\x1b[2Jwiped\u{9b}\rgone\nand on".to_owned() + &"!".repeat(100_000);
    let mut connection = answering(&[fake::error("\0\x1b[3", &error), fake::ready()]);
    let error = connection.execute("select").unwrap_err();
    assert_eq!(error.sqlstate(), "XX000");
    assert!(error.to_string().contains("\u{fffd}[2Jwiped\u{fffd}\u{fffd}gone\nand on"));
    assert!(error.to_string().len() < 20_000);
}

#[test]
fn zero_bytes_are_in_no_value() {
    let mut connection = answering(&[fake::row(&[Some(b"a\0b")]), fake::ready()]);
    assert!(matches!(connection.query("select"), Err(Error::Protocol(_))));
}

#[test]
fn what_breaks_the_protocol_ends_the_session() {
    for bytes in [
        b"D\0\0\0\0".to_vec(),
        b"D\xff\xff\xff\xf0".to_vec(),
        b"D\x7f\xff\xff\xff".to_vec(),
        b"C\x04\0\x10\0".to_vec(),
        fake::message(b'G', b""),
        fake::message(b'H', b""),
        fake::message(b'd', b"x"),
        fake::message(b'R', &[0; 4]),
        fake::message(b'?', b""),
        fake::message(b'Z', b"?"),
        fake::message(b'C', b"no end"),
        fake::message(b'E', b"Mno end"),
        fake::message(b'S', b"name\0"),
    ] {
        let mut connection = fake::session(bytes.clone(), &[usize::MAX]);
        let outcome = connection.query("select");
        assert!(matches!(outcome, Err(Error::Protocol(_))), "{bytes:?}: {outcome:?}");
        assert!(connection.is_closed(), "{bytes:?}");
    }
}

#[test]
fn rows_that_cannot_be_read_are_an_error_and_not_the_end() {
    for body in [&b""[..], &[0, 1], &[0, 1, 0, 0, 0, 9, 1], &[0, 1, 255, 255, 255, 254], &[0, 0, 0]]
    {
        let mut connection = answering(&[fake::message(b'D', body), fake::ready()]);
        assert!(matches!(connection.query("select"), Err(Error::Protocol(_))), "{body:?}");
        assert!(!connection.is_closed());
    }
    let mut connection = answering(&[fake::row(&[Some(b"\xff")]), fake::ready()]);
    assert!(connection.query("select").unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn a_statement_with_a_zero_byte_is_not_sent() {
    assert!(matches!(answering(&[]).execute("a\0b"), Err(Error::Internal(_))));
}

#[test]
fn a_read_blocked_on_the_server_ends_with_the_shutdown() {
    let (port, _server) =
        fake::serve(vec![fake::greeting(), fake::identity("150001", "PostgreSQL", 1)]);
    let dsn = Dsn::parse(&format!("host=127.0.0.1 port={port} sslmode=disable user=u")).unwrap();
    let mut connection = Connection::connect(&dsn, "test").unwrap();
    let handle = connection.shutdown_handle();
    let waiter = std::thread::spawn(move || connection.execute("select 1"));
    std::thread::sleep(std::time::Duration::from_millis(50));
    handle.shut_down();
    assert!(matches!(waiter.join().unwrap(), Err(Error::Lost(_))));
}
