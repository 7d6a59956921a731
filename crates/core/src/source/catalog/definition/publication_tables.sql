-- Tables of publications: model::Definition.
select
  6106 as class,
  r.oid::int8 as oid,
  'publication table' as noun,
  p.pubname as name,
  pg_catalog.format('%I.%I in %I', n.nspname, c.relname, p.pubname) as identity,
  r.prrelid::int8 as table_oid,
  array[pg_catalog.format(
    'alter publication %I add table only %I.%I%s%s',
    p.pubname,
    n.nspname,
    c.relname,
    (
      select ' (' || pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by a.attnum) || ')' -- 15+
      from pg_catalog.pg_attribute a -- 15+
      where a.attrelid = c.oid -- 15+
        and a.attnum = any (r.prattrs::int2[]) -- 15+
      select null::text -- 14-
    ),
    ' where (' || pg_catalog.pg_get_expr(r.prqual, r.prrelid) || ')' -- 15+
    null -- 14-
  )] as create
from pg_catalog.pg_publication_rel r
join pg_catalog.pg_publication p on p.oid = r.prpubid
join pg_catalog.pg_class c on c.oid = r.prrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by p.pubname, n.nspname, c.relname
