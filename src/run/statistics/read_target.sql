-- The columns of a table of the target whose statistics can be set. Parameters: $1, schema; $2, name. Columns: OID of
-- the table, number, name and type of the column. None if ANALYZE has to look at the table, or may not.
select
  c.oid,
  a.attnum,
  a.attname::text,
  pg_catalog.format_type(a.atttypid, null)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid
where n.nspname = $1::text::name
  and c.relname = $2::text::name
  and c.relkind in ('r', 'p')
  and (c.relkind = 'p' or not c.relhassubclass)
  and pg_catalog.pg_has_role(c.relowner, 'usage')
  and a.attnum > 0
  and not a.attisdropped
  and not exists (
    select
    from pg_catalog.pg_index i
    where i.indrelid = c.oid
      and i.indexprs is not null)
  and not exists (
    select
    from pg_catalog.pg_statistic_ext e
    where e.stxrelid = c.oid)
order by a.attnum
