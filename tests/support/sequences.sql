-- The sequences outside the system's and pgmig's schemas.
-- parameters: none; columns: schema_name, sequence_name
select
    n.nspname::text as schema_name,
    c.relname::text as sequence_name
from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'S'
    and c.relpersistence <> 't'
    and n.nspname not in ('pg_catalog', 'information_schema', 'pgmig')
order by n.nspname, c.relname
