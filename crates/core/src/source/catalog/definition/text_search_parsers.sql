-- Text search parsers: model::Definition.
select
  3601 as class,
  p.oid::int8 as oid,
  'text search parser' as noun,
  n.nspname as schema,
  p.prsname as name,
  pg_catalog.format('%I.%I', n.nspname, p.prsname) as identity,
  array[pg_catalog.format(
    'create text search parser %I.%I (start = %s, gettoken = %s, end = %s, lextypes = %s%s)',
    n.nspname,
    p.prsname,
    p.prsstart,
    p.prstoken,
    p.prsend,
    p.prslextype,
    case when p.prsheadline <> 0 then ', headline = ' || p.prsheadline::text end
  )] as create
from pg_catalog.pg_ts_parser p
join pg_catalog.pg_namespace n on n.oid = p.prsnamespace
where p.oid >= 16384
  and n.nspname !~ '^pg_'
order by n.nspname, p.prsname
