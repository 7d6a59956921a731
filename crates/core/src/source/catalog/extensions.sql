-- Extensions other than pgmig: model::Extension.
select
  e.oid::int8 as oid,
  e.extname as name,
  n.nspname as schema,
  e.extversion as version,
  (
    select coalesce(pg_catalog.json_agg(pg_catalog.row_to_json(f) order by f.position), '[]')
    from (
      select
        x.position,
        c.oid::int8 as relation_oid,
        cn.nspname as schema,
        c.relname as name,
        x.condition,
        c.relkind = 'S' as is_sequence,
        pg_catalog.has_table_privilege(c.oid, 'select')
          and pg_catalog.has_schema_privilege(cn.oid, 'usage') as is_readable,
        array(
          select a.attname::text
          from pg_catalog.pg_attribute a
          where a.attrelid = c.oid
            and a.attnum > 0
            and not a.attisdropped
            and a.attgenerated = '' -- 12+
          order by a.attnum
        ) as columns
      from rows from (pg_catalog.unnest(e.extconfig), pg_catalog.unnest(e.extcondition))
        with ordinality as x (relation, condition, position)
      join pg_catalog.pg_class c on c.oid = x.relation
      join pg_catalog.pg_namespace cn on cn.oid = c.relnamespace
    ) f
  ) as config
from pg_catalog.pg_extension e
join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where e.extname <> 'pgmig'
order by e.extname
