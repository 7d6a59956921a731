-- What is in the user's tables.
-- parameters: none; columns: tables, rows, bytes of tables with TOAST, bytes of the database
select
    pg_catalog.count(*) as tables,
    coalesce(pg_catalog.sum(counted.row_count), 0)::bigint as rows,
    coalesce(pg_catalog.sum(pg_catalog.pg_table_size(c.oid)), 0)::bigint as table_bytes,
    pg_catalog.pg_database_size(pg_catalog.current_database()) as database_bytes
from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    cross join lateral (
        select (pg_catalog.xpath(
            '/row/n/text()',
            pg_catalog.query_to_xml(
                pg_catalog.format('select count(*) as n from %I.%I', n.nspname, c.relname), false, true, '')
        ))[1]::text::bigint as row_count
    ) counted
where c.relkind = 'r'
    and n.nspname not in ('pg_catalog', 'information_schema')
