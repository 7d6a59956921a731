-- What people look at. Each view shows the runs of the roles that the current user may act as; the
-- views belong to the extension's owner, so the tables beneath stay closed.

-- Both kinds of copy results; not for users.
create view copied_all as
select run_id, task_id, table_id, rows, bytes, checksum from copied
union all
select run_id, task_id, table_id, rows, bytes, checksum from copied_unlogged;

-- Changes whenever change counters may have been reset: by hand, or by crash recovery, which resets
-- the background writer's statistics too; not for users.
create view statistics_epoch as
select pg_catalog.format('%s %s', pg_catalog.pg_stat_get_db_stat_reset_time(d.oid),
    pg_catalog.pg_stat_get_bgwriter_stat_reset_time()) as statistics_reset
from pg_catalog.pg_database d
where d.datname = pg_catalog.current_database();

-- How often rows of a table, or of a partitioned table's partitions, were inserted and changed; not for
-- users.
create view part_counters as
select
    c.oid as table_oid,
    i.part_oid,
    n.nspname as part_schema,
    p.relname as part_name,
    pg_catalog.pg_stat_get_tuples_inserted(i.part_oid) as inserts,
    pg_catalog.pg_stat_get_tuples_updated(i.part_oid)
        + pg_catalog.pg_stat_get_tuples_deleted(i.part_oid) as changes
from pg_catalog.pg_class c
cross join lateral (
    select c.oid as part_oid
    union
    select t.relid::oid
    from pg_catalog.pg_partition_tree(c.oid) t
) i
-- The planner expects a thousand partitions of every table. Without the offset it would read the whole
-- of pg_class for each.
cross join lateral (
    select p.relname, p.relnamespace
    from pg_catalog.pg_class p
    where p.oid = i.part_oid
      and p.relkind = 'r'
    offset 0
) p
join pg_catalog.pg_namespace n on n.oid = p.relnamespace
where c.relkind in ('r', 'p');

create view runs with (security_barrier) as
select
    r.run_id,
    r.kind,
    case when r.finished_at is null then run_state(r.run_id) else r.state end as state,
    r.phase,
    case
        when r.state in ('done', 'mismatch') then 100.0
        else round((100 * coalesce(work.done / nullif(work.total, 0), 0))::numeric, 1)
    end as percent,
    coalesce(r.tables, work.tables, 0) as tables,
    coalesce(r.rows_copied, work.rows_copied, 0) as rows_copied,
    coalesce(r.bytes_copied, work.bytes_copied, 0) as bytes_copied,
    work.bytes_expected,
    (coalesce(r.bytes_copied, work.bytes_copied, 0)
        / nullif(extract(epoch from clock.ended - r.started_at), 0))::bigint as bytes_per_second,
    clock.ended - r.started_at as elapsed,
    case
        when r.finished_at is null and live.pid is not null and work.done > 0
        then (clock.ended - r.started_at) * ((work.total - work.done) / work.done)
    end as eta,
    case
        when live.pid is not null
        then pg_catalog.concat_ws('; ', 'source: ' || r.source_wait, waits.target)
    end as waits_for,
    r.workers,
    r.source,
    r.server,
    r.source_version,
    r.snapshot,
    r.snapshots,
    r.resumed,
    r.source_lsn,
    r.role_name,
    r.options,
    r.coordinator_pid,
    r.started_at,
    r.finished_at,
    r.sqlstate,
    r.message as error,
    r.detail as error_detail,
    r.hint as error_hint
from run r
cross join lateral (
    select coalesce(r.finished_at, pg_catalog.clock_timestamp()) as ended
) clock
left join lateral (
    select a.pid
    from pg_catalog.pg_stat_activity a
    where r.finished_at is null
      and a.pid = r.coordinator_pid
      and a.backend_start = r.coordinator_start
    limit 1
) live on true
left join lateral (
    select
        sum(t.weight) as total,
        sum(
            case
                when t.state = 'done' then t.weight
                when c.pid is not null and t.bytes_expected > 0
                then t.weight * least(1, c.bytes_processed::float8 / t.bytes_expected)
                else 0
            end
        ) as done,
        sum(t.bytes_expected) filter (where t.kind = 'copy')::bigint as bytes_expected,
        (
            coalesce(sum(c.tuples_processed), 0)
            + coalesce((select sum(x.rows) from copied_all x where x.run_id = r.run_id), 0)
        )::bigint as rows_copied,
        (
            coalesce(sum(c.bytes_processed), 0)
            + coalesce((select sum(x.bytes) from copied_all x where x.run_id = r.run_id), 0)
        )::bigint as bytes_copied,
        (select count(*) from run_table x where x.run_id = r.run_id) as tables
    from task t
    left join pg_catalog.pg_stat_progress_copy c
        on t.state = 'running'
        and t.kind = 'copy'
        and c.pid = t.worker_pid
    where t.run_id = r.run_id
) work on r.finished_at is null
left join lateral (
    select pg_catalog.string_agg(
        pg_catalog.format('target: process %s waits for process %s', a.pid,
            pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(a.pid), ', ')),
        '; ' order by a.pid) as target
    from pg_catalog.pg_stat_activity a
    where a.wait_event_type = 'Lock'
      and a.backend_type in ('pgmig worker', 'pgmig coordinator')
      and (
          a.pid = r.coordinator_pid
          or a.pid in (
              select t.worker_pid
              from task t
              where t.run_id = r.run_id and t.state = 'running'))
) waits on live.pid is not null
where pg_catalog.pg_has_role(r.role_id, 'usage');

comment on view runs is 'every run: state, phase, progress, rate, time left, error';
comment on column runs.state is
    'planning, running, done, mismatch, failed, cancelled, or interrupted (no process serves it)';
comment on column runs.percent is 'share of the planned work that is done, weighted by its cost';
comment on column runs.eta is 'time left if the work goes on at the pace so far';
comment on column runs.waits_for is
    'whose locks the run waits for, on the source and on the target; empty while it waits for none';
comment on column runs.snapshots is
    'snapshots of the source that were needed: after the first, the earlier ones were lost';
comment on column runs.resumed is 'how often the run was taken up again';
comment on column runs.source is 'where the data comes from, without secrets';

create view tables with (security_barrier) as
select
    b.run_id,
    b.table_schema,
    b.table_name,
    case
        when b.first_copy is null then 'skipped'
        when copies.failed > 0 then 'failed'
        when copies.done = copies.total then 'done'
        when copies.begun = 0 then 'pending'
        when r.finished_at is not null or run_state(r.run_id) = 'interrupted' then 'interrupted'
        else 'running'
    end as state,
    b.rows_expected,
    b.bytes_expected,
    coalesce(written.rows, 0) as rows_copied,
    coalesce(written.bytes, 0) as bytes_copied,
    copies.total as ranges,
    copies.done as ranges_done,
    b.format,
    b.reason,
    b.is_existing,
    b.recopied,
    copies.started_at,
    copies.finished_at
from run_table b
join run r on r.run_id = b.run_id
left join lateral (
    select
        count(*) as total,
        count(*) filter (where t.state = 'done') as done,
        count(*) filter (where t.state = 'failed') as failed,
        count(*) filter (where t.state <> 'pending') as begun,
        min(t.started_at) as started_at,
        max(t.finished_at) as finished_at
    from task t
    where t.run_id = b.run_id
      and t.task_id between b.first_copy and b.last_copy
) copies on true
left join lateral (
    select sum(x.rows)::bigint as rows, sum(x.bytes)::bigint as bytes
    from copied_all x
    where x.run_id = b.run_id
      and x.task_id between b.first_copy and b.last_copy
      and x.table_id = b.table_id
) written on true
where pg_catalog.pg_has_role(r.role_id, 'usage');

comment on column tables.state is
    'pending, running, done, failed, skipped, or interrupted (the run ended before all ranges were in)';
comment on view tables is 'the tables of each run: ranges, rows and bytes copied so far, wire format';
comment on column tables.reason is 'why the data travels as text and not in binary form';
comment on column tables.is_existing is 'whether the table was there before the run';

comment on column tables.recopied is
    'how often rows that had been copied were copied again, since the source had changed them meanwhile';

create view tasks with (security_barrier) as
select
    t.run_id,
    t.task_id,
    t.kind,
    t.object,
    t.table_schema,
    t.table_name,
    shown.state,
    t.depends_on,
    t.rows_expected,
    t.bytes_expected,
    t.note,
    t.worker,
    t.worker_pid,
    t.started_at,
    t.finished_at,
    coalesce(t.finished_at, case when shown.state = 'running' then pg_catalog.clock_timestamp() end)
        - t.started_at as elapsed,
    t.sqlstate,
    t.message as error
from task t
join run r on r.run_id = t.run_id
cross join lateral (
    select
        case
            when t.state = 'running' and run_state(t.run_id) = 'interrupted' then 'interrupted'
            else t.state
        end as state
) shown
where pg_catalog.pg_has_role(r.role_id, 'usage');

comment on column tasks.state is
    'pending, running, done, failed, skipped, or interrupted (under way when its run was interrupted)';
comment on view tasks is 'the steps of each run, what they wait for, who did them and when';

create view workers with (security_barrier) as
select
    r.run_id,
    t.worker,
    a.pid,
    t.task_id,
    t.kind,
    t.object,
    t.started_at as task_started_at,
    coalesce(c.tuples_processed, i.tuples_done) as rows,
    c.bytes_processed as bytes,
    i.phase as index_phase,
    a.wait_event_type,
    a.wait_event,
    pg_catalog.pg_blocking_pids(a.pid) as blocked_by
from run r
join task t on t.run_id = r.run_id and t.state = 'running'
join pg_catalog.pg_stat_activity a
    on a.pid = t.worker_pid
    and a.backend_type in ('pgmig worker', 'pgmig coordinator')
-- Of a run that was interrupted the number may be another run's process by now.
join pg_catalog.pg_stat_activity k
    on k.pid = r.coordinator_pid
    and k.backend_start = r.coordinator_start
left join pg_catalog.pg_stat_progress_copy c on c.pid = a.pid
left join pg_catalog.pg_stat_progress_create_index i on i.pid = a.pid
where r.finished_at is null
  and pg_catalog.pg_has_role(r.role_id, 'usage');

comment on view workers is 'what each worker is doing right now, and who blocks it';

create view events with (security_barrier) as
select
    e.event_id,
    e.run_id,
    e.at,
    e.severity,
    e.object,
    e.sqlstate,
    e.message,
    e.detail,
    e.statement
from event e
join run r on r.run_id = e.run_id
where pg_catalog.pg_has_role(r.role_id, 'usage');

comment on view events is 'what a run has to say: objects that failed, decisions, fewer workers';

create view validation with (security_barrier) as
select
    b.run_id,
    b.table_schema,
    b.table_name,
    k.source_rows,
    k.target_rows,
    k.source_checksum,
    k.target_checksum,
    coalesce(written.bytes, 0) as bytes_copied,
    copies.elapsed,
    coalesce(
        k.status,
        case
            when copies.failed > 0 then 'failed'
            when b.first_copy is null and r.kind = 'migrate' then 'skipped'
            else 'unchecked'
        end
    ) as status,
    coalesce(
        k.detail,
        copies.error,
        case when k.status is null and not b.copies_data then 'data not copied by request' end
    ) as detail
from run_table b
join run r on r.run_id = b.run_id
left join checked k on k.run_id = b.run_id and k.table_id = b.table_id
left join lateral (
    select
        count(*) filter (where t.state in ('failed', 'skipped')) as failed,
        max(t.message) as error,
        max(t.finished_at) - min(t.started_at) as elapsed
    from task t
    where t.run_id = b.run_id
      and t.task_id between b.first_copy and b.last_copy
) copies on true
left join lateral (
    select sum(x.bytes)::bigint as bytes
    from copied_all x
    where x.run_id = b.run_id
      and x.task_id between b.first_copy and b.last_copy
      and x.table_id = b.table_id
) written on true
where pg_catalog.pg_has_role(r.role_id, 'usage');

comment on view validation is
    'one row per table: rows and checksums on both sides, and whether they match';

revoke all on all tables in schema @extschema@ from public;
grant select on runs, tables, tasks, workers, events, validation to public;
revoke all on all functions in schema @extschema@ from public;
grant execute on function run_state(bigint) to public;
grant usage on schema @extschema@ to public;
