-- A table of the target. Parameters: $1, schema; $2, name.
select
    c.oid,
    c.relpersistence = 'u' or c.relkind = 'p' and exists (
        select
        from pg_catalog.pg_partition_tree(c.oid) t
        join pg_catalog.pg_class p on p.oid = t.relid
        where p.relpersistence = 'u'),
    c.relkind = 'r' and pg_catalog.pg_relation_size(c.oid) = 0
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1::text::name
  and c.relname = $2::text::name
