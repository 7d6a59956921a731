-- Subscriptions, to be made disabled and without a slot, which is the source's: model::Definition. The
-- connection string is a secret; only a line marked `secret` reads it.
select
  6100 as class,
  s.oid::int8 as oid,
  'subscription' as noun,
  s.subname as name,
  pg_catalog.quote_ident(s.subname) as identity,
  pg_catalog.pg_get_userbyid(s.subowner) as owner,
  case when a.may_read then array[pg_catalog.format(
    'create subscription %I connection %L publication %s with (connect = false, slot_name = none%s%s%s)',
    s.subname,
    s.subconninfo, -- secret
    '********', -- redacted
    (
      select pg_catalog.string_agg(pg_catalog.quote_ident(p.name), ', ' order by p.position)
      from pg_catalog.unnest(s.subpublications) with ordinality as p (name, position)
    ),
    case
      when s.subsynccommit <> 'off'
      then ', synchronous_commit = ' || pg_catalog.quote_literal(s.subsynccommit)
    end,
    pg_catalog.concat( -- 14+
      case when s.subbinary then ', binary = true' end, -- 14+
      case when s.substream then ', streaming = on' end, -- 14+ 15-
      case s.substream when 't' then ', streaming = on' when 'p' then ', streaming = parallel' end, -- 16+
      ''), -- 14+
    '', -- 13-
    pg_catalog.concat( -- 15+
      case when s.subtwophasestate <> 'd' then ', two_phase = on' end, -- 15+
      case when s.subdisableonerr then ', disable_on_error = true' end, -- 15+
      case when not s.subpasswordrequired then ', password_required = false' end, -- 16+
      case when s.subrunasowner then ', run_as_owner = true' end, -- 16+
      case when s.suborigin <> 'any' then ', origin = ' || s.suborigin end, -- 16+
      case when s.subfailover then ', failover = true' end, -- 17+
      '') -- 15+
    '' -- 14-
  )] else array[]::text[] end as create,
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
where s.subdbid = (
  select d.oid
  from pg_catalog.pg_database d
  where d.datname = pg_catalog.current_database())
order by s.subname
