-- Functions and relations that the system or an extension brings, as acls.sql writes their names.
select
  pg_catalog.format(
    '%I.%I(%s)',
    n.nspname,
    p.proname,
    (
      select pg_catalog.string_agg(
        pg_catalog.format_type(t.oid, null),
        ', ' order by t.position)
      from pg_catalog.unnest(p.proargtypes) with ordinality as t (oid, position)
    )) as identity
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where p.oid < 16384
  or exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      and d.objid = p.oid
      and d.deptype = 'e')
union all
select pg_catalog.format('%I.%I', n.nspname, c.relname)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid < 16384
  or exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.objid = c.oid
      and d.deptype = 'e')
order by identity
