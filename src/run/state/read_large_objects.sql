-- The large objects of this database, and whether a run from one source made each and left it as it is.
-- Of a run whose details are gone it is not known who has written to them since; they are its own then.
-- Parameter: $1, the identity of the source.
-- One row: a JSON array of [oid, is_ours].
with changed as (
    select l.oid
    from pgmig.large_object l
    join pgmig.run r on r.run_id = l.run_id and r.has_details
    left join pg_catalog.pg_largeobject p on p.loid = l.oid
    where p.loid is not null
      and not exists (
          select
          from pgmig.written w
          where w.run_id = l.run_id and w.xid = p.xmin::text::bigint)
)
select coalesce(
    pg_catalog.json_agg(
        pg_catalog.json_build_array(
            m.oid::bigint,
            r.run_id is not null and not exists (select from changed c where c.oid = m.oid))
        order by m.oid),
    '[]')::text
from pg_catalog.pg_largeobject_metadata m
left join pgmig.large_object l on l.oid = m.oid
left join pgmig.run r
    on r.run_id = l.run_id
    and (r.source_identity = $1 or r.source_identity is null)
