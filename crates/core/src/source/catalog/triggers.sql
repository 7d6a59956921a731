-- Triggers of the user, and copies on partitions that are enabled otherwise: model::Trigger.
select
  t.oid::int8 as oid,
  t.tgrelid::int8 as table_oid,
  t.tgname as name,
  pg_catalog.pg_get_triggerdef(t.oid) as definition,
  t.tgenabled as enabled,
  coalesce(p.oid, 0)::int8 as parent_oid,
  p.tgenabled as parent_enabled,
  t.tgconstraint::int8 as constraint_oid
from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_trigger p on p.oid = t.tgparentid -- 13+
left join pg_catalog.pg_depend pd -- 12-
  on pd.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass -- 12-
  and pd.objid = t.oid -- 12-
  and pd.refclassid = 'pg_catalog.pg_trigger'::pg_catalog.regclass -- 12-
left join pg_catalog.pg_trigger p on p.oid = pd.refobjid -- 12-
left join pg_catalog.pg_constraint k on k.oid = t.tgconstraint
where (
    p.oid is null and not t.tgisinternal
    or p.oid is not null and t.tgenabled <> p.tgenabled
  )
  and k.contype is distinct from 'f'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
order by n.nspname, c.relname, t.tgname
