-- Foreign servers: model::Definition.
select
  1417 as class,
  s.oid::int8 as oid,
  'server' as noun,
  s.srvname as name,
  pg_catalog.quote_ident(s.srvname) as identity,
  pg_catalog.pg_get_userbyid(s.srvowner) as owner,
  array[pg_catalog.format(
    'create server %I%s%s foreign data wrapper %I%s',
    s.srvname,
    ' type ' || pg_catalog.quote_literal(s.srvtype),
    ' version ' || pg_catalog.quote_literal(s.srvversion),
    w.fdwname,
    (
      select ' options ('
        || pg_catalog.string_agg(pg_catalog.format('%I %L', o.option_name, o.option_value), ', ')
        || ')'
      from pg_catalog.pg_options_to_table(s.srvoptions) o
    )
  )] as create
from pg_catalog.pg_foreign_server s
join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
order by s.srvname
