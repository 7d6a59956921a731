-- The statement that makes an object, in hexadecimal: as it stands in memory it needs no decoding by code that
-- leaves copies. Parameters: $1, the OID; $2, the target's major version; $3, the query of the object's class.
select
  pg_catalog.encode(
    pg_catalog.convert_to(
      case when o.form is null then j.definition else o.form end -> 'create' ->> 0,
      'UTF8'),
    'hex') as statement
from (
  select pg_catalog.row_to_json(q) as definition
  from (
$3
  ) q
  where q.oid = $1
) j
left join lateral (
  select e.form
  from pg_catalog.json_array_elements(
    nullif((j.definition -> 'older')::text, 'null')::pg_catalog.json
  ) with ordinality e (form, position)
  where (e.form ->> 'below')::pg_catalog.int4 > $2
  order by e.position
  limit 1
) o on true
