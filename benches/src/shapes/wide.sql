-- Tables of 51 columns. Variable: scale, 10 for about 470 MB.
do $$
declare
  columns text;
  expressions text;
begin
  select
    string_agg(
      format(
        'n%1$s numeric(14, 4), f%1$s double precision, t%1$s text, i%1$s integer, d%1$s timestamptz',
        k),
      ', ' order by k),
    string_agg(
      format(
        '(i * %1$s %% 1000003) / 7.0, i * %2$s / 3.0, '
        'case when i %% %3$s > 0 then ''value '' || (i * %2$s) %% 10007 end, '
        'i %% %4$s, timestamptz ''2023-01-01'' + i * interval ''%2$s s''',
        k + 3, k + 1, k + 2, 1000 * (k + 1)),
      ', ' order by k)
  into columns, expressions
  from generate_series(0, 9) k;
  execute format('create table wide (id bigint primary key, %s)', columns);
  execute format(
    'insert into wide select i, %s from generate_series(1, (40000 * :scale)::integer) i',
    expressions);
end $$;
create index on wide (n0);
create index on wide (t1);
create index on wide (f2);
create index on wide (t3, i4);
create index on wide (d5);
create table wide_too as table wide;
alter table wide_too add primary key (id);
create index on wide_too (n1, n2);
