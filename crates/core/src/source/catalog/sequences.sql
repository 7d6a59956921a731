-- Sequences without their values: model::Sequence.
select
  c.oid::int8 as oid,
  n.nspname as schema,
  c.relname as name,
  pg_catalog.pg_get_userbyid(c.relowner) as owner,
  c.relpersistence as persistence,
  pg_catalog.format_type(s.seqtypid, null) as data_type,
  s.seqstart as start,
  s.seqincrement as increment,
  s.seqmin as min,
  s.seqmax as max,
  s.seqcache as cache,
  s.seqcycle as cycle,
  o.refobjid::int8 as owner_table_oid,
  o.refobjsubid as owner_attnum,
  o.deptype as link,
  pg_catalog.has_sequence_privilege(c.oid, 'select') as has_select_privilege
from pg_catalog.pg_sequence s
join pg_catalog.pg_class c on c.oid = s.seqrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_depend o
  on o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  and o.objid = c.oid
  and o.objsubid = 0
  and o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  and o.refobjsubid > 0
  and o.deptype in ('a', 'i')
where c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.objid = c.oid
      and d.deptype = 'e')
order by n.nspname, c.relname
