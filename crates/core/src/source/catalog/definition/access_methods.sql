-- Access methods: model::Definition.
select
  2601 as class,
  a.oid::int8 as oid,
  'access method' as noun,
  a.amname as name,
  pg_catalog.quote_ident(a.amname) as identity,
  array[pg_catalog.format(
    'create access method %I type %s handler %s',
    a.amname,
    case a.amtype when 'i' then 'index' else 'table' end,
    a.amhandler::pg_catalog.regproc)] as create
from pg_catalog.pg_am a
where a.oid >= 16384
order by a.amname
