-- Publications, without their members: model::Definition.
select
  6104 as class,
  p.oid::int8 as oid,
  'publication' as noun,
  p.pubname as name,
  pg_catalog.quote_ident(p.pubname) as identity,
  pg_catalog.pg_get_userbyid(p.pubowner) as owner,
  array[s.head || s.generated || ')'] as create,
  case -- 18+
    when s.generated <> '' -- 18+
    then pg_catalog.json_build_array( -- 18+
      pg_catalog.json_build_object( -- 18+
        'below', 18, -- 18+
        'create', array[s.head || ')'], -- 18+
        'note', 'publishes no generated columns on the target, which cannot')) -- 18+
  end as older -- 18+
  null as older -- 17-
from pg_catalog.pg_publication p
cross join lateral (
  select
    pg_catalog.format(
      'create publication %I%s with (publish = %L%s',
      p.pubname,
      case when p.puballtables then ' for all tables' end,
      pg_catalog.concat_ws(
        ', ',
        case when p.pubinsert then 'insert' end,
        case when p.pubupdate then 'update' end,
        case when p.pubdelete then 'delete' end,
        case when p.pubtruncate then 'truncate' end, -- 11+
        null),
      case when p.pubviaroot then ', publish_via_partition_root = true' end -- 13+
      '' -- 12-
    ) as head,
    case p.pubgencols when 's' then ', publish_generated_columns = stored' else '' end as generated -- 18+
    '' as generated -- 17-
) s
order by p.pubname
