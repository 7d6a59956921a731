-- User mappings: model::Definition. The values of options, but for the user's name, are secrets; only a
-- line marked `secret` reads them.
select
  1418 as class,
  u.umid::int8 as oid,
  'user mapping' as noun,
  pg_catalog.format('for %s server %s', coalesce(u.usename, 'public'), u.srvname) as name,
  pg_catalog.format(
    'for %s server %I',
    case when u.umuser = 0 then 'public' else pg_catalog.quote_ident(u.usename) end,
    u.srvname) as identity,
  array[pg_catalog.format(
    'create user mapping for %s server %I%s',
    case when u.umuser = 0 then 'public' else pg_catalog.quote_ident(u.usename) end,
    u.srvname,
    (
      select ' options ('
        || pg_catalog.string_agg(
          pg_catalog.format(
            '%I %L',
            o.option_name,
            o.option_value -- secret
            case when o.option_name = 'user' then o.option_value else '********' end -- redacted
          ),
          ', ')
        || ')'
      from pg_catalog.pg_options_to_table(u.umoptions) o
    )
  )] as create,
  case when u.umuser <> 0 then array[u.usename::text] end as roles,
  u.umoptions is not null as has_secret,
  case
    when u.umoptions is null and not r.rolsuper
    then 'its options, if it has any, may be read by superusers and the server''s owner only'
  end as note
from pg_catalog.pg_user_mappings u
cross join pg_catalog.pg_roles r
where r.rolname = current_user
order by u.srvname, u.umuser
