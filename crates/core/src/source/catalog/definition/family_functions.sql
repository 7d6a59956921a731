-- Functions that are in a family on their own and not through a class: model::Definition.
select
  2603 as class,
  m.oid::int8 as oid,
  'operator family function' as noun,
  n.nspname as schema,
  f.opfname as name,
  pg_catalog.format(
    '%s (%s, %s) of %I.%I using %I',
    m.amprocnum,
    pg_catalog.format_type(m.amproclefttype, null),
    pg_catalog.format_type(m.amprocrighttype, null),
    n.nspname,
    f.opfname,
    a.amname) as identity,
  array[pg_catalog.format(
    'alter operator family %I.%I using %I add function %s (%s, %s) %s',
    n.nspname,
    f.opfname,
    a.amname,
    m.amprocnum,
    pg_catalog.format_type(m.amproclefttype, null),
    pg_catalog.format_type(m.amprocrighttype, null),
    m.amproc::pg_catalog.regprocedure
  )] as create
from pg_catalog.pg_amproc m
join pg_catalog.pg_opfamily f on f.oid = m.amprocfamily
join pg_catalog.pg_namespace n on n.oid = f.opfnamespace
join pg_catalog.pg_am a on a.oid = f.opfmethod
where m.oid >= 16384
  and n.nspname !~ '^pg_'
  and exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_amproc'::pg_catalog.regclass
      and d.objid = m.oid
      and d.refclassid = 'pg_catalog.pg_opfamily'::pg_catalog.regclass)
  and not exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_opfamily'::pg_catalog.regclass
      and d.objid = f.oid
      and d.deptype = 'e')
order by n.nspname, f.opfname, a.amname, m.amprocnum, m.amproclefttype, m.amprocrighttype
