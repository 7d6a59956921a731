-- Passwords of roles as they are stored, for those who may read pg_authid; secrets, all of them:
-- model::Definition.
select
  1260 as class,
  r.oid::int8 as oid,
  'role' as noun,
  r.rolname as name,
  pg_catalog.quote_ident(r.rolname) as identity,
  array[pg_catalog.format('alter role %I password %L', r.rolname, r.rolpassword)] as create
from pg_catalog.pg_authid r
where r.rolpassword is not null
order by r.rolname
