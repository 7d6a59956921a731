-- What the server brings itself, as far as objects of the user name it: one row of model::Builtins.
select
  -- Name, arguments without a default, all arguments unless there can be any number.
  array(
    select pg_catalog.concat_ws(
      ' ',
      p.proname,
      p.pronargs - p.pronargdefaults,
      case when p.provariadic = 0 then p.pronargs end)
    from pg_catalog.pg_proc p
    where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
      and p.oid < 16384
  ) as functions,
  array(
    select t.typname
    from pg_catalog.pg_type t
    where t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
      and t.oid < 16384
      and t.typtype in ('b', 'r', 'm', 'p')
    order by t.typname
  ) as types,
  array(
    select c.collname
    from pg_catalog.pg_collation c
    where c.collnamespace = 'pg_catalog'::pg_catalog.regnamespace
      and c.collencoding in (
        -1,
        (
          select d.encoding
          from pg_catalog.pg_database d
          where d.datname = pg_catalog.current_database()))
    order by c.collname
  ) as collations,
  array(
    select pg_catalog.lower(s.name)
    from pg_catalog.pg_settings s
    where s.name !~ '[.]'
    order by s.name
  ) as settings,
  coalesce(
    (
      select s.enumvals
      from pg_catalog.pg_settings s
      where s.name = 'default_toast_compression'
    ),
    '{}') as compressions,
  exists (
    select
    from pg_catalog.pg_collation c
    where c.collname = 'und-x-icu'
  ) as has_icu
order by has_icu
