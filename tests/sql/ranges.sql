-- Three tables whose keys make ranges hard to cut: dense, gapped and skewed, and uncorrelated.
--
-- psql variable: scale (default 1 = 450,000 rows, about 50 MB).

\if :{?scale}
\else
\set scale 1
\endif
\set ON_ERROR_STOP on
\set QUIET on

set client_min_messages = warning;
set synchronous_commit = off;
set maintenance_work_mem = '256MB';

create schema ranges;
set search_path = ranges;

\set dense_count (200000 * :scale)::bigint
\set gapped_count (150000 * :scale)::bigint
\set uuid_count (100000 * :scale)::bigint

-- A key without a gap, in the order of the heap.
create table dense_key (
    id bigint not null,
    amount numeric(12, 2) not null,
    note text not null
);

insert into dense_key
select i,
    (pg_catalog.hashint8extended(i, 1) % 1000000)::numeric / 100,
    'entry ' || i
from pg_catalog.generate_series(1, :dense_count) i;

-- Nearly all keys in a narrow middle, the rest spread to both ends of bigint: ranges of equal key
-- width would leave all the rows to one of them. Rows at the upper end are wide as well.
create table gapped_key (
    id bigint not null,
    payload text not null
);

insert into gapped_key
select
    case
        when i = 1 then -9223372036854775808
        when i = 2 then 9223372036854775807
        when i % 100 = 0 then 9000000000000000000 - i * 1000003
        when i % 101 = 0 then -9000000000000000000 + i * 1000033
        else 5000000 + i * 3
    end,
    case
        when i % 100 = 0 then pg_catalog.repeat(pg_catalog.hashint8extended(i, 2)::text, 60)
        else pg_catalog.hashint8extended(i, 2)::text
    end
from pg_catalog.generate_series(1, :gapped_count) i;

-- A key without any correlation with the heap.
create table uuid_key (
    id uuid not null,
    created timestamptz not null,
    attributes jsonb not null
);

insert into uuid_key
select pg_catalog.md5(i::text)::uuid,
    timestamptz '2020-01-01 00:00:00+00' + pg_catalog.make_interval(secs => i),
    pg_catalog.jsonb_build_object('n', i, 'even', i % 2 = 0, 'tags', array['a' || i % 10, 'b' || i % 7])
from pg_catalog.generate_series(1, :uuid_count) i;

alter table dense_key add constraint dense_key_pkey primary key (id);
alter table gapped_key add constraint gapped_key_pkey primary key (id);
alter table uuid_key add constraint uuid_key_pkey primary key (id);

analyze dense_key, gapped_key, uuid_key;
