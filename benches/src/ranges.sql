-- Tables that are easy and hard to cut into ranges (:row_count rows each, wide ones a tenth of that).
create table public.even (id bigint primary key, amount bigint, note text);
insert into public.even
select n, n * 7, 'entry number ' || n
from pg_catalog.generate_series(1, :row_count) n;

create table public.skewed (id bigint primary key, amount bigint, note text);
insert into public.skewed
select case when n % 50 = 0 then n * 90000000000 else n end, n * 7, 'entry number ' || n
from pg_catalog.generate_series(1, :row_count) n;

create table public.scattered (id bigint primary key, amount bigint, note text);
insert into public.scattered
select pg_catalog.hashint8extended(n, 1), n * 7, 'entry number ' || n
from pg_catalog.generate_series(1, :row_count) n;

create table public.uuid (id uuid primary key, amount bigint, note text);
insert into public.uuid
select pg_catalog.md5(n::text)::uuid, n * 7, 'entry number ' || n
from pg_catalog.generate_series(1, :row_count) n;

create table public.narrow (id integer primary key);
insert into public.narrow
select n
from pg_catalog.generate_series(1, :row_count) n;

create table public.wide (id bigint primary key, body text);
alter table public.wide alter body set storage plain;
insert into public.wide
select n, pg_catalog.repeat(pg_catalog.md5(n::text), 60)
from pg_catalog.generate_series(1, :row_count / 10) n;

create table public.toast (id bigint primary key, note text, body text);
alter table public.toast alter body set storage external;
insert into public.toast
select n, pg_catalog.repeat('x', 60), case when n > :row_count * 0.98 then pg_catalog.repeat(pg_catalog.md5(n::text), 250) end
from pg_catalog.generate_series(1, :row_count) n;
