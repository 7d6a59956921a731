-- One of everything that pgmig carries, under names that break careless tools, with rows.
-- Loads as superuser into an empty database: psql -v ON_ERROR_STOP=1 -f everything.sql
-- What PostgreSQL 10 to 14 do not know is left out there. Variables `icu` and `xml` say whether the servers
-- were built with these libraries; true unless given.
set client_min_messages = error;
set client_encoding = 'UTF8';
\if :{?icu} \else \set icu true \endif
\if :{?xml} \else \set xml true \endif
select
  v >= 11 as v11, v >= 12 as v12, v >= 13 as v13, v >= 14 as v14, v >= 15 as v15,
  v >= 12 and :'icu'::boolean as icu_orders
from (select current_setting('server_version_num')::integer / 10000) as version (v) \gset

-- Roles belong to the cluster, so they may be there already.
do $$
declare
  role_name text;
begin
  foreach role_name in array array['pgmig_owner', 'pgmig_reader', 'pgmig Wri"ter', 'pgmig_granter'] loop
    if not exists (select from pg_catalog.pg_roles r where r.rolname = role_name) then
      execute format('create role %I', role_name);
    end if;
  end loop;
end
$$;

-- Schemas.
create schema my_pgmig_x;
create schema "Sch""ema.with 'all' % \ sorts";
create schema shop authorization pgmig_owner;
create schema "größe_ÄÖÜ_日本語日本語日本語日本語日本語日";
comment on schema shop is 'It''s a shop: 100% "quoted" \ back' ;
grant usage on schema shop to pgmig_reader, "pgmig Wri""ter";
grant create on schema shop to "pgmig Wri""ter" with grant option;
grant create on schema public to pgmig_reader;
comment on schema public is 'not so standard';

-- Extensions, one of them in a schema of its own and with changed privileges.
create extension if not exists citext with schema shop;
create extension if not exists btree_gist;
create schema ext;
create extension fuzzystrmatch with schema ext;
revoke execute on function ext.soundex(text) from public;
grant execute on function ext.soundex(text) to pgmig_reader;
comment on extension fuzzystrmatch is 'fuzzy, commented on';

-- Types.
create type shop.mood as enum ('sad', 'ok', 'hap''py', 'Very "Happy"', 'back\slash');
alter type shop.mood add value 'meh' before 'ok';
comment on type shop.mood is 'how it feels';
alter type shop.mood owner to pgmig_owner;
grant usage on type shop.mood to pgmig_reader;
revoke usage on type shop.mood from public;
create domain shop.percent as numeric(5, 2) default 0.00 not null
  constraint "not below" check (value >= 0)
  constraint not_above check (value <= 100);
comment on domain shop.percent is 'share of 100%';
comment on constraint not_above on domain shop.percent is 'at most all';
create domain shop.small_percent as shop.percent check (value < 10);
create domain shop.german as text collate "C" check (value <> '');
create domain shop.codes as integer[] check (array_length(value, 1) < 5);
create type shop.point3 as (x double precision, "Y y" shop.percent, z text collate "C");
comment on type shop.point3 is 'in space';
comment on column shop.point3."Y y" is 'hostile attribute';
create type shop.segment as (a shop.point3, b shop.point3, moods shop.mood[]);
create type shop.float_range as range (subtype = float8, subtype_diff = float8mi);
create type shop.text_range as range (
  subtype = text, collation = "C"
\if :v14
  , multirange_type_name = shop.many_texts
\endif
  );
create type "Sch""ema.with 'all' % \ sorts"."ty.pe" as enum ('a', 'B');

-- A range type with a canonical function, which needs a shell type first.
create type shop.even_range;
create function shop.even_canonical(shop.even_range) returns shop.even_range
  language internal immutable strict as 'int4range_canonical';
create type shop.even_range as range (subtype = int4, canonical = shop.even_canonical);

-- Sequences.
create sequence shop.counter as smallint increment by -3 minvalue -300 maxvalue 30 start 3 cache 7 cycle;
comment on sequence shop.counter is 'counts down';
alter sequence shop.counter owner to pgmig_owner;
grant usage, select on sequence shop.counter to pgmig_reader;
select nextval('shop.counter'), nextval('shop.counter');
create
\if :v15
  unlogged
\endif
  sequence "Sch""ema.with 'all' % \ sorts"."Seq""uence" start 9000000000;
create sequence shop.never_used;

-- Functions of several kinds; some are used by what follows.
create function shop.double(n integer) returns integer
  language sql immutable strict parallel safe cost 7
  as 'select n * 2';
create function shop.concat_all(variadic parts text[] default array['a', 'b'], out total text, out "n.um" integer)
  language plpgsql stable security definer set search_path = shop, pg_temp set work_mem = '4MB'
as $_$
begin
  -- $$ inside, a % sign and a \ backslash
  total := array_to_string(parts, '''');
  "n.um" := coalesce(array_length(parts, 1), 0);
end
$_$;
comment on function shop.concat_all(text[]) is 'joins';
\if :v14
create function shop.atomic_sum(a bigint, b bigint default 1) returns bigint
  language sql immutable
begin atomic
  select a + b;
end;
\endif
\if :v11
create procedure shop.do_nothing(inout n integer) language plpgsql as $$ begin n := n + 1; end $$;
revoke execute on procedure shop.do_nothing(integer) from public;
grant execute on procedure shop.do_nothing(integer) to "pgmig Wri""ter" with grant option;
alter procedure shop.do_nothing(integer) owner to pgmig_owner;
comment on procedure shop.do_nothing(integer) is 'does 100%';
\endif
create function shop.set_of(out a integer, out b text) returns setof record
  language sql rows 3 as $$ values (1, 'x'), (2, 'y') $$;
create function "Sch""ema.with 'all' % \ sorts"."f.u""n%c\tion"("a r""g" "Sch""ema.with 'all' % \ sorts"."ty.pe")
  returns text language sql as $$ select 'x' $$;
create function shop.my_rank(anyelement) returns bigint language sql immutable as 'select 1::bigint';

-- Aggregates.
create function shop.add_to(state bigint, value integer) returns bigint
  language sql immutable as 'select coalesce(state, 0) + coalesce(value, 0)';
create function shop.take_from(state bigint, value integer) returns bigint
  language sql immutable as 'select coalesce(state, 0) - coalesce(value, 0)';
create aggregate shop.total(integer) (
  sfunc = shop.add_to, stype = bigint, initcond = '0', parallel = safe, combinefunc = int8pl,
  msfunc = shop.add_to, minvfunc = shop.take_from, mstype = bigint, minitcond = '0', sspace = 64);
comment on aggregate shop.total(integer) is 'sum of integers';
alter aggregate shop.total(integer) owner to pgmig_owner;
create function shop.count_any(state bigint) returns bigint language sql immutable as 'select state + 1';
create aggregate shop.count_all(*) (sfunc = shop.count_any, stype = bigint, initcond = 0);
create aggregate shop.my_percentile(float8 order by anyelement) (
  sfunc = ordered_set_transition, stype = internal, finalfunc = percentile_disc_final, finalfunc_extra);
create aggregate shop.my_hypothetical(variadic "any" order by variadic "any") (
  sfunc = ordered_set_transition_multi, stype = internal, finalfunc = rank_final, finalfunc_extra, hypothetical);
revoke execute on function shop.total(integer), shop.count_all() from public;
revoke execute on function shop.my_percentile(float8, anyelement) from public;
grant execute on function shop.my_percentile(float8, anyelement) to pgmig_reader with grant option;
grant execute on function shop.my_hypothetical("any") to "pgmig Wri""ter";
create aggregate shop.least_text(text) (sfunc = text_smaller, stype = text, sortop = operator(pg_catalog.<));

-- Tables: every column property.
create table shop.customers (
  id bigint generated always as identity (start with 10 increment by 5),
  email shop.citext not null,
  "full.na""me" varchar(80) collate "C" default 'n''o\one',
  mood shop.mood default 'ok',
  moods shop.mood[] default '{ok,sad}',
  share shop.percent,
  born date check (born > '1800-01-01'),
  created timestamptz(3) not null default '2020-02-02 02:02:02+02',
\if :v12
  doubled integer generated always as (shop.double(length("full.na""me"::text))) stored,
\endif
  place shop.point3,
  span shop.float_range,
\if :v14
  spans int4multirange,
\endif
  bits bit varying(9),
  amount numeric(20, 4),
  letters char(5),
  json_data jsonb,
\if :xml
  xml_data xml,
\endif
  bytes bytea,
  uid uuid default md5('x')::uuid,
  net inet,
  took interval day to second(2),
  flag "char",
  words tsvector,
  fn regclass,
  money_is money,
  constraint customers_pkey primary key (id)
\if :v11
    include (mood)
\endif
    with (fillfactor = 80),
  constraint "cust.omers ""email"" key" unique (email) deferrable initially deferred,
  constraint share_named check (share is null or share < 99) no inherit
) with (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled = off);
alter table shop.customers alter column json_data set storage external;
\if :v14
alter table shop.customers alter column json_data set compression pglz;
\endif
alter table shop.customers alter column mood set statistics 321;
alter table shop.customers alter column born set statistics 0;
alter table shop.customers alter column mood set (n_distinct = -0.5, n_distinct_inherited = 7);
alter table shop.customers owner to pgmig_owner;
comment on table shop.customers is E'line one\nline two ; -- no comment';
comment on column shop.customers."full.na""me" is 'the % name';
comment on constraint customers_pkey on shop.customers is 'the key';
comment on index shop.customers_pkey is 'the index of the key';
comment on constraint share_named on shop.customers is 'a check';
alter table shop.customers cluster on customers_pkey;
alter table shop.customers drop constraint if exists nothing;
insert into shop.customers
  (email, "full.na""me", mood, share, born, place, span,
\if :v14
   spans,
\endif
\if :xml
   xml_data,
\endif
   bits, amount, letters, json_data, bytes, net, took, flag, words, fn, money_is)
select
  'user' || g || '@example.com',
  case g % 4 when 0 then null when 1 then '' when 2 then E'tab\t and \\ and ''' else 'naïve ' || g end,
  (enum_range(null::shop.mood))[1 + g % 6],
  (g % 98)::numeric,
  date '1900-01-01' + g,
  row (g, (g % 100)::numeric, 'z' || g)::shop.point3,
  shop.float_range(g, g + 0.5),
\if :v14
  int4multirange(int4range(g, g + 2), int4range(g + 5, g + 9)),
\endif
\if :xml
  case when g % 3 = 0 then xmlparse(content '<a b="' || g || '"/>') end,
\endif
  (g % 256)::bit(8)::bit varying(9),
  case g % 7 when 0 then 'NaN' else (g * 1.2345)::numeric(20, 4) end,
  'c' || g % 100,
  jsonb_build_object('n', g, 'text', repeat('x', g % 300), 'null', null),
  decode(md5(g::text), 'hex'),
  ('10.0.' || g % 256 || '.1')::inet,
  make_interval(days => g, secs => g * 0.25),
  chr(65 + g % 26)::"char",
  to_tsvector('simple', 'some words ' || g),
  'pg_catalog.pg_class'::regclass,
  (g * 1.5)::numeric::money
from generate_series(1, 300) g;

create table shop.orders (
  id serial primary key,
  customer_id bigint not null,
  parent_id integer,
  "or""der" integer not null default nextval('shop.counter'),
  note text
);
alter sequence shop.orders_id_seq increment by 2;
insert into shop.orders (customer_id, parent_id, note)
select c.id, null, repeat('note ', (c.id % 20)::integer) from shop.customers c where c.id <= 200;
update shop.orders set parent_id = id - 2 where id > 1;
alter table shop.orders
  add constraint orders_customer foreign key (customer_id) references shop.customers (id)
    on update cascade on delete restrict deferrable initially deferred,
  add constraint orders_parent foreign key (parent_id) references shop.orders (id) on delete set null
\if :v15
    (parent_id)
\endif
    ,
  add constraint note_short check (length(note) < 1) not valid;
comment on constraint orders_customer on shop.orders is 'who bought';

create table "Sch""ema.with 'all' % \ sorts"."Ta.ble""with 'all' %s \ and
newline" (
  "Id" integer generated by default as identity,
  "col.umn ""q"" %s \ '" text,
  "new
line" integer default 3,
  typed "Sch""ema.with 'all' % \ sorts"."ty.pe" default 'B',
  constraint "pk ""%s\" primary key ("Id")
);
insert into "Sch""ema.with 'all' % \ sorts"."Ta.ble""with 'all' %s \ and
newline" ("col.umn ""q"" %s \ '") select 'row ' || g from generate_series(1, 50) g;
create index "in.dex ""q"" %" on "Sch""ema.with 'all' % \ sorts"."Ta.ble""with 'all' %s \ and
newline" ("col.umn ""q"" %s \ '");
comment on column "Sch""ema.with 'all' % \ sorts"."Ta.ble""with 'all' %s \ and
newline"."new
line" is 'two
lines';

create table "größe_ÄÖÜ_日本語日本語日本語日本語日本語日"."tabelle_ÄÖÜ_日本語日本語日本語日本語日本語" (
  "schlüssel_ÄÖÜ_日本語日本語日本語日本語日本" text collate "C" primary key,
  "WERT" integer
);
insert into "größe_ÄÖÜ_日本語日本語日本語日本語日本語日"."tabelle_ÄÖÜ_日本語日本語日本語日本語日本語"
select 'ü' || g, g from generate_series(1, 40) g;

create table my_pgmig_x.pgmig (id uuid primary key, payload bytea);
insert into my_pgmig_x.pgmig
select md5(g::text)::uuid, convert_to(repeat(g::text, 100), 'UTF8') from generate_series(1, 200) g;
create table my_pgmig_x.no_columns ();
insert into my_pgmig_x.no_columns select from generate_series(1, 7);
create table my_pgmig_x.dropped (a integer, gone text, b integer, also_gone integer);
insert into my_pgmig_x.dropped select g, 'x', -g, g from generate_series(1, 20) g;
alter table my_pgmig_x.dropped drop column gone, drop column also_gone, add column c text default 'late';
create unlogged table my_pgmig_x.unlogged (id integer generated always as identity primary key, t text);
insert into my_pgmig_x.unlogged (t) select 'u' || g from generate_series(1, 30) g;
create table my_pgmig_x.composite_rows (
  id integer primary key, c shop.customers, s shop.segment, r shop.text_range,
  e shop.even_range, codes shop.codes, g shop.german
\if :v14
  , m shop.many_texts
\endif
  );
insert into my_pgmig_x.composite_rows
select g, null, row (row (1, 2, 'z')::shop.point3, null, '{sad,NULL,"Very \"Happy\""}')::shop.segment,
  '[a,b)', '[2,4)', '{1,2}', 'g'
\if :v14
  , '{[a,b),[c,d)}'
\endif
from generate_series(1, 10) g;
create table my_pgmig_x.typed of shop.point3 (x with options default 1.5 not null, primary key (z));
insert into my_pgmig_x.typed select g, g, 'z' || g from generate_series(1, 10) g;
create table my_pgmig_x.nulls (
  a integer unique
\if :v15
  nulls not distinct
\endif
  , b integer, unique (a, b));
insert into my_pgmig_x.nulls values (null, null), (1, null), (2, 1);

-- Circular foreign keys.
create table my_pgmig_x.hen (id integer primary key, egg_id integer);
create table my_pgmig_x.egg (id integer primary key, hen_id integer references my_pgmig_x.hen);
insert into my_pgmig_x.hen values (1, 1), (2, 2);
insert into my_pgmig_x.egg values (1, 2), (2, 1);
alter table my_pgmig_x.hen add constraint hen_egg foreign key (egg_id) references my_pgmig_x.egg;
alter table my_pgmig_x.hen add constraint hen_self
  foreign key (id) references my_pgmig_x.hen match full not valid;

create table my_pgmig_x.two_columns (a integer, b text, unique (b, a));
insert into my_pgmig_x.two_columns values (1, 'x'), (2, 'y');
create table my_pgmig_x.both_or_none (
  a integer, b text,
  constraint "both %" foreign key (a, b) references my_pgmig_x.two_columns (a, b) match full
    on update set default deferrable);
insert into my_pgmig_x.both_or_none values (1, 'x'), (null, null);

-- Inheritance.
create table my_pgmig_x.animal (
  id integer primary key, name text not null default 'anon', legs integer default 4 check (legs >= 0));
create table my_pgmig_x.bird (wings integer default 2, legs integer default 2) inherits (my_pgmig_x.animal);
create table my_pgmig_x.fish (primary key (id)) inherits (my_pgmig_x.animal);
alter table my_pgmig_x.fish alter column legs set default 0, alter column name drop default;
create table my_pgmig_x.duck (legs integer default 3, name text default 'd', check (wings > 0)) inherits (my_pgmig_x.bird, my_pgmig_x.fish);
insert into my_pgmig_x.animal (id) values (1), (2);
insert into my_pgmig_x.bird (id) values (1), (3);
insert into my_pgmig_x.fish (id, name) values (4, 'nemo');
insert into my_pgmig_x.duck (id, name) values (5, 'donald');

-- Partitions of every strategy, nested, with a column order and dropped columns of their own.
create table shop.events (
  id bigint not null, kind text not null, at timestamptz not null, amount integer default 1,
  constraint positive check (amount > 0)
) partition by range (at);
create table shop.events_2020 (
  at timestamptz not null, gone integer, amount integer, kind text not null, id bigint not null,
  constraint positive check (amount > 0));
alter table shop.events_2020 drop column gone;
alter table shop.events attach partition shop.events_2020
  for values from ('2020-01-01 00:00+00') to ('2021-01-01 00:00+00');
create table shop.events_2021 partition of shop.events (amount default 21)
  for values from ('2021-01-01 00:00+00') to ('2022-01-01 00:00+00') partition by list (kind);
create table shop.events_2021_a partition of shop.events_2021 for values in ('a', 'it''s')
\if :v11
  partition by hash (id);
create table shop.events_2021_a_0 partition of shop.events_2021_a for values with (modulus 2, remainder 0);
create table shop.events_2021_a_1 partition of shop.events_2021_a for values with (modulus 2, remainder 1);
create table shop.events_2021_rest partition of shop.events_2021 default;
create table shop.events_rest partition of shop.events default;
\else
  ;
create table shop.events_2021_rest partition of shop.events_2021 for values in ('c');
create table shop.events_2019 partition of shop.events for values from (minvalue) to ('2020-01-01 00:00+00');
create table shop.events_rest partition of shop.events for values from ('2022-01-01 00:00+00') to (maxvalue);
\endif
create table shop.by_expression (a integer, b text collate "C") partition by range (abs(a), lower(b));
create table shop.by_expression_1 partition of shop.by_expression for values from (0, minvalue) to (10, maxvalue);
\if :v11
alter table shop.events add primary key (at, kind, id);
alter table only shop.events add constraint events_unique unique (at, kind, id, amount);
create unique index events_2020_unique on shop.events_2020 (at, kind, id, amount);
create index events_amount on shop.events (amount) where amount > 5;
create index events_kind on only shop.events (kind);
create index events_2020_kind on shop.events_2020 (kind);
alter index shop.events_kind attach partition shop.events_2020_kind;
\endif
insert into shop.events (id, kind, at, amount)
select g, (array['a', 'it''s', 'c'])[1 + g % 3], timestamptz '2019-11-01 00:00+00' + g * interval '1 day', 1 + g % 9
from generate_series(1, 1200) g;
insert into shop.by_expression values (-3, 'X'), (4, 'y');
\if :v11
create table my_pgmig_x.own_key (a integer not null) partition by list (a);
create table my_pgmig_x.own_key_1 partition of my_pgmig_x.own_key (primary key (a)) for values in (1);
create unique index on my_pgmig_x.own_key (a);
insert into my_pgmig_x.own_key values (1);
\endif
\if :v12
create table shop.event_notes (
  id integer primary key, at timestamptz, kind text, event_id bigint,
  constraint note_event foreign key (at, kind, event_id) references shop.events (at, kind, id));
insert into shop.event_notes
select row_number() over (order by e.id), e.at, e.kind, e.id from shop.events e where e.id % 50 = 0;
\endif
alter table shop.events add column customer_id bigint;
update shop.events set customer_id = 10 where id % 10 = 0;
\if :v11
alter table shop.events add constraint event_customer foreign key (customer_id) references shop.customers (id);
\endif

-- Indexes of every kind.
create index customers_lower on shop.customers (lower("full.na""me") collate "C" desc nulls last, (shop.double(1) + id))
  where mood = 'ok';
\if :v11
alter index shop.customers_lower alter column 2 set statistics 77;
\endif
comment on index shop.customers_lower is 'an expression';
create index customers_brin on shop.customers using brin (created) with (pages_per_range = 4);
create index customers_gin on shop.customers using gin (json_data jsonb_path_ops, words) with (fastupdate = off);
create index customers_gist on shop.customers using gist (span, born);
create index customers_hash on shop.customers using hash (uid);
create index customers_spgist on shop.customers using spgist (net inet_ops);
create unique index customers_covering on shop.customers (id, email)
\if :v11
  include (created)
\endif
\if :v15
  nulls not distinct
\endif
  ;
alter table my_pgmig_x.nulls add c integer not null default 0;
create unique index nulls_identity on my_pgmig_x.nulls (c, a) where false;
drop index my_pgmig_x.nulls_identity;
alter table my_pgmig_x.dropped add d integer generated always as identity;
create unique index dropped_identity on my_pgmig_x.dropped (d);
alter table my_pgmig_x.dropped replica identity using index dropped_identity;
alter table my_pgmig_x.hen replica identity full;
alter table my_pgmig_x.egg replica identity nothing;
create table shop.bookings (
  room integer, during tstzrange,
  constraint no_overlap exclude using gist (room with =, during with &&) with (fillfactor = 60) where (room > 0));
insert into shop.bookings values (1, '[2020-01-01 00:00+00,2020-01-02 00:00+00)'), (2, 'empty');

-- Views: chains, options, a primary key behind GROUP BY, a cycle through a function, rules, triggers.
create view shop.customer_names with (security_barrier) as
  select c.id, c."full.na""me" as "na.me", c.mood from shop.customers c;
comment on view shop.customer_names is 'names';
comment on column shop.customer_names."na.me" is 'name';
alter view shop.customer_names owner to pgmig_owner;
alter view shop.customer_names alter column mood set default 'sad';
create view shop.ok_customers as select * from shop.customer_names where mood = 'ok' with cascaded check option;
create view shop.ok_local
\if :v15
  with (security_invoker = true)
\endif
  as
  select * from shop.customer_names where mood = 'ok' with local check option;
create view shop.grouped as
  select c.id, c.email, c.created, count(*) as orders
  from shop.customers c join shop.orders o on o.customer_id = c.id group by c.id;
create view shop.on_grouped as select g.id, g.orders from shop.grouped g;
create function shop.grouped_rows() returns setof shop.grouped language sql as 'select * from shop.grouped';
create table shop.holds_grouped (id integer primary key, g shop.grouped);
insert into shop.holds_grouped select 1, g from shop.grouped g limit 1;
create view shop.loop_view as select 1 as a, 'x'::text collate "C" as b;
create function shop.loop_function(v shop.loop_view default null) returns text
  language sql
\if :v14
  begin atomic select ($1).b; end;
\else
  as 'select ($1).b';
\endif
create or replace view shop.loop_view as select 1 as a, shop.loop_function() collate "C" as b;
create recursive view shop.numbers (n) as values (1) union all select n + 1 from numbers where n < 5;
create view shop.empty_view as select;
create materialized view shop.stats with (fillfactor = 75, toast.autovacuum_enabled = off) as
  select mood, count(*) as n, max("na.me") as top from shop.customer_names group by mood;
create unique index stats_mood on shop.stats (mood);
comment on materialized view shop.stats is 'counted';
alter materialized view shop.stats alter column top set storage external;
alter materialized view shop.stats replica identity full;
comment on column shop.stats.top is 'the last name';
create materialized view shop.a_stats_of_stats as select sum(n) as total from shop.stats;
create materialized view shop.unfilled as select 1 as x with no data;
alter materialized view shop.unfilled replica identity nothing;
create sequence shop.of_a_view;
alter sequence shop.of_a_view owner to pgmig_owner;
alter sequence shop.of_a_view owned by shop.customer_names.id;
alter materialized view shop.stats owner to pgmig_owner;
grant select on shop.stats to pgmig_reader;
grant select (n) on shop.stats to "pgmig Wri""ter";
create rule names_insert as on insert to shop.customer_names
  do instead insert into shop.customers (email, "full.na""me") values (new.id || '@rule', new."na.me");
comment on rule names_insert on shop.customer_names is 'inserts';
create rule "or.ders ""log""" as on delete to shop.orders where old.id < 0 do also
  (insert into shop.orders (customer_id) select 10 where false; select 1);
create rule notify_all as on update to shop.holds_grouped do also notify "some channel";
alter table shop.orders disable rule "or.ders ""log""";

-- Defaults and checks that need what needs their table.
create table shop.self_default (id integer primary key, n integer);
insert into shop.self_default select g, g from generate_series(1, 5) g;
create function shop.next_of(t shop.self_default) returns integer language sql
  as 'select coalesce(max(n), 0) + 1 from shop.self_default';
alter table shop.self_default alter column n set default shop.next_of(null);
create function shop.is_good(t shop.self_default) returns boolean language sql as 'select t.n is not null';
alter table shop.self_default add constraint is_good check (shop.is_good(self_default));
create function shop.knows_customer(id bigint) returns boolean language plpgsql stable
  as $$ begin return exists (select from shop.customers c where c.id = $1); end $$;
create table shop.aaa_checked (
  customer_id bigint constraint "knows %" check (shop.knows_customer(customer_id)));
comment on constraint "knows %" on shop.aaa_checked is 'reads another table';
create table shop.aaa_checked_child () inherits (shop.aaa_checked);
insert into shop.aaa_checked select 10 + 5 * g from generate_series(0, 9) g;
insert into shop.aaa_checked_child values (15);
create table shop.aaa_checked_parts (
  customer_id bigint, constraint knows check (shop.knows_customer(customer_id))) partition by list (customer_id);
create table shop.aaa_checked_parts_1 partition of shop.aaa_checked_parts for values in (10, 15);
insert into shop.aaa_checked_parts values (15);
create domain shop.customer_ref as bigint;
create function shop.is_customer(c bigint) returns boolean language plpgsql stable
  as $$ begin return c is null or exists (select from shop.customers x where x.id = c); end $$;
alter domain shop.customer_ref add constraint is_customer check (shop.is_customer(value));
create table shop.aaa_refs (c shop.customer_ref);
insert into shop.aaa_refs values (20), (null);

-- Triggers.
create function shop.note_change() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger "b.efore ""it""" before insert or update of note on shop.orders
  for each row when (new.note is distinct from 'x%') execute procedure shop.note_change('a''rg', '\', '2');
comment on trigger "b.efore ""it""" on shop.orders is 'looks';
create trigger always_on after delete on shop.orders for each statement execute procedure shop.note_change();
alter table shop.orders enable always trigger always_on;
create trigger off after truncate on shop.orders execute procedure shop.note_change();
alter table shop.orders disable trigger off;
create trigger on_replica after update on shop.orders
  referencing old table as old_rows new table as new_rows execute procedure shop.note_change();
alter table shop.orders enable replica trigger on_replica;
create constraint trigger late after insert on shop.orders deferrable initially deferred
  for each row execute procedure shop.note_change();
create trigger instead instead of update on shop.ok_customers for each row execute procedure shop.note_change();
\if :v11
create trigger events_row after insert on shop.events for each row execute procedure shop.note_change();
alter table shop.events_2020 disable trigger events_row;
\endif

-- Row security.
alter table shop.orders enable row level security;
alter table shop.orders force row level security;
create policy "own %" on shop.orders as restrictive for update to pgmig_reader, "pgmig Wri""ter"
  using (customer_id > 5) with check (customer_id > 6);
create policy everyone on shop.orders using (exists (select from shop.customers c where c.id = customer_id));
comment on policy everyone on shop.orders is 'all may';
alter table shop.bookings force row level security;

-- Privileges: columns, grant options, chains, revoked defaults.
grant select, insert on shop.customers to pgmig_reader with grant option;
grant select (id, "full.na""me"), update (mood) on shop.customers to "pgmig Wri""ter";
grant select on shop.customers to public;
revoke truncate on shop.customers from pgmig_owner;
set role pgmig_owner;
grant select on shop.customers to pgmig_granter with grant option;
reset role;
grant usage on schema shop to pgmig_granter;
set role pgmig_granter;
grant select on shop.customers to "pgmig Wri""ter";
reset role;
revoke all on shop.bookings from postgres;
grant all on shop.orders to pgmig_reader;
grant execute on function shop.double(integer) to pgmig_reader;
revoke execute on function shop.double(integer) from public;
grant select on sequence shop.orders_id_seq to pgmig_reader;
grant usage on sequence shop.customers_id_seq to pgmig_reader;
comment on sequence shop.customers_id_seq is 'behind an identity';
grant usage on domain shop.percent to pgmig_reader;

-- The smaller classes.
create collation shop."col.lation ""%" (provider = libc, lc_collate = 'C', lc_ctype = 'C');
\if :icu_orders
create collation shop.numeric_order (provider = icu, locale = 'en-u-kn-true', deterministic = false);
comment on collation shop.numeric_order is 'by number';
alter collation shop.numeric_order owner to pgmig_owner;
create table my_pgmig_x.collated (t text collate shop.numeric_order, u text collate shop."col.lation ""%");
insert into my_pgmig_x.collated values ('a10', 'b'), ('a9', 'B');
\endif
create statistics shop."stat.s ""%" (ndistinct
\if :v12
  , mcv
\endif
  ) on mood, born from shop.customers;
\if :v13
alter statistics shop."stat.s ""%" set statistics 55;
\endif
comment on statistics shop."stat.s ""%" is 'two columns';
\if :v14
create statistics shop.expression_stats on (lower(email::text)), born from shop.customers;
\endif
create function shop.same(a shop.point3, b shop.point3) returns boolean language sql immutable
  as $$ select a.x = b.x $$;
create function shop.compare(a integer, b integer) returns integer language sql immutable strict
  as $$ select pg_catalog.btint4cmp(b, a) $$;
create operator shop.=== (procedure = shop.same, leftarg = shop.point3, rightarg = shop.point3, commutator = operator(shop.===));
comment on operator shop.=== (shop.point3, shop.point3) is 'the same';
alter operator shop.=== (shop.point3, shop.point3) owner to pgmig_owner;
create operator shop.!! (procedure = shop.double, rightarg = integer);
create operator class shop.backwards for type integer using btree as
  operator 1 pg_catalog.>, operator 2 pg_catalog.>=, operator 3 pg_catalog.=,
  operator 4 pg_catalog.<=, operator 5 pg_catalog.<, function 1 shop.compare(integer, integer);
comment on operator class shop.backwards using btree is 'from high to low';
create operator family shop."fam.ily" using btree;
alter operator family shop."fam.ily" using btree add
  operator 3 pg_catalog.= (integer, bigint), function 1 (integer, bigint) pg_catalog.btint48cmp(integer, bigint);
create index orders_backwards on shop.orders ("or""der" shop.backwards);
create function shop.to_text(p shop.point3) returns text language sql immutable as $$ select p.z $$;
create cast (shop.point3 as text) with function shop.to_text(shop.point3) as assignment;
create cast (shop.float_range as text) with inout;
comment on cast (shop.point3 as text) is 'its z';
create conversion shop.latin for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
alter conversion shop.latin owner to pgmig_owner;
comment on conversion shop.latin is 'the usual';
alter operator family shop."fam.ily" using btree owner to pgmig_owner;
comment on operator family shop."fam.ily" using btree is 'a fam%ily';
alter operator class shop.backwards using btree owner to pgmig_owner;
-- Before 14 the optional members hang on the class, since then on the family.
\if :v14
create operator class shop.near for type point using gist as
  operator 1 pg_catalog.<< (point, point),
  operator 15 pg_catalog.<-> (point, point) for order by pg_catalog.float_ops,
  function 1 pg_catalog.gist_point_consistent(internal, point, smallint, oid, internal),
  function 2 pg_catalog.gist_box_union(internal, internal),
  function 3 pg_catalog.gist_point_compress(internal),
  function 5 pg_catalog.gist_box_penalty(internal, internal, internal),
  function 6 pg_catalog.gist_box_picksplit(internal, internal),
  function 7 pg_catalog.gist_box_same(box, box, internal),
  function 8 pg_catalog.gist_point_distance(internal, point, smallint, oid, internal),
  storage box;
create table shop.points (p point);
insert into shop.points select point(g, -g) from generate_series(1, 20) g;
create index points_near on shop.points using gist (p shop.near);
\endif
create text search dictionary shop."dic.t" (template = pg_catalog.simple, accept = false, stopwords = 'english');
create text search configuration shop.words (parser = pg_catalog."default");
alter text search configuration shop.words add mapping for asciiword, word with shop."dic.t", pg_catalog.simple;
comment on text search configuration shop.words is 'words';
create text search template shop.my_template (init = dsimple_init, lexize = dsimple_lexize);
create text search parser shop.my_parser (
  start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype, headline = prsd_headline);
create language "my ""lang" handler plpgsql_call_handler inline plpgsql_inline_handler validator plpgsql_validator;
create transform for shop.mood language "my ""lang" (from sql with function pg_catalog.prsd_lextype(internal));
comment on transform for shop.mood language "my ""lang" is 'trans%forms';
alter text search dictionary shop."dic.t" owner to pgmig_owner;
comment on text search dictionary shop."dic.t" is 'no stop';
alter text search configuration shop.words owner to pgmig_owner;
comment on text search template shop.my_template is 'simple';
comment on text search parser shop.my_parser is 'parses';
create trusted language "trust.ed" handler plpgsql_call_handler inline plpgsql_inline_handler validator plpgsql_validator;
alter language "trust.ed" owner to pgmig_owner;
comment on language "trust.ed" is 'a lang%uage';
revoke usage on language "trust.ed" from public;
grant usage on language "trust.ed" to pgmig_reader with grant option;
\if :v12
create access method my_heap type table handler heap_tableam_handler;
comment on access method my_heap is 'a heap';
create table my_pgmig_x.other_method (id integer primary key) using my_heap;
insert into my_pgmig_x.other_method values (1), (2);
\endif
create foreign data wrapper "w.rapper" options (a 'it''s', "B b" '\');
create server "ser.ver" type 't' version '1' foreign data wrapper "w.rapper" options (host 'h%');
comment on foreign data wrapper "w.rapper" is 'wraps';
grant usage on foreign data wrapper "w.rapper" to pgmig_owner with grant option;
alter server "ser.ver" owner to pgmig_owner;
comment on server "ser.ver" is 'serves';
grant usage on foreign server "ser.ver" to pgmig_reader;
create foreign table shop.far (id integer options (name 'i''d') not null, t text collate "C")
  server "ser.ver" options (path '/x y');
comment on foreign table shop.far is 'far away';
comment on column shop.far.t is 'a far column';
alter foreign table shop.far add constraint "far %" check (id > 0), alter column t set statistics 7;
alter foreign table shop.far owner to pgmig_owner;
grant select (id), update (t) on shop.far to pgmig_reader;
create trigger "far.trigger" before insert on shop.far for each row execute procedure shop.note_change();
create foreign table shop.far_fish (fins integer) inherits (my_pgmig_x.fish) server "ser.ver";
create table shop.near_and_far (id integer, k integer) partition by list (k);
create table shop.near_and_far_1 partition of shop.near_and_far for values in (1);
create foreign table shop.near_and_far_2 partition of shop.near_and_far for values in (2)
  server "ser.ver" options (path '2');
insert into shop.near_and_far_1 values (1, 1);
create publication "pub.lication" with (publish = 'insert, update');
alter publication "pub.lication" add table only shop.customers
\if :v15
  (id, email, mood) where (id > 5)
\endif
  ;
\if :v13
alter publication "pub.lication" add table shop.events;
\endif
\if :v15
create publication of_schema for tables in schema my_pgmig_x with (publish_via_partition_root);
\endif
create publication of_all for all tables;
alter publication "pub.lication" owner to pgmig_owner;
comment on publication "pub.lication" is 'published';
create function shop.on_ddl() returns event_trigger language plpgsql as $$ begin end $$;
create event trigger "even.t" on ddl_command_start when tag in ('CREATE SEQUENCE', 'DROP SEQUENCE')
  execute procedure shop.on_ddl();
alter event trigger "even.t" disable;
comment on event trigger "even.t" is 'asleep';
alter default privileges for role pgmig_owner in schema shop grant select on tables to pgmig_reader with grant option;
alter default privileges for role pgmig_owner revoke execute on functions from public;
alter default privileges for role pgmig_owner grant usage on types to "pgmig Wri""ter";
alter default privileges for role pgmig_owner revoke usage on types from public;
alter function shop.same(shop.point3, shop.point3) depends on extension citext;

-- A base type, whose functions need its shell.
create type shop.my_int;
create function shop.my_int_in(cstring) returns shop.my_int language internal immutable strict as 'int4in';
create function shop.my_int_out(shop.my_int) returns cstring language internal immutable strict as 'int4out';
create function shop.my_int_recv(internal) returns shop.my_int language internal immutable strict as 'int4recv';
create function shop.my_int_send(shop.my_int) returns bytea language internal immutable strict as 'int4send';
create type shop.my_int (
  input = shop.my_int_in, output = shop.my_int_out, receive = shop.my_int_recv, send = shop.my_int_send,
  internallength = 4, passedbyvalue, alignment = int4, default = '7', category = 'N', delimiter = ';');
comment on type shop.my_int is 'a number';
create type shop.only_a_shell;
create table my_pgmig_x.my_ints (i shop.my_int default '5', a shop.my_int[]);
insert into my_pgmig_x.my_ints values ('1', '{1;2}'), (default, null);
