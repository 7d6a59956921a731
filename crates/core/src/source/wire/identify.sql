-- Who answers on the other side of a new session.
-- Parameters: none.
-- Columns: version_num, version, backend_pid, is_in_recovery, is_read_only
select pg_catalog.current_setting('server_version_num') as version_num,
       pg_catalog.version() as version,
       pg_catalog.pg_backend_pid() as backend_pid,
       pg_catalog.pg_is_in_recovery() as is_in_recovery,
       pg_catalog.current_setting('transaction_read_only') = 'on' as is_read_only
