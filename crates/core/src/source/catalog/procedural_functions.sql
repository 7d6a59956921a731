-- Functions whose body runs statements, so that they may read any table; extensions' own included.
select p.oid::int8 as oid
from pg_catalog.pg_proc p
join pg_catalog.pg_language l on l.oid = p.prolang
where p.oid >= 16384
  and l.lanname not in ('internal', 'c')
order by p.oid
