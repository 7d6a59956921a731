-- Extended statistics objects: model::Definition.
select
  3381 as class,
  s.oid::int8 as oid,
  'statistics' as noun,
  n.nspname as schema,
  s.stxname as name,
  pg_catalog.format('%I.%I', n.nspname, s.stxname) as identity,
  pg_catalog.pg_get_userbyid(s.stxowner) as owner,
  s.stxrelid::int8 as table_oid,
  pg_catalog.array_remove(array[
    pg_catalog.pg_get_statisticsobjdef(s.oid),
    case -- 13+
      when s.stxstattarget >= 0 -- 13+
      then pg_catalog.format( -- 13+
        'alter statistics %I.%I set statistics %s', -- 13+
        n.nspname, -- 13+
        s.stxname, -- 13+
        s.stxstattarget) -- 13+
    end -- 13+
    null -- 12-
  ], null) as create
from pg_catalog.pg_statistic_ext s
join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
where n.nspname !~ '^pg_'
order by n.nspname, s.stxname
