//! The wire client against a real server: logins, settings, bulk data, snapshots.

mod support;

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use pgmig_core::digest::{Digest, RowHasher, StreamDigest};
use pgmig_core::name::QualifiedName;
use pgmig_core::source::CatalogSession;
use pgmig_core::source::dsn::Dsn;
use pgmig_core::source::session::{self, SessionSettings};
use pgmig_core::source::snapshot::{self, LockOutcome, SnapshotSource, SourceTable};
use pgmig_core::source::wire::{BUFFER_BYTES, Connection, TransactionStatus};
use pgmig_core::{Error, Result};
use support::Cluster;

/// A connection string for the superuser over the socket.
fn socket_dsn(cluster: &Cluster) -> Dsn {
    let socket = cluster.socket().display();
    let port = cluster.port;
    Dsn::parse(&format!("host={socket} port={port} user=postgres dbname=postgres")).unwrap()
}

/// A session as pgmig opens it, with data in the encoding given.
fn open(cluster: &Cluster, copy_encoding: &str) -> Connection {
    let settings = SessionSettings {
        application_name: "pgmig test".to_owned(),
        copy_encoding: copy_encoding.to_owned(),
        lock_timeout: Duration::ZERO,
    };
    session::open(&socket_dsn(cluster), &settings).unwrap()
}

/// The single value of a query.
fn value(connection: &mut Connection, sql: &str) -> String {
    connection.query(sql).unwrap().remove(0).remove(0).unwrap()
}

/// The row count and data of a COPY.
fn copy(connection: &mut Connection, sql: &str) -> Result<(u64, Vec<u8>)> {
    let mut data = Vec::new();
    let rows = connection.copy_out(sql, &mut |buffer: Vec<u8>| {
        assert!(buffer.len() <= BUFFER_BYTES);
        data.extend(buffer);
        ControlFlow::Continue(())
    })?;
    Ok((rows, data))
}

#[test]
fn every_way_to_log_in_works_and_every_refusal_says_why() {
    const HBA: &str = "\
        host all scram_role 127.0.0.1/32 scram-sha-256\n\
        host all md5_role 127.0.0.1/32 md5\n\
        host all plain_role 127.0.0.1/32 password\n\
        host all trust_role 127.0.0.1/32 trust\n\
        host all peer_role 127.0.0.1/32 ident\n\
        local all scram_role scram-sha-256";
    let cluster = Cluster::start(HBA, "");
    cluster
        .client()
        .batch_execute(
            "set password_encryption = 'scram-sha-256';\
             create role scram_role login password e'it''s \\\\ gehe\u{ef}m';\
             create role plain_role login password e'it''s \\\\ gehe\u{ef}m';\
             create role trust_role login password 'other';\
             set password_encryption = 'md5';\
             create role md5_role login password e'it''s \\\\ gehe\u{ef}m'",
        )
        .unwrap();
    let port = cluster.port;
    let tcp = format!("host=127.0.0.1 port={port}");
    let socket = format!("host={} port={port}", cluster.socket().display());
    let password = "password='it\\'s \\\\ gehe\u{ef}m'";
    let connect = |text: String| Connection::connect(&Dsn::parse(&text).unwrap(), "pgmig test");

    for (place, role, is_asked) in [
        (&tcp, "scram_role", true),
        (&tcp, "md5_role", true),
        (&tcp, "plain_role", true),
        (&tcp, "trust_role", false),
        (&socket, "scram_role", true),
    ] {
        let mut connection =
            connect(format!("{place} user={role} dbname=postgres {password}")).unwrap();
        assert_eq!(connection.password_used(), is_asked, "{role}");
        assert_eq!(value(&mut connection, "select current_user"), role);
        assert_eq!(connection.process_id(), connection.server().backend_pid);
        assert!(connection.version_num() >= 100_000);
    }
    let uri = format!("postgresql://scram_role:it's%20%5C%20gehe%C3%AFm@127.0.0.1:{port}/postgres");
    assert!(connect(uri).is_ok());

    for (text, sqlstate, hint) in [
        (format!("{tcp} user=scram_role dbname=postgres password=wrong"), "28P01", "password"),
        (format!("{tcp} user=md5_role dbname=postgres password=wrong"), "28P01", "password"),
        (format!("{tcp} user=plain_role dbname=postgres password=wrong"), "28P01", "password"),
        (format!("{tcp} user=scram_role dbname=postgres"), "28P01", "foreign server"),
        (format!("{tcp} user=trust_role dbname=missing"), "3D000", "dbname"),
        (format!("{tcp} user=nobody dbname=postgres"), "28000", "pg_hba.conf"),
        (format!("{socket} user=trust_role dbname=postgres"), "28000", "pg_hba.conf"),
        ("host=127.0.0.1 port=1 user=u".to_owned(), "08001", "host and port"),
        ("host=no.such.host.invalid user=u".to_owned(), "08001", "host and port"),
    ] {
        let error = connect(text.clone()).err().unwrap();
        assert_eq!(error.sqlstate(), sqlstate, "{text}: {error}");
        assert!(error.hint().unwrap_or("").contains(hint), "{text}: {:?}", error.hint());
        assert!(!error.to_string().contains("wrong"));
    }
}

#[test]
fn settings_hold_whatever_the_defaults_of_role_and_database_are() {
    let cluster = Cluster::start("", "");
    cluster
        .client()
        .batch_execute(
            "alter role postgres set statement_timeout = '1ms';\
             alter role postgres set search_path = 'hostile';\
             alter role postgres set client_encoding = 'LATIN1';\
             alter role postgres set standard_conforming_strings = 'off';\
             alter role postgres set default_transaction_isolation = 'serializable';\
             alter database postgres set lock_timeout = '1ms';\
             alter database postgres set datestyle = 'SQL, DMY';\
             alter database postgres set timezone = 'Asia/Kathmandu';\
             alter database postgres set bytea_output = 'escape';\
             alter database postgres set extra_float_digits = -15;\
             alter database postgres set idle_session_timeout = '10s';\
             alter database postgres set row_security = on",
        )
        .unwrap();
    let mut connection = open(&cluster, "LATIN1");
    for (name, expected) in [
        ("application_name", "pgmig test"),
        ("bytea_output", "hex"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, YMD"),
        ("extra_float_digits", "3"),
        ("idle_in_transaction_session_timeout", "0"),
        ("idle_session_timeout", "0"),
        ("IntervalStyle", "postgres"),
        ("lock_timeout", "0"),
        ("row_security", "off"),
        ("search_path", "\"\""),
        ("standard_conforming_strings", "on"),
        ("statement_timeout", "0"),
        ("synchronize_seqscans", "off"),
        ("TimeZone", "UTC"),
        ("xmloption", "content"),
    ] {
        assert_eq!(value(&mut connection, &format!("show {name}")), expected, "{name}");
    }
    thread::sleep(Duration::from_millis(50));
    assert_eq!(value(&mut connection, "select pg_catalog.pg_sleep(0.05)::text || '\\\\'"), "\\\\");
    assert_eq!(connection.parameter("TimeZone"), Some("UTC"));
}

#[test]
fn copied_data_is_what_select_gives() {
    let cluster = Cluster::start("", "");
    cluster
        .client()
        .batch_execute(
            "create table t (id int primary key, note text, at timestamptz);\
             insert into t select i, case i % 4 when 0 then null when 1 then '' \
                 else repeat(e'x\\t\\\\\\n\u{e9}', i % 7) end, '2024-01-01'::timestamptz + i * interval '1s' \
             from generate_series(1, 300000) i;\
             create table \"t\u{e9}l\u{e9}\" (\u{e9} text);\
             insert into \"t\u{e9}l\u{e9}\" values ('\u{e9}');\
             create table nothing ();\
             insert into nothing default values;\
             insert into nothing default values",
        )
        .unwrap();
    let mut connection = open(&cluster, "UTF8");

    let mut hasher = RowHasher::new();
    connection
        .for_each_row("select id, note, at from public.t", &mut |row| {
            hasher.begin_row();
            row.iter().for_each(|field| hasher.field(field.map(str::as_bytes)));
            hasher.end_row();
            Ok(())
        })
        .unwrap();
    assert_eq!(hasher.digest().rows, 300_000);

    let digest_of = |connection: &mut Connection, condition: &str, mut digest: StreamDigest| {
        let format = if condition.ends_with("binary") { "binary" } else { "text" };
        let sql = format!(
            "copy (select id, note, at from only public.t where {}) to stdout (format {format})",
            condition.trim_end_matches("binary")
        );
        let rows = connection
            .copy_out(&sql, &mut |buffer: Vec<u8>| {
                digest.feed(&buffer).unwrap();
                ControlFlow::Continue(())
            })
            .unwrap();
        let digest: Digest = digest.finish().unwrap();
        assert_eq!(digest.rows, rows);
        digest
    };
    assert_eq!(digest_of(&mut connection, "true", StreamDigest::text(3)), hasher.digest());
    let whole = digest_of(&mut connection, "true binary", StreamDigest::binary());
    let ranges = digest_of(&mut connection, "id > 123456 binary", StreamDigest::binary())
        + digest_of(&mut connection, "id <= 123456 binary", StreamDigest::binary());
    assert_eq!(ranges, whole);
    assert_ne!(whole.sum, hasher.digest().sum);

    for (format, digest) in [("text", StreamDigest::text(0)), ("binary", StreamDigest::binary())] {
        let sql = format!("copy public.nothing to stdout (format {format})");
        let (rows, data) = copy(&mut connection, &sql).unwrap();
        let mut digest = digest;
        digest.feed(&data).unwrap();
        assert_eq!((rows, digest.finish().unwrap().rows), (2, 2));
    }

    let (rows, data) = copy(
        &mut connection,
        "copy (select pg_catalog.repeat('x', 100000000) union all select 'y') to stdout",
    )
    .unwrap();
    assert_eq!((rows, data.len()), (2, 100_000_003));

    let mut latin = open(&cluster, "LATIN1");
    assert_eq!(
        copy(&mut latin, "copy public.\"t\u{e9}l\u{e9}\" to stdout").unwrap(),
        (1, b"\xe9\n".to_vec())
    );
    assert_eq!(value(&mut latin, "select \u{e9} from public.\"t\u{e9}l\u{e9}\""), "\u{e9}");
}

#[test]
fn a_copy_that_ends_early_says_why() {
    let cluster = Cluster::start("", "");
    let mut connection = open(&cluster, "UTF8");
    let failing =
        "copy (select 1 / (200000 - i) from pg_catalog.generate_series(1, 300000) i) to stdout";
    let error = copy(&mut connection, failing).unwrap_err();
    assert!(matches!(&error, Error::Remote(remote) if remote.sqlstate == "22012"), "{error}");
    assert_eq!(value(&mut connection, "select 1"), "1");

    let token = connection.cancel_token();
    let canceller = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        token.cancel().unwrap();
    });
    let error = connection.execute("select pg_catalog.pg_sleep(60)").unwrap_err();
    assert_eq!(error.sqlstate(), "57014");
    canceller.join().unwrap();
    assert_eq!(value(&mut connection, "select 2"), "2");

    let endless = "copy (select pg_catalog.generate_series(1, 1000000000)) to stdout";
    let handle = connection.shutdown_handle();
    let started = Instant::now();
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        handle.shut_down();
    });
    let outcome = connection.copy_out(endless, &mut |_: Vec<u8>| ControlFlow::Continue(()));
    assert!(matches!(outcome, Err(Error::Lost(_))));
    stopper.join().unwrap();

    let mut connection = open(&cluster, "UTF8");
    let outcome = connection.copy_out(endless, &mut |_: Vec<u8>| ControlFlow::Break(()));
    assert!(matches!(outcome, Err(Error::Cancelled(_))));
    assert!(connection.is_closed());
    assert!(started.elapsed() < Duration::from_secs(30));

    let mut connection = open(&cluster, "UTF8");
    let pid = connection.process_id();
    cluster.client().execute("select pg_terminate_backend($1)", &[&pid]).unwrap();
    let error = connection.execute("select 1").unwrap_err();
    assert!(matches!(error.sqlstate(), "57P01" | "08006"), "{error}");
}

/// Lists the ordinary tables of schema public.
fn list_tables(connection: &mut Connection) -> Result<Vec<SourceTable>> {
    let mut tables = Vec::new();
    let sql = "select c.oid, c.relname \
                 from pg_catalog.pg_class as c \
                where c.relkind = 'r' \
                  and c.relnamespace = 'public'::pg_catalog.regnamespace \
                order by c.relname";
    connection.for_each_row(sql, &mut |row| {
        let name = QualifiedName::new("public", row[1].unwrap());
        tables.push(SourceTable { oid: row[0].unwrap().parse().unwrap(), name });
        Ok(())
    })?;
    Ok(tables)
}

#[test]
fn tables_are_locked_before_the_snapshot_sees_them() {
    let cluster = Cluster::start("", "");
    let mut other = cluster.client();
    other
        .batch_execute(
            "create table a (x int); insert into a select generate_series(1, 10);\
             create table b (x int); insert into b values (1)",
        )
        .unwrap();
    let mut connection = open(&cluster, "UTF8");

    // What others do between the first list and the locks: each is seen, or makes us start over.
    let mut calls = 0;
    let snapshot = snapshot::establish(&mut connection, &SnapshotSource::Own, &mut |connection| {
        let tables = list_tables(connection)?;
        calls += 1;
        match calls {
            1 => other.batch_execute("drop table b; create table b (y int)").unwrap(),
            2 => assert_eq!(connection.transaction_status(), TransactionStatus::InTransaction),
            3 => other.batch_execute("drop table b").unwrap(),
            4 => other.batch_execute("truncate a; insert into a values (1), (2)").unwrap(),
            _ => {}
        }
        Ok(tables)
    })
    .unwrap();
    assert_eq!(calls, 5);
    assert_eq!(snapshot.tables.len(), 1);
    assert!(!snapshot.is_in_recovery && snapshot.lsn.contains('/'));
    assert_eq!(value(&mut connection, "select count(*) from public.a"), "2");

    // Importers see the same, also after the first session is gone.
    other.batch_execute("insert into a values (3)").unwrap();
    let mut second = open(&cluster, "UTF8");
    let second_id = snapshot::import(&mut second, &snapshot.id).unwrap().id;
    assert_ne!(second_id, snapshot.id);
    drop(connection);
    let mut third = open(&cluster, "UTF8");
    snapshot::import(&mut third, &second_id).unwrap();
    assert_eq!(value(&mut third, "select count(*) from public.a"), "2");

    let mut fourth = open(&cluster, "UTF8");
    snapshot::import(&mut fourth, &second_id).unwrap();

    // A queued ACCESS EXCLUSIVE makes the lock fail and leaves the snapshot usable.
    let table = QualifiedName::new("public", "a");
    assert_eq!(
        snapshot::lock_nowait(&mut second, std::slice::from_ref(&table)).unwrap().0,
        LockOutcome::Locked
    );
    let truncating = thread::spawn(move || other.batch_execute("truncate a").unwrap());
    let mut observer = cluster.client();
    let waiting = "select count(*) from pg_locks where not granted";
    while observer.query_one(waiting, &[]).unwrap().get::<_, i64>(0) == 0 {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(
        snapshot::lock_nowait(&mut fourth, std::slice::from_ref(&table)).unwrap().0,
        LockOutcome::Busy
    );
    assert_eq!(fourth.transaction_status(), TransactionStatus::InTransaction);
    assert_eq!(value(&mut second, "select count(*) from public.a"), "2");
    second.execute("commit").unwrap();
    third.execute("commit").unwrap();
    truncating.join().unwrap();

    // Under several names the right snapshot is found, or none.
    let first = snapshot::import(&mut open(&cluster, "UTF8"), "nothing-at-all");
    assert!(first.is_err());
    let mut holder = open(&cluster, "UTF8");
    let held = snapshot::establish(&mut holder, &SnapshotSource::Own, &mut list_tables).unwrap();
    let names = [second_id.clone(), held.id.clone()];
    let mut importer = open(&cluster, "UTF8");
    snapshot::import_any(&mut importer, &names, &held.xids).unwrap();
    let mut importer = open(&cluster, "UTF8");
    let another = snapshot::import_any(&mut importer, &names, &snapshot.xids);
    assert!(matches!(another, Err(Error::SnapshotGone)), "{another:?}");
    assert_eq!(importer.transaction_status(), TransactionStatus::Idle);

    // What is gone or busy does not keep the rest from being locked.
    let held_tables = [QualifiedName::new("public", "gone"), QualifiedName::new("public", "a")];
    snapshot::lock_available(&mut holder, &held_tables).unwrap();
    assert_eq!(holder.transaction_status(), TransactionStatus::InTransaction);
    let locked =
        "select count(*) from pg_locks where pid = pg_backend_pid() and mode = 'AccessShareLock'
        and relation = 'public.a'::regclass";
    assert_eq!(value(&mut holder, locked), "1");

    // Names start over when a server does, and may be another database's by then.
    cluster.client().batch_execute("create database other").unwrap();
    let (socket, port) = (cluster.socket().display(), cluster.port);
    let dsn = format!("host={socket} port={port} user=postgres dbname=other");
    let settings = SessionSettings {
        application_name: "pgmig test".to_owned(),
        copy_encoding: "UTF8".to_owned(),
        lock_timeout: Duration::ZERO,
    };
    let mut elsewhere = session::open(&Dsn::parse(&dsn).unwrap(), &settings).unwrap();
    let gone = snapshot::import_any(&mut elsewhere, std::slice::from_ref(&held.id), &held.xids);
    assert!(matches!(gone, Err(Error::SnapshotGone)), "{gone:?}");
    drop(elsewhere);

    // A name that nobody holds any more is an error that leaves no transaction behind.
    let mut late = open(&cluster, "UTF8");
    assert!(matches!(snapshot::import(&mut late, &second_id), Err(Error::Remote(_))));
    assert_eq!(late.transaction_status(), TransactionStatus::Idle);
}

#[test]
fn tables_that_never_hold_still_are_given_up() {
    let cluster = Cluster::start("", "");
    let mut other = cluster.client();
    let mut connection = open(&cluster, "UTF8");
    let mut calls = 0;
    let outcome = snapshot::establish(&mut connection, &SnapshotSource::Own, &mut |connection| {
        let tables = list_tables(connection)?;
        calls += 1;
        other.batch_execute(&format!("create table t{calls} ()")).unwrap();
        Ok(tables)
    });
    assert!(matches!(outcome, Err(Error::Preflight { .. })));
    assert_eq!(connection.transaction_status(), TransactionStatus::Idle);
}

#[test]
fn a_named_snapshot_and_a_standby_serve_as_well() {
    let cluster = Cluster::start("", "");
    let mut holder = cluster.client();
    holder.batch_execute("create table a (x int); insert into a values (1)").unwrap();
    let mut held = holder.transaction().unwrap();
    held.batch_execute("set transaction isolation level repeatable read").unwrap();
    let id: String = held.query_one("select pg_export_snapshot()", &[]).unwrap().get(0);
    cluster.client().batch_execute("insert into a values (2)").unwrap();

    let mut connection = open(&cluster, "UTF8");
    snapshot::establish(&mut connection, &SnapshotSource::Named(id), &mut list_tables).unwrap();
    assert_eq!(value(&mut connection, "select count(*) from public.a"), "1");

    let standby = cluster.start_standby();
    let mut first = open(&standby, "UTF8");
    let snapshot = snapshot::establish(&mut first, &SnapshotSource::Own, &mut list_tables).unwrap();
    assert!(snapshot.is_in_recovery);
    let mut second = open(&standby, "UTF8");
    snapshot::import(&mut second, &snapshot.id).unwrap();
    let table = QualifiedName::new("public", "a");
    assert_eq!(
        snapshot::lock_nowait(&mut second, std::slice::from_ref(&table)).unwrap().0,
        LockOutcome::Locked
    );
    assert_eq!(value(&mut second, "select count(*) from public.a"), "2");
}

#[test]
fn catalog_queries_come_as_json_rows() {
    let cluster = Cluster::start("", "");
    let mut connection = open(&cluster, "UTF8");
    let mut rows = Vec::new();
    connection
        .query_json(
            "select i as n, null as nothing from pg_catalog.generate_series(1, 2) as i order by i;\n",
            &mut |json| {
                rows.push(json.to_owned());
                Ok(())
            },
        )
        .unwrap();
    assert_eq!(rows, [r#"{"n":1,"nothing":null}"#, r#"{"n":2,"nothing":null}"#]);
    connection.query_json("select 1 as n -- a comment", &mut |_| Ok(())).unwrap();

    let mut rows = Vec::new();
    let queries = ["select 1 as n where false -- a comment", "select 2 as n;", "select 3 as n"];
    connection
        .query_json_each(&queries.map(str::to_owned), &mut |position, json| {
            rows.push((position, json.to_owned()));
            Ok(())
        })
        .unwrap();
    assert_eq!(rows, [(1, r#"{"n":2}"#.to_owned()), (2, r#"{"n":3}"#.to_owned())]);
}
