-- Moves what was copied into a table from the records that a crash empties to those that last, once no
-- relation of the table is unlogged any more. Parameters: $1, the run; $2, the task that has just made a
-- relation of the table logged.
with logged as (
    select p.table_id
    from pgmig.task t
    join pgmig.part p
        on p.run_id = t.run_id
        and p.target_schema = t.table_schema
        and p.target_name = t.table_name
    where t.run_id = $1
      and t.task_id = $2
      and not exists (
          select
          from pgmig.part other
          join pg_catalog.pg_namespace n on n.nspname = other.target_schema
          join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = other.target_name
          where other.run_id = p.run_id
            and other.table_id = p.table_id
            and c.relpersistence = 'u')
),
moved as (
    delete from pgmig.copied_unlogged c
    using logged
    where c.run_id = $1
      and c.table_id = logged.table_id
    returning c.*
)
insert into pgmig.copied
select moved.* from moved
