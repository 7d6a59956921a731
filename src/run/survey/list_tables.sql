-- Tables that patterns can choose and that a run locks. No parameters.
-- Columns: oid, schema, name, parent_schema and parent_name (of the partitioned table that it is a
-- partition of), can_select (whether the session may read the rows).
select
    c.oid::bigint as oid,
    n.nspname as schema,
    c.relname as name,
    pn.nspname as parent_schema,
    p.relname as parent_name,
    pg_catalog.has_table_privilege(c.oid, 'select')
        and pg_catalog.has_schema_privilege(n.oid, 'usage') as can_select,
    pg_catalog.row_security_active(c.oid) as is_filtered
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_inherits i on c.relispartition and i.inhrelid = c.oid
left join pg_catalog.pg_class p on p.oid = i.inhparent
left join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
where c.relkind in ('r', 'p')
  and c.relpersistence <> 't'
  and n.nspname <> 'information_schema'
  and n.nspname !~ '^pg_'
  and not exists (
      select
      from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        and d.objid = c.oid
        and d.deptype = 'e')
order by n.nspname, c.relname
