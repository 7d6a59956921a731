-- Publications, without their members: model::Definition.
select
  6104 as class,
  p.oid::int8 as oid,
  'publication' as noun,
  p.pubname as name,
  pg_catalog.quote_ident(p.pubname) as identity,
  pg_catalog.pg_get_userbyid(p.pubowner) as owner,
  array[pg_catalog.format(
    'create publication %I%s with (publish = %L%s%s)',
    p.pubname,
    case when p.puballtables then ' for all tables' end,
    pg_catalog.concat_ws(
      ', ',
      case when p.pubinsert then 'insert' end,
      case when p.pubupdate then 'update' end,
      case when p.pubdelete then 'delete' end,
      case when p.pubtruncate then 'truncate' end, -- 11+
      null),
    case when p.pubviaroot then ', publish_via_partition_root = true' end, -- 13+
    '', -- 12-
    case p.pubgencols when 's' then ', publish_generated_columns = stored' end -- 18+
    '' -- 17-
  )] as create
from pg_catalog.pg_publication p
order by p.pubname
