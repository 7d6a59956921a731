-- Operators that are in a family on their own and not through a class: model::Definition.
select
  2602 as class,
  m.oid::int8 as oid,
  'operator family operator' as noun,
  n.nspname as schema,
  f.opfname as name,
  pg_catalog.format(
    '%s (%s, %s) of %I.%I using %I',
    m.amopstrategy,
    pg_catalog.format_type(m.amoplefttype, null),
    pg_catalog.format_type(m.amoprighttype, null),
    n.nspname,
    f.opfname,
    a.amname) as identity,
  array[pg_catalog.format(
    'alter operator family %I.%I using %I add operator %s %s%s',
    n.nspname,
    f.opfname,
    a.amname,
    m.amopstrategy,
    m.amopopr::pg_catalog.regoperator,
    case
      when s.oid is not null then pg_catalog.format(' for order by %I.%I', sn.nspname, s.opfname)
    end
  )] as create
from pg_catalog.pg_amop m
join pg_catalog.pg_opfamily f on f.oid = m.amopfamily
join pg_catalog.pg_namespace n on n.oid = f.opfnamespace
join pg_catalog.pg_am a on a.oid = f.opfmethod
left join pg_catalog.pg_opfamily s on s.oid = m.amopsortfamily
left join pg_catalog.pg_namespace sn on sn.oid = s.opfnamespace
where m.oid >= 16384
  and n.nspname !~ '^pg_'
  and exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_amop'::pg_catalog.regclass
      and d.objid = m.oid
      and d.refclassid = 'pg_catalog.pg_opfamily'::pg_catalog.regclass)
  and not exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_opfamily'::pg_catalog.regclass
      and d.objid = f.oid
      and d.deptype = 'e')
order by n.nspname, f.opfname, a.amname, m.amopstrategy, m.amopopr
