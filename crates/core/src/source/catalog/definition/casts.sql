-- Casts, without those that come with a range type: model::Definition.
select
  2605 as class,
  c.oid::int8 as oid,
  'cast' as noun,
  pg_catalog.format(
    '%s as %s',
    pg_catalog.format_type(c.castsource, null),
    pg_catalog.format_type(c.casttarget, null)) as name,
  pg_catalog.format(
    '(%s as %s)',
    pg_catalog.format_type(c.castsource, null),
    pg_catalog.format_type(c.casttarget, null)) as identity,
  array[pg_catalog.format(
    'create cast (%s as %s) %s%s',
    pg_catalog.format_type(c.castsource, null),
    pg_catalog.format_type(c.casttarget, null),
    case c.castmethod
      when 'f' then 'with function ' || c.castfunc::pg_catalog.regprocedure
      when 'i' then 'with inout'
      else 'without function'
    end,
    case c.castcontext when 'a' then ' as assignment' when 'i' then ' as implicit' end
  )] as create
from pg_catalog.pg_cast c
where c.oid >= 16384
  and not exists ( -- 14+
    select -- 14+
    from pg_catalog.pg_range r -- 14+
    where r.rngtypid = c.castsource -- 14+
      and r.rngmultitypid = c.casttarget) -- 14+
order by name
