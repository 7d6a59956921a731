-- Values of types that are stored without their receive functions: tricky ones, and many others.
create schema t;
set search_path = t;
do $$ begin perform setseed(0.25); end $$;

-- Texts that look like numbers of all sizes.
create function random_number(digits int, scale int) returns numeric language sql volatile as $$
    select (case when random() < 0.5 then '-' else '' end
        || (select string_agg(case when random() < 0.4 then '0' else (random() * 9)::int::text end, '')
            from generate_series(1, greatest(digits, 1) + 0 * scale))
        || case when scale > 0 then '.' || (select string_agg(case when random() < 0.4 then '0' else (random() * 9)::int::text end, '')
            from generate_series(1, scale + 0 * digits)) else '' end)::numeric $$;

create table numbers (v numeric);
insert into numbers values
    (0), (-0.00), ('0.000000'), (1e-10), (1e30), (-1e30), (0.0001), (10000), (9999), (99999999.9999), (0.00001), (1e63), (1e255), (1e256),
    (1e-63), (1e-64), (1e-256), (1e-257), (('1.' || repeat('0', 63))::numeric), (('1.' || repeat('0', 64))::numeric), (('0.' || repeat('0', 300) || '5')::numeric),
    (100000000), (123456789012345678901234567890.123456789), ('NaN'), ('Infinity'), ('-Infinity'), (null), (1e500), (1e-500);
insert into numbers select random_number((random() * 40)::int, (random() * 30)::int) from generate_series(1, 3000);
insert into numbers select power(10::numeric, g) from generate_series(-70, 70) g;
insert into numbers select power(10::numeric, g) * 1.5 from generate_series(-70, 70) g;

create domain plain_amount as numeric(12, 3);
create domain "again""a" as plain_amount;
create domain positive as numeric check (value is null or value > -1e10);
create table limited (
    a numeric(10, 2), b numeric(3), c numeric(4, 4), d numeric(2, 5), e numeric(5, -2), f numeric(1000, 500), g plain_amount,
    h "again""a", i positive, j numeric(14, 4) not null);
insert into limited select
    n % 100000000, n % 999, (n % 10000) / 10000, (n % 100) / 100000, n % 1000000, n / 7, n % 1000000000, n % 1000000000, n % 10000000000, n % 10000000000
from (select random_number(1 + (random() * 9)::int, (random() * 6)::int) n from generate_series(1, 3000)) r;
insert into limited (b, j) values (999, 0), (-999, -0.0001), (0, 9999999999.9999), ('NaN', 'NaN');

-- Documents.
create table documents (v jsonb, j json, w jsonb);
insert into documents (v) values
    ('null'), ('true'), ('false'), ('""'), ('"a"'), ('0'), ('-0'), ('-0.00'), ('1.10'), ('1e2'), ('1E-7'), ('1e400'), ('12345678901234567890123456789.5'),
    ('123456789012345678901234567890.1234567890'), ('0.0001'), ('10000'), ('100000000'), ('[]'), ('{}'), ('[[]]'), ('[{}]'), ('{"a": {}}'),
    ('{"": ""}'), ('{"b": 1, "a": 2, "b": 3}'), ('{"aa": 1, "b": 2, "ccc": [1, "x", null, true, false, 1.5, {}], "a": {"z": {"y": [[[1]]]}}}'),
    (' [ 1 , 2 ] '), ('"\"\\\/\b\f\n\r\t"'), ('"\u00e9\ud83d\ude00"'), ('{"\n": "\t", "é": "日本", "😀": "x"}'), ('["x", 1]'), ('["xy", 1]'),
    ('["xyz", 1]'), ('["xyzw", 1]'), ('["x", []]'), ('["xy", {"k": 1}]'), (null);
insert into documents (v) select ('[' || repeat('[', g) || repeat(']', g) || ']')::jsonb from generate_series(0, 80) g;
insert into documents (v) select jsonb_agg(i % 10) from generate_series(0, 70) n, generate_series(0, n) i group by n;
insert into documents (v) select jsonb_agg(repeat('s', i % 5)) from generate_series(0, 70) n, generate_series(0, n) i group by n;
insert into documents (v) select jsonb_object_agg(left('k' || md5(i::text), 2 + i % 4), case i % 3 when 0 then '1'::jsonb when 1 then '"v"' else '[true]' end)
    from generate_series(0, 68) n, generate_series(0, n) i group by n;
insert into documents (j) select v::text::json from documents where v is not null;
insert into documents (j) values ('{"a": 1,  "a": 2 }'), (' 1e5 '), ('"\u0000"'), ('"\u00e9"'), ('{"a":
    [1,
    2]}');

create function random_document(depth int, seed int) returns jsonb language plpgsql volatile as $$
declare
    kind int := (random() * (case when depth > 3 then 6 else 9 end))::int;
    result jsonb;
begin
    case kind
        when 0 then return 'null';
        when 1 then return to_jsonb(random() < 0.5);
        when 2 then return to_jsonb((random() * 1000000)::int);
        when 3 then return to_jsonb(t.random_number((random() * 12)::int, (random() * 8)::int));
        when 4 then return to_jsonb(left(md5(seed::text), (random() * 20)::int));
        when 5 then return to_jsonb(repeat((array['é', '"', E'\\', E'\n', '😀', ' ', '/', E'\x01'])[1 + (random() * 7)::int], (random() * 5)::int));
        when 6 then return to_jsonb(round(random()::numeric * 1000, 2));
        when 7, 8 then
            select jsonb_object_agg(left(md5((seed * g)::text), 1 + (random() * 6)::int), t.random_document(depth + 1, seed + g))
            into result from generate_series(1, (random() * 8)::int) g;
            return coalesce(result, '{}');
        else
            select jsonb_agg(t.random_document(depth + 1, seed + g)) into result from generate_series(1, (random() * 6)::int) g;
            return coalesce(result, '[]');
    end case;
end $$;
create table many_documents (id int, v jsonb);
insert into many_documents
select g, v from (select g, t.random_document(0, g) v from generate_series(1, 6000) g offset 0) r where pg_column_size(v) < 1500;
insert into many_documents
select g, v from (select g, jsonb_build_object('a', t.random_document(1, g), 'b', t.random_document(1, g), g, t.random_document(2, g)) v
    from generate_series(1, 4000) g offset 0) r where pg_column_size(v) < 1500;

create table long_documents (id int, v jsonb, w jsonb, j json);
insert into long_documents
select g, jsonb_build_object('key', repeat('j' || g, g * 7), 'list', (select jsonb_agg(i * g / 10.0) from generate_series(1, g) i)),
    (select jsonb_object_agg(md5((i * g)::text), jsonb_build_array(i, md5(i::text))) from generate_series(1, g / 2) i),
    (select json_agg(md5(i::text)) from generate_series(1, g) i)
from generate_series(1, 300) g;

-- The others.
create type mood as enum ('sad', 'ok', 'it''s "great"');
create domain moody as mood;
create table small_types (
    a mood, b moody, c inet, d cidr, e macaddr, f macaddr8, g interval, h interval second(2), i timetz, j timetz(2), k timestamp(3), l timestamptz(0),
    m time(1), n xid, o cid, p "char", q point, r lseg, s xid8, u pg_lsn, v timestamp(6), w bool, x text);
insert into small_types select
    (array['sad', 'ok', 'it''s "great"', null])[1 + g % 4]::mood, (array['sad', 'ok', null])[1 + g % 3]::mood,
    ('10.1.2.' || g % 256 || '/' || g % 33)::inet, case when g % 3 = 0 then network(('ff00::' || to_hex(g) || '/' || g % 129)::inet)::cidr
        else network(('192.168.' || g % 256 || '.7/' || g % 33)::inet)::cidr end,
    ('08:00:2b:01:02:' || lpad(to_hex(g % 256), 2, '0'))::macaddr, ('08:00:2b:01:02:03:04:' || lpad(to_hex(g % 256), 2, '0'))::macaddr8,
    make_interval(g, -g, g, -g, g, -g, g / 7.0), make_interval(secs => g / 7.0), ('12:34:56.' || g || '+05:' || lpad((g % 60)::text, 2, '0'))::timetz,
    ('23:59:59.' || g || '-11')::timetz, timestamp '1999-01-01' + g * interval '31 hours 0.7777777 seconds', timestamptz '2001-01-01 UTC' - g * interval '777.5 seconds',
    time '00:00' + g * interval '1.37 seconds', g::text::xid, (g * 7)::text::cid, chr(1 + g % 100)::"char", point(g, -g / 3.0), lseg(point(g, 1), point(-g, 'NaN')),
    g::text::xid8, ('0/' || to_hex(g))::pg_lsn, timestamp '-infinity', g % 2 = 0, repeat('x', g % 5)
from generate_series(1, 1500) g;

create table arrays (a text[], b int[], c int8[], d uuid[], e varchar[], f varchar(5)[], g int2[], h float8[], i float4[], j text[]);
insert into arrays select
    array_agg(left(md5(i::text), i % 7)), array_agg(i * g), array_agg(i::int8 * -g), array_agg(md5(i::text)::uuid), array_agg('é' || i),
    array_agg(left(md5(i::text), i % 6)), array_agg((i + g)::int2), array_agg(i / 7.0), array_agg(i / 3.0), array_agg(nullif(i % 3, 1)::text)
from generate_series(1, 200) g, generate_series(1, g % 13) i group by g;
insert into arrays values
    ('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'), (null, '{NULL}', '[0:1]={1,2}', null, '{{a},{b}}', '{}', '{1}', '{NaN}', '{1}', '{""}');
