-- The tables of ranges.sql without keys.
create table public.even (id bigint, amount bigint, note text);
create table public.skewed (id bigint, amount bigint, note text);
create table public.scattered (id bigint, amount bigint, note text);
create table public.uuid (id uuid, amount bigint, note text);
create table public.narrow (id integer);
create table public.wide (id bigint, body text);
create table public.toast (id bigint, note text, body text);
alter table public.toast alter body set storage external;
