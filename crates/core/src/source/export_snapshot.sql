-- Exports the transaction's snapshot and tells the position in the write-ahead log.
-- Parameters: none.
-- Columns: id, lsn, is_in_recovery, xids (the snapshot's bounds and what was in progress), timeline
select pg_catalog.pg_export_snapshot() as id,
       case when pg_catalog.pg_is_in_recovery()
            then pg_catalog.pg_last_wal_replay_lsn()
            else pg_catalog.pg_current_wal_insert_lsn()
       end as lsn,
       pg_catalog.pg_is_in_recovery() as is_in_recovery,
       pg_catalog.txid_current_snapshot()::pg_catalog.text as xids,
       case when pg_catalog.pg_is_in_recovery()
            then (select c.timeline_id from pg_catalog.pg_control_checkpoint() c)
            -- The first eight digits of a segment's name.
            else ('x' || pg_catalog.left(
                     pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)
                 )::pg_catalog.bit(32)::pg_catalog.int4
       end as timeline
