-- Views and materialized views: model::View.
select
  c.oid::int8 as oid,
  n.nspname as schema,
  c.relname as name,
  pg_catalog.pg_get_userbyid(c.relowner) as owner,
  c.relkind = 'm' as is_materialized,
  c.relispopulated as is_populated,
  pg_catalog.rtrim(pg_catalog.pg_get_viewdef(c.oid), ';') as definition,
  r.oid::int8 as rule_oid,
  c.reltype::int8 as row_type_oid,
  array(
    select o.option
    from pg_catalog.unnest(c.reloptions) with ordinality as o (option, position)
    where o.option !~ '^check_option='
    order by o.position
  ) || array(
    select 'toast.' || o.option
    from pg_catalog.pg_class tc
    cross join pg_catalog.unnest(tc.reloptions) with ordinality as o (option, position)
    where tc.oid = c.reltoastrelid
    order by o.position
  ) as options,
  (
    select pg_catalog.substr(o.option, 14)
    from pg_catalog.unnest(c.reloptions) as o (option)
    where o.option ~ '^check_option='
  ) as check_option,
  c.relreplident as replica_identity,
  am.amname as access_method, -- 12+
  null as access_method, -- 11-
  sp.spcname as tablespace
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
left join pg_catalog.pg_am am on am.oid = c.relam -- 12+
left join pg_catalog.pg_tablespace sp on sp.oid = c.reltablespace
where c.relkind in ('v', 'm')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.objid = c.oid
      and d.deptype = 'e')
order by n.nspname, c.relname
