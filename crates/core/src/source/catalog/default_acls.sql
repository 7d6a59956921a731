-- Default privileges: model::DefaultAcl. Those of a schema add to the built-in ones and start empty.
select
  d.oid::int8 as oid,
  pg_catalog.pg_get_userbyid(d.defaclrole) as role,
  n.nspname as schema,
  case d.defaclobjtype
    when 'r' then 'tables'
    when 'S' then 'sequences'
    when 'f' then 'functions'
    when 'T' then 'types'
    when 'n' then 'schemas'
    when 'L' then 'large objects'
  end as kind,
  (
    select coalesce(
      pg_catalog.json_agg(
        pg_catalog.json_build_object(
          'grantor', pg_catalog.pg_get_userbyid(g.grantor),
          'grantee', case when g.grantee <> 0 then pg_catalog.pg_get_userbyid(g.grantee) end,
          'privilege', pg_catalog.lower(g.privilege_type),
          'is_grantable', g.is_grantable)
        order by g.position),
      '[]')
    from pg_catalog.aclexplode(d.defaclacl) with ordinality
      as g (grantor, grantee, privilege_type, is_grantable, position)
  ) as grants,
  (
    select coalesce(
      pg_catalog.json_agg(
        pg_catalog.json_build_object(
          'grantor', pg_catalog.pg_get_userbyid(g.grantor),
          'grantee', case when g.grantee <> 0 then pg_catalog.pg_get_userbyid(g.grantee) end,
          'privilege', pg_catalog.lower(g.privilege_type),
          'is_grantable', g.is_grantable)
        order by g.position),
      '[]')
    from pg_catalog.aclexplode(
      pg_catalog.acldefault(
        case when d.defaclobjtype = 'S' then 's' else d.defaclobjtype end::"char",
        d.defaclrole)) with ordinality
      as g (grantor, grantee, privilege_type, is_grantable, position)
    where d.defaclnamespace = 0
  ) as initial
from pg_catalog.pg_default_acl d
left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
order by role, schema, kind
