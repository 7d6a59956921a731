-- Subscriptions, to be made disabled and without a slot, which is the source's: model::Definition. The
-- connection string is a secret; only a line marked `secret` reads it.
select
  6100 as class,
  s.oid::int8 as oid,
  'subscription' as noun,
  s.subname as name,
  pg_catalog.quote_ident(s.subname) as identity,
  pg_catalog.pg_get_userbyid(s.subowner) as owner,
  case
    when a.may_read
    then array[o.head || o.streaming || o.since_15 || o.since_16 || o.since_17 || ')']
    else array[]::text[]
  end as create,
  case -- 16+
    when a.may_read -- 16+
    then pg_catalog.json_build_array( -- 16+
      pg_catalog.json_build_object( -- 16+
        'below', case when o.streaming ~ 'parallel' or o.since_16 || o.since_17 <> '' then 16 end, -- 16+
        'create', array[o.head || replace(o.streaming, 'parallel', 'on') || o.since_15 || ')'], -- 16+
        'note', 'made without options that the target does not know: ' || pg_catalog.concat( -- 16+
          case when o.streaming ~ 'parallel' then 'streaming = parallel' end, -- 16+
          o.since_16, -- 16+
          o.since_17)), -- 16+
      pg_catalog.json_build_object( -- 16+
        'below', case when o.since_17 <> '' then 17 end, -- 16+
        'create', array[o.head || o.streaming || o.since_15 || o.since_16 || ')'], -- 16+
        'note', 'made without options that the target does not know: ' || o.since_17)) -- 16+
  end as older, -- 16+
  null as older, -- 15-
  true as has_secret,
  case
    when a.may_read
    then 'made disabled and without a replication slot: the source still uses the one it has'
    else 'left out, since the source''s user may not read its connection string'
  end as note
from pg_catalog.pg_subscription s
cross join lateral (
  select pg_catalog.has_column_privilege(
    'pg_catalog.pg_subscription',
    'subconninfo',
    'select') as may_read
) a
cross join lateral (
  select
    pg_catalog.format(
      'create subscription %I connection %L publication %s with (connect = false, slot_name = none%s',
      s.subname,
      s.subconninfo, -- secret
      '********', -- redacted
      (
        select pg_catalog.string_agg(pg_catalog.quote_ident(p.name), ', ' order by p.position)
        from pg_catalog.unnest(s.subpublications) with ordinality as p (name, position)
      ),
      pg_catalog.concat(
        case
          when s.subsynccommit <> 'off'
          then ', synchronous_commit = ' || pg_catalog.quote_literal(s.subsynccommit)
        end,
        case when s.subbinary then ', binary = true' end, -- 14+
        null)) as head,
    case when s.substream then ', streaming = on' else '' end as streaming, -- 14+ 15-
    case s.substream when 't' then ', streaming = on' when 'p' then ', streaming = parallel' else '' end as streaming, -- 16+
    '' as streaming, -- 13-
    pg_catalog.concat(
      case when s.subtwophasestate <> 'd' then ', two_phase = on' end, -- 15+
      case when s.subdisableonerr then ', disable_on_error = true' end, -- 15+
      null) as since_15,
    pg_catalog.concat(
      case when not s.subpasswordrequired then ', password_required = false' end, -- 16+
      case when s.subrunasowner then ', run_as_owner = true' end, -- 16+
      case when s.suborigin <> 'any' then ', origin = ' || s.suborigin end, -- 16+
      null) as since_16,
    pg_catalog.concat(
      case when s.subfailover then ', failover = true' end, -- 17+
      null) as since_17
) o
where s.subdbid = (
  select d.oid
  from pg_catalog.pg_database d
  where d.datname = pg_catalog.current_database())
order by s.subname
