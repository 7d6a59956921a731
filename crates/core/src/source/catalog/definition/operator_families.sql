-- Operator families, without members: model::Definition.
select
  2753 as class,
  f.oid::int8 as oid,
  'operator family' as noun,
  n.nspname as schema,
  f.opfname as name,
  pg_catalog.format('%I.%I using %I', n.nspname, f.opfname, a.amname) as identity,
  pg_catalog.pg_get_userbyid(f.opfowner) as owner,
  array[pg_catalog.format(
    'create operator family %I.%I using %I', n.nspname, f.opfname, a.amname)] as create
from pg_catalog.pg_opfamily f
join pg_catalog.pg_namespace n on n.oid = f.opfnamespace
join pg_catalog.pg_am a on a.oid = f.opfmethod
where f.oid >= 16384
  and n.nspname !~ '^pg_'
order by n.nspname, f.opfname, a.amname
