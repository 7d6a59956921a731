-- What tells the database from any other. No parameters.
-- Columns: identity.
select pg_catalog.format('%s.%s', s.system_identifier, d.oid) as identity
from pg_catalog.pg_control_system() s
cross join pg_catalog.pg_database d
where d.datname = pg_catalog.current_database()
