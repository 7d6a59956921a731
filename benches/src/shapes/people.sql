-- Texts that are compared by the rules of a language. Variable: scale, 10 for about 480 MB.
create collation english (provider = libc, locale = 'en_US.UTF-8');
create table companies (
  id integer primary key,
  name text collate english not null,
  city text collate english
);
insert into companies
select i,
  (array['Müller', 'O''Brien', 'de la Cruz', 'Smith', 'Åkesson', 'van Dyke', 'Lee'])[1 + i % 7]
    || ' & ' || (array['Sons', 'Co.', 'Partners', 'sons'])[1 + i % 4] || ' ' || (i * 7919::bigint) % 100003,
  (array['Zürich', 'New York', 'São Paulo', 'Newport', 'Malmö', null])[1 + (i * 31) % 6]
from generate_series(1, (20000 * :scale)::integer) i;
create table people (
  id bigint primary key,
  company_id integer not null references companies,
  email text collate english not null,
  last_name text collate english not null,
  first_name text collate english not null,
  born date
);
insert into people
select i, 1 + i % (20000 * :scale)::integer,
  chr(97 + (i % 26)::integer) || substr(md5(i::text), 1, 4) || '.' || i || '@' || (array['example.com', 'mail.example.org'])[1 + i % 2],
  initcap(substr(translate(md5((i % 50000)::text), '0123456789', 'aeiounrstl'), 1, 5 + (i % 6)::integer)),
  initcap(substr(translate(md5((i % 3000)::text), '0123456789', 'aeiounrstl'), 1, 4 + (i % 3)::integer)),
  date '1950-01-01' + (i % 20000)::integer
from generate_series(1, (150000 * :scale)::bigint) i;
create unique index on people (email);
create index on people (last_name, first_name);
create index on people (company_id, last_name);
create index on companies (name);
create index on companies (city, name);
