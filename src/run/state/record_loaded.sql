-- Records, at the end of a run, what its tables hold. Parameter: $1, the run.
--
-- A table with a committed copy was emptied before and holds what was copied. That is certain only if
-- nobody updated or deleted a row since the run began, and if no more rows were inserted than the run
-- wrote. Rows that a failed copy inserted in vain count as inserted too: then inserts is null, and the
-- number of rows is left to be looked at. A table without a committed copy is empty or as it was.
with now as (
    select
        x.part_oid,
        x.part_schema,
        x.part_name,
        x.inserts,
        x.changes,
        pg_catalog.pg_relation_filenode(x.part_oid) as file_node,
        c.relkind = 'r' as is_counted_alone,
        d.copied,
        before.inserts as inserts_before,
        before.changes as changes_before,
        sum(x.inserts) over parts - before.inserts as inserted,
        sum(x.changes) over parts - before.changes as changed
    from pgmig.run_table b
    join pg_catalog.pg_namespace n on n.nspname = b.table_schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = b.table_name
    join pgmig.part_counters x on x.table_oid = c.oid
    cross join lateral (
        select
            coalesce(case when c.oid = b.table_oid then b.inserts_before end, 0) as inserts,
            coalesce(case when c.oid = b.table_oid then b.changes_before end, 0) as changes
    ) before
    cross join lateral (
        select coalesce(sum(y.rows), 0)::bigint as copied
        from pgmig.copied_all y
        where y.run_id = b.run_id
          and y.task_id between b.first_copy and b.last_copy
          and y.table_id = b.table_id
    ) d
    where b.run_id = $1
      and b.first_copy is not null
    window parts as (partition by b.table_id)
),
known as (
    select
        now.*,
        now.copied as rows,
        case when now.inserted = now.copied then now.inserts end as inserts_now
    from now
    where now.copied > 0
      and now.changed = 0
      and (now.inserted = now.copied or now.is_counted_alone and now.inserted > now.copied)
    union all
    select now.*, l.rows, null
    from now
    join pgmig.loaded l on l.table_oid = now.part_oid
    where now.copied = 0
      and now.changed = 0
      and now.is_counted_alone
      and now.inserted > 0
      and l.file_node = now.file_node
      and l.changes = now.changes_before
      and coalesce(l.inserts = now.inserts_before, true)
      and l.statistics_reset = (select e.statistics_reset from pgmig.statistics_epoch e)
),
forgotten as (
    delete from pgmig.loaded l
    where not exists (select from pg_catalog.pg_class c where c.oid = l.table_oid)
       or l.table_oid in (
           select now.part_oid
           from now
           where now.copied > 0
           except
           select known.part_oid
           from known)
)
insert into pgmig.loaded (table_oid, run_id, table_schema, table_name, rows, file_node, inserts,
    changes, statistics_reset, recorded_at)
select
    known.part_oid,
    $1,
    known.part_schema,
    known.part_name,
    known.rows,
    known.file_node,
    known.inserts_now,
    known.changes,
    e.statistics_reset,
    pg_catalog.clock_timestamp()
from known
cross join pgmig.statistics_epoch e
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
