-- A database in the shape of Stack Overflow's: 6 tables, 15 indexes with their keys, 6 foreign keys.
--
-- psql variable: scale (default 1 = 1,275,000 rows, about 270 MB; 10 = ten times that; 0.01 will do too).
-- Everything is computed from row numbers by hash functions: the same scale gives the same rows.

\if :{?scale}
\else
\set scale 1
\endif
\set ON_ERROR_STOP on
\set QUIET on

set client_min_messages = warning;
set synchronous_commit = off;
set maintenance_work_mem = '256MB';
set work_mem = '64MB';
set search_path = public;

\set user_count (75000 * :scale)::bigint
\set post_count (150000 * :scale)::bigint
\set comment_count (250000 * :scale)::bigint
\set vote_count (600000 * :scale)::bigint
\set badge_count (150000 * :scale)::bigint
\set link_count (50000 * :scale)::bigint

-- Row number i and column number k give a number in [0, 1), evenly distributed.
create function pg_temp.uniform(i bigint, k int) returns float8
language sql immutable
return (pg_catalog.hashint8extended(i, k) & 4294967295)::float8 / 4294967296;

-- The same, nearly normal: mean 0, deviation 1 (the sum of four even ones, scaled).
create function pg_temp.normal(i bigint, k int) returns float8
language sql immutable
return (pg_temp.uniform(i, k) + pg_temp.uniform(i, k + 1) + pg_temp.uniform(i, k + 2)
    + pg_temp.uniform(i, k + 3) - 2) * 1.7320508;

-- A number in 1 .. n that favours small ones, as popular users and posts do.
create function pg_temp.skewed(i bigint, k int, n bigint) returns bigint
language sql immutable
return 1 + pg_catalog.floor(n * pg_temp.uniform(i, k) ^ 2)::bigint;

-- Second number i of a span of 16 years.
create function pg_temp.moment(i bigint, n bigint) returns timestamp
language sql immutable
return timestamp '2008-08-01' + pg_catalog.make_interval(
    secs => pg_catalog.trunc((i + pg_temp.uniform(i, 99))::numeric / n * 504576000, 3)::float8);

-- The vocabulary: syllables make words, and the words that come first are used most.
create temp table word as
select rank,
    pg_catalog.initcap(first) as capital,
    first || case when rank > 40 then second else '' end || case when rank > 900 then third else '' end as lower
from (
    select rank,
        syllable[1 + pg_catalog.floor(pg_catalog.cardinality(syllable) * pg_temp.uniform(rank, 1))::int] as first,
        syllable[1 + pg_catalog.floor(pg_catalog.cardinality(syllable) * pg_temp.uniform(rank, 2))::int] as second,
        syllable[1 + pg_catalog.floor(pg_catalog.cardinality(syllable) * pg_temp.uniform(rank, 3))::int] as third
    from pg_catalog.generate_series(1, 3000) rank,
        (select pg_catalog.string_to_array('the of to in is an it on be as by or we at do if no so he re con ter '
            'ing tion ver com per est ent ation able ness ment sub pre pro dis mis inter over under table index '
            'query join row type value name list code test data file user time error function class string array '
            'ex am ple ask run',
            ' ') as syllable) s
) w;

-- Paragraphs of 4,000 ASCII characters, out of which every text below is cut; bytea, since cutting
-- text of a multi-byte encoding counts every character.
create temp table paragraph (slot integer primary key, body bytea not null);
alter table paragraph alter column body set storage plain;

insert into paragraph
select slot, pg_catalog.substr(pg_catalog.convert_to(pg_catalog.string_agg(
    case
        when n % 97 = 0 then E'\n\n    select ' || w.lower || ' from ' || w.lower || E's where id = 1;\n\n'
        when n % 41 = 0 then ' <code>' || w.lower || '()</code>'
        when n % 13 = 0 then '. ' || w.capital
        else ' ' || w.lower
    end, '' order by n), 'UTF8'), 1, 4000)
from pg_catalog.generate_series(0, 255) slot,
    pg_catalog.generate_series(1, 700) n,
    lateral (select 1 + pg_catalog.floor(3000 * pg_temp.uniform(slot * 1000 + n, 5) ^ 3)::int as pick) x
    join word w on w.rank = x.pick
group by slot;

analyze word, paragraph;

create function pg_temp.cut(body bytea, start int, size int) returns text
language sql immutable
return pg_catalog.convert_from(pg_catalog.substr(body, start, size), 'UTF8');

create table users (
    id integer not null,
    reputation integer not null,
    creation_date timestamp not null,
    display_name varchar(40) not null,
    last_access_date timestamp,
    website_url text,
    location text,
    about_me text,
    views integer default 0 not null,
    up_votes integer default 0 not null,
    down_votes integer default 0 not null,
    account_id integer
);

create table posts (
    id integer not null,
    post_type_id smallint not null,
    parent_id integer,
    accepted_answer_id integer,
    creation_date timestamp not null,
    score integer not null,
    view_count integer,
    body text not null,
    owner_user_id integer,
    last_activity_date timestamp not null,
    title varchar(250),
    tags varchar(250),
    answer_count integer,
    comment_count integer default 0 not null
);

create table comments (
    id integer not null,
    post_id integer not null,
    score integer not null,
    text text not null,
    creation_date timestamp not null,
    user_id integer
);

create table votes (
    id integer not null,
    post_id integer not null,
    vote_type_id smallint not null,
    user_id integer,
    creation_date timestamp not null,
    bounty_amount integer
);

create table badges (
    id integer not null,
    user_id integer not null,
    name varchar(50) not null,
    date timestamp not null,
    class smallint not null,
    tag_based boolean not null
);

create table post_links (
    id integer not null,
    creation_date timestamp not null,
    post_id integer not null,
    related_post_id integer not null,
    link_type_id smallint not null
);

insert into users
select i,
    1 + pg_catalog.floor(pg_catalog.exp(3 + 2 * pg_temp.normal(i, 10)))::int,
    pg_temp.moment(i, :user_count),
    w.capital || i,
    pg_temp.moment(i, :user_count) + pg_catalog.make_interval(days => (i % 400)::int),
    case when i % 7 = 0 then 'https://' || w.lower || '.example/~' || i end,
    case when i % 3 = 0 then w.capital || ', ' || pg_catalog.upper(w.lower) end,
    case when i % 5 = 0 then
        pg_temp.cut(p.body, 1 + (i * 7 % 3000)::int, 40 + (i * 31 % 300)::int) end,
    (i * 17 % 5000)::int,
    (i * 13 % 900)::int,
    (i % 11)::int,
    (i * 3)::int
from pg_catalog.generate_series(1, :user_count) i
    join word w on w.rank = 1 + i % 3000
    join paragraph p on p.slot = i % 256
order by i;

-- Questions and their answers. Lengths of bodies are log-normal: median 450 characters, mean about
-- 700, at most 30,000; long ones are put together from several paragraphs.
insert into posts
select i,
    case when is_answer then 2 else 1 end,
    case when is_answer then 1 + (i - 1) / 3 * 3 end,
    case when not is_answer and i % 2 = 1 then i + 1 end,
    pg_temp.moment(i, :post_count),
    pg_catalog.floor(pg_catalog.exp(1 + pg_temp.normal(i, 20)))::int - 1,
    case when not is_answer then pg_catalog.floor(pg_catalog.exp(6 + 1.5 * pg_temp.normal(i, 24)))::int end,
    case
        when i % 40 = 0 then 'Naïve – ' || w.capital || ' “' || w.lower || '”: ' || pg_temp.cut(p.body, start, least(size, 3500))
        when size <= 3500 then pg_temp.cut(p.body, start, size)
        else (
            select pg_catalog.string_agg(
                pg_temp.cut(more.body, start, least(3000, size - 3000 * part)), E'\n' order by part)
            from pg_catalog.generate_series(0, (size - 1) / 3000) part
                join paragraph more on more.slot = (post.slot + 37 * part) % 256)
    end,
    case when i % 50 > 0 then pg_temp.skewed(i, 30, :user_count) end,
    pg_temp.moment(i, :post_count) + pg_catalog.make_interval(days => (i % 90)::int),
    case when not is_answer then pg_catalog.initcap(
        pg_catalog.translate(pg_temp.cut(p.body, 3000 + start, 30 + (i % 60)::int), E'\n.', '  ')) end,
    case when not is_answer then '<' || w.lower || '><' || w.capital || '>' end,
    case when not is_answer then 2 end,
    (i % 4)::int
from (
    select i,
        i % 3 <> 1 as is_answer,
        pg_catalog.floor(256 * pg_temp.uniform(i, 40))::int as slot,
        1 + pg_catalog.floor(400 * pg_temp.uniform(i, 41))::int as start,
        least(30000, 15 + pg_catalog.floor(pg_catalog.exp(6.1 + 0.95 * pg_temp.normal(i, 42)))::int) as size
    from pg_catalog.generate_series(1, :post_count) i
    offset 0
) post
    join word w on w.rank = 1 + i % 3000
    join paragraph p on p.slot = post.slot
order by i;

insert into comments
select i,
    pg_temp.skewed(i, 50, :post_count),
    greatest(0, pg_catalog.floor(pg_catalog.exp(pg_temp.normal(i, 51))) - 1)::int,
    pg_temp.cut(p.body,
        1 + (i * 11 % 3000)::int,
        least(600, 15 + pg_catalog.floor(pg_catalog.exp(4.6 + 0.7 * pg_temp.normal(i, 56))))::int),
    pg_temp.moment(i, :comment_count),
    case when i % 60 > 0 then pg_temp.skewed(i, 60, :user_count) end
from pg_catalog.generate_series(1, :comment_count) i
    join paragraph p on p.slot = i * 7 % 256
order by i;

insert into votes
select i,
    pg_temp.skewed(i, 70, :post_count),
    case when pg_temp.uniform(i, 71) < 0.8 then 2 else 3 + i % 12 end,
    case when i % 20 = 0 then pg_temp.skewed(i, 72, :user_count) end,
    pg_catalog.date_trunc('day', pg_temp.moment(i, :vote_count)),
    case when i % 500 = 0 then 50 * (1 + i % 10) end
from pg_catalog.generate_series(1, :vote_count) i;

insert into badges
select i,
    pg_temp.skewed(i, 80, :user_count),
    w.capital || case when i % 4 = 0 then ' ' || w.lower else '' end,
    pg_temp.moment(i, :badge_count),
    1 + i % 3,
    i % 5 = 0
from pg_catalog.generate_series(1, :badge_count) i
    join word w on w.rank = 1 + pg_catalog.floor(120 * pg_temp.uniform(i, 81))::int
order by i;

insert into post_links
select i,
    pg_temp.moment(i, :link_count),
    1 + pg_catalog.floor(:post_count * pg_temp.uniform(i, 90))::int,
    pg_temp.skewed(i, 91, :post_count),
    case when i % 10 = 0 then 3 else 1 end
from pg_catalog.generate_series(1, :link_count) i;

alter table users add constraint users_pkey primary key (id);
alter table posts add constraint posts_pkey primary key (id);
alter table comments add constraint comments_pkey primary key (id);
alter table votes add constraint votes_pkey primary key (id);
alter table badges add constraint badges_pkey primary key (id);
alter table post_links add constraint post_links_pkey primary key (id);

create index users_display_name_idx on users (display_name);
create index posts_owner_user_id_idx on posts (owner_user_id, creation_date);
create index posts_parent_id_idx on posts (parent_id) where parent_id is not null;
create index comments_post_id_idx on comments (post_id);
create index comments_user_id_idx on comments (user_id);
create index votes_post_id_idx on votes (post_id, vote_type_id);
create index votes_creation_date_idx on votes (creation_date);
create index badges_user_id_idx on badges (user_id);
create index post_links_post_id_idx on post_links (post_id);

alter table posts add constraint posts_owner_user_id_fkey foreign key (owner_user_id) references users;
alter table comments add constraint comments_post_id_fkey foreign key (post_id) references posts;
alter table comments add constraint comments_user_id_fkey foreign key (user_id) references users;
alter table votes add constraint votes_post_id_fkey foreign key (post_id) references posts;
alter table badges add constraint badges_user_id_fkey foreign key (user_id) references users;
alter table post_links add constraint post_links_post_id_fkey foreign key (post_id) references posts;

analyze users, posts, comments, votes, badges, post_links;
