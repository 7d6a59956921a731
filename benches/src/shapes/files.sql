-- Files that do not compress and pages that do, nearly all of it out of line. Variable: scale, 10 for about 650 MB.
create table files(id int primary key, name text not null, data bytea not null, meta jsonb);
insert into files
select i, 'file '||i, (select string_agg(sha512((i*1000+k)::text::bytea), ''::bytea) from generate_series(1,160+(i%60)*16) k),
  jsonb_build_object('size', i, 'tags', array['a','b'])
from generate_series(1,(1200 * :scale)::integer) i;
create table pages(id int primary key, url text not null unique, html text not null);
insert into pages
select i, 'http://example.org/'||i,
  (select string_agg(md5(k::text||i)||' <div class="item">lorem ipsum</div> ', '') from generate_series(1,50+i%300) k)
from generate_series(1,(1500 * :scale)::integer) i;
