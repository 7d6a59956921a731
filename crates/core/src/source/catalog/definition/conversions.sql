-- Conversions between encodings: model::Definition.
select
  2607 as class,
  c.oid::int8 as oid,
  'conversion' as noun,
  n.nspname as schema,
  c.conname as name,
  pg_catalog.format('%I.%I', n.nspname, c.conname) as identity,
  pg_catalog.pg_get_userbyid(c.conowner) as owner,
  array[pg_catalog.format(
    'create %sconversion %I.%I for %L to %L from %s',
    case when c.condefault then 'default ' end,
    n.nspname,
    c.conname,
    pg_catalog.pg_encoding_to_char(c.conforencoding),
    pg_catalog.pg_encoding_to_char(c.contoencoding),
    c.conproc::pg_catalog.regproc
  )] as create
from pg_catalog.pg_conversion c
join pg_catalog.pg_namespace n on n.oid = c.connamespace
where c.oid >= 16384
  and n.nspname !~ '^pg_'
order by n.nspname, c.conname
