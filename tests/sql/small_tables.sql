-- Many small tables: 50 rows and 3 indexes each.
--
-- psql variable: table_count (default 2000).

\if :{?table_count}
\else
\set table_count 2000
\endif
\set ON_ERROR_STOP on
\set QUIET on

set synchronous_commit = off;
select pg_catalog.set_config('pgmig_tests.table_count', :'table_count', false) \g /dev/null

-- Committed every 50 tables, so that the lock table does not fill.
do $$
declare
    table_name text;
begin
    for i in 1 .. pg_catalog.current_setting('pgmig_tests.table_count')::int loop
        table_name := 'small_' || pg_catalog.lpad(i::text, 5, '0');
        execute pg_catalog.format($sql$
            create table public.%1$I (
                id integer primary key,
                code text not null,
                owner integer not null,
                amount numeric(10, 2),
                created timestamptz not null
            )$sql$, table_name);
        execute pg_catalog.format($sql$
            insert into public.%1$I
            select n, 'code-' || n, n %% 7, n * 1.25, timestamptz '2024-01-01 00:00:00+00' + n * interval '1 hour'
            from pg_catalog.generate_series(1, 50) n$sql$, table_name);
        execute pg_catalog.format('create unique index on public.%1$I (code)', table_name);
        execute pg_catalog.format('create index on public.%1$I (owner, created)', table_name);
        if i % 50 = 0 then
            commit;
        end if;
    end loop;
end
$$;

analyze;
