-- Text search configurations with their mappings: model::Definition.
select
  3602 as class,
  c.oid::int8 as oid,
  'text search configuration' as noun,
  n.nspname as schema,
  c.cfgname as name,
  pg_catalog.format('%I.%I', n.nspname, c.cfgname) as identity,
  pg_catalog.pg_get_userbyid(c.cfgowner) as owner,
  array[pg_catalog.format(
    'create text search configuration %I.%I (parser = %I.%I)',
    n.nspname,
    c.cfgname,
    pn.nspname,
    p.prsname
  )] || array(
    select pg_catalog.format(
      'alter text search configuration %I.%I add mapping for %I with %s',
      n.nspname,
      c.cfgname,
      k.alias,
      pg_catalog.string_agg(
        pg_catalog.format('%I.%I', dn.nspname, d.dictname), ', ' order by m.mapseqno))
    from pg_catalog.pg_ts_config_map m
    join pg_catalog.ts_token_type(c.cfgparser) k on k.tokid = m.maptokentype
    join pg_catalog.pg_ts_dict d on d.oid = m.mapdict
    join pg_catalog.pg_namespace dn on dn.oid = d.dictnamespace
    where m.mapcfg = c.oid
    group by k.tokid, k.alias
    order by k.tokid
  ) as create
from pg_catalog.pg_ts_config c
join pg_catalog.pg_namespace n on n.oid = c.cfgnamespace
join pg_catalog.pg_ts_parser p on p.oid = c.cfgparser
join pg_catalog.pg_namespace pn on pn.oid = p.prsnamespace
where c.oid >= 16384
  and n.nspname !~ '^pg_'
order by n.nspname, c.cfgname
