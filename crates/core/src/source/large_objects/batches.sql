-- Large objects in batches by OID. Variables: max_count, max_bytes.
-- Columns: first, last (OIDs), objects, bytes (by their last pages).
with sized as (
  select
    m.oid,
    coalesce(
      (
        select l.pageno + 1
        from pg_catalog.pg_largeobject l
        where l.loid = m.oid
        order by l.pageno desc
        limit 1
      ),
      0
    ) * (pg_catalog.current_setting('block_size')::int8 / 4) as bytes
  from pg_catalog.pg_largeobject_metadata m
), placed as (
  select
    s.oid,
    s.bytes,
    (pg_catalog.row_number() over (order by s.oid) - 1) / :max_count
      + pg_catalog.div(pg_catalog.sum(s.bytes) over (order by s.oid) - s.bytes, :max_bytes) as batch
  from sized s
)
select
  pg_catalog.min(p.oid)::int8 as first,
  pg_catalog.max(p.oid)::int8 as last,
  pg_catalog.count(*) as objects,
  pg_catalog.sum(p.bytes)::int8 as bytes
from placed p
group by p.batch
order by p.batch
