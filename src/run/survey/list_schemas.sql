-- Schemas that patterns can choose. No parameters.
-- Columns: name.
select n.nspname as name
from pg_catalog.pg_namespace n
where n.nspname <> 'information_schema'
  and n.nspname !~ '^pg_'
order by n.nspname
