-- Foreign keys of the target from or to the relations of some tables of a run. Parameters: $1, the run;
-- $2, numbers of tables.
-- One row: a JSON array of recopy::DroppedKey.
with recursive relation as (
    select c.oid
    from pgmig.part p
    join pg_catalog.pg_namespace n on n.nspname = p.target_schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = p.target_name
    where p.run_id = $1
      and p.table_id = any ($2)
),
touching as (
    select k.oid, k.conparentid
    from pg_catalog.pg_constraint k
    where k.contype = 'f'
      and (
          k.conrelid in (select r.oid from relation r)
          or k.confrelid in (select r.oid from relation r))
    union
    select k.oid, k.conparentid
    from touching t
    join pg_catalog.pg_constraint k on k.oid = t.conparentid
)
select coalesce(
    pg_catalog.json_agg(
        pg_catalog.json_build_object(
            'table', pg_catalog.json_build_object('schema', n.nspname, 'name', c.relname),
            'referenced', pg_catalog.json_build_object('schema', fn.nspname, 'name', f.relname),
            'name', k.conname,
            'definition', pg_catalog.pg_get_constraintdef(k.oid),
            'comment', pg_catalog.obj_description(k.oid, 'pg_constraint'))
        order by n.nspname, c.relname, k.conname),
    '[]')::text
from touching t
join pg_catalog.pg_constraint k on k.oid = t.oid
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class f on f.oid = k.confrelid
join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
where t.conparentid = 0
