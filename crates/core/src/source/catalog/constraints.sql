-- Constraints on tables and domains, without NOT NULL: model::Constraint.
select
  k.oid::int8 as oid,
  k.conrelid::int8 as table_oid,
  k.contypid::int8 as domain_oid,
  k.conname as name,
  k.contype as kind,
  pg_catalog.pg_get_constraintdef(k.oid) as definition,
  k.confrelid::int8 as referenced_table_oid,
  k.conindid::int8 as index_oid,
  k.convalidated as is_validated,
  k.conenforced as is_enforced, -- 18+
  true as is_enforced, -- 17-
  k.condeferrable as is_deferrable,
  k.condeferred as is_deferred,
  k.conperiod as is_temporal, -- 18+
  false as is_temporal, -- 17-
  k.conparentid::int8 as parent_oid, -- 11+
  0 as parent_oid, -- 10-
  k.conislocal as is_local,
  k.coninhcount as inherited_count,
  k.connoinherit as is_no_inherit,
  not exists (
    select
    from pg_catalog.pg_trigger t
    where t.tgconstraint = k.oid
      and t.tgenabled in ('D', 'R')
  ) as has_firing_triggers
from pg_catalog.pg_constraint k
join pg_catalog.pg_namespace n on n.oid = k.connamespace
left join pg_catalog.pg_class c on c.oid = k.conrelid
where k.contype in ('p', 'u', 'c', 'x', 'f', 't')
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and c.relpersistence is distinct from 't'
order by n.nspname, c.relname, k.conname, k.oid
