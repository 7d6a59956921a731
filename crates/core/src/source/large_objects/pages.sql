-- Contents of large objects of a range of OIDs, page by page, holes left out. Variables: first, last.
-- Columns: oid, offset, data.
select
  l.loid,
  l.pageno * (pg_catalog.current_setting('block_size')::int8 / 4),
  l.data
from pg_catalog.pg_largeobject l
where l.loid between :first and :last
order by l.loid, l.pageno
