-- What PostgreSQL 16, 17 and 18 brought, each under the version that knows it, with rows.
-- Loads as superuser into an empty database: psql -v ON_ERROR_STOP=1 -f newer.sql
-- Variable `icu` says whether both servers were built with ICU, `icu_target` whether the target was; true
-- unless given.
set client_min_messages = error;
\if :{?icu} \else \set icu true \endif
\if :{?icu_target} \else \set icu_target true \endif
select v >= 16 as v16, v >= 16 and :'icu_target'::boolean as unicode, v >= 17 as v17, v >= 18 as v18, v >= 16 and :'icu'::boolean as icu_rules
from (select current_setting('server_version_num')::integer / 10000) as version (v) \gset

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
create publication with_generated for table "new %".computed with (publish_generated_columns = stored);
\endif
