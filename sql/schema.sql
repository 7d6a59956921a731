-- pgmig's own tables. Only src/run/state reads and writes them, as the extension's owner; people
-- use the views in views.sql. Names are unqualified: the control file names the schema.

create table run (
    run_id bigint generated always as identity primary key,
    kind text not null check (kind in ('migrate', 'validate', 'plan')),
    state text not null
        check (state in ('planning', 'running', 'done', 'mismatch', 'failed', 'cancelled')),
    phase text not null,
    role_id oid not null,
    role_name name not null,
    source text not null,
    options jsonb not null,
    coordinator_pid int not null,
    coordinator_start timestamptz not null,
    workers int,
    source_version int,
    snapshot text,
    source_lsn pg_lsn,
    started_at timestamptz not null,
    finished_at timestamptz,
    -- totals of an ended run, which outlive its details
    tables bigint,
    rows_copied bigint,
    bytes_copied bigint,
    sqlstate text,
    message text,
    detail text,
    hint text
) with (fillfactor = 70);

create table run_table (
    run_id bigint not null,
    table_id int not null,
    source_schema name not null,
    source_name name not null,
    table_schema name not null,
    table_name name not null,
    table_oid oid,
    is_existing boolean not null,
    is_unlogged boolean not null,
    copies_data boolean not null,
    -- the table's copy tasks, which are numbered without gaps; null without data to copy
    first_copy int,
    last_copy int,
    format text not null,
    reason text,
    rows_expected bigint not null,
    bytes_expected bigint not null,
    -- the change counters when the run began; with them the run's end can tell foreign writes
    inserts_before bigint,
    changes_before bigint,
    primary key (run_id, table_id)
);

create table task (
    run_id bigint not null,
    task_id int not null,
    kind text not null,
    object text not null,
    table_schema name,
    table_name name,
    work text not null,
    depends_on int[] not null,
    rows_expected bigint not null,
    bytes_expected bigint not null,
    weight double precision not null,
    state text not null
        check (state in ('pending', 'running', 'done', 'failed', 'skipped')),
    note text,
    worker int,
    worker_pid int,
    started_at timestamptz,
    finished_at timestamptz,
    sqlstate text,
    message text,
    primary key (run_id, task_id)
) with (fillfactor = 60);

-- Completion marks: inserted by the worker in the transaction of the effect, unique per task.
create table mark (
    run_id bigint not null,
    task_id int not null,
    finished_at timestamptz not null,
    primary key (run_id, task_id)
);

-- What a copy task wrote, one row per table in it; part of the mark.
create table copied (
    run_id bigint not null,
    task_id int not null,
    table_id int not null,
    rows bigint not null,
    bytes bigint not null,
    checksum text,
    primary key (run_id, task_id, table_id)
);

-- The same two for unlogged tables: crash recovery empties rows and marks together.
create unlogged table mark_unlogged (like mark including all);
create unlogged table copied_unlogged (like copied including all);

create table checked (
    run_id bigint not null,
    table_id int not null,
    source_rows bigint,
    target_rows bigint,
    source_checksum text,
    target_checksum text,
    status text not null
        check (status in ('match', 'mismatch', 'failed', 'skipped', 'unchecked')),
    detail text,
    primary key (run_id, table_id)
);

create table event (
    event_id bigint generated always as identity primary key,
    run_id bigint not null,
    at timestamptz not null,
    severity text not null check (severity in ('warning', 'error')),
    object text,
    sqlstate text,
    message text not null,
    detail text,
    statement text
);
create index event_run on event (run_id);

-- What runs drop from tables that they did not create, until it has been built again. Rows of a run
-- that did not live to do so are taken over by the next run that writes the table.
create table dropped (
    run_id bigint not null,
    position int not null,
    kind text not null,
    object text not null,
    table_schema name not null,
    table_name name not null,
    -- the statements that bring it back
    definition text[] not null,
    primary key (run_id, position)
);

-- What pgmig loaded last into each table, and the table's counters right afterwards.
create table loaded (
    table_oid oid primary key,
    run_id bigint not null,
    table_schema name not null,
    table_name name not null,
    -- those of the whole partitioned table where rows find their partitions by themselves
    rows bigint not null,
    file_node oid not null,
    -- rows inserted so far; null when an attempt failed, so that only counting the rows can tell
    inserts bigint,
    -- rows updated and deleted so far
    changes bigint not null,
    -- when the counters were last reset, by hand or by crash recovery
    statistics_reset text not null,
    recorded_at timestamptz not null
);

-- Large objects that runs have made: theirs to replace.
create table large_object (
    oid oid primary key,
    run_id bigint not null
);
