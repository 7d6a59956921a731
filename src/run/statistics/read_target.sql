-- The columns of a table of the target whose statistics can be set, and the expressions of its indexes. Parameters:
-- $1, schema; $2, name. Columns: OID of the table; index and its OID, for an expression; number, name and type of the
-- column. None if ANALYZE has to look at the table, or may not.
with tables as (
  select c.oid, c.relkind
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = $1::text::name
    and c.relname = $2::text::name
    and c.relkind in ('r', 'p')
    and (c.relkind = 'p' or not c.relhassubclass)
    and pg_catalog.pg_has_role(c.relowner, 'usage')
    and not exists (
      select
      from pg_catalog.pg_statistic_ext e
      where e.stxrelid = c.oid)
)
select
  t.oid,
  null::text,
  null::oid,
  a.attnum,
  a.attname::text,
  pg_catalog.format_type(a.atttypid, null)
from tables t
join pg_catalog.pg_attribute a on a.attrelid = t.oid
where a.attnum > 0
  and not a.attisdropped
union all
select
  t.oid,
  c.relname::text,
  c.oid,
  a.attnum,
  a.attname::text,
  pg_catalog.format_type(a.atttypid, null)
from tables t
join pg_catalog.pg_index i on i.indrelid = t.oid
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_attribute a on a.attrelid = c.oid
where t.relkind = 'r'
  and i.indkey[a.attnum - 1] = 0
