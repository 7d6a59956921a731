-- Row security policies: model::Policy.
select
  p.oid::int8 as oid,
  p.polrelid::int8 as table_oid,
  p.polname as name,
  case p.polcmd
    when 'r' then 'select'
    when 'a' then 'insert'
    when 'w' then 'update'
    when 'd' then 'delete'
    else 'all'
  end as command,
  p.polpermissive as is_permissive,
  array(
    select case when r.role <> 0 then pg_catalog.pg_get_userbyid(r.role) end
    from pg_catalog.unnest(p.polroles) with ordinality as r (role, position)
    order by r.position
  ) as roles,
  pg_catalog.pg_get_expr(p.polqual, p.polrelid) as using_sql,
  pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) as check_sql
from pg_catalog.pg_policy p
join pg_catalog.pg_class c on c.oid = p.polrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
order by n.nspname, c.relname, p.polname
