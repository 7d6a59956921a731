-- Schemas of publications: model::Definition. The catalog exists from 15 on.
select
  6237 as class,
  s.oid::int8 as oid,
  'publication schema' as noun,
  p.pubname as name,
  pg_catalog.format('%I in %I', n.nspname, p.pubname) as identity,
  array[pg_catalog.format(
    'alter publication %I add tables in schema %I', p.pubname, n.nspname)] as create
from pg_catalog.pg_publication_namespace s
join pg_catalog.pg_publication p on p.oid = s.pnpubid
join pg_catalog.pg_namespace n on n.oid = s.pnnspid
order by p.pubname, n.nspname
