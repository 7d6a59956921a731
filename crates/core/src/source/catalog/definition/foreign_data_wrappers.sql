-- Foreign data wrappers: model::Definition.
select
  2328 as class,
  w.oid::int8 as oid,
  'foreign data wrapper' as noun,
  w.fdwname as name,
  pg_catalog.quote_ident(w.fdwname) as identity,
  pg_catalog.pg_get_userbyid(w.fdwowner) as owner,
  array[pg_catalog.format(
    'create foreign data wrapper %I%s%s%s',
    w.fdwname,
    case when w.fdwhandler <> 0 then ' handler ' || w.fdwhandler::pg_catalog.regproc else '' end,
    case when w.fdwvalidator <> 0 then ' validator ' || w.fdwvalidator::pg_catalog.regproc else '' end,
    (
      select ' options ('
        || pg_catalog.string_agg(pg_catalog.format('%I %L', o.option_name, o.option_value), ', ')
        || ')'
      from pg_catalog.pg_options_to_table(w.fdwoptions) o
    )
  )] as create
from pg_catalog.pg_foreign_data_wrapper w
where w.oid >= 16384
order by w.fdwname
