-- Routines of every kind that no extension owns: model::Function.
select
  p.oid::int8 as oid,
  n.nspname as schema,
  p.proname as name,
  pg_catalog.pg_get_userbyid(p.proowner) as owner,
  p.prokind as kind, -- 11+
  case when p.proisagg then 'a' when p.proiswindow then 'w' else 'f' end as kind, -- 10-
  case
    when a.aggfnoid is not null and p.pronargs = 0 then '*'
    else pg_catalog.pg_get_function_identity_arguments(p.oid)
  end as identity_arguments,
  l.lanname as language,
  case
    when a.aggfnoid is null then pg_catalog.pg_get_functiondef(p.oid)
  end as definition,
  case
    when a.aggfnoid is not null
    then pg_catalog.json_build_object(
      'arguments', case
        when p.pronargs = 0 then '*'
        else pg_catalog.pg_get_function_arguments(p.oid)
      end,
      'kind', a.aggkind,
      'transition', a.aggtransfn::pg_catalog.regproc::text,
      'state_type', pg_catalog.format_type(a.aggtranstype, null),
      'state_space', a.aggtransspace,
      'initial_value', a.agginitval,
      'finish', nullif(a.aggfinalfn::pg_catalog.regproc::text, '-'),
      'finish_extra', a.aggfinalextra,
      'finish_modify', a.aggfinalmodify, -- 11+
      'finish_modify', case when a.aggkind = 'n' then 'r' else 'w' end, -- 10-
      'combine', nullif(a.aggcombinefn::pg_catalog.regproc::text, '-'),
      'serialize', nullif(a.aggserialfn::pg_catalog.regproc::text, '-'),
      'deserialize', nullif(a.aggdeserialfn::pg_catalog.regproc::text, '-'),
      'moving_transition', nullif(a.aggmtransfn::pg_catalog.regproc::text, '-'),
      'moving_inverse', nullif(a.aggminvtransfn::pg_catalog.regproc::text, '-'),
      'moving_state_type', case
        when a.aggmtranstype <> 0 then pg_catalog.format_type(a.aggmtranstype, null)
      end,
      'moving_state_space', a.aggmtransspace,
      'moving_initial_value', a.aggminitval,
      'moving_finish', nullif(a.aggmfinalfn::pg_catalog.regproc::text, '-'),
      'moving_finish_extra', a.aggmfinalextra,
      'moving_finish_modify', a.aggmfinalmodify, -- 11+
      'moving_finish_modify', case when a.aggkind = 'n' then 'r' else 'w' end, -- 10-
      'sort_operator', case
        when o.oid is not null
        then pg_catalog.format('operator(%I.%s)', sn.nspname, o.oprname)
      end,
      'parallel', p.proparallel)
  end as aggregate
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
left join pg_catalog.pg_aggregate a on a.aggfnoid = p.oid
left join pg_catalog.pg_operator o on o.oid = a.aggsortop
left join pg_catalog.pg_namespace sn on sn.oid = o.oprnamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
    select
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      and d.objid = p.oid
      and d.deptype in ('e', 'i'))
order by n.nspname, p.proname, identity_arguments
