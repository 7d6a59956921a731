-- Exports the transaction's snapshot and tells the position in the write-ahead log.
-- Parameters: none.
-- Columns: id, lsn, is_in_recovery, xids (the snapshot's bounds and what was in progress)
select pg_catalog.pg_export_snapshot() as id,
       case when pg_catalog.pg_is_in_recovery()
            then pg_catalog.pg_last_wal_replay_lsn()
            else pg_catalog.pg_current_wal_insert_lsn()
       end as lsn,
       pg_catalog.pg_is_in_recovery() as is_in_recovery,
       pg_catalog.txid_current_snapshot()::pg_catalog.text as xids
