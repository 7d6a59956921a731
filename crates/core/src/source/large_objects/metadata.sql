-- Large objects of a range of OIDs without their contents: model::LargeObject. Variables: first, last.
with object as (
  select
    m.oid,
    m.lomowner as owner,
    pg_catalog.acldefault('L', m.lomowner) as initial,
    m.lomacl as acl
  from pg_catalog.pg_largeobject_metadata m
  where m.oid between :first and :last
)
select
  o.oid::int8 as oid,
  pg_catalog.pg_get_userbyid(o.owner) as owner,
  d.description as comment,
  (
    select coalesce(
      pg_catalog.json_agg(pg_catalog.json_build_array(l.provider, l.label) order by l.provider),
      '[]')
    from pg_catalog.pg_seclabel l
    where l.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass
      and l.objoid = o.oid
  ) as labels,
  (
    select coalesce(
      pg_catalog.json_agg(
        pg_catalog.json_build_object(
          'grantor', pg_catalog.pg_get_userbyid(g.grantor),
          'grantee', case when g.grantee <> 0 then pg_catalog.pg_get_userbyid(g.grantee) end,
          'privilege', pg_catalog.lower(g.privilege_type),
          'is_grantable', g.is_grantable)
        order by g.position),
      '[]')
    from pg_catalog.aclexplode(coalesce(o.acl, o.initial)) with ordinality
      as g (grantor, grantee, privilege_type, is_grantable, position)
  ) as grants,
  (
    select coalesce(
      pg_catalog.json_agg(
        pg_catalog.json_build_object(
          'grantor', pg_catalog.pg_get_userbyid(g.grantor),
          'grantee', case when g.grantee <> 0 then pg_catalog.pg_get_userbyid(g.grantee) end,
          'privilege', pg_catalog.lower(g.privilege_type),
          'is_grantable', g.is_grantable)
        order by g.position),
      '[]')
    from pg_catalog.aclexplode(o.initial) with ordinality
      as g (grantor, grantee, privilege_type, is_grantable, position)
  ) as initial
from object o
left join pg_catalog.pg_description d
  on d.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass
  and d.objoid = o.oid
  and d.objsubid = 0
order by o.oid
