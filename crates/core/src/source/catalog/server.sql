-- The server and the database of the session: one row of model::ServerInfo.
select
  pg_catalog.current_setting('server_version_num')::int4 as version_num,
  pg_catalog.version() as version,
  d.datname as database,
  pg_catalog.pg_get_userbyid(d.datdba) as database_owner,
  pg_catalog.pg_encoding_to_char(d.encoding) as encoding,
  d.datcollate as collate,
  d.datctype as ctype,
  d.datlocprovider <> 'i' and d.datcollate in ('C', 'POSIX') as orders_by_bytes, -- 15+
  d.datcollate in ('C', 'POSIX') as orders_by_bytes, -- 14-
  pg_catalog.pg_is_in_recovery() as is_in_recovery,
  case
    when pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')
    then (select s.system_identifier::text from pg_catalog.pg_control_system() s)
  end as system_identifier,
  d.oid::int8 as database_oid
from pg_catalog.pg_database d
where d.datname = pg_catalog.current_database()
order by d.datname
