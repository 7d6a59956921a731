-- Indexes on tables and materialized views: model::Index.
select
  c.oid::int8 as oid,
  i.indrelid::int8 as table_oid,
  n.nspname as schema,
  c.relname as name,
  pg_catalog.pg_get_indexdef(c.oid) as definition,
  am.amname as access_method,
  i.indisunique as is_unique,
  i.indisprimary as is_primary,
  i.indisvalid and i.indisready and i.indislive as is_valid,
  c.relkind = 'I' as is_partitioned,
  coalesce(k.oid, 0)::int8 as constraint_oid,
  coalesce(h.inhparent, 0)::int8 as parent_index,
  i.indisclustered as is_clustered,
  -2 = any (i.indkey::int2[]) and t.relhasoids as is_on_oid, -- 11-
  false as is_on_oid, -- 12+
  i.indisreplident as is_replica_identity,
  am.amname = 'btree'
    and i.indexprs is null
    and i.indpred is null
    and 0 = all (i.indoption::int2[]) as is_plain,
  sp.spcname as tablespace,
  coalesce(c.reloptions, '{}') as options,
  coalesce(st.targets, '[]') as statistics
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class t on t.oid = i.indrelid -- 11-
join pg_catalog.pg_am am on am.oid = c.relam
left join pg_catalog.pg_constraint k on k.conindid = c.oid and k.contype in ('p', 'u', 'x')
left join pg_catalog.pg_inherits h on h.inhrelid = c.oid
left join pg_catalog.pg_tablespace sp on sp.oid = c.reltablespace
left join (
  select
    a.attrelid,
    pg_catalog.json_agg(
      pg_catalog.json_build_object('attnum', a.attnum, 'target', a.attstattarget)
      order by a.attnum) as targets
  from pg_catalog.pg_attribute a
  where a.attstattarget >= 0 and a.attnum > 0
  group by a.attrelid
) st on st.attrelid = c.oid
where c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
order by n.nspname, c.relname
