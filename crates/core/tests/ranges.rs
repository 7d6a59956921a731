//! Ranges against a real server: every row in exactly one of them, and about as many in each.

mod support_ranges;

use pgmig_core::name::QualifiedName;
use pgmig_core::options::{ChunkBy, Options};
use pgmig_core::plan::ranges::{Limits, Method, Split, TableFacts, estimate_rows};
use pgmig_core::source::ranges::{read_key, split_table};
use serde_json::json;

use support_ranges::{Cluster, Session};

/// Ranges wanted of every table.
const RANGES: i64 = 8;

/// What a table's ranges are expected to be like.
struct Case {
    table: &'static str,
    ddl: &'static str,
    /// The largest range may have this many times the average; 0: boundaries cannot be balanced.
    max_skew: i64,
}

/// Tables with a usable key, each of 20,000 rows or so.
const KEYED: &[Case] = &[
    Case {
        table: "dense",
        ddl: "create table r.dense as select i::int8 as k from generate_series(1, 20000) i;
              alter table r.dense add primary key (k)",
        max_skew: 2,
    },
    Case {
        table: "skewed",
        ddl: "create table r.skewed as
              select distinct (case when i % 10 = 0 then i * 461168601842738 else i - 9000 end) as k
              from generate_series(1::int8, 20000) i
              union values ('-9223372036854775808'::int8), (9223372036854775807);
              alter table r.skewed add primary key (k)",
        max_skew: 2,
    },
    Case {
        table: "composite",
        ddl: "create table r.composite as
              select case when i < 15000 then 1 else i end as a, chr(65 + i % 26) || i as b
              from generate_series(1, 20000) i;
              alter table r.composite add primary key (a, b)",
        max_skew: 2,
    },
    Case {
        table: "uuids",
        ddl: "create table r.uuids as
              select md5(i::text)::uuid as k from generate_series(1, 20000) i;
              alter table r.uuids add primary key (k)",
        max_skew: 2,
    },
    Case {
        table: "icu",
        ddl: "create table r.icu (k text collate \"en-x-icu\" primary key);
              insert into r.icu select (array['a', 'A', 'é', 'Z', '-', '''', '\\', '\"'])[1 + i % 8]
                || to_hex(i * 7919 % 20011) || chr(97 + i % 26) from generate_series(1, 20000) i",
        max_skew: 2,
    },
    Case {
        table: "c_text",
        ddl: "create table r.c_text (k text collate \"C\" primary key);
              insert into r.c_text select (array['a', 'A', 'é', '', ' ', '\\', E'\\n', '%s'])[1 + i % 8]
                || md5(i::text) from generate_series(1, 20000) i",
        max_skew: 2,
    },
    Case {
        table: "nondeterministic",
        ddl: "create collation r.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
              create table r.nondeterministic (k text collate r.ci primary key);
              insert into r.nondeterministic
              select case when i % 2 = 0 then upper(md5(i::text)) else md5(i::text) end
              from generate_series(1, 20000) i",
        max_skew: 2,
    },
    Case {
        table: "blanks",
        ddl: "create table r.blanks (k char(12) primary key);
              insert into r.blanks select to_hex(i) || repeat(' ', i % 5)
              from generate_series(1, 20000) i",
        max_skew: 2,
    },
    Case {
        table: "stamps",
        ddl: "create table r.stamps (k timestamptz primary key);
              insert into r.stamps select timestamptz '0044-03-15 BC' + i * interval '37 days 1 us'
              from generate_series(1, 20000) i;
              insert into r.stamps values ('infinity'), ('-infinity'), ('4713-01-01 BC')",
        max_skew: 2,
    },
    Case {
        table: "floats",
        ddl: "create table r.floats (k float8 primary key);
              insert into r.floats select (i - 10000) / 7.0 from generate_series(1, 20000) i
              on conflict do nothing;
              insert into r.floats values ('NaN'), ('infinity'), ('-infinity')",
        max_skew: 2,
    },
    Case {
        table: "numerics",
        ddl: "create table r.numerics (k numeric primary key);
              insert into r.numerics select (i - 10000.5)::numeric ^ 5 from generate_series(1, 20000) i;
              insert into r.numerics values ('NaN'), ('-infinity'), (0)",
        max_skew: 2,
    },
    Case {
        table: "enums",
        ddl: "create type r.\"Mood\" as enum ('sad', 'o''k', 'hap\\py');
              create table r.enums as
              select (array['hap\\py', 'sad', 'o''k'])[1 + i % 3]::r.\"Mood\" as m, i as k
              from generate_series(1, 20000) i;
              alter table r.enums add primary key (m, k)",
        max_skew: 2,
    },
    Case {
        table: "domains",
        ddl: "create domain r.code as varchar(40) check (value <> '');
              create table r.domains (k r.code primary key);
              insert into r.domains select md5(i::text) from generate_series(1, 20000) i",
        max_skew: 2,
    },
    Case {
        table: "bytes",
        ddl: "create table r.bytes (k bytea primary key);
              insert into r.bytes select decode(md5(i::text), 'hex') from generate_series(1, 20000) i",
        max_skew: 2,
    },
    Case {
        table: "chars",
        ddl: "create table r.chars (a \"char\", b name, k interval, primary key (a, b, k));
              insert into r.chars select chr(33 + i % 90)::\"char\", md5(i::text), i * interval '1 min'
              from generate_series(1, 20000) i",
        max_skew: 2,
    },
    Case {
        table: "arrays",
        ddl: "create table r.arrays (k int4[] primary key);
              insert into r.arrays select array[i % 7, i] from generate_series(1, 20000) i",
        max_skew: 2,
    },
    Case {
        table: "with \"quotes\".and\n%",
        ddl: "create table r.\"with \"\"quotes\"\".and\n%\" (\"k \"\"%\" int primary key, \"select\" text);
              insert into r.\"with \"\"quotes\"\".and\n%\" select i, i from generate_series(1, 20000) i",
        max_skew: 2,
    },
    Case {
        table: "unique_only",
        ddl: "create table r.unique_only (a int, b int not null, k int not null);
              insert into r.unique_only select null, i % 5, i from generate_series(1, 20000) i;
              create unique index on r.unique_only (a);
              create unique index on r.unique_only (b, k) include (a)",
        max_skew: 2,
    },
    Case {
        table: "foreign_operators",
        ddl: "create table r.foreign_operators (k r.reversed primary key);
              insert into r.foreign_operators select i::text::r.reversed
              from generate_series(1, 20000) i",
        max_skew: 2,
    },
    Case {
        table: "hardly_any",
        ddl: "create table r.hardly_any (k int primary key);
              insert into r.hardly_any values (3), (1), (2)",
        max_skew: 0,
    },
    Case {
        table: "empty",
        ddl: "create table r.empty (k int primary key)",
        max_skew: 0,
    },
];

/// A type in the user's schema whose `<` is not the system's, as citext is one.
const REVERSED_TYPE: &str = "
    create type r.reversed;
    create function r.reversed_in(cstring) returns r.reversed
        language internal immutable strict as 'textin';
    create function r.reversed_out(r.reversed) returns cstring
        language internal immutable strict as 'textout';
    create type r.reversed (input = r.reversed_in, output = r.reversed_out, like = text);
    create cast (r.reversed as text) without function as implicit;
    create function r.rev_cmp(r.reversed, r.reversed) returns int language sql immutable strict as
        $$ select pg_catalog.bttextcmp($2::text, $1::text) $$;
    create function r.rev_lt(r.reversed, r.reversed) returns bool language sql immutable strict as
        $$ select $1::text > $2::text $$;
    create function r.rev_le(r.reversed, r.reversed) returns bool language sql immutable strict as
        $$ select $1::text >= $2::text $$;
    create function r.rev_eq(r.reversed, r.reversed) returns bool language sql immutable strict as
        $$ select $1::text = $2::text $$;
    create function r.rev_ge(r.reversed, r.reversed) returns bool language sql immutable strict as
        $$ select $1::text <= $2::text $$;
    create function r.rev_gt(r.reversed, r.reversed) returns bool language sql immutable strict as
        $$ select $1::text < $2::text $$;
    create operator r.< (leftarg = r.reversed, rightarg = r.reversed, function = r.rev_lt);
    create operator r.<= (leftarg = r.reversed, rightarg = r.reversed, function = r.rev_le);
    create operator r.= (leftarg = r.reversed, rightarg = r.reversed, function = r.rev_eq);
    create operator r.>= (leftarg = r.reversed, rightarg = r.reversed, function = r.rev_ge);
    create operator r.> (leftarg = r.reversed, rightarg = r.reversed, function = r.rev_gt);
    create operator class r.reversed_ops default for type r.reversed using btree as
        operator 1 r.<, operator 2 r.<=, operator 3 r.=, operator 4 r.>=, operator 5 r.>,
        function 1 r.rev_cmp(r.reversed, r.reversed)";

/// What the catalog says of a table.
fn read_facts(session: &mut Session, table: &str) -> TableFacts {
    let name = QualifiedName::new("r", table);
    let row = session
        .client
        .query_one(
            "select c.reltuples::float8, c.relpages::int8, pg_relation_size(c.oid),
                pg_table_size(c.oid)
             from pg_class c where c.relname = $1 and c.relnamespace = 'r'::regnamespace",
            &[&table],
        )
        .expect("the table exists");
    let main_bytes = row.get(2);
    let rows = estimate_rows(row.get(0), row.get(1), main_bytes);
    TableFacts { name, rows, main_bytes, total_bytes: row.get(3), is_heap: true }
}

/// Limits under which a table is cut into `RANGES` ranges.
fn limits(chunk_by: ChunkBy, facts: &TableFacts) -> Limits {
    let options = Options::parse(&json!({"partition_threshold": 1})).expect("valid options");
    let chunk_size = Some((facts.rows / RANGES).max(1));
    Limits { chunk_by, chunk_size, ..Limits::new(&options, 150_000, &[1 << 30], 2) }
}

/// Asserts that every row of a table is in exactly one range; returns the rows in each.
fn count_rows(session: &mut Session, table: &QualifiedName, split: &Split) -> Vec<i64> {
    let table = table.quoted();
    let parts: Vec<String> = split
        .ranges
        .iter()
        .enumerate()
        .map(|(i, range)| {
            let predicate = range.predicate.as_deref().unwrap_or("true");
            format!("select {i} as part, ctid as tid from only {table} where {predicate}")
        })
        .collect();
    let union = parts.join(" union all ");
    let query = format!(
        "select (select count(*) from only {table}), count(*), count(distinct tid) from ({union}) u"
    );
    let row = session.client.query_one(&query, &[]).expect("ranges are valid SQL");
    let (all, ranged, distinct): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((ranged, distinct), (all, all), "rows of {table} in ranges, distinct ones");
    let query = format!(
        "select count(u.part) from generate_series(0, {}) g (part) left join ({union}) u using (part)
         group by g.part order by g.part",
        split.ranges.len() - 1
    );
    session.client.query(&query, &[]).expect("counts").iter().map(|row| row.get(0)).collect()
}

/// Cuts a table by key and checks ranges, balance and estimates.
fn check_by_key(session: &mut Session, case: &Case) {
    let facts = read_facts(session, case.table);
    let limits = limits(ChunkBy::Pk, &facts);
    let split = split_table(session, &facts, &limits).expect("boundaries are read");
    let counts = count_rows(session, &facts.name, &split);
    if case.max_skew > 0 {
        assert_eq!(split.method, Method::Key, "{}", case.table);
        let count = i64::try_from(counts.len()).expect("small");
        assert!((RANGES..=RANGES + 2).contains(&count), "{}: {count} ranges", case.table);
        let average = counts.iter().sum::<i64>() / count;
        let largest = counts.iter().max().copied().unwrap_or(0);
        assert!(largest <= average * case.max_skew, "{}: {counts:?}", case.table);
    }
}

#[test]
fn ranges_hold_every_row_once_on_a_real_server() {
    let cluster = Cluster::start();
    let mut session = cluster.connect("postgres");
    let batch = |session: &mut Session, sql: &str| {
        session.client.batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    };
    batch(&mut session, "create schema r");
    batch(&mut session, REVERSED_TYPE);

    // Without statistics: boundaries come from a sample.
    for case in KEYED {
        batch(&mut session, case.ddl);
        check_by_key(&mut session, case);
    }

    // With statistics: from the histogram, where it covers all rows.
    batch(&mut session, "analyze");
    let mut from_histogram = Vec::new();
    for case in KEYED {
        check_by_key(&mut session, case);
        let name = QualifiedName::new("r", case.table);
        let key = read_key(&mut session, &name).expect("read").expect("a key");
        if key.bounds.is_some_and(|bounds| bounds.len() > 100) {
            from_histogram.push(case.table);
        }
    }
    assert!(from_histogram.contains(&"skewed") && from_histogram.contains(&"icu"));
    assert!(!from_histogram.contains(&"composite"), "its first column has a common value");

    // By position, with rows of any size; and after rows were added since the size was read.
    for case in KEYED {
        let facts = read_facts(&mut session, case.table);
        let limits = limits(ChunkBy::Auto, &facts);
        let split = split_table(&mut session, &facts, &limits).expect("no query needed");
        let counts = count_rows(&mut session, &facts.name, &split);
        assert!(counts.iter().max() <= counts.iter().min().map(|least| least * 2 + 300).as_ref());
    }
    let facts = read_facts(&mut session, "dense");
    batch(&mut session, "insert into r.dense select i from generate_series(20001, 40000) i");
    let split = split_table(&mut session, &facts, &limits(ChunkBy::Auto, &facts)).expect("split");
    assert_eq!(count_rows(&mut session, &facts.name, &split).iter().sum::<i64>(), 40_000);

    // The histogram is out of date now, and too far from the rows to be used.
    batch(&mut session, "select pg_catalog.pg_stat_force_next_flush()");
    let mut fresh = cluster.connect("postgres");
    let key = read_key(&mut fresh, &facts.name).expect("read").expect("a key");
    assert_eq!(key.bounds, None);

    // No key can be made of these.
    for (table, ddl) in [
        ("deferrable", "create table r.deferrable (k int primary key deferrable)"),
        ("nullable", "create table r.nullable (k int unique)"),
        (
            "partial",
            "create table r.partial (k int not null); create unique index on r.partial (k) where k > 0",
        ),
        (
            "expression",
            "create table r.expression (k int not null); create unique index on r.expression ((k + 1))",
        ),
        (
            "pattern",
            "create table r.pattern (k text not null); create unique index on r.pattern (k text_pattern_ops)",
        ),
        (
            "other_collation",
            "create table r.other_collation (k text not null); create unique index on r.other_collation (k collate \"en-x-icu\")",
        ),
        (
            "not_unique",
            "create table r.not_unique (k int not null); create index on r.not_unique (k)",
        ),
    ] {
        batch(&mut session, ddl);
        let key = read_key(&mut session, &QualifiedName::new("r", table)).expect("read");
        assert_eq!(key, None, "{table}");
    }

    // The primary key is preferred, then the shortest.
    batch(
        &mut session,
        "create table r.several (a int not null unique, b int not null, c int not null unique,
            primary key (b, c))",
    );
    let key = read_key(&mut session, &QualifiedName::new("r", "several")).expect("read");
    let names: Vec<String> = key.expect("a key").columns.into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["b", "c"]);
}
