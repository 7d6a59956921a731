-- What PostgreSQL 16, 17 and 18 brought, each under the version that knows it, with rows.
-- Loads as superuser into an empty database: psql -v ON_ERROR_STOP=1 -f newer.sql
-- Variable `icu` says whether both servers were built with ICU, `icu_target` whether the target was; true
-- unless given.
set client_min_messages = error;
\if :{?icu} \else \set icu true \endif
\if :{?icu_target} \else \set icu_target true \endif
select v >= 16 as v16, v >= 16 and :'icu_target'::boolean as unicode, v >= 17 as v17, v >= 18 as v18, v >= 16 and :'icu'::boolean as icu_rules
from (select current_setting('server_version_num')::integer / 10000) as version (v) \gset

create extension if not exists btree_gist;
create schema "new %";
create table "new %".plain (id integer primary key, t text);
insert into "new %".plain select g, 'row ' || g from generate_series(1, 50) g;

\if :icu_rules
create collation "new %".ruled (provider = icu, locale = 'und', rules = '&a < b');
create table "new %".ruled_text (t text collate "new %".ruled);
insert into "new %".ruled_text values ('a'), ('b');
\endif

\if :unicode
create table "new %".unicode_text (t text collate pg_catalog.unicode);
insert into "new %".unicode_text values ('é');
\endif

\if :v16
create view "new %".json_view as select t is json as is_json from "new %".plain;
create view "new %".on_json_view as select is_json from "new %".json_view;
create view "new %".any_view as select any_value(t) as any_t from "new %".plain;
create table "new %".storage_at_once (t text storage external);
create table "new %".by_system_user (
  id integer primary key, who text default system_user, "j %" text default '{}' constraint "is json" check ("j %" is json));
insert into "new %".by_system_user values (1, 'me', '[]'), (2, null, null);
create index "by %" on "new %".plain ((t is json object));
\endif

\if :v17
create collation "new %"."built.in" (provider = builtin, locale = 'C.UTF-8');
create table "new %".built_in (t text collate "new %"."built.in");
insert into "new %".built_in values ('ä'), ('z');
create domain "new %".named as integer constraint "need %" not null;
comment on constraint "need %" on domain "new %".named is 'needed';
create table "new %".with_named (n "new %".named);
insert into "new %".with_named values (1);
create function "new %".at_json() returns jsonb language sql begin atomic select json('{}')::jsonb; end;
create table "new %".identity_parts (id bigint generated always as identity, k integer) partition by list (k);
create table "new %".identity_parts_1 partition of "new %".identity_parts for values in (1);
insert into "new %".identity_parts (k) values (1), (1);
create table "new %".maintained (id integer);
grant maintain, select on "new %".maintained to public;
create function "new %".on_login() returns event_trigger language plpgsql as $$ begin end $$;
create event trigger "log.in" on login execute function "new %".on_login();
alter event trigger "log.in" disable;
create table "new %".in_bytes (
  t text collate pg_c_utf8 constraint "in bytes" check (t collate pg_c_utf8 > 'COLLATE pg_c_utf8'),
  l text generated always as (lower(t collate pg_c_utf8)) stored);
insert into "new %".in_bytes values ('x'), ('y');
create index "in bytes %" on "new %".in_bytes (lower(t collate pg_c_utf8) collate pg_c_utf8);
create view "new %".view_in_bytes as select t collate pg_catalog.pg_c_utf8 as t from "new %".plain;
create table "new %".chances (id integer primary key, n integer default random(1, 6), m double precision default random());
insert into "new %".chances values (1, 2, 3);
create table "new %".slots (k integer, during int4range, constraint "ex %" exclude using gist (during with &&, k with =))
  partition by list (k);
create table "new %".slots_1 partition of "new %".slots for values in (1);
create table "new %".slots_2 partition of "new %".slots for values in (2) partition by list (k);
create table "new %".slots_2_2 partition of "new %".slots_2 for values in (2);
insert into "new %".slots values (1, '[1,2)'), (1, '[2,3)'), (2, '[1,2)');
alter default privileges in schema "new %" grant maintain, insert on tables to public;
\endif

\if :v18
create table "new %".computed (
  id integer primary key,
  twice integer generated always as (id * 2) virtual,
  thrice integer generated always as (id * 3) stored);
insert into "new %".computed select g from generate_series(1, 20) g;
create table "new %".named_not_null (
  a integer constraint "need a" not null, b integer not null, c integer, d integer not null no inherit,
  constraint "c first" not null c);
insert into "new %".named_not_null values (1, 2, 3, 4);
comment on constraint "need a" on "new %".named_not_null is 'must be';
create table "new %".named_child () inherits ("new %".named_not_null);
create table "new %".late_not_null (a integer);
insert into "new %".late_not_null values (1), (null);
alter table "new %".late_not_null add constraint "some day" not null a not valid;
comment on constraint "some day" on "new %".late_not_null is 'not yet';
create table "new %".unenforced (
  id integer primary key, p integer, constraint "not yet" check (id > 100) not enforced,
  constraint reference foreign key (p) references "new %".plain not enforced);
insert into "new %".unenforced values (1, 999);
create table "new %".periods (
  id int4range, during daterange, note text, constraint "no overlaps" primary key (id, during without overlaps));
insert into "new %".periods values ('[1,2)', '[2020-01-01,2021-01-01)', 'x');
create table "new %".in_period (
  id int4range, during daterange, other int4range unique,
  constraint within foreign key (id, period during) references "new %".periods (id, period during));
insert into "new %".in_period values ('[1,2)', '[2020-02-01,2020-03-01)', '[1,1]');
comment on constraint "no overlaps" on "new %".periods is 'temporal';
create table "new %".parts_of (id integer references "new %".plain, k integer) partition by list (k);
alter table "new %".parts_of add constraint late foreign key (k) references "new %".plain not valid;
create view "new %".folded as select casefold(t collate pg_catalog.pg_c_utf8) as t from "new %".plain;
create table "new %".ids (
  id uuid default uuidv7() primary key, "fold %" text generated always as (casefold("t %" collate pg_c_utf8)) stored,
  "t %" text, constraint "new fold" check (casefold("t %" collate pg_c_utf8) <> 'x'))
  with (autovacuum_vacuum_max_threshold = 7, toast.autovacuum_vacuum_max_threshold = 8, fillfactor = 70);
insert into "new %".ids ("t %") values ('A'), ('b');
create index "fold index" on "new %".ids (casefold("t %" collate pg_c_utf8));
create policy "fold policy" on "new %".ids using (casefold("t %" collate pg_c_utf8) > 'a');
create function "new %".fold(t text default uuidv7()::text) returns text language sql begin atomic select t; end;
create view "new %".of_fold as select "new %".fold('x') as f;
create materialized view "new %".folded_rows with (autovacuum_vacuum_max_threshold = 9) as
  select id, casefold("t %" collate pg_c_utf8) as f from "new %".ids with no data;
create domain "new %".fresh as uuid default uuidv7();
create table "new %".virtual_parts (k integer, "d %" integer generated always as (k * 2) virtual) partition by list (k);
create table "new %".virtual_parts_1 partition of "new %".virtual_parts for values in (1);
create table "new %".virtual_child () inherits ("new %".computed);
insert into "new %".virtual_parts values (1);
insert into "new %".virtual_child values (100);
create table "new %".strict_parts (k integer, v text, constraint "k %" not null k, constraint "un %" check (v <> '') not enforced)
  partition by list (k);
create table "new %".strict_parts_1 partition of "new %".strict_parts for values in (1);
insert into "new %".strict_parts values (1, '');
create table "new %".period_parts (
  id int4range, k integer, during daterange, constraint "p %" primary key (k, id, during without overlaps)) partition by list (k);
create table "new %".period_parts_1 partition of "new %".period_parts for values in (1);
insert into "new %".period_parts values ('[1,2)', 1, '[2020-01-01,2021-01-01)');
alter default privileges grant select on large objects to public;
create publication with_list for table only "new %".computed (id, thrice), table "new %".ids ("fold %");
create publication with_generated for table "new %".computed with (publish_generated_columns = stored);
\endif
