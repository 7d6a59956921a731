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
  )] as create,
  case -- 18+
    when exists ( -- 18+
      select -- 18+
      from pg_catalog.pg_attribute a -- 18+
      where a.attrelid = c.oid -- 18+
        and a.attnum = any (r.prattrs::int2[]) -- 18+
        and a.attgenerated <> '') -- 18+
    then pg_catalog.json_build_array( -- 18+
      pg_catalog.json_build_object( -- 18+
        'below', 18, -- 18+
        'create', coalesce( -- 18+
          ( -- 18+
            select array[pg_catalog.format( -- 18+
              'alter publication %I add table only %I.%I (%s)%s', -- 18+
              p.pubname, -- 18+
              n.nspname, -- 18+
              c.relname, -- 18+
              pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by a.attnum), -- 18+
              ' where (' || pg_catalog.pg_get_expr(r.prqual, r.prrelid) || ')')] -- 18+
            from pg_catalog.pg_attribute a -- 18+
            where a.attrelid = c.oid -- 18+
              and a.attnum = any (r.prattrs::int2[]) -- 18+
              and a.attgenerated = '' -- 18+
            having pg_catalog.count(*) > 0 -- 18+
          ), -- 18+
          '{}'), -- 18+
        'note', 'left out as far as it publishes generated columns, which the target cannot')) -- 18+
  end as older -- 18+
  null as older -- 17-
from pg_catalog.pg_publication_rel r
join pg_catalog.pg_publication p on p.oid = r.prpubid
join pg_catalog.pg_class c on c.oid = r.prrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by p.pubname, n.nspname, c.relname
