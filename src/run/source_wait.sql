-- Who holds the locks that a process of the source waits for. Parameter: $1, the process.
-- One row: the holders, or null.
select pg_catalog.string_agg(
    case
        when b.pid = 0 then 'a prepared transaction'
        else pg_catalog.format('process %s', b.pid)
            || coalesce(
                ' (' || nullif(
                    pg_catalog.concat_ws(', ', a.usename,
                        nullif(a.application_name, ''), a.state), '') || ')',
                '')
    end,
    ', ' order by b.pid)
from (
    select distinct u.pid
    from pg_catalog.unnest(pg_catalog.pg_blocking_pids($1)) u (pid)
) b
left join pg_catalog.pg_stat_activity a on a.pid = b.pid
