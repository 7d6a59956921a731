-- A table for every built-in type with its extremes, nulls and empty values, and tables of types that
-- are made of others. Every table is there twice: as it is, and with a column of a type without a
-- binary form, so that it travels as text. What PostgreSQL 10 to 14 do not know is left out there. Variable
-- `xml` says whether the servers were built with libxml, `finite_extremes` whether the target is older than 17,
-- for which an interval with every field at its extreme is an infinite one; true unless given.

\set ON_ERROR_STOP on
\set QUIET on
set client_min_messages = warning;
set timezone = 'UTC';
\if :{?xml} \else \set xml true \endif
\if :{?finite_extremes} \else \set finite_extremes true \endif
select v >= 11 as v11, v >= 12 as v12, v >= 13 as v13, v >= 14 as v14, v >= 15 as v15,
  v between 15 and 16 and :'finite_extremes'::boolean as finite_intervals
from (select current_setting('server_version_num')::integer / 10000) as version (v) \gset

-- Types get other OIDs than on a target that makes only what is below.
create type public.makes_oids_differ as enum ('a');
create table public.makes_oids_differ_too (i int, drop_me int);
drop table public.makes_oids_differ_too;

create schema t;
set search_path = t, pg_catalog;

create table t_bool (v bool);
insert into t_bool values (true), (false), (null);
create table t_int2 (v int2);
insert into t_int2 values (-32768), (32767), (0), (null);
create table t_int4 (v int4);
insert into t_int4 values (-2147483648), (2147483647), (0), (null);
create table t_int8 (v int8);
insert into t_int8 values (-9223372036854775808), (9223372036854775807), (0), (null);
create table t_numeric (v numeric, w numeric(10, 3));
insert into t_numeric values
  ('NaN', 'NaN'), (null, null), (0, 0), ('0.000', 0.001), ('-1.50', -9999999.999),
  (('1' || repeat('0', 131071))::numeric, 1), (('0.' || repeat('0', 16382) || '1')::numeric, 1),
  (('-' || repeat('9', 70000) || '.' || repeat('9', 16383))::numeric, 1);
\if :v14
insert into t_numeric values ('Infinity', null), ('-Infinity', null);
\endif
\if :v15
create table t_rounded (x numeric(3, -2));
insert into t_rounded values ('NaN'), (null), (0), (12345), (-99900);
\endif
create table t_float4 (v float4);
insert into t_float4 values
  ('NaN'), ('Infinity'), ('-Infinity'), ('-0'), (0), (null), (1.1754944e-38), (3.4028235e38), (1e-45), (0.1);
create table t_float8 (v float8);
insert into t_float8 values
  ('NaN'), ('Infinity'), ('-Infinity'), ('-0'), (0), (null), (2.2250738585072014e-308),
  (1.7976931348623157e308), (5e-324), (0.1), (0.1::float8 + 0.2);
create table t_money (v money);
insert into t_money values
  ('-92233720368547758.08'), ('92233720368547758.07'), ('0'), ('1234.56'), (null);
create table t_date (v date);
insert into t_date values
  ('4713-01-01 BC'), ('5874897-12-31'), ('infinity'), ('-infinity'), ('0001-12-31 BC'), ('2000-02-29'), (null);
create table t_time (v time, w time(0));
insert into t_time values ('00:00', '00:00'), ('24:00:00', '23:59:59'), ('23:59:59.999999', null), (null, null);
create table t_timetz (v timetz);
insert into t_timetz values
  ('00:00+15:59:59'), ('24:00-15:59:59'), ('12:34:56.789+05:30'), (null);
create table t_timestamp (v timestamp, w timestamp(3));
insert into t_timestamp values
  ('4713-01-01 00:00:00 BC', null), ('294276-12-31 23:59:59.999999', '2000-01-01 00:00:00.123'),
  ('infinity', '-infinity'), ('-infinity', 'infinity'), ('0001-01-01 00:00:00 BC', null), (null, null);
create table t_timestamptz (v timestamptz);
insert into t_timestamptz values
  ('4713-01-01 00:00:00+00 BC'), ('294276-12-31 23:59:59.999999+00'), ('infinity'), ('-infinity'),
  ('2021-03-28 02:30:00+02'), ('1883-11-18 12:03:58-04:56:02'), (null);
create table t_interval (v interval, w interval year to month, x interval second(2));
insert into t_interval values
  ('178000000 years', '1 year', '1.23'), ('-178000000 years', '-1 month', '-1.23'),
\if :finite_intervals
  ('2147483647 months 2147483647 days 2562047788:00:54.775807', null, null),
  ('-2147483647 months -2147483648 days -2562047788:00:54.775807', null, null),
\endif
  ('1 mon -1 day +00:00:01', null, null), ('0', '0', '0'), (null, null, null);
create table t_bit (v bit(9), w bit varying, x bit varying(3));
insert into t_bit values
  (b'101010101', b'', b''), (b'000000000', b'1', b'101'), (null, null, null),
  (b'111111111', repeat('10', 5000)::bit varying, b'1');
create table t_text (v text, w varchar(10), x char(10), y "char", z name);
insert into t_text values
  ('', '', '', '', ''), (null, null, null, null, null), (' ', 'a ', 'a  ', 'z', 'n ame'),
  ('\N', '\N', '\N', '\', '\N'), ('\.', '\.', '\.', 'N', '\.'),
  (E'tab\tnew\nret\rback\\slash\bb\ff\vv', E'a\nb', E'a\tb', E'\n', E'a\nb'),
  ('a,"b"', 'x''y', '日本', '"', 'ÄÖ'), (repeat('long ', 100000), repeat('x', 10), repeat('y', 10), 'x', repeat('n', 63)),
  (U&'\+01F600\FEFF\0301', null, null, E'\x7f', null);
insert into t_text (v, y) select chr(g) || 'x' || chr(g), chr(g)::"char" from generate_series(1, 127) g;
\if :v15
insert into t_text (y) select g::"char" from generate_series(-128, -1) g;
\endif
create table t_bytea (v bytea);
insert into t_bytea values (''), (null), ('\x00'), ('\x5c2e'), ('\x5c4e');
insert into t_bytea select string_agg(set_byte('\x00', 0, g), '' order by g) from generate_series(0, 255) g;
insert into t_bytea select set_byte('\x00', 0, g) || '\x00ff' from generate_series(0, 255) g;
create table t_uuid (v uuid);
insert into t_uuid values
  ('00000000-0000-0000-0000-000000000000'), ('ffffffff-ffff-ffff-ffff-ffffffffffff'), (null);
create table t_inet (v inet, w cidr);
insert into t_inet values
  ('0.0.0.0/0', '0.0.0.0/0'), ('255.255.255.255', '255.255.255.255/32'), ('10.1.2.3/8', '10.0.0.0/8'),
  ('::/0', '::/0'), ('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '2001:db8::/32'), ('::ffff:1.2.3.4/120', null),
  (null, null);
create table t_macaddr (v macaddr, w macaddr8);
insert into t_macaddr values
  ('00:00:00:00:00:00', '00:00:00:00:00:00:00:00'), ('ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff'), (null, null);
create table t_geometry (p point, l line, s lseg, b box, o path, q path, g polygon, c circle);
insert into t_geometry values
  ('(0,-0)', '{1,2,3}', '[(1,2),(3,4)]', '(3,4),(1,2)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))',
   '((0,0),(1,1),(2,0))', '<(1,1),0>'),
  ('(Infinity,NaN)', '{-1,0,1e300}', '[(0.1,0.2),(0.3,1e-300)]', '(Infinity,1),(0,-Infinity)', '[(1,1)]',
   '((1,1))', '((1,1))', '<(0,0),Infinity>'),
  (null, null, null, null, null, null, null, null);
create table t_json (v json, w jsonb, x text);
insert into t_json values
  ('{"a": 1,  "a": 2 }', '{"a": 1, "a": 2}', '$.a[*] ? (@ > 1)'), ('null', 'null', 'lax $'),
  ('  [1.0, 1e5, "\u00e9\ud83d\ude00"] ', '[1.0, 1e5, "\u00e9\ud83d\ude00", -0, {}]', 'strict $."a b"'),
  ('""', '""', '$[0 to last]'), ('{}', '{}', null), (null, null, null);
\if :v12
alter table t_json alter column x type jsonpath using x::jsonpath;
\endif
insert into t_json (w) select jsonb_agg(jsonb_build_object('k' || g, repeat('v', 50))) from generate_series(1, 5000) g;
\if :xml
set xmloption = content;
create table t_xml (v xml);
insert into t_xml values
  ('<a/>'), ('text <b>only</b> é'), (''), ('<?xml version="1.0"?><a>x</a>'),
  ('<?xml version="1.0" standalone="yes"?><a/>'), ('<!-- c --><a b="&lt;&#9;"/>'), (null);
\endif
create table t_search (v tsvector, w tsquery);
insert into t_search values
  ('', ''), ('''a b'':1A,2B,16383 c ''it''''s''', '!a & (b:*AB | ''c d'' <-> e)'), (null, null);
insert into t_search (v) select array_to_tsvector(array_agg('lexeme' || g)) from generate_series(1, 3000) g;
create table t_numbers (v oid, w xid, y cid, z tid, l pg_lsn, s txid_snapshot);
insert into t_numbers values
  (0, '0', '0', '(0,0)', '0/0', '10:20:10,14,15'),
  (4294967295, '4294967295', '4294967295', '(4294967295,65535)', 'FFFFFFFF/FFFFFFFF', '1:1:'),
  (16384, '3', '1', '(1,1)', '16/B374D848', null), (null, null, null, null, null, null);
\if :v13
create table t_numbers_13 (x xid8, n pg_snapshot);
insert into t_numbers_13 values
  ('0', '10:20:10,14,15'), ('18446744073709551615', '1:1:'), ('4294967296', null), (null, null);
\endif
create table t_vectors (v int2vector, w oidvector);
insert into t_vectors values ('', ''), ('1 -2 32767', '0 4294967295 16384'), (null, null);

-- Objects that regtypes name; made in another order on a target that sorts them.
create function zz_function(int) returns int language sql as 'select 1';
create function aa_function() returns int language sql as 'select 2';
create table aa_table (zz_column int);
create table "Hostile ""T.a,b\le
%s" ("c.o""l,u\mn %" int, "select" text, " " text, "Ä日本" text);
insert into "Hostile ""T.a,b\le
%s" values (1, 'a', 'b', 'c'), (null, null, null, null), (2, '', ' ', E'\\');
create type mood as enum ('sad', 'ok', 'it''s "great", {so}\');
create table t_reg (
  a regclass, b regtype, c regproc, d regprocedure, e regoper, f regoperator, g regnamespace, h regrole,
  i regconfig, j regdictionary, l regclass[]);
insert into t_reg values
  ('aa_table', 'mood', 'aa_function', 'zz_function(int)', 'pg_catalog.||/', '+(int,int)', 't', 'postgres',
   'english', 'simple', array['aa_table', 'pg_class', null]::regclass[]),
  ('"Hostile ""T.a,b\le
%s"', 'mood[]', 'pg_sleep', 'zz_function(int)', 'pg_catalog.||/', '*(int8,int8)', 'pg_catalog', 'postgres',
   'simple', 'simple', '{}'),
  (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, null), (null, null, null, null, null, null, null, null, null, null, null);
\if :v13
create table t_regcollation (k regcollation);
insert into t_regcollation values ('"C"'), ('"POSIX"'), (0), (null);
\endif

create type pair as (a int, b text, gone int, m mood[]);
alter type pair drop attribute gone;
create type nested as (p pair, q pair[], r int4range);
create domain positive as int check (value > 0);
create domain small as positive check (value < 100);
create domain words as text[] check (array_length(value, 1) > 0);
\if :v11
create domain strict_pair as pair check (value is null or (value).a is not null);
\endif
create type mood_span as range (subtype = mood);
create type pair_span as range (subtype = pair);

create table t_array (
  a int[], b text[], c mood[], d pair[], e bytea[], f timestamptz[], g numeric[][]);
insert into t_array values
  ('{}', '{}', '{}', '{}', '{}', '{}', '{}'),
  ('{1,NULL,3}', '{"",NULL,"NULL","a,b","{x}","\\","\""," s "}', '{sad,NULL,"it''s \"great\", {so}\\"}',
   array[row(1, 'x', '{ok,NULL}')::pair, null, row(null, null, null)::pair], '{"\\x00ff",NULL,"\\x"}',
   '{infinity,2000-01-01 00:00:00+00,NULL}', '{{1,NaN},{NULL,-0.5}}'),
  ('[-2:0]={1,2,3}', '[5:5][2:3]={{a,b}}', '[0:1]={sad,ok}', '[3:3]={"(1,,)"}', '[0:0]={"\\x01"}', '[7:7]={-infinity}',
   '[1:1][-2:-1][3:4]={{{1,2},{3,4}}}'),
  (array_fill(7, array[3, 2, 2, 1, 1, 1]), null, null, null, null, null, null),
  (null, null, null, null, null, null, null);
insert into t_array (a) select array_agg(g) from generate_series(1, 100000) g;
\if :v11
create table t_domain_array (h small[]);
insert into t_domain_array values ('{}'), ('{1,NULL,99}'), ('[10:10]={5}'), (null);
\endif
create table t_mood (v mood);
insert into t_mood values ('sad'), ('ok'), ('it''s "great", {so}\'), (null);
create table t_composite (v pair, w nested, x aa_table);
insert into t_composite values
  (row(1, 'a"b,(c)\', '{sad}'), row(row(1, '', '{}')::pair, array[row(2, null, null)::pair, null], '[1,5)'), row(1)),
  (row(null, null, null), row(null, null, null), row(null)), (null, null, null);
create table t_domain (v small, w words);
insert into t_domain values (1, '{a}'), (99, '{"",NULL}'), (null, null);
\if :v11
create table t_composite_domain (x strict_pair);
insert into t_composite_domain values (row(1, 'x', null)), (row(2, null, '{ok}')), (null);
\endif
create table t_range (
  a int4range, b int8range, c numrange, d tsrange, e tstzrange, f daterange, g mood_span, h pair_span);
insert into t_range values
  ('empty', 'empty', 'empty', 'empty', 'empty', 'empty', 'empty', 'empty'),
  ('(,)', '(,)', '(,)', '(,)', '(,)', '(,)', '(,)', '(,)'),
  ('[1,5)', '(,9223372036854775807)', '(1.50,NaN]', '[-infinity,infinity]',
   '["2000-01-01 00:00:00+00",)', '[2000-01-01,infinity)', '[sad,ok]',
   pair_span(row(1, 'a', null)::pair, row(2, 'b', '{sad}')::pair)),
  (null, null, null, null, null, null, null, null);
\if :v14
create table t_multirange (
  c numrange, i int4multirange, j nummultirange, k mood_span_multirange, l tstzmultirange);
insert into t_multirange values
  ('empty', '{}', '{}', '{}', '{}'), ('(,)', '{(,)}', '{(,)}', '{(,)}', '{(,)}'),
  ('(1.50,Infinity]', '{[1,2),[5,9)}', '{(1,2),[NaN,NaN]}', mood_span_multirange(mood_span('sad', 'ok')),
   '{["2000-01-01 00:00:00+00",infinity)}'),
  (null, null, null, null, null);
\endif

-- Columns: none, dropped, generated, identity, in hostile numbers.
create table t_no_columns ();
insert into t_no_columns default values;
insert into t_no_columns default values;
create table t_all_dropped (a int, b text);
insert into t_all_dropped values (1, 'x'), (2, 'y');
alter table t_all_dropped drop column a, drop column b;
create table t_dropped (a int, gone text, b text, gone_too int default 5, c int);
insert into t_dropped (a, gone, b, c) select g, 'g' || g, 'b' || g, -g from generate_series(1, 100) g;
alter table t_dropped drop column gone, drop column gone_too;
alter table t_dropped add column later text default 'filled';
insert into t_dropped values (0, null, null, null);
create table t_generated (
  a int,
\if :v12
  twice int generated always as (a * 2) stored,
\endif
  b text,
  id int generated always as identity (start with 100), id2 int generated by default as identity);
insert into t_generated (a, b) select g, 'b' || g from generate_series(1, 50) g;
insert into t_generated (a, b, id) overriding system value values (null, null, -1);
\if :v12
create table t_only_generated (x int generated always as (5) stored);
insert into t_only_generated select from generate_series(1, 7);
\endif

-- All of them again, as text: aclitem has no binary form.
select
  format('create table t.%1$I (like t.%2$I including all, forces_text aclitem)', 'text_' || c.relname, c.relname),
  format(
    'insert into t.%1$I (%3$sforces_text) overriding system value select %3$s''=r/postgres'' from t.%2$I',
    'text_' || c.relname,
    c.relname,
    (
      select string_agg(quote_ident(a.attname) || ', ', '' order by a.attnum)
      from pg_attribute a
      where a.attrelid = c.oid
        and a.attnum > 0
        and not a.attisdropped
\if :v12
        and a.attgenerated = ''
\endif
    ))
from pg_class c
where c.relnamespace = 't'::regnamespace
  and c.relkind = 'r'
  and c.relname like 't\_%'
order by c.relname
\gexec
