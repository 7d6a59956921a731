-- Comments on objects of the user, and on schema public: model::Comment.
select
  d.classoid::int8 as class,
  d.objoid::int8 as oid,
  d.objsubid as subid,
  d.description as text
from pg_catalog.pg_description d
where d.objoid >= 16384
  or d.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
  and d.objoid = 2200
order by d.classoid, d.objoid, d.objsubid
