-- Transforms: model::Definition.
select
  3576 as class,
  t.oid::int8 as oid,
  'transform' as noun,
  pg_catalog.format('%s language %s', pg_catalog.format_type(t.trftype, null), l.lanname) as name,
  pg_catalog.format(
    'for %s language %I', pg_catalog.format_type(t.trftype, null), l.lanname) as identity,
  array[pg_catalog.format(
    'create transform for %s language %I (%s)',
    pg_catalog.format_type(t.trftype, null),
    l.lanname,
    pg_catalog.concat_ws(
      ', ',
      case
        when t.trffromsql <> 0
        then 'from sql with function ' || t.trffromsql::pg_catalog.regprocedure
      end,
      case
        when t.trftosql <> 0
        then 'to sql with function ' || t.trftosql::pg_catalog.regprocedure
      end)
  )] as create
from pg_catalog.pg_transform t
join pg_catalog.pg_language l on l.oid = t.trflang
where t.oid >= 16384
order by name
