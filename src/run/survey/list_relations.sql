-- What patterns can choose besides tables: views, materialized views, foreign tables, sequences other
-- than those of identity columns. No parameters.
-- Columns: schema, name.
select
    n.nspname as schema,
    c.relname as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm', 'f', 'S')
  and c.relpersistence <> 't'
  and n.nspname <> 'information_schema'
  and n.nspname !~ '^pg_'
  and not exists (
      select
      from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        and d.objid = c.oid
        and (d.deptype = 'e' or d.deptype = 'i' and c.relkind = 'S'))
order by n.nspname, c.relname
