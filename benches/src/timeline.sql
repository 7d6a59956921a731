-- Tasks of the only run, in the order of their beginning: worker, kind, object, seconds from the first
-- task's beginning to its own beginning and end.
select
    t.worker,
    t.kind,
    pg_catalog.left(t.object, 60),
    extract(epoch from t.started_at - pg_catalog.min(t.started_at) over ())::float8,
    extract(epoch from t.started_at + t.elapsed - pg_catalog.min(t.started_at) over ())::float8
from pgmig.tasks t
where t.started_at is not null
  and t.worker > 0
order by t.started_at
