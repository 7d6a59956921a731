-- Dependencies between objects of the user: model::Depend, with short names since there are many.
select
  d.classid::int8 as c,
  d.objid::int8 as o,
  d.objsubid as s,
  d.refclassid::int8 as rc,
  d.refobjid::int8 as ro,
  d.refobjsubid as rs,
  d.deptype as k
from pg_catalog.pg_depend d
where d.objid >= 16384
  and d.refobjid >= 16384
order by d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid, d.deptype
