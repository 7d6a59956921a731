-- Eight million narrow rows (psql variable row_count), keys in no order; no index.
create table public.narrow (
    id integer not null,
    key integer not null,
    amount bigint not null
);
insert into public.narrow
select n, pg_catalog.hashint4(n), n * 7::bigint
from pg_catalog.generate_series(1, :row_count) n;
