-- Schemas of the user, without the one that extension pgmig was made in: model::Schema.
select
  n.oid::int8 as oid,
  n.nspname as name,
  pg_catalog.pg_get_userbyid(n.nspowner) as owner
from pg_catalog.pg_namespace n
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
      and d.objid = n.oid
      and d.deptype = 'e')
  and not exists (
    select
    from pg_catalog.pg_extension e
    where e.extname = 'pgmig'
      and e.extnamespace = n.oid
      and n.nspname = 'pgmig')
order by n.nspname
