-- The best key for cutting a table into ranges; no row if there is none.
--
-- Parameter, as a psql variable: table, a quoted and qualified name.
--
-- A key is a unique btree index that is valid, immediate and on plain columns, none of which may be
-- null, in the default order of their types and collations. The primary key comes first, then the key
-- with the fewest columns.
--
-- columns: json array of
--   name, type_schema, type_name: column and the type that the operators compare
--   collation: quoted and qualified, where it is not the database's
--   less, greater_equal: operators as SQL
-- correlation: of the first column's values with the rows' positions
-- bounds: of the histogram of the first column, where it covers all rows and not many changed since
select
    k.columns,
    s.correlation,
    case
        when s.most_common_vals is null
            and not exists (
                select
                from pg_catalog.pg_stat_all_tables t
                where t.relid = k.table_oid
                    and t.n_mod_since_analyze > 0.1 * k.reltuples
            )
            then s.histogram_bounds::pg_catalog.text::pg_catalog.text[]
    end as bounds
from (
    select
        c.oid as table_oid,
        c.relname,
        c.reltuples,
        n.nspname,
        i.indexrelid,
        i.indisprimary,
        pg_catalog.min(a.attname::pg_catalog.text) filter (where p.position = 1) as first_column,
        pg_catalog.count(*) as column_count,
        pg_catalog.json_agg(
            pg_catalog.json_build_object(
                'name', a.attname,
                'type_schema', tn.nspname,
                'type_name', ty.typname,
                'collation', case
                    when co.collname <> 'default' or cn.nspname <> 'pg_catalog'
                        then pg_catalog.format('%I.%I', cn.nspname, co.collname)
                end,
                'less', cmp.less,
                'greater_equal', cmp.greater_equal
            )
            order by p.position
        ) as columns
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_index i on i.indrelid = c.oid
    join pg_catalog.pg_class ic on ic.oid = i.indexrelid
    join pg_catalog.pg_am am on am.oid = ic.relam
    -- Columns that are merely included (11+) have a place in indkey, but not in indclass.
    cross join lateral (
        select
            g.position + 1 as position,
            i.indkey[g.position] as attnum,
            i.indclass[g.position] as opclass,
            i.indcollation[g.position] as collation
        from pg_catalog.generate_series(
            0,
            pg_catalog.array_length(i.indclass, 1) - 1
        ) g (position)
    ) p
    join pg_catalog.pg_opclass oc on oc.oid = p.opclass
    join pg_catalog.pg_type opt on opt.oid = oc.opcintype
    left join pg_catalog.pg_attribute a
        on a.attrelid = c.oid
        and a.attnum = p.attnum
        and a.attnotnull
        and a.attcollation = p.collation
        and oc.opcdefault
    -- A class for a polymorphic type compares the column's own one.
    left join pg_catalog.pg_type ty
        on ty.oid = case when opt.typtype = 'p' then a.atttypid else opt.oid end
    left join pg_catalog.pg_namespace tn on tn.oid = ty.typnamespace
    left join pg_catalog.pg_collation co on co.oid = p.collation
    left join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace
    cross join lateral (
        select
            pg_catalog.max(o.sql) filter (where ao.amopstrategy = 1) as less,
            pg_catalog.max(o.sql) filter (where ao.amopstrategy = 4) as greater_equal
        from pg_catalog.pg_amop ao
        join pg_catalog.pg_operator op on op.oid = ao.amopopr
        join pg_catalog.pg_namespace opn on opn.oid = op.oprnamespace
        cross join lateral (
            select case
                when opn.nspname = 'pg_catalog' then op.oprname::pg_catalog.text
                else pg_catalog.format('operator(%I.%s)', opn.nspname, op.oprname)
            end as sql
        ) o
        where ao.amopfamily = oc.opcfamily
            and ao.amoplefttype = oc.opcintype
            and ao.amoprighttype = oc.opcintype
    ) cmp
    where c.oid = :'table'::pg_catalog.regclass
        and am.amname = 'btree'
        and i.indisunique
        and i.indimmediate
        and i.indisvalid
        and i.indpred is null
        and i.indexprs is null
        -- NOT NULL that is not valid (18+) still lets nulls be.
        and not exists (
            select
            from pg_catalog.pg_constraint con
            where con.conrelid = c.oid
                and con.contype = 'n'
                and not con.convalidated
        )
    group by c.oid, c.relname, c.reltuples, n.nspname, i.indexrelid, i.indisprimary
    having pg_catalog.bool_and(
        a.attname is not null
        and cmp.less is not null
        and cmp.greater_equal is not null
    )
) k
left join pg_catalog.pg_stats s
    on s.schemaname = k.nspname
    and s.tablename = k.relname
    and s.attname = k.first_column
    and not s.inherited
order by k.indisprimary desc, k.column_count, k.indexrelid
limit 1
