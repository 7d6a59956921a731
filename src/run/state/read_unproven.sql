-- Tables that a run has filled and that `pgmig.loaded` does not have as it has left them, with the
-- change counters of now. Parameter: $1, the run.
-- One row: a JSON array of loaded::UnprovenTable.
select coalesce(pg_catalog.json_agg(q.unproven), '[]')::text
from (
    select pg_catalog.json_build_object(
        'rows', d.copied,
        'parts', pg_catalog.json_agg(
            pg_catalog.json_build_object(
                'oid', x.part_oid::bigint,
                'schema', x.part_schema,
                'name', x.part_name,
                'inserts', x.inserts,
                'changes', x.changes,
                'file_node', pg_catalog.pg_relation_filenode(x.part_oid)::bigint)
            order by x.part_oid)) as unproven
    from pgmig.run_table b
    join pg_catalog.pg_namespace n on n.nspname = b.table_schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = b.table_name
    join pgmig.part_counters x on x.table_oid = c.oid
    cross join lateral (
        select coalesce(pg_catalog.sum(y.rows), 0)::bigint as copied
        from pgmig.copied_all y
        where y.run_id = b.run_id
          and y.task_id between b.first_copy and b.last_copy
          and y.table_id = b.table_id
    ) d
    where b.run_id = $1
      and b.first_copy is not null
      and d.copied > 0
    group by b.table_id, d.copied
    having pg_catalog.bool_or(
        not exists (
            select from pgmig.loaded l where l.table_oid = x.part_oid and l.run_id = $1))
) q
