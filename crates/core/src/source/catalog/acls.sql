-- Privileges that were changed, on whatever can have them, and those on schema public: model::Acl.
with object (class, oid, subid, letter, kind, owner, acl, schema, identity, col, is_system) as (
  select
    'pg_catalog.pg_class'::pg_catalog.regclass,
    c.oid,
    0,
    case when c.relkind = 'S' then 's' else 'r' end,
    case when c.relkind = 'S' then 'sequence' else 'table' end,
    c.relowner,
    c.relacl,
    n.nspname,
    pg_catalog.format('%I.%I', n.nspname, c.relname),
    null::pg_catalog.name,
    n.nspname ~ '^pg_'
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relacl is not null
    and n.nspname !~ '^(pg_toast|pg_temp|information_schema$)'
  union all
  select
    'pg_catalog.pg_class'::pg_catalog.regclass,
    c.oid,
    a.attnum,
    'c',
    'table',
    c.relowner,
    a.attacl,
    n.nspname,
    pg_catalog.format('%I.%I', n.nspname, c.relname),
    a.attname,
    n.nspname ~ '^pg_'
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where a.attacl is not null
    and not a.attisdropped
    and n.nspname !~ '^(pg_toast|pg_temp|information_schema$)'
  union all
  select
    'pg_catalog.pg_proc'::pg_catalog.regclass,
    p.oid,
    0,
    'f',
    'routine',
    p.proowner,
    p.proacl,
    n.nspname,
    pg_catalog.format(
      '%I.%I(%s)',
      n.nspname,
      p.proname,
      (
        select pg_catalog.string_agg(
          pg_catalog.format_type(t.oid, null),
          ', ' order by t.position)
        from pg_catalog.unnest(p.proargtypes) with ordinality as t (oid, position)
      )),
    null,
    n.nspname ~ '^pg_'
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where p.proacl is not null
    and n.nspname <> 'information_schema'
  union all
  select
    'pg_catalog.pg_type'::pg_catalog.regclass,
    t.oid,
    0,
    'T',
    case when t.typtype = 'd' then 'domain' else 'type' end,
    t.typowner,
    t.typacl,
    n.nspname,
    pg_catalog.format('%I.%I', n.nspname, t.typname),
    null,
    n.nspname ~ '^pg_'
  from pg_catalog.pg_type t
  join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  where t.typacl is not null
    and n.nspname !~ '^(pg_toast|pg_temp|information_schema$)'
  union all
  select
    'pg_catalog.pg_namespace'::pg_catalog.regclass,
    n.oid,
    0,
    'n',
    'schema',
    n.nspowner,
    coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)),
    null,
    pg_catalog.quote_ident(n.nspname),
    null,
    n.nspname ~ '^pg_'
  from pg_catalog.pg_namespace n
  where (n.nspacl is not null or n.nspname = 'public')
    and n.nspname !~ '^(pg_toast|pg_temp|information_schema$)'
  union all
  select
    'pg_catalog.pg_language'::pg_catalog.regclass,
    l.oid,
    0,
    'l',
    'language',
    l.lanowner,
    l.lanacl,
    null,
    pg_catalog.quote_ident(l.lanname),
    null,
    l.oid < 16384
  from pg_catalog.pg_language l
  where l.lanacl is not null
  union all
  select
    'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass,
    w.oid,
    0,
    'F',
    'foreign data wrapper',
    w.fdwowner,
    w.fdwacl,
    null,
    pg_catalog.quote_ident(w.fdwname),
    null,
    false
  from pg_catalog.pg_foreign_data_wrapper w
  where w.fdwacl is not null
  union all
  select
    'pg_catalog.pg_foreign_server'::pg_catalog.regclass,
    s.oid,
    0,
    'S',
    'foreign server',
    s.srvowner,
    s.srvacl,
    null,
    pg_catalog.quote_ident(s.srvname),
    null,
    false
  from pg_catalog.pg_foreign_server s
  where s.srvacl is not null
), listed as (
  select
    o.*,
    o.is_system or exists (
      select
      from pg_catalog.pg_depend d
      where d.classid = o.class
        and d.objid = o.oid
        and d.deptype = 'e'
    ) as is_foreign,
    coalesce(
      i.initprivs,
      pg_catalog.acldefault(o.letter::"char", o.owner)
    ) as initial
  from object o
  left join pg_catalog.pg_init_privs i
    on i.classoid = o.class
    and i.objoid = o.oid
    and i.objsubid = o.subid
)
select
  l.class::pg_catalog.oid::int8 as class,
  l.oid::int8 as oid,
  l.subid,
  pg_catalog.pg_get_userbyid(l.owner) as owner,
  l.schema,
  l.identity,
  l.kind,
  l.col as column,
  l.is_foreign,
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
    from pg_catalog.aclexplode(l.acl) with ordinality
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
    from pg_catalog.aclexplode(l.initial) with ordinality
      as g (grantor, grantee, privilege_type, is_grantable, position)
  ) as initial
from listed l
where l.acl <> l.initial
  or l.kind = 'schema'
order by l.class, l.oid, l.subid
