-- Collations that fit the database's encoding: model::Definition.
select
  3456 as class,
  c.oid::int8 as oid,
  'collation' as noun,
  n.nspname as schema,
  c.collname as name,
  pg_catalog.format('%I.%I', n.nspname, c.collname) as identity,
  pg_catalog.pg_get_userbyid(c.collowner) as owner,
  array[s.head || s.rules || s.tail] as create,
  case -- 16+
    when c.collprovider = 'b' -- 17+
    then pg_catalog.json_build_array( -- 17+
      pg_catalog.json_build_object( -- 17+
        'below', 17, -- 17+
        'create', array[pg_catalog.format( -- 17+
          'create collation %I.%I (provider = libc, locale = %L)', -- 17+
          n.nspname, -- 17+
          c.collname, -- 17+
          replace(c.colllocale, 'PG_UNICODE_FAST', 'C.UTF-8'))], -- 17+
        'note', 'made with provider libc, since the target has no builtin one'), -- 17+
      pg_catalog.json_build_object( -- 17+
        'below', case c.colllocale when 'PG_UNICODE_FAST' then 18 end, -- 17+
        'create', array[replace(s.head, 'PG_UNICODE_FAST', 'C.UTF-8') || s.tail], -- 17+
        'note', 'made with locale C.UTF-8, since the target has no PG_UNICODE_FAST')) -- 17+
    when s.rules <> '' -- 16+
    then pg_catalog.json_build_array( -- 16+
      pg_catalog.json_build_object( -- 16+
        'below', 16, -- 16+
        'create', array[s.head || s.tail], -- 16+
        'note', 'made without its rules, which the target does not know')) -- 16+
  end as older -- 16+
  null as older -- 15-
from pg_catalog.pg_collation c
join pg_catalog.pg_namespace n on n.oid = c.collnamespace
cross join lateral (
  select
    pg_catalog.format(
      'create collation %I.%I (provider = %s%s',
      n.nspname,
      c.collname,
      case c.collprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end,
      case
        when c.collprovider in ('i', 'b')
        then pg_catalog.format(', locale = %L', c.colllocale) -- 17+
        then pg_catalog.format(', locale = %L', coalesce(c.colliculocale, c.collcollate)) -- 15+ 16-
        then pg_catalog.format(', locale = %L', c.collcollate) -- 14-
        else pg_catalog.format(', lc_collate = %L, lc_ctype = %L', c.collcollate, c.collctype)
      end) as head,
    coalesce(', rules = ' || pg_catalog.quote_literal(nullif(c.collicurules, '')), '') as rules, -- 16+
    '' as rules, -- 15-
    case when not c.collisdeterministic then ', deterministic = false)' else ')' end as tail -- 12+
    ')' as tail -- 11-
) s
where c.oid >= 16384
  and n.nspname !~ '^pg_'
  and c.collencoding in (-1, (
    select d.encoding
    from pg_catalog.pg_database d
    where d.datname = pg_catalog.current_database()))
order by n.nspname, c.collname
