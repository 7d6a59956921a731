-- The sample data of the source in compose.yaml: a small shop.

create type order_state as enum ('open', 'paid', 'shipped');

create table customer (
    id bigint generated always as identity primary key,
    name text not null,
    email text not null unique,
    created timestamptz not null
);

create table product (
    sku text primary key,
    title text not null,
    price numeric(10, 2) not null check (price >= 0)
);

create table purchase (
    id bigint generated always as identity primary key,
    customer_id bigint not null references customer,
    state order_state not null,
    placed timestamptz not null
);

create table purchase_line (
    purchase_id bigint references purchase on delete cascade,
    line int,
    sku text not null references product,
    quantity int not null check (quantity > 0),
    primary key (purchase_id, line)
);

insert into customer (name, email, created)
select 'Customer ' || i, 'customer' || i || '@example.com', timestamptz '2024-01-01' + i * interval '1 minute'
from generate_series(1, 10000) i;

insert into product
select 'P' || lpad(i::text, 5, '0'), 'Product ' || i, 1 + i % 500 + 0.99
from generate_series(1, 1000) i;

insert into purchase (customer_id, state, placed)
select 1 + i * 7 % 10000, (enum_range(null::order_state))[1 + i % 3], timestamptz '2024-06-01' + i * interval '1 minute'
from generate_series(1, 50000) i;

insert into purchase_line
select p, line, 'P' || lpad((1 + (p * 13 + line * 101) % 1000)::text, 5, '0'), 1 + (p + line) % 4
from generate_series(1, 50000) p, generate_series(1, 3) line;

create index on purchase (customer_id);
create index on purchase (placed);
create index on purchase_line (sku);

create view turnover as
select date_trunc('day', placed) as day, sum(quantity * price) as amount
from purchase
    join purchase_line on purchase_id = id
    join product using (sku)
group by 1;

comment on table purchase is 'what was bought when';

analyze;
