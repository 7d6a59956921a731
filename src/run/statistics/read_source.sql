-- What ANALYZE has found out on the source about tables, if it still holds there. Parameter: {oids}, a list of
-- OIDs. Columns: OID, rows, column, its type, and what pg_stats says of it: share of NULLs, bytes, distinct values,
-- most common values and their shares, bounds of the histogram, correlation.
--
-- Of a table there are all columns or none. None if it was changed more than autovacuum tolerates; if it
-- has columns that are analyzed in a way of their own, such as arrays, or expressions in indexes, or extended
-- statistics; or if other tables inherit from it.
with relations as (
  select
    c.oid,
    c.relkind,
    c.reltuples,
    n.nspname,
    c.relname
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.oid in ({oids})
    and (
      c.relkind = 'p'
      or c.relkind = 'r'
        and c.reltuples > 0
        and c.relpages > 0
        and not c.relhassubclass
        and pg_catalog.pg_stat_get_mod_since_analyze(c.oid) <= c.reltuples / 10
        and pg_catalog.abs(
          pg_catalog.pg_relation_size(c.oid)
            / pg_catalog.current_setting('block_size')::pg_catalog.int8
            - c.relpages
        ) <= c.relpages / 10)
    and not exists (
      select
      from pg_catalog.pg_index i
      where i.indrelid = c.oid
        and i.indexprs is not null)
    and not exists (
      select
      from pg_catalog.pg_statistic_ext e
      where e.stxrelid = c.oid)
),
found as (
  select
    r.oid,
    r.reltuples,
    a.attnum,
    a.attname,
    pg_catalog.format_type(a.atttypid, null) as type,
    t.typanalyze = 0 and s.attname is not null as is_usable,
    s.null_frac,
    s.avg_width,
    s.n_distinct,
    s.most_common_vals,
    s.most_common_freqs,
    s.histogram_bounds,
    s.correlation
  from relations r
  join pg_catalog.pg_attribute a on a.attrelid = r.oid
  join pg_catalog.pg_type t on t.oid = a.atttypid
  left join pg_catalog.pg_stats s
    on s.schemaname = r.nspname
    and s.tablename = r.relname
    and s.attname = a.attname
    and s.inherited = (r.relkind = 'p')
  where a.attnum > 0
    and not a.attisdropped
)
select
  f.oid,
  f.reltuples,
  f.attname,
  f.type,
  f.null_frac,
  f.avg_width,
  f.n_distinct,
  f.most_common_vals,
  f.most_common_freqs,
  f.histogram_bounds,
  f.correlation
from found f
where (
    select pg_catalog.bool_and(o.is_usable)
    from found o
    where o.oid = f.oid)
order by f.oid, f.attnum
