-- Tasks of the only run, as planned and as they went. Parameters: none.
-- Columns: task_id, kind, object, table_schema, table_name, locks, depends_on, rows, bytes, seconds.
select
    t.task_id,
    t.kind::text as kind,
    t.object,
    t.table_schema::text as table_schema,
    t.table_name::text as table_name,
    t.locks::text as locks,
    t.depends_on,
    t.rows_expected as rows,
    t.bytes_expected as bytes,
    coalesce(extract(epoch from s.elapsed), 0)::float8 as seconds
from pgmig.task t
    join pgmig.tasks s on s.run_id = t.run_id and s.task_id = t.task_id
order by t.task_id
