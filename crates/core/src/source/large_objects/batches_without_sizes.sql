-- Large objects in batches by OID, for roles that may not read pg_largeobject. Variables: max_count.
-- Columns: first, last (OIDs), objects, bytes (unknown, so 0), unreadable (how many the role may not
-- read).
with placed as (
  select
    m.oid,
    (pg_catalog.row_number() over (order by m.oid) - 1) / :max_count as batch,
    pg_catalog.pg_has_role(m.lomowner, 'usage') or exists (
      select
      from pg_catalog.aclexplode(m.lomacl) a
      where a.privilege_type = 'SELECT'
        and (a.grantee = 0 or pg_catalog.pg_has_role(a.grantee, 'usage'))
    ) as is_readable
  from pg_catalog.pg_largeobject_metadata m
)
select
  pg_catalog.min(p.oid)::int8 as first,
  pg_catalog.max(p.oid)::int8 as last,
  pg_catalog.count(*) as objects,
  0::int8 as bytes,
  pg_catalog.count(*) filter (where not p.is_readable) as unreadable
from placed p
group by p.batch
order by p.batch
