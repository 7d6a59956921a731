-- The file of each table's rows as it is now; it changes when the table is truncated or rewritten. No
-- parameters.
-- Columns: oid, file_node.
select
    c.oid::bigint as oid,
    pg_catalog.pg_relation_filenode(c.oid)::bigint as file_node
from pg_catalog.pg_class c
where c.relkind = 'r'
  and pg_catalog.pg_relation_filenode(c.oid) is not null
order by c.oid
