-- A statement that finds the longest row of a table without reading values that lie outside of it.
-- Parameters, replaced in the text: {table}, a literal with the quoted and qualified name.
-- Columns: sql (its columns: ctid, bytes).
select pg_catalog.format(
    'select t.ctid::pg_catalog.text, (%1$s)::pg_catalog.text from only %2$s t order by %1$s desc limit 1',
    pg_catalog.string_agg(
        pg_catalog.format(
            'coalesce(%s(t.%I)::pg_catalog.int8, 0)',
            case
                when a.atttypid in (
                    'pg_catalog.text'::pg_catalog.regtype,
                    'pg_catalog.varchar'::pg_catalog.regtype,
                    'pg_catalog.bytea'::pg_catalog.regtype
                ) then 'pg_catalog.octet_length'
                else 'pg_catalog.pg_column_size'
            end,
            a.attname),
        ' + '
        order by a.attnum),
    {table}) as sql
from pg_catalog.pg_attribute a
where a.attrelid = {table}::pg_catalog.regclass
  and a.attnum > 0
  and not a.attisdropped
