-- Types of the user: no arrays, no multiranges, no row types of tables: model::DataType.
select
  t.oid::int8 as oid,
  t.typarray::int8 as array_oid,
  n.nspname as schema,
  t.typname as name,
  pg_catalog.pg_get_userbyid(t.typowner) as owner,
  case
    when not t.typisdefined then 'shell'
    when t.typtype = 'e' then 'enum'
    when t.typtype = 'd' then 'domain'
    when t.typtype = 'c' then 'composite'
    when t.typtype = 'r' then 'range'
    else 'base'
  end as kind,
  array(
    select e.enumlabel
    from pg_catalog.pg_enum e
    where e.enumtypid = t.oid
    order by e.enumsortorder
  ) as labels,
  t.typrelid::int8 as relation_oid,
  pg_catalog.format_type(t.typbasetype, t.typtypmod) as base_sql,
  case
    when t.typtype = 'd' and t.typcollation <> b.typcollation
      or t.typtype = 'r' and r.rngcollation <> b.typcollation
    then pg_catalog.format('%I.%I', cn.nspname, co.collname)
  end as collation,
  coalesce(
    pg_catalog.pg_get_expr(t.typdefaultbin, 0),
    pg_catalog.quote_literal(t.typdefault)
  ) as default_sql,
  t.typdefault as default_value,
  t.typnotnull as not_null,
  (
    select k.conname -- 17+
    from pg_catalog.pg_constraint k -- 17+
    where k.contypid = t.oid -- 17+
      and k.contype = 'n' -- 17+
    select null::pg_catalog.name -- 16-
  ) as not_null_name,
  (
    select k.oid::int8 -- 17+
    from pg_catalog.pg_constraint k -- 17+
    where k.contypid = t.oid -- 17+
      and k.contype = 'n' -- 17+
    select null::int8 -- 16-
  ) as not_null_oid,
  pg_catalog.format_type(r.rngsubtype, null) as subtype_sql,
  (
    select pg_catalog.format('%I.%I', oc_n.nspname, oc.opcname)
    from pg_catalog.pg_opclass oc
    join pg_catalog.pg_namespace oc_n on oc_n.oid = oc.opcnamespace
    where oc.oid = r.rngsubopc
      and not oc.opcdefault
  ) as operator_class,
  nullif(r.rngcanonical::pg_catalog.regproc::text, '-') as canonical,
  nullif(r.rngsubdiff::pg_catalog.regproc::text, '-') as subtype_diff,
  m.oid::int8 as multirange_oid, -- 14+
  m.typarray::int8 as multirange_array_oid, -- 14+
  mn.nspname as multirange_schema, -- 14+
  m.typname as multirange_name, -- 14+
  t.typinput::pg_catalog.regproc::text as input,
  t.typoutput::pg_catalog.regproc::text as output,
  nullif(t.typreceive::pg_catalog.regproc::text, '-') as receive,
  nullif(t.typsend::pg_catalog.regproc::text, '-') as send,
  nullif(t.typmodin::pg_catalog.regproc::text, '-') as typmod_in,
  nullif(t.typmodout::pg_catalog.regproc::text, '-') as typmod_out,
  nullif(t.typanalyze::pg_catalog.regproc::text, '-') as analyze,
  nullif(t.typsubscript::pg_catalog.regproc::text, '-') as subscript, -- 14+
  null as subscript, -- 13-
  t.typlen as length,
  t.typbyval as by_value,
  case t.typalign
    when 'c' then 'char'
    when 's' then 'int2'
    when 'i' then 'int4'
    else 'double'
  end as alignment,
  case t.typstorage
    when 'p' then 'plain'
    when 'm' then 'main'
    when 'x' then 'extended'
    else 'external'
  end as storage,
  t.typcategory as category,
  t.typispreferred as is_preferred,
  case when t.typelem <> 0 then pg_catalog.format_type(t.typelem, null) end as element_sql,
  t.typdelim as delimiter,
  t.typcollation <> 0 as is_collatable
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join pg_catalog.pg_range r on r.rngtypid = t.oid
left join pg_catalog.pg_type m on m.oid = r.rngmultitypid -- 14+
left join pg_catalog.pg_namespace mn on mn.oid = m.typnamespace -- 14+
left join pg_catalog.pg_type b on b.oid = coalesce(r.rngsubtype, t.typbasetype)
left join pg_catalog.pg_collation co on co.oid = coalesce(r.rngcollation, t.typcollation)
left join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace
left join pg_catalog.pg_class c on c.oid = t.typrelid
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and t.typtype <> 'm' -- 14+
  and (t.typrelid = 0 or c.relkind = 'c')
  and not exists (
    select
    from pg_catalog.pg_type e
    where e.typarray = t.oid)
  and not exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
      and d.objid = t.oid
      and d.deptype = 'e')
order by n.nspname, t.typname
