-- Ordinary, partitioned and foreign tables that no extension owns: model::Table.
select
  c.oid::int8 as oid,
  n.nspname as schema,
  c.relname as name,
  pg_catalog.pg_get_userbyid(c.relowner) as owner,
  c.relkind,
  c.relpersistence as persistence,
  c.relispartition as is_partition,
  array(
    select i.inhparent::int8
    from pg_catalog.pg_inherits i
    where i.inhrelid = c.oid
    order by i.inhseqno
  ) as parents,
  pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_bound,
  case when c.relkind = 'p' then pg_catalog.pg_get_partkeydef(c.oid) end as partition_key,
  (
    select pg_catalog.json_build_object(
      'strategy', pt.partstrat,
      'columns', pg_catalog.json_agg(
        pg_catalog.json_build_object(
          'type_oid', coalesce(a.atttypid, oc.opcintype)::int8,
          'is_expression', a.attname is null,
          -- Below are the OIDs that initdb gives.
          'has_system_class', oc.oid < 16384,
          'order', case
            when co.oid is null then 'own'
            when co.collname = 'default' then 'database'
            when co.collprovider = 'b' then 'bytes' -- 17+
            when co.collprovider = 'c' and co.collcollate in ('C', 'POSIX') then 'bytes'
            else 'locale'
          end,
          'is_deterministic', coalesce(co.collisdeterministic, true) -- 12+
          'is_deterministic', true -- 11-
        )
        order by g.position))
    from pg_catalog.pg_partitioned_table pt
    cross join lateral pg_catalog.generate_series(0, pt.partnatts - 1) g (position)
    join pg_catalog.pg_opclass oc on oc.oid = pt.partclass[g.position]
    left join pg_catalog.pg_attribute a
      on a.attrelid = c.oid
      and a.attnum = pt.partattrs[g.position]
      and a.attnum > 0
    left join pg_catalog.pg_collation co on co.oid = pt.partcollation[g.position]
    where pt.partrelid = c.oid
    group by pt.partstrat
  ) as partitioning,
  case when c.reloftype <> 0 then pg_catalog.format_type(c.reloftype, null) end as of_type,
  am.amname as access_method, -- 12+
  null as access_method, -- 11-
  sp.spcname as tablespace,
  coalesce(c.reloptions, '{}') || array(
    select 'toast.' || o.option
    from pg_catalog.pg_class tc
    cross join pg_catalog.unnest(tc.reloptions) with ordinality as o (option, position)
    where tc.oid = c.reltoastrelid
    order by o.position
  ) as options,
  c.relrowsecurity as row_security,
  c.relforcerowsecurity as force_row_security,
  c.relreplident as replica_identity,
  c.relhasoids as has_oids, -- 11-
  false as has_oids, -- 12+
  fs.srvname as foreign_server,
  (
    select coalesce(
      pg_catalog.json_agg(
        pg_catalog.json_build_object('name', o.option_name, 'value', o.option_value)),
      '[]')
    from pg_catalog.pg_options_to_table(ft.ftoptions) o
  ) as foreign_options,
  c.reltype::int8 as row_type_oid,
  c.reltuples as row_estimate, -- 14+
  case when c.reltuples = 0 and c.relpages = 0 then -1 else c.reltuples end as row_estimate, -- 13-
  c.relpages as page_count,
  case when c.relkind = 'r' then pg_catalog.pg_relation_size(c.oid) else 0 end as main_bytes,
  -- Without the small forks, which pg_table_size would look for one by one.
  case
    when c.relkind = 'r'
    then pg_catalog.pg_relation_size(c.oid)
      + coalesce(pg_catalog.pg_relation_size(nullif(c.reltoastrelid, 0)), 0)
    else 0
  end as total_bytes,
  pg_catalog.has_table_privilege(c.oid, 'select') as has_select_privilege
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_am am on am.oid = c.relam -- 12+
left join pg_catalog.pg_tablespace sp on sp.oid = c.reltablespace
left join pg_catalog.pg_foreign_table ft on ft.ftrelid = c.oid
left join pg_catalog.pg_foreign_server fs on fs.oid = ft.ftserver
where c.relkind in ('r', 'p', 'f')
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
