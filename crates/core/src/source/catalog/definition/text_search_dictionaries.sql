-- Text search dictionaries: model::Definition.
select
  3600 as class,
  d.oid::int8 as oid,
  'text search dictionary' as noun,
  n.nspname as schema,
  d.dictname as name,
  pg_catalog.format('%I.%I', n.nspname, d.dictname) as identity,
  pg_catalog.pg_get_userbyid(d.dictowner) as owner,
  array[pg_catalog.format(
    'create text search dictionary %I.%I (template = %I.%I%s)',
    n.nspname,
    d.dictname,
    tn.nspname,
    t.tmplname,
    ', ' || d.dictinitoption
  )] as create
from pg_catalog.pg_ts_dict d
join pg_catalog.pg_namespace n on n.oid = d.dictnamespace
join pg_catalog.pg_ts_template t on t.oid = d.dicttemplate
join pg_catalog.pg_namespace tn on tn.oid = t.tmplnamespace
where d.oid >= 16384
  and n.nspname !~ '^pg_'
order by n.nspname, d.dictname
