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
    -- bounds of the snapshot and what was in progress, as txid_current_snapshot() shows them
    snapshot_xids text,
    -- how many snapshots the run has needed so far
    snapshots int not null default 0,
    source_lsn pg_lsn,
    source_timeline int,
    -- the foreign server that the source was given as
    server name,
    -- what tells the source's database from any other, and hashes of its tables and other definitions
    source_identity text,
    source_tables text,
    source_definitions text,
    -- how often the run was taken up again
    resumed int not null default 0,
    -- later runs that were planned over its tables, so that its marks say nothing any more
    superseded_by bigint[] not null default '{}',
    -- who holds a lock of the source that it waits for
    source_wait text,
    -- whether its tasks, marks and objects are still recorded
    has_details boolean not null default true,
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

-- The names under which sessions with the source hold the run's snapshot, those of lost ones included.
create table snapshot (
    run_id bigint not null,
    name text not null,
    primary key (run_id, name)
);

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
    -- how often what had been copied was given up and copied again
    recopied int not null default 0,
    primary key (run_id, table_id)
);

-- The relations that hold the rows of a run's tables: the tables themselves, or partitions.
create table part (
    run_id bigint not null,
    table_id int not null,
    position int not null,
    source_schema name not null,
    source_name name not null,
    target_schema name not null,
    target_name name not null,
    -- of the source's file when the snapshot was taken; another one holds other rows
    file_node oid,
    primary key (run_id, table_id, position)
);
create index part_source on part (run_id, source_name, source_schema);

create table task (
    run_id bigint not null,
    task_id int not null,
    kind text not null,
    object text not null,
    table_schema name,
    table_name name,
    work text not null,
    locks text not null,
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
    -- positions of the statements that failed and were passed over, from 0
    failed int[] not null,
    primary key (run_id, task_id)
);

-- What a copy task wrote, one row per table in it: the mark of the table's part of the task.
create table copied (
    run_id bigint not null,
    task_id int not null,
    table_id int not null,
    rows bigint not null,
    bytes bigint not null,
    checksum text,
    primary key (run_id, task_id, table_id)
);

-- The same two for unlogged tables: crash recovery empties rows and marks together. The mark of task 0
-- is there from the plan on, so that its absence tells of a crash.
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
    -- why it could not be built
    failure text,
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

-- Objects that runs have created, recorded in the transaction that did it, in that order.
create table created (
    run_id bigint not null,
    position bigint generated always as identity,
    class_oid oid not null,
    object_oid oid not null,
    primary key (run_id, class_oid, object_oid)
);

-- Transactions of a run that wrote definitions or rows, their subtransactions included.
create table written (
    run_id bigint not null,
    xid bigint not null,
    primary key (run_id, xid)
);

-- Large objects that runs have made: theirs to replace.
create table large_object (
    oid oid primary key,
    run_id bigint not null
);
