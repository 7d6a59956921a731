-- Tables that hold what a run of pgmig left in them, as far as file node and change counters tell. No
-- parameters.
-- One row: a JSON array of [oid, rows]; rows is null where the counters prove it, else the number of
-- rows that the table must have.
select coalesce(
    pg_catalog.json_agg(
        pg_catalog.json_build_array(
            l.table_oid::bigint,
            case when l.inserts is null then l.rows end)
        order by l.table_oid),
    '[]')::text
from pgmig.loaded l
join pg_catalog.pg_class c on c.oid = l.table_oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relname = l.table_name
  and n.nspname = l.table_schema
  and pg_catalog.pg_relation_filenode(c.oid) = l.file_node
  and (l.inserts is null or l.inserts = pg_catalog.pg_stat_get_tuples_inserted(c.oid))
  and l.changes = pg_catalog.pg_stat_get_tuples_updated(c.oid)
      + pg_catalog.pg_stat_get_tuples_deleted(c.oid)
  and l.statistics_reset = (select e.statistics_reset from pgmig.statistics_epoch e)
