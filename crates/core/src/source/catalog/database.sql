-- What the session's database has besides its contents: model::Database.
select
  d.oid::int8 as oid,
  d.datname as name,
  pg_catalog.pg_get_userbyid(d.datdba) as owner,
  d.datconnlimit as connection_limit,
  d.datistemplate as is_template,
  pg_catalog.shobj_description(d.oid, 'pg_database') as comment,
  (
    select coalesce(
      pg_catalog.json_agg(
        pg_catalog.json_build_object('role', r.rolname, 'setting', c.setting)
        order by r.rolname nulls first, c.position),
      '[]')
    from pg_catalog.pg_db_role_setting s
    cross join pg_catalog.unnest(s.setconfig) with ordinality as c (setting, position)
    left join pg_catalog.pg_roles r on r.oid = s.setrole
    where s.setdatabase = d.oid
  ) as settings,
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
    from pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba)))
      with ordinality as g (grantor, grantee, privilege_type, is_grantable, position)
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
    from pg_catalog.aclexplode(pg_catalog.acldefault('d', d.datdba))
      with ordinality as g (grantor, grantee, privilege_type, is_grantable, position)
  ) as initial
from pg_catalog.pg_database d
where d.datname = pg_catalog.current_database()
order by d.datname
