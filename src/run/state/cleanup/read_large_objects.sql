-- Large objects that a run has made, and whether somebody has changed them since. Parameter: $1, the run.
-- One row: a JSON array of [oid, is_changed].
select coalesce(
    pg_catalog.json_agg(
        pg_catalog.json_build_array(
            l.oid::bigint,
            not exists (
                select from pgmig.written w where w.run_id = $1 and w.xid = m.xmin::text::bigint)
            or exists (
                select
                from pg_catalog.pg_largeobject p
                where p.loid = l.oid
                  and not exists (
                      select
                      from pgmig.written w
                      where w.run_id = $1 and w.xid = p.xmin::text::bigint)))
        order by l.oid),
    '[]')::text
from pgmig.large_object l
join pg_catalog.pg_largeobject_metadata m on m.oid = l.oid
where l.run_id = $1
