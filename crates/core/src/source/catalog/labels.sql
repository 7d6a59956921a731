-- Security labels on objects of the user, on the database and on roles: model::SecurityLabel.
select
  l.classoid::int8 as class,
  l.objoid::int8 as oid,
  l.objsubid as subid,
  l.provider,
  l.label
from pg_catalog.pg_seclabel l
where l.objoid >= 16384
  or l.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
  and l.objoid = 2200
union all
select l.classoid::int8, l.objoid::int8, 0, l.provider, l.label
from pg_catalog.pg_shseclabel l
where l.classoid in (
    'pg_catalog.pg_authid'::pg_catalog.regclass,
    'pg_catalog.pg_database'::pg_catalog.regclass,
    'pg_catalog.pg_subscription'::pg_catalog.regclass)
order by class, oid, subid, provider
