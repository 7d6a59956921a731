-- Event triggers: model::Definition.
select
  3466 as class,
  e.oid::int8 as oid,
  'event trigger' as noun,
  e.evtname as name,
  pg_catalog.quote_ident(e.evtname) as identity,
  pg_catalog.pg_get_userbyid(e.evtowner) as owner,
  pg_catalog.array_remove(array[
    pg_catalog.format(
      'create event trigger %I on %I%s execute procedure %s()',
      e.evtname,
      e.evtevent,
      (
        select ' when tag in (' || pg_catalog.string_agg(pg_catalog.quote_literal(t.tag), ', ') || ')'
        from pg_catalog.unnest(e.evttags) as t (tag)
      ),
      e.evtfoid::pg_catalog.regproc),
    case e.evtenabled
      when 'D' then pg_catalog.format('alter event trigger %I disable', e.evtname)
      when 'A' then pg_catalog.format('alter event trigger %I enable always', e.evtname)
      when 'R' then pg_catalog.format('alter event trigger %I enable replica', e.evtname)
    end
  ], null) as create,
  case -- 17+
    when e.evtevent = 'login' -- 17+
    then pg_catalog.json_build_array( -- 17+
      pg_catalog.json_build_object( -- 17+
        'below', 17, -- 17+
        'create', array[]::text[], -- 17+
        'note', 'left out, since the target has no event "login"')) -- 17+
  end as older -- 17+
  null as older -- 16-
from pg_catalog.pg_event_trigger e
order by e.evtname
