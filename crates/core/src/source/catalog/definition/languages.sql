-- Procedural languages: model::Definition.
select
  2612 as class,
  l.oid::int8 as oid,
  'language' as noun,
  l.lanname as name,
  pg_catalog.quote_ident(l.lanname) as identity,
  pg_catalog.pg_get_userbyid(l.lanowner) as owner,
  array[pg_catalog.format(
    'create %slanguage %I handler %s%s%s',
    case when l.lanpltrusted then 'trusted ' else '' end,
    l.lanname,
    l.lanplcallfoid::pg_catalog.regproc,
    case when l.laninline <> 0 then ' inline ' || l.laninline::pg_catalog.regproc else '' end,
    case when l.lanvalidator <> 0 then ' validator ' || l.lanvalidator::pg_catalog.regproc else '' end
  )] as create
from pg_catalog.pg_language l
where l.oid >= 16384
  and l.lanplcallfoid <> 0
order by l.lanname
