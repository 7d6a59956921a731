-- The same for roles that may not read pg_largeobject; holes are read as zeroes.
-- The descriptor is closed in the same row, so that a batch never has more than one open.
select
  m.oid,
  p.start,
  pg_catalog.lo_get(m.oid, p.start, (pg_catalog.current_setting('block_size')::int4 / 4))
from pg_catalog.pg_largeobject_metadata m
cross join lateral (
  select pg_catalog.lo_open(m.oid, 262144) as descriptor
  offset 0
) o
cross join lateral (
  select
    pg_catalog.lo_lseek64(o.descriptor, 0, 2) as bytes,
    o.descriptor
  offset 0
) s
cross join lateral (
  select
    s.bytes,
    pg_catalog.lo_close(s.descriptor) as closed
  offset 0
) c
cross join lateral pg_catalog.generate_series(
  0::int8,
  c.bytes - 1 + c.closed,
  pg_catalog.current_setting('block_size')::int8 / 4
) as p (start)
where m.oid between :first and :last
order by m.oid, p.start
