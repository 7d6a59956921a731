-- Security labels on objects of the user: model::SecurityLabel.
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
order by l.classoid, l.objoid, l.objsubid, l.provider
