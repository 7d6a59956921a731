-- Orders with keys that are decimals, floats and padded texts. Variable: scale, 10 for about 490 MB.
create table orders(id bigint generated always as identity primary key, customer int not null, total numeric(12,2) not null,
  tax numeric(12,4), discount float8, region char(8), placed timestamptz not null);
insert into orders(customer,total,tax,discount,region,placed)
select (i::int8*7919)%100000, ((i::int8*104729)%10000000)/100.0, ((i::int8*7907)%1000000)/10000.0,
  ((i::int8*48271)%2147483647)/2147483647.0, 'r'||(i%500), timestamptz '2020-01-01'+i*interval '1 minute'
from generate_series(1,(200000 * :scale)::integer) i;
create index on orders(total);
create index on orders(customer, total desc);
create index on orders(discount);
create index on orders(region, placed);
