-- Text search templates: model::Definition.
select
  3764 as class,
  t.oid::int8 as oid,
  'text search template' as noun,
  n.nspname as schema,
  t.tmplname as name,
  pg_catalog.format('%I.%I', n.nspname, t.tmplname) as identity,
  array[pg_catalog.format(
    'create text search template %I.%I (%slexize = %s)',
    n.nspname,
    t.tmplname,
    case when t.tmplinit <> 0 then pg_catalog.format('init = %s, ', t.tmplinit) end,
    t.tmpllexize
  )] as create
from pg_catalog.pg_ts_template t
join pg_catalog.pg_namespace n on n.oid = t.tmplnamespace
where t.oid >= 16384
  and n.nspname !~ '^pg_'
order by n.nspname, t.tmplname
