-- The relations with rows of their own, outside the system's and pgmig's schemas.
-- parameters: none; columns: schema_name, table_name, column_names (sorted by name, not position)
select
    n.nspname::text as schema_name,
    c.relname::text as table_name,
    coalesce(
        pg_catalog.array_agg(a.attname::text order by a.attname) filter (where a.attname is not null),
        '{}'
    ) as column_names
from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('r', 'm')
    and c.relpersistence <> 't'
    and c.relispopulated
    and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'pgmig')
group by n.nspname, c.relname
order by n.nspname, c.relname
