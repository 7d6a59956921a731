-- Parameters: none.
-- Columns: seconds from the beginning of the first range of the only run to the end of the last, the longest
-- range as a multiple of the mean one, ranges.
select
    extract(epoch from pg_catalog.max(t.started_at + t.elapsed) - pg_catalog.min(t.started_at))::float8,
    (extract(epoch from pg_catalog.max(t.elapsed))
        / nullif(extract(epoch from pg_catalog.avg(t.elapsed)), 0))::float8,
    pg_catalog.count(*)
from pgmig.tasks t
where t.kind = 'copy'
