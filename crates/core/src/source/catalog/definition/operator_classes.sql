-- Operator classes with the operators and functions that belong to them: model::Definition.
with member as (
  select
    d.refobjid as class_oid,
    2602 as catalog,
    o.oid,
    pg_catalog.format(
      'operator %s %s%s',
      o.amopstrategy,
      o.amopopr::pg_catalog.regoperator,
      case
        when s.oid is not null then pg_catalog.format(' for order by %I.%I', sn.nspname, s.opfname)
      end
    ) as text,
    o.amopstrategy as number
  from pg_catalog.pg_depend d
  join pg_catalog.pg_amop o on o.oid = d.objid
  left join pg_catalog.pg_opfamily s on s.oid = o.amopsortfamily
  left join pg_catalog.pg_namespace sn on sn.oid = s.opfnamespace
  where d.classid = 'pg_catalog.pg_amop'::pg_catalog.regclass
    and d.refclassid = 'pg_catalog.pg_opclass'::pg_catalog.regclass
  union all
  select
    d.refobjid,
    2603,
    p.oid,
    pg_catalog.format(
      'function %s (%s, %s) %s',
      p.amprocnum,
      pg_catalog.format_type(p.amproclefttype, null),
      pg_catalog.format_type(p.amprocrighttype, null),
      p.amproc::pg_catalog.regprocedure),
    p.amprocnum
  from pg_catalog.pg_depend d
  join pg_catalog.pg_amproc p on p.oid = d.objid
  where d.classid = 'pg_catalog.pg_amproc'::pg_catalog.regclass
    and d.refclassid = 'pg_catalog.pg_opclass'::pg_catalog.regclass
)
select
  2616 as class,
  c.oid::int8 as oid,
  'operator class' as noun,
  n.nspname as schema,
  c.opcname as name,
  pg_catalog.format('%I.%I using %I', n.nspname, c.opcname, a.amname) as identity,
  pg_catalog.pg_get_userbyid(c.opcowner) as owner,
  array[pg_catalog.format(
    'create operator class %I.%I %sfor type %s using %I family %I.%I as %s',
    n.nspname,
    c.opcname,
    case when c.opcdefault then 'default ' end,
    pg_catalog.format_type(c.opcintype, null),
    a.amname,
    fn.nspname,
    f.opfname,
    pg_catalog.concat_ws(
      ', ',
      case
        when c.opckeytype <> 0 then 'storage ' || pg_catalog.format_type(c.opckeytype, null)
      end,
      (
        select pg_catalog.string_agg(m.text, ', ' order by m.catalog, m.number, m.text)
        from member m
        where m.class_oid = c.oid
      ),
      case
        when c.opckeytype = 0 and not exists (select from member m where m.class_oid = c.oid)
        then 'storage ' || pg_catalog.format_type(c.opcintype, null)
      end)
  )] as create,
  (
    select pg_catalog.json_agg(
      pg_catalog.json_build_object('class', m.catalog, 'oid', m.oid::int8)
      order by m.catalog, m.oid)
    from member m
    where m.class_oid = c.oid
  ) as parts
from pg_catalog.pg_opclass c
join pg_catalog.pg_namespace n on n.oid = c.opcnamespace
join pg_catalog.pg_am a on a.oid = c.opcmethod
join pg_catalog.pg_opfamily f on f.oid = c.opcfamily
join pg_catalog.pg_namespace fn on fn.oid = f.opfnamespace
where c.oid >= 16384
  and n.nspname !~ '^pg_'
order by n.nspname, c.opcname, a.amname
