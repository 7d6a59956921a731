-- Columns of tables, views and stand-alone composite types, without dropped ones: model::Column.
-- Recent minor releases keep a version of each column among its options under the name pg_attver; it is
-- the server's own business, so it is left out, as pg_dump does.
select
  a.attrelid::int8 as relation_oid,
  a.attnum,
  a.attname as name,
  a.atttypid::int8 as type_oid,
  tn.nspname as type_schema,
  t.typname as type_name,
  pg_catalog.format_type(a.atttypid, a.atttypmod) as type_sql,
  a.atttypmod as typmod,
  case
    when a.attcollation <> 0 and a.attcollation <> t.typcollation
    then pg_catalog.format('%I.%I', cn.nspname, co.collname)
  end as collation,
  a.attnotnull as not_null,
  case -- 18+
    when k.oid is not null -- 18+
    then pg_catalog.json_build_object( -- 18+
      'oid', k.oid::int8, -- 18+
      'name', k.conname, -- 18+
      'is_validated', k.convalidated, -- 18+
      'is_no_inherit', k.connoinherit, -- 18+
      'is_local', k.conislocal) -- 18+
  end as not_null_constraint, -- 18+
  null as not_null_constraint, -- 17-
  pg_catalog.pg_get_expr(d.adbin, d.adrelid) as default_sql,
  coalesce(d.oid, 0)::int8 as default_oid,
  nullif(a.attgenerated, '') as generated, -- 12+
  null as generated, -- 11-
  nullif(a.attidentity, '') as identity,
  case
    when a.attstorage <> t.typstorage
    then case a.attstorage
      when 'p' then 'plain'
      when 'm' then 'main'
      when 'x' then 'extended'
      else 'external'
    end
  end as storage,
  case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end as compression, -- 14+
  null as compression, -- 13-
  a.attstattarget as statistics_target, -- 17+
  nullif(a.attstattarget, -1) as statistics_target, -- 16-
  array(
    select o.option
    from pg_catalog.unnest(a.attoptions) with ordinality as o (option, position)
    where o.option !~ '^pg_attver='
    order by o.position
  ) as options,
  (
    select coalesce(
      pg_catalog.json_agg(
        pg_catalog.json_build_object('name', o.option_name, 'value', o.option_value)),
      '[]')
    from pg_catalog.pg_options_to_table(a.attfdwoptions) o
  ) as foreign_options,
  a.attislocal as is_local,
  a.attinhcount as inherited_count
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_type t on t.oid = a.atttypid
join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
left join pg_catalog.pg_collation co on co.oid = a.attcollation
left join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join pg_catalog.pg_constraint k -- 18+
  on k.conrelid = a.attrelid and k.contype = 'n' and k.conkey = array[a.attnum] -- 18+
where a.attnum > 0
  and not a.attisdropped
  and c.relkind in ('r', 'p', 'f', 'v', 'm', 'c')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
order by a.attrelid, a.attnum
