-- What ANALYZE has found out on the source about tables, if it still holds there. Parameter: {oids}, a list of
-- OIDs. Columns: OID of the table, its rows, index whose expression the column is, column, its type, and what pg_stats
-- says of it: share of NULLs, bytes, distinct values, most common values and their shares, bounds of the histogram,
-- correlation, most common elements and their shares, histogram of the numbers of elements.
--
-- Of a table there are all columns or none. None if it was changed more than autovacuum tolerates; if it
-- has columns that are analyzed in a way of their own, other than arrays and texts to be searched, or extended
-- statistics; or if other tables inherit from it.
with tables as (
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
      from pg_catalog.pg_statistic_ext e
      where e.stxrelid = c.oid)
),
columns as (
  select
    t.oid as table_oid,
    null::pg_catalog.name as index,
    t.relname as relation,
    a.attnum,
    a.attname,
    a.atttypid as type_oid,
    a.atttypid as analyzed_oid
  from tables t
  join pg_catalog.pg_attribute a on a.attrelid = t.oid
  where a.attnum > 0
    and not a.attisdropped
  union all
  -- What an index stores may have another type than its expression: then its class of operators takes that.
  select
    t.oid,
    c.relname,
    c.relname,
    a.attnum,
    a.attname,
    a.atttypid,
    case when o.opckeytype = 0 then a.atttypid else o.opcintype end
  from tables t
  join pg_catalog.pg_index i on i.indrelid = t.oid
  join pg_catalog.pg_class c on c.oid = i.indexrelid
  join pg_catalog.pg_attribute a on a.attrelid = c.oid
  join pg_catalog.pg_opclass o on o.oid = i.indclass[a.attnum - 1]
  where t.relkind = 'r'
    and i.indisvalid
    and i.indkey[a.attnum - 1] = 0
),
found as (
  select
    t.oid,
    t.reltuples,
    c.index,
    c.attnum,
    c.attname,
    pg_catalog.format_type(c.type_oid, null) as type,
    s.attname is not null
      and y.typanalyze in (
        0,
        'pg_catalog.array_typanalyze'::pg_catalog.regproc,
        'pg_catalog.ts_typanalyze'::pg_catalog.regproc)
      and (y.typtype <> 'p' or y.oid = 'pg_catalog.anyarray'::pg_catalog.regtype) as is_usable,
    s.null_frac,
    s.avg_width,
    s.n_distinct,
    s.most_common_vals,
    s.most_common_freqs,
    s.histogram_bounds,
    s.correlation,
    s.most_common_elems,
    s.most_common_elem_freqs,
    s.elem_count_histogram
  from tables t
  join columns c on c.table_oid = t.oid
  join pg_catalog.pg_type y on y.oid = c.analyzed_oid
  -- Looked up one by one: the view would be read as a whole otherwise, with all columns of the database.
  left join lateral (
    select *
    from pg_catalog.pg_stats s
    where s.schemaname = t.nspname
      and s.tablename = c.relation
      and s.attname = c.attname
      and s.inherited = (t.relkind = 'p')
    offset 0) s on true
)
select
  f.oid,
  f.reltuples,
  f.index,
  f.attname,
  f.type,
  f.null_frac,
  f.avg_width,
  f.n_distinct,
  f.most_common_vals,
  f.most_common_freqs,
  f.histogram_bounds,
  f.correlation,
  f.most_common_elems,
  f.most_common_elem_freqs,
  f.elem_count_histogram
from found f
where (
    select pg_catalog.bool_and(o.is_usable)
    from found o
    where o.oid = f.oid)
order by f.oid, f.index nulls first, f.attnum
