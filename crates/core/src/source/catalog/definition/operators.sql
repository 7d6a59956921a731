-- Operators; those that only stand in for a commutator or negator to come are left out: model::Definition.
select
  2617 as class,
  o.oid::int8 as oid,
  'operator' as noun,
  n.nspname as schema,
  o.oprname as name,
  pg_catalog.format('%I.%s (%s, %s)', n.nspname, o.oprname,
    case when o.oprleft <> 0 then pg_catalog.format_type(o.oprleft, null) else 'none' end,
    case when o.oprright <> 0 then pg_catalog.format_type(o.oprright, null) else 'none' end
  ) as identity,
  pg_catalog.pg_get_userbyid(o.oprowner) as owner,
  case when o.oprright = 0 then array[]::text[] else array[pg_catalog.format(
    'create operator %I.%s (%s)',
    n.nspname,
    o.oprname,
    pg_catalog.concat_ws(
      ', ',
      'procedure = ' || o.oprcode::pg_catalog.regproc,
      case when o.oprleft <> 0 then 'leftarg = ' || pg_catalog.format_type(o.oprleft, null) end,
      case when o.oprright <> 0 then 'rightarg = ' || pg_catalog.format_type(o.oprright, null) end,
      'commutator = operator(' || pg_catalog.quote_ident(cn.nspname) || '.' || c.oprname || ')',
      'negator = operator(' || pg_catalog.quote_ident(gn.nspname) || '.' || g.oprname || ')',
      case when o.oprrest <> 0 then 'restrict = ' || o.oprrest::pg_catalog.regproc end,
      case when o.oprjoin <> 0 then 'join = ' || o.oprjoin::pg_catalog.regproc end,
      case when o.oprcanhash then 'hashes' end,
      case when o.oprcanmerge then 'merges' end)
  )] end as create,
  case
    when o.oprright = 0
    then 'left out, since there are no postfix operators from version 14 on'
  end as note
from pg_catalog.pg_operator o
join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
left join pg_catalog.pg_operator c on c.oid = o.oprcom
left join pg_catalog.pg_namespace cn on cn.oid = c.oprnamespace
left join pg_catalog.pg_operator g on g.oid = o.oprnegate
left join pg_catalog.pg_namespace gn on gn.oid = g.oprnamespace
where o.oid >= 16384
  and o.oprcode <> 0
  and n.nspname !~ '^pg_'
order by n.nspname, o.oprname, identity
