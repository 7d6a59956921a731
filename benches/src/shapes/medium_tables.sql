-- 200 tables of 10,000 rows with texts as keys. Variable: scale, 10 for about 290 MB.
do $$
begin
  for t in 1..200 loop
    execute pg_catalog.format(
      'create table t%s (code text primary key, id integer not null, name varchar(50), amount numeric(12, 2),
       at timestamptz, flag boolean, ref text)', t);
    execute pg_catalog.format(
      'insert into t%s select md5((i * %s)::text), i, ''name '' || i %% 1000, i / 3.0,
       ''2020-01-01''::timestamptz + i * interval ''1 min'', i %% 2 = 0, md5((i * %s)::text)
       from generate_series(1, (1000 * :scale)::integer) i', t, t, greatest(t - 1, 1));
    execute pg_catalog.format('create index on t%s (name)', t);
    execute pg_catalog.format('create index on t%s (id)', t);
  end loop;
  for t in 2..200 loop
    execute pg_catalog.format('alter table t%s add foreign key (ref) references t%s', t, t - 1);
  end loop;
end $$;
