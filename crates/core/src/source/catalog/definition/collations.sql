-- Collations that fit the database's encoding: model::Definition.
select
  3456 as class,
  c.oid::int8 as oid,
  'collation' as noun,
  n.nspname as schema,
  c.collname as name,
  pg_catalog.format('%I.%I', n.nspname, c.collname) as identity,
  pg_catalog.pg_get_userbyid(c.collowner) as owner,
  array[pg_catalog.format(
    'create collation %I.%I (provider = %s%s%s%s)',
    n.nspname,
    c.collname,
    case c.collprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end,
    case
      when c.collprovider in ('i', 'b')
      then pg_catalog.format(', locale = %L', c.colllocale) -- 17+
      then pg_catalog.format(', locale = %L', coalesce(c.colliculocale, c.collcollate)) -- 15+ 16-
      then pg_catalog.format(', locale = %L', c.collcollate) -- 14-
      else pg_catalog.format(', lc_collate = %L, lc_ctype = %L', c.collcollate, c.collctype)
    end,
    ', rules = ' || pg_catalog.quote_literal(nullif(c.collicurules, '')), -- 16+
    '', -- 15-
    case when not c.collisdeterministic then ', deterministic = false' end -- 12+
    '' -- 11-
  )] as create
from pg_catalog.pg_collation c
join pg_catalog.pg_namespace n on n.oid = c.collnamespace
where c.oid >= 16384
  and n.nspname !~ '^pg_'
  and c.collencoding in (-1, (
    select d.encoding
    from pg_catalog.pg_database d
    where d.datname = pg_catalog.current_database()))
order by n.nspname, c.collname
