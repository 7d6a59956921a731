-- Roles of the cluster without the server's own, in the order in which they were made: model::Role.
select
  r.oid::int8 as oid,
  r.rolname as name,
  r.rolsuper as is_superuser,
  r.rolinherit as inherits,
  r.rolcreaterole as can_create_roles,
  r.rolcreatedb as can_create_databases,
  r.rolcanlogin as can_login,
  r.rolreplication as can_replicate,
  r.rolbypassrls as bypasses_row_security,
  r.rolconnlimit as connection_limit,
  r.rolvaliduntil::text as valid_until,
  coalesce(r.rolconfig, '{}') as settings,
  pg_catalog.shobj_description(r.oid, 'pg_authid') as comment,
  pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'select') as is_password_readable,
  (
    select coalesce(
      pg_catalog.json_agg(
        pg_catalog.json_build_object(
          'role', pg_catalog.pg_get_userbyid(m.roleid),
          'is_admin', m.admin_option,
          'inherits', m.inherit_option, -- 16+
          'can_set', m.set_option, -- 16+
          'grantor', g.rolname,
          -- Below are the OIDs that initdb gives.
          'is_grantor_system', m.grantor < 16384)
        order by pg_catalog.pg_get_userbyid(m.roleid), m.grantor),
      '[]')
    from pg_catalog.pg_auth_members m
    left join pg_catalog.pg_roles g on g.oid = m.grantor
    where m.member = r.oid
  ) as memberships
from pg_catalog.pg_roles r
where r.rolname !~ '^pg_'
order by r.oid
