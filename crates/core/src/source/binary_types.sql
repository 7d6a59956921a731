-- Built-in types that the server can read and write in binary, arrays and row types aside.
--
-- name: of the type
select t.typname as name
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where n.nspname = 'pg_catalog'
    and t.typtype = 'b'
    -- int2vector and oidvector count as arrays by category, but have a form of their own.
    and not exists (select from pg_catalog.pg_type e where e.typarray = t.oid)
    and t.typsend <> 0
    and t.typreceive <> 0
order by t.typname
