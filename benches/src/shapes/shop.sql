-- Orders of a shop: keys of every kind, texts, numerics, an enum, a domain, JSON, arrays, partial, expression and GIN indexes, a
-- foreign key of two columns, a materialized view. Variable: scale, 10 for about 750 MB.
create type order_status as enum ('open','paid','shipped','returned');
create domain email as text check (value like '%@%');
create table customers(id uuid primary key, email email not null unique, name varchar(80) not null,
  created timestamptz not null default now(), attrs jsonb not null default '{}', ip inet);
create table products(id bigint primary key, sku varchar(20) not null unique, title text not null,
  price numeric(10,2) not null check (price >= 0), tags text[] not null, weight real);
create table orders(id bigserial primary key, customer_id uuid not null, status order_status not null,
  total numeric(12,2) not null, placed timestamptz not null, note text);
create table order_lines(order_id bigint, line int, product_id bigint not null, qty int not null,
  price numeric(10,2) not null, primary key(order_id,line));
create table shipments(id bigint generated always as identity primary key, order_id bigint not null,
  line int not null, carrier text not null, tracking text not null, shipped date);
insert into customers
select md5(i::text)::uuid, 'user'||i||'@example'||(i%97)||'.com',
  initcap(substr(md5(i::text),1,8))||' '||initcap(substr(md5((i*7)::text),1,12)),
  '2020-01-01'::timestamptz+ i*interval '37 s',
  jsonb_build_object('lang', (array['en','de','fr','es'])[1+i%4], 'score', i%1000, 'tags', jsonb_build_array('a'||i%10,'b'||i%7), 'vip', i%20=0),
  ('10.'||i%250||'.'||(i/250)%250||'.'||i%199)::inet
from generate_series(1,(30000 * :scale)::integer) i;
insert into products
select i, 'SKU-'||lpad((i*7919%1000000007)::text,12,'0'), 'Product '||md5(i::text)||' '||md5((i+1)::text),
  (i%100000)/100.0, array['t'||i%50,'c'||i%13], i%1000/7.0
from generate_series(1,(5000 * :scale)::integer) i;
insert into orders
select i, md5((1+ (i::bigint*48271)%(30000 * :scale)::integer)::text)::uuid,
  (array['open','paid','shipped','shipped','shipped','returned'])[1+i%6]::order_status, (i%500000)/100.0,
  '2021-01-01'::timestamptz + i*interval '11 s', case when i%5=0 then 'note '||md5(i::text) end
from generate_series(1,(100000 * :scale)::integer) i;
insert into order_lines
select o, l, 1+(o*31+l*17)%(5000 * :scale)::integer, 1+o%9, ((o*13+l)%9999)/100.0
from generate_series(1,(100000 * :scale)::integer) o, generate_series(1,3) l;
insert into shipments(order_id,line,carrier,tracking,shipped)
select o, 1+o%3, (array['DHL','UPS','FedEx','La Poste'])[1+o%4], upper(md5(o::text)),
  '2021-01-01'::date+(o%900)
from generate_series(1,(100000 * :scale)::integer,2) o;
create index on customers(name);
create index on customers using gin(attrs);
create index on products using gin(tags);
create index on products(title);
create index on orders(customer_id, placed desc);
create index on orders(status) where status in ('open','returned');
create index on orders(placed);
create index on order_lines(product_id);
create unique index on shipments(tracking);
create index on shipments(order_id,line);
create index on shipments(carrier, shipped);
create index on customers(lower(email::text));
alter table orders add foreign key(customer_id) references customers;
alter table order_lines add foreign key(order_id) references orders on delete cascade;
alter table order_lines add foreign key(product_id) references products;
alter table shipments add foreign key(order_id,line) references order_lines;
create view open_orders as select o.id,
  c.name from orders o join customers c on c.id=o.customer_id where status='open';
create materialized view per_product as select product_id, sum(qty) q,
  sum(price*qty) r from order_lines group by 1;
create unique index on per_product(product_id);
