//! Units of the shell that need a server around them, each in a transaction that is rolled back.

#[pgrx::pg_schema]
mod tests {
    use std::thread;

    use crossbeam_channel::bounded;
    use pgmig_core::Error;
    use pgmig_core::digest::{RowHasher, StreamDigest};
    use pgrx::prelude::*;

    use crate::pg::copy_in::{Chunk, CopyIn, Insertion, copy_in};
    use crate::pg::foreign_key::{self, Verdict};
    use crate::pg::owner::AsOwner;
    use crate::pg::scan::{self, Encoding};
    use crate::pg::{catch, index_build, process, spi, table_create, transaction};

    fn one<T: FromDatum + IntoDatum>(query: &str) -> T {
        Spi::get_one::<T>(query).expect("the query runs").expect("the query returns a value")
    }

    fn oid_of(table: &str) -> pg_sys::Oid {
        one::<pg_sys::Oid>(&format!("select '{table}'::pg_catalog.regclass::oid"))
    }

    #[pg_test]
    fn an_error_of_the_server_keeps_its_sqlstate_message_and_hint() {
        let failed = transaction::run_nested(|| {
            spi::execute(
                "do $$begin raise 'no %', 'way' using errcode = 'P0042', hint = 'Stop.'; end$$",
            );
            Ok(())
        });
        let error = failed.expect_err("the statement raises");
        assert_eq!(error.to_string(), "no way");
        assert_eq!(error.hint(), Some("Stop."));
        let failed = transaction::run_nested(|| {
            spi::execute("select 1/0");
            Ok(())
        });
        assert_eq!(failed.expect_err("division by zero").sqlstate(), "22012");
    }

    #[pg_test]
    fn a_failed_subtransaction_leaves_nothing_behind_and_the_transaction_goes_on() {
        spi::execute("create table kept (x int)");
        let failed = transaction::run_nested(|| {
            spi::execute("insert into kept values (1)");
            Err::<(), _>(Error::Internal("on purpose".to_owned()))
        });
        assert!(failed.is_err());
        transaction::run_nested(|| {
            spi::execute("insert into kept values (2)");
            Ok(())
        })
        .expect("the second one succeeds");
        assert_eq!(one::<i64>("select sum(x) from kept"), 2);
    }

    #[pg_test]
    fn tables_by_themselves_are_made_without_a_statement_and_others_with_one() {
        spi::execute("create type composed as (x text); create table parent (a text)");
        for sql in [
            "create table first (a text)",
            "create table public.\"seco nd\" (a text check (a <> ''), b text default 'x')",
            "create table third (a int) with (fillfactor = 50, toast.autovacuum_enabled = off)",
            "create table fourth (a text, b text generated always as (a || 'x') stored)",
            "create table fifth ()",
            "create table sixth (like first)",
        ] {
            let is_ours = cfg!(any(feature = "pg15", feature = "pg16"));
            assert_eq!(table_create::create(sql), is_ours, "{sql}");
            transaction::increment_command_counter();
        }
        for sql in [
            "create table keyed (a text primary key)",
            "create table counted (a int generated always as identity, b text)",
            "create table numbered (a serial, b text)",
            "create table if not exists first (a text)",
            "create table child (b text) inherits (parent)",
            "create table typed of composed",
            "create table parted (a text) partition by list (a)",
            "create table parted_1 partition of parted for values in ('a')",
            "create temporary table passing (a text)",
            "create table pg_temp.hidden (a text)",
            "create unlogged table fleeting (a text)",
            "create table selected as select 'a'::text as a",
            "comment on table first is 'first'",
        ] {
            assert!(!table_create::create(sql), "{sql}");
            transaction::increment_command_counter();
        }
        let made = one::<i64>(
            "select count(reltoastrelid) from pg_class
             where relname in ('first', 'seco nd', 'fourth', 'sixth', 'keyed', 'hidden') and reltoastrelid <> 0",
        );
        assert_eq!(made, 6);
        let kinds = one::<String>(
            "select string_agg(distinct concat(t.relpersistence, ' ', t.relnamespace = 99), ', ')
             from pg_class c join pg_class t on t.oid = c.reltoastrelid where c.relname in ('first', 'hidden')",
        );
        assert_eq!(kinds, "p t, t f");
    }

    #[pg_test]
    fn a_table_is_made_by_a_statement_where_an_event_trigger_fires() {
        spi::execute(
            "create function on_ddl() returns event_trigger language plpgsql as 'begin end';
             create event trigger ours on ddl_command_end execute function on_ddl()",
        );
        assert!(!table_create::create("create table heard (a text)"));
        spi::execute("set local session_replication_role = replica");
        let is_ours = cfg!(any(feature = "pg15", feature = "pg16"));
        assert_eq!(table_create::create("create table unheard (a text)"), is_ours);
        spi::execute("alter event trigger ours enable always");
        assert!(!table_create::create("create table heard_too (a text)"));
    }

    #[pg_test]
    fn a_panic_becomes_an_error() {
        let failed = catch::catch(|| -> pgmig_core::Result<()> { panic!("unexpected") });
        assert!(failed.expect_err("the closure panics").to_string().contains("unexpected"));
    }

    #[pg_test]
    fn a_stream_of_binary_rows_is_copied_whatever_its_chunks() {
        spi::execute("create table \"copied %\" (id int4 not null, \"te xt\" text, big int8)");
        let mut stream = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for id in 0..1000_i32 {
            stream.extend(3_i16.to_be_bytes());
            stream.extend(4_i32.to_be_bytes());
            stream.extend(id.to_be_bytes());
            let text = "ä".repeat(usize::try_from(id % 300).expect("small"));
            stream.extend(i32::try_from(text.len()).expect("short").to_be_bytes());
            stream.extend(text.as_bytes());
            stream.extend((-1_i32).to_be_bytes());
        }
        stream.extend((-1_i16).to_be_bytes());
        let (sender, chunks) = bounded(2);
        let (spent, _unused) = bounded(2);
        let reader = thread::spawn(move || {
            for piece in stream.chunks(777) {
                sender.send(Chunk::Data(piece.to_vec())).expect("the copy reads on");
            }
            sender.send(Chunk::End(Ok(()))).expect("the copy reads to the end");
        });
        let target = CopyIn {
            table: oid_of("\"copied %\""),
            columns: &["id".to_owned(), "te xt".to_owned(), "big".to_owned()],
            is_binary: true,
            freeze: false,
            insertion: Insertion::Buffered,
        };
        let copied = copy_in(&target, chunks, spent).expect("the copy succeeds");
        reader.join().expect("the reader ends");
        assert_eq!(copied, 1000);
        transaction::increment_command_counter();
        assert_eq!(one::<i64>("select count(*) from \"copied %\" where big is null"), 1000);
        assert_eq!(
            one::<i64>("select sum(length(\"te xt\")) from \"copied %\""),
            (0..1000_i64).map(|id| id % 300).sum::<i64>()
        );
    }

    #[pg_test]
    fn a_reader_that_fails_fails_the_copy_with_its_own_error() {
        spi::execute("create table unlucky (id int4)");
        let (sender, chunks) = bounded(2);
        let (spent, _unused) = bounded(2);
        let lost = Error::Lost("on purpose".to_owned());
        sender.send(Chunk::Data(b"1\n2\n".to_vec())).expect("there is room");
        sender.send(Chunk::End(Err(lost))).expect("there is room");
        let columns = ["id".to_owned()];
        let target = CopyIn {
            table: oid_of("unlucky"),
            columns: &columns,
            is_binary: false,
            freeze: false,
            insertion: Insertion::Buffered,
        };
        let failed = transaction::run_nested(|| copy_in(&target, chunks, spent).map(drop));
        let error = failed.expect_err("the reader has failed");
        assert_eq!(error.sqlstate(), "08006");
        assert!(error.to_string().contains("on purpose"));
    }

    #[pg_test]
    fn rows_are_scanned_in_the_form_that_copy_sends() {
        // The scan sees the statement's snapshot, so the rows come from a function.
        let rows_of = "(select i, case when i % 3 = 0 then null
                     else pg_catalog.repeat('x', i) || E'\\t\\\\\\n' end as t,
                 array[i, null] as a, i::numeric / 7 as n
             from pg_catalog.generate_series(1, 700) i) q";
        let mut binary = RowHasher::new();
        let mut rows = 0;
        scan::for_each_row(
            &format!("select i, t, a, n from {rows_of}"),
            Encoding::Binary,
            &mut |values| {
                rows += 1;
                assert_eq!(values.len(), 4);
                assert_eq!(values[0].map(<[u8]>::len), Some(4));
                binary.begin_row();
                values.iter().for_each(|value| binary.field(*value));
                binary.end_row();
                Ok(())
            },
        )
        .expect("the scan succeeds");
        assert_eq!(rows, 700);
        let mut text = RowHasher::new();
        scan::for_each_row(
            &format!("select t from {rows_of} where i = 1"),
            Encoding::Text,
            &mut |values| {
                assert_eq!(values, [Some(b"x\t\\\n".as_slice())]);
                text.begin_row();
                values.iter().for_each(|value| text.field(*value));
                text.end_row();
                Ok(())
            },
        )
        .expect("the scan succeeds");
        let mut streamed = StreamDigest::text(1);
        streamed.feed(b"x\\t\\\\\\n\n").expect("a line of COPY");
        assert_eq!(streamed.finish().expect("a whole stream"), text.digest());
    }

    #[pg_test]
    fn a_trusted_foreign_key_is_valid_at_once_and_enforced_from_then_on() {
        spi::execute("create table parent (id int primary key)");
        spi::execute("create table child (parent_id int)");
        spi::execute("insert into child values (42)");
        foreign_key::add_unchecked(
            "alter table only child add constraint child_fk foreign key (parent_id) references parent(id)",
            Verdict::Valid,
        );
        assert!(one::<bool>("select convalidated from pg_constraint where conname = 'child_fk'"));
        let orphan = transaction::run_nested(|| {
            spi::execute("insert into child values (43)");
            Ok(())
        });
        assert_eq!(orphan.expect_err("an orphan is refused").sqlstate(), "23503");
    }

    #[pg_test]
    fn a_foreign_key_can_be_left_not_valid() {
        spi::execute("create table parent (id int primary key)");
        spi::execute("create table child (parent_id int)");
        spi::execute("insert into child values (42)");
        foreign_key::add_unchecked(
            "alter table only child add constraint child_fk foreign key (parent_id) references parent(id)",
            Verdict::NotValid,
        );
        assert!(!one::<bool>("select convalidated from pg_constraint where conname = 'child_fk'"));
    }

    #[pg_test]
    fn acting_as_the_owner_ends_with_the_guard() {
        spi::execute("create role somebody");
        spi::execute("set local search_path = public");
        let owner = one::<pg_sys::Oid>("select oid from pg_roles where rolname = 'somebody'");
        let before = process::current_user();
        {
            let _owner = AsOwner::begin(owner);
            assert_eq!(process::current_user(), owner);
            assert_eq!(
                one::<String>("select current_setting('search_path')"),
                "pg_catalog, pg_temp"
            );
        }
        assert_eq!(process::current_user(), before);
        assert_eq!(one::<String>("select current_setting('search_path')"), "public");
    }

    #[pg_test]
    fn acting_as_the_owner_ends_when_a_statement_raises() {
        let before = process::current_user();
        let owner = before;
        let failed = transaction::run_nested(|| {
            let _owner = AsOwner::begin(owner);
            spi::execute("select 1/0");
            Ok(())
        });
        assert!(failed.is_err());
        assert_eq!(process::current_user(), before);
        assert_eq!(one::<i32>("select 1"), 1);
    }

    #[pg_test]
    fn a_table_that_is_being_written_is_indexed_and_checked_the_servers_way() {
        spi::execute(
            "create table busy as select g as i, repeat('v', 60) as v from generate_series(1, 20000) g",
        );
        index_build::create("create unique index busy_i on busy using btree (i)");
        foreign_key::add_checked("alter table busy add foreign key (i) references busy (i)");
        spi::execute("set enable_seqscan = off");
        assert_eq!(one::<String>("select v from busy where i = 777"), "v".repeat(60));
        assert_eq!(
            one::<i64>("select count(*) from pg_constraint where contype = 'f' and convalidated"),
            1
        );
        index_build::create("comment on table busy is 'not an index'");
        assert_eq!(one::<String>("select obj_description('busy'::regclass)"), "not an index");
    }
}
