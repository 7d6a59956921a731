-- The relations of the target with rows that a run has copied, or has made to copy rows into. Parameter:
-- $1, the run.
-- One row: a JSON array of cleanup::FilledTable.
select coalesce(pg_catalog.json_agg(q.filled order by q.table_id), '[]')::text
from (
    select
        b.table_id,
        pg_catalog.json_build_object(
            'is_existing', b.is_existing,
            'rows', (
                select pg_catalog.sum(x.rows)
                from pgmig.copied_all x
                where x.run_id = b.run_id and x.table_id = b.table_id),
            'relations', pg_catalog.json_agg(
                pg_catalog.json_build_object(
                    'oid', c.oid::bigint,
                    'name', pg_catalog.json_build_object('schema', n.nspname, 'name', c.relname))
                order by p.position)) as filled
    from pgmig.run_table b
    join pgmig.part p on p.run_id = b.run_id and p.table_id = b.table_id
    join pg_catalog.pg_namespace n on n.nspname = p.target_schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = p.target_name
    where b.run_id = $1
    group by b.run_id, b.table_id, b.is_existing
) q
