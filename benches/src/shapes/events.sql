-- Events in monthly partitions, with JSON and texts. Variable: scale, 10 for about 540 MB.
create table devices(id int primary key, serial text not null unique, model text not null, mac macaddr);
create table events(id bigint not null, device_id int not null, ts timestamptz not null, kind text not null,
  level smallint, payload jsonb, msg text, primary key(id,ts)) partition by range(ts);
do $$ begin for m in 0..11 loop execute format('create table events_%s partition of events for values from (%L) to (%L)',
  to_char('2024-01-01'::date + m*interval '1 month','YYYYMM'), ('2024-01-01'::date + m*interval '1 month'),
  ('2024-01-01'::date + (m+1)*interval '1 month'));
end loop;
end $$;
insert into devices
select i, 'SN'||md5(i::text), 'model-'||i%20,
  ('08:00:2b:'||lpad(to_hex(i/65536%256),2,'0')||':'||lpad(to_hex(i/256%256),2,'0')||':'||lpad(to_hex(i%256),2,'0'))::macaddr
from generate_series(1,20000) i;
insert into events
select i, 1+(i::bigint*48271)%20000,
  '2024-01-01'::timestamptz + i*(interval '365 days'/(240000 * :scale)::integer),
  (array['login','logout','click','view','error','purchase'])[1+i%6], i%8,
  jsonb_build_object('ip','10.0.'||i%256||'.'||(i/256)%256,'dur',i%1000,'path','/a/b/'||i%500,'ok',i%9<>0),
  case when i%3=0 then 'message '||md5(i::text)||' done' end
from generate_series(1,(240000 * :scale)::integer - 1) i;
create index on events(device_id, ts);
create index on events(kind);
create index on events using brin(ts);
alter table events add foreign key(device_id) references devices;
