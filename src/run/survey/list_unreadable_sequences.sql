-- Sequences whose value the session may not read. No parameters.
-- Columns: schema, name, table_schema and table_name (of the column that owns it).
select
    n.nspname as schema,
    c.relname as name,
    tn.nspname as table_schema,
    t.relname as table_name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_depend d
    on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    and d.objid = c.oid
    and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    and d.refobjsubid <> 0
    and d.deptype in ('a', 'i')
left join pg_catalog.pg_class t on t.oid = d.refobjid
left join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
where c.relkind = 'S'
  and c.relpersistence <> 't'
  and n.nspname <> 'information_schema'
  and n.nspname !~ '^pg_'
  and not (
      pg_catalog.has_sequence_privilege(c.oid, 'select')
      and pg_catalog.has_schema_privilege(n.oid, 'usage'))
  and not exists (
      select
      from pg_catalog.pg_depend e
      where e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        and e.objid = c.oid
        and e.deptype = 'e')
order by n.nspname, c.relname
