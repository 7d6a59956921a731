-- What a run has created and what is still there of it, latest first, without what goes with another
-- object. Parameter: $1, the run.
-- One row: a JSON array of cleanup::CreatedObject.
with created as (
    select c.class_oid, c.object_oid, c.position
    from pgmig.created c
    where c.run_id = $1
      and c.class_oid <> 'pg_catalog.pg_largeobject'::pg_catalog.regclass
),
changed as (
    select c.class_oid, c.object_oid
    from created c
    join pg_catalog.pg_class r on c.class_oid = 'pg_catalog.pg_class'::pg_catalog.regclass
        and r.oid = c.object_oid
    where not exists (
            select from pgmig.written w where w.run_id = $1 and w.xid = r.xmin::text::bigint)
       or exists (
            select
            from pg_catalog.pg_attribute a
            where a.attrelid = r.oid
              and not exists (
                  select
                  from pgmig.written w
                  where w.run_id = $1 and w.xid = a.xmin::text::bigint))
    union all
    select c.class_oid, c.object_oid
    from created c
    join pg_catalog.pg_proc r on c.class_oid = 'pg_catalog.pg_proc'::pg_catalog.regclass
        and r.oid = c.object_oid
    where not exists (
        select from pgmig.written w where w.run_id = $1 and w.xid = r.xmin::text::bigint)
    union all
    select c.class_oid, c.object_oid
    from created c
    join pg_catalog.pg_type r on c.class_oid = 'pg_catalog.pg_type'::pg_catalog.regclass
        and r.oid = c.object_oid
    where not exists (
        select from pgmig.written w where w.run_id = $1 and w.xid = r.xmin::text::bigint)
    union all
    select c.class_oid, c.object_oid
    from created c
    join pg_catalog.pg_rewrite r on c.class_oid = 'pg_catalog.pg_class'::pg_catalog.regclass
        and r.ev_class = c.object_oid
    where not exists (
        select from pgmig.written w where w.run_id = $1 and w.xid = r.xmin::text::bigint)
),
-- Parts that somebody else has added to an object would go with it.
extended as (
    select d.refclassid, d.refobjid,
        pg_catalog.min(pg_catalog.pg_describe_object(d.classid, d.objid, 0)) as part
    from pg_catalog.pg_depend d
    join created c on c.class_oid = d.refclassid and c.object_oid = d.refobjid
    where d.deptype in ('a', 'i', 'P', 'S')
      and (d.classid, d.objid) <> (d.refclassid, d.refobjid)
      and not exists (
          select from created o where o.class_oid = d.classid and o.object_oid = d.objid)
      -- The server reports columns' defaults in another way.
      and not exists (
          select
          from pg_catalog.pg_attrdef a
          join pgmig.written w on w.run_id = $1 and w.xid = a.xmin::text::bigint
          where d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
            and a.oid = d.objid)
      -- What a run that took this one's place had dropped was built again when that one was cleaned up.
      and not exists (
          select
          from pg_catalog.pg_constraint k
          join pgmig.written w on w.run_id = $1 and w.xid = k.xmin::text::bigint
          where d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
            and k.oid = d.objid)
      and not exists (
          select
          from pg_catalog.pg_class i
          join pgmig.written w on w.run_id = $1 and w.xid = i.xmin::text::bigint
          where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            and i.oid = d.objid)
    group by d.refclassid, d.refobjid
)
select coalesce(
    pg_catalog.json_agg(
        pg_catalog.json_build_object(
            'kind', i.type,
            'identity', i.identity,
            'class', c.class_oid::bigint,
            'oid', c.object_oid::bigint,
            'table', case when k.oid is not null then k.conrelid::pg_catalog.regclass::text end,
            'name', k.conname,
            'is_table', coalesce(r.relkind = 'r', false),
            'is_changed', exists (
                select
                from changed x
                where x.class_oid = c.class_oid and x.object_oid = c.object_oid),
            'extended_by', e.part)
        order by c.position desc),
    '[]')::text
from created c
cross join lateral pg_catalog.pg_identify_object(c.class_oid, c.object_oid, 0) i
left join pg_catalog.pg_constraint k
    on c.class_oid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
    and k.oid = c.object_oid
left join pg_catalog.pg_class r
    on c.class_oid = 'pg_catalog.pg_class'::pg_catalog.regclass
    and r.oid = c.object_oid
left join extended e on e.refclassid = c.class_oid and e.refobjid = c.object_oid
where i.identity is not null
  and (
      k.contype = 'f' and k.conparentid = 0
      or not exists (
          select
          from pg_catalog.pg_depend d
          where d.classid = c.class_oid
            and d.objid = c.object_oid
            and (
                d.deptype = 'e'
                or d.deptype in ('a', 'i', 'P', 'S')
                and exists (
                    select
                    from created o
                    where o.class_oid = d.refclassid
                      and o.object_oid = d.refobjid
                      and (o.class_oid, o.object_oid) <> (c.class_oid, c.object_oid)))))
