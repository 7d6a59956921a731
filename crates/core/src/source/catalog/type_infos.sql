-- Every type that a column of a table uses, directly or within another type: model::TypeInfo.
with recursive used (oid) as (
  select a.atttypid
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where a.attnum > 0
    and not a.attisdropped
    and c.relkind in ('r', 'p', 'f', 'm')
    and n.nspname !~ '^pg_'
    and n.nspname <> 'information_schema'
  union
  select part.oid
  from used u
  join pg_catalog.pg_type t on t.oid = u.oid
  left join pg_catalog.pg_range r on r.rngtypid = t.oid or r.rngmultitypid = t.oid -- 14+
  left join pg_catalog.pg_range r on r.rngtypid = t.oid -- 13-
  cross join lateral (
    select t.typelem as oid
    where t.typelem <> 0
    union all
    select t.typbasetype
    where t.typbasetype <> 0
    union all
    select r.rngsubtype
    where r.rngsubtype is not null
    union all
    select a.atttypid
    from pg_catalog.pg_attribute a
    where a.attrelid = t.typrelid
      and t.typrelid <> 0
      and a.attnum > 0
      and not a.attisdropped
  ) part
)
select
  t.oid::int8 as oid,
  n.nspname as schema,
  t.typname as name,
  t.typtype,
  t.typsend <> 0 as has_send,
  t.typreceive <> 0 as has_receive,
  case
    when exists (select from pg_catalog.pg_type e where e.oid = t.typelem and e.typarray = t.oid)
    then t.typelem::int8
    else 0
  end as element_oid,
  t.typbasetype::int8 as base_oid,
  coalesce((
    select r.rngsubtype::int8
    from pg_catalog.pg_range r
    where r.rngtypid = t.oid
      or r.rngmultitypid = t.oid -- 14+
  ), 0) as subtype_oid,
  array(
    select a.atttypid::int8
    from pg_catalog.pg_attribute a
    where a.attrelid = t.typrelid
      and t.typrelid <> 0
      and a.attnum > 0
      and not a.attisdropped
    order by a.attnum
  ) as attribute_oids,
  array(
    select a.attname
    from pg_catalog.pg_attribute a
    where a.attrelid = t.typrelid
      and t.typrelid <> 0
      and a.attnum > 0
      and not a.attisdropped
    order by a.attnum
  ) as attribute_names,
  array(
    select e.enumlabel
    from pg_catalog.pg_enum e
    where e.enumtypid = t.oid
    order by e.enumsortorder
  ) as labels,
  x.extname as extension,
  x.extversion as extension_version,
  t.oid < 10000 as is_builtin
from used u
join pg_catalog.pg_type t on t.oid = u.oid
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join pg_catalog.pg_depend d
  on d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
  and d.objid = t.oid
  and d.deptype = 'e'
left join pg_catalog.pg_extension x on x.oid = d.refobjid
order by t.oid
