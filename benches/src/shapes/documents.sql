-- Long texts and their search vectors, which are generated. Variable: scale, 10 for about 240 MB.
create table authors(id serial primary key, name text unique);
create table docs(id uuid primary key default gen_random_uuid(), author_id int not null references authors,
  slug text not null unique, title text not null, body text not null,
  tsv tsvector generated always as (to_tsvector('simple', left(title,200))) stored, raw bytea,
  created timestamp not null);
insert into authors(name)
select 'Author '||md5(i::text)
from generate_series(1,5000) i;
insert into docs(id,author_id,slug,title,body,raw,created)
select md5(i::text)::uuid, 1+i%5000, 'doc-'||i||'-'||substr(md5(i::text),1,6), 'Title '||i||' '||md5(i::text),
  (select string_agg('word'||(i*k%997)||' lorem ipsum '||substr(md5((i*k)::text),1,5),' ')
from generate_series(1,40+(i%10)*60) k), case when i%4=0 then decode(repeat(md5(i::text),100), 'hex') end,
  '2022-01-01'::timestamp + i*interval '1 min'
from generate_series(1,(6000 * :scale)::integer) i;
create index on docs(author_id);
create index on docs using gin(tsv);
create index on docs(created desc);
