-- Records, at the end of a run, what its tables hold. Parameter: $1, the run.
--
-- A table that the run has emptied has another file; it holds what the committed copies wrote. One that
-- it has not emptied holds what it held before, if that was known. Either is certain only if nobody
-- updated or deleted a row since the run began, and if no more rows were inserted than the run wrote.
-- Rows that a failed copy inserted in vain count as inserted too: then inserts is null, and the number of
-- rows is left to be looked at.
with now as (
    select
        c.oid,
        b.table_schema,
        b.table_name,
        n.file_node,
        n.inserts,
        n.changes,
        n.inserts - coalesce(before.inserts, 0) as inserted,
        n.changes - coalesce(before.changes, 0) as changed,
        d.rows as copied,
        n.file_node is distinct from before.file_node as is_emptied,
        l.rows as rows_before,
        l.inserts as inserts_known,
        -- whether it was known what the table held when the run began
        l.file_node = before.file_node
            and coalesce(l.inserts = before.inserts, true)
            and l.changes = before.changes
            and l.statistics_reset = e.statistics_reset as was_known,
        e.statistics_reset
    from pgmig.run_table b
    join pg_catalog.pg_namespace s on s.nspname = b.table_schema
    join pg_catalog.pg_class c on c.relnamespace = s.oid and c.relname = b.table_name
    cross join pgmig.statistics_epoch e
    cross join lateral (
        select
            pg_catalog.pg_relation_filenode(c.oid) as file_node,
            pg_catalog.pg_stat_get_tuples_inserted(c.oid) as inserts,
            pg_catalog.pg_stat_get_tuples_updated(c.oid)
                + pg_catalog.pg_stat_get_tuples_deleted(c.oid) as changes
    ) n
    left join lateral (
        select
            b.file_node_before as file_node,
            b.inserts_before as inserts,
            b.changes_before as changes
        where b.table_oid = c.oid
    ) before on true
    cross join lateral (
        select coalesce(sum(x.rows), 0)::bigint as rows
        from pgmig.copied_all x
        where x.run_id = b.run_id
          and x.task_id between b.first_copy and b.last_copy
          and x.table_id = b.table_id
    ) d
    left join pgmig.loaded l on l.table_oid = c.oid
    where b.run_id = $1
      and b.first_copy is not null
      and c.relkind = 'r'
),
known as (
    select
        now.*,
        case when now.is_emptied then now.copied else now.rows_before end as rows,
        case
            when now.is_emptied and now.inserted = now.copied then now.inserts
            when not now.is_emptied and now.inserted = 0 and now.inserts_known is not null
                then now.inserts
        end as inserts_now
    from now
    where now.changed = 0
      and case
          -- an empty table can be told without being known
          when now.is_emptied then now.copied > 0 and now.inserted >= now.copied
          else now.was_known
      end
),
forgotten as (
    delete from pgmig.loaded l
    where not exists (select from pg_catalog.pg_class c where c.oid = l.table_oid)
       or l.table_oid in (select now.oid from now except select known.oid from known)
)
insert into pgmig.loaded (table_oid, run_id, table_schema, table_name, rows, file_node, inserts,
    changes, statistics_reset, recorded_at)
select
    known.oid,
    $1,
    known.table_schema,
    known.table_name,
    known.rows,
    known.file_node,
    known.inserts_now,
    known.changes,
    known.statistics_reset,
    pg_catalog.clock_timestamp()
from known
on conflict (table_oid) do update
set run_id = excluded.run_id,
    table_schema = excluded.table_schema,
    table_name = excluded.table_name,
    rows = excluded.rows,
    file_node = excluded.file_node,
    inserts = excluded.inserts,
    changes = excluded.changes,
    statistics_reset = excluded.statistics_reset,
    recorded_at = excluded.recorded_at
