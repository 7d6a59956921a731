-- Text of the catalog outside of ASCII, in a database whose encoding checks nothing.
-- parameters: none; columns: object, text (both as hexadecimal bytes)
with object (class, oid, subid, text) as (
  select d.classoid, d.objoid, d.objsubid, d.description
  from pg_catalog.pg_description d
  union all
  select 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, 0, n.nspname::text
  from pg_catalog.pg_namespace n
  union all
  select 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 0, c.relname::text
  from pg_catalog.pg_class c
  union all
  select 'pg_catalog.pg_class'::pg_catalog.regclass, a.attrelid, a.attnum, a.attname::text
  from pg_catalog.pg_attribute a
  where not a.attisdropped
    and a.attnum > 0
  union all
  select 'pg_catalog.pg_class'::pg_catalog.regclass, d.adrelid, d.adnum, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
  from pg_catalog.pg_attrdef d
  union all
  select 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 0, pg_catalog.pg_get_viewdef(c.oid)
  from pg_catalog.pg_class c
  where c.relkind in ('v', 'm')
    and c.oid >= 16384
  union all
  select 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, 0, pg_catalog.pg_get_indexdef(i.indexrelid)
  from pg_catalog.pg_index i
  where i.indexrelid >= 16384
  union all
  select 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 0, k.conname || pg_catalog.pg_get_constraintdef(k.oid)
  from pg_catalog.pg_constraint k
  where k.oid >= 16384
  union all
  select 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, 0, pg_catalog.pg_get_triggerdef(t.oid)
  from pg_catalog.pg_trigger t
  where not t.tgisinternal
  union all
  select 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid, 0, pg_catalog.pg_get_ruledef(r.oid)
  from pg_catalog.pg_rewrite r
  where r.oid >= 16384
    and r.rulename <> '_RETURN'
  union all
  select
    'pg_catalog.pg_policy'::pg_catalog.regclass,
    p.oid,
    0,
    pg_catalog.concat(
      p.polname,
      pg_catalog.pg_get_expr(p.polqual, p.polrelid),
      pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
  from pg_catalog.pg_policy p
  union all
  select
    'pg_catalog.pg_proc'::pg_catalog.regclass,
    p.oid,
    0,
    pg_catalog.concat(p.proname, p.prosrc, pg_catalog.array_to_string(p.proargnames, ' '))
  from pg_catalog.pg_proc p
  where p.oid >= 16384
  union all
  select
    'pg_catalog.pg_type'::pg_catalog.regclass,
    t.oid,
    0,
    t.typname || coalesce((
      select pg_catalog.string_agg(e.enumlabel, ' ')
      from pg_catalog.pg_enum e
      where e.enumtypid = t.oid), '')
  from pg_catalog.pg_type t
  where t.oid >= 16384
    and t.typtype in ('b', 'd', 'e', 'r')
    and t.typelem = 0
)
select
  pg_catalog.encode(
    pg_catalog.convert_to(pg_catalog.pg_describe_object(o.class, o.oid, o.subid), 'SQL_ASCII'),
    'hex') as object,
  pg_catalog.encode(pg_catalog.convert_to(o.text, 'SQL_ASCII'), 'hex') as text
from object o
where o.text ~ '[^\x01-\x7f]'
order by o.class, o.oid, o.subid
