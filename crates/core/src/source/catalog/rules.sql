-- Rules other than those that make views: model::Rule.
select
  r.oid::int8 as oid,
  r.ev_class::int8 as table_oid,
  r.rulename as name,
  pg_catalog.pg_get_ruledef(r.oid) as definition,
  r.ev_enabled as enabled
from pg_catalog.pg_rewrite r
join pg_catalog.pg_class c on c.oid = r.ev_class
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where r.rulename <> '_RETURN'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
order by n.nspname, c.relname, r.rulename
