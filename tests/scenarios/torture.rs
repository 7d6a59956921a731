//! Random faults at random moments, then `resume` until the run has ended well.
//!
//! `make torture ROUNDS=200 SEED=7` runs as many rounds as one likes, each fault in turn; a round depends
//! on its fault and its seed alone, which a failure names. After every end of a run nothing of it is left
//! within ten seconds. After every round both sides are equal, and neither has a process, a lock or a
//! record too many.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pgmig_tests::aftermath::expect_nothing_left_soon;
use pgmig_tests::{
    Cluster, ClusterOptions, Databases, Installation, Pair, Proxy, StopMode, eventually,
};
use postgres::Client;

/// Rounds of an ordinary test run: one for each fault.
const ROUNDS: u64 = FAULTS.len() as u64;

/// Times that a run is taken up again before it is called hopeless.
const MAX_RESUMES: u32 = 8;

/// Split tables, partitions, keys in a circle, large objects, sequences, unlogged tables.
const SCHEMA: &str = r#"
    create table "Big ""one""" (id int primary key, ref int references "Big ""one""", v text unique);
    insert into "Big ""one""" select i, nullif(i / 2, 0), repeat(md5(i::text), 8)
    from generate_series(1, 20000) i;
    create table parts (id int, at date, big int references "Big ""one""") partition by range (at);
    create table parts_1 partition of parts for values from ('2024-01-01') to ('2024-07-01');
    create table parts_2 partition of parts for values from ('2024-07-01') to ('2025-01-01')
        partition by hash (id);
    create table parts_2_a partition of parts_2 for values with (modulus 2, remainder 0);
    create table parts_2_b partition of parts_2 for values with (modulus 2, remainder 1);
    alter table parts add primary key (id, at);
    insert into parts select i, date '2024-01-01' + i % 366, i from generate_series(1, 8000) i;
    create index on parts (big);
    create unlogged table cache (k int primary key, v text);
    insert into cache select i, md5(i::text) from generate_series(1, 5000) i;
    create table left_one (id serial primary key, other int);
    create table right_one (id serial primary key, other int references left_one);
    insert into left_one (other) select i from generate_series(1, 300) i;
    insert into right_one (other) select i from generate_series(1, 300) i;
    alter table left_one add foreign key (other) references right_one deferrable;
    create view sums as select other, count(*) from left_one group by other;
    create materialized view totals as select count(*) from "Big ""one""";
    select lo_from_bytea(i::oid, decode(repeat(md5(i::text), 500), 'hex'))
    from generate_series(20001, 20040) i;
    create sequence counter;
    select setval('counter', 99);
    analyze"#;

/// What happens to the source while nobody reads it; `{n}` is a number that differs every time.
const CHANGES: [&str; 4] = [
    "update \"Big \"\"one\"\"\" set v = v || '{n}' where id = 1 + {n} % 20000",
    "delete from parts where id = 1 + {n} % 8000; insert into cache values (10000 + {n}, 'new')",
    "select setval('counter', 1000 + {n}), lo_from_bytea(0, 'new {n}')",
    "update left_one set other = other where id % 3 = 0; refresh materialized view totals",
];

/// What is done to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KillWorker,
    KillCoordinator,
    KillCaller,
    TerminateWorker,
    TerminateCoordinator,
    KillTarget,
    StopTarget,
    TerminateSourceSession,
    KillSourceSession,
    KillSource,
    StopSource,
    CutOne,
    CutAll,
    Stall,
    Cancel,
}

const FAULTS: [Fault; 15] = [
    Fault::KillWorker,
    Fault::KillCoordinator,
    Fault::KillCaller,
    Fault::TerminateWorker,
    Fault::TerminateCoordinator,
    Fault::KillTarget,
    Fault::StopTarget,
    Fault::TerminateSourceSession,
    Fault::KillSourceSession,
    Fault::KillSource,
    Fault::StopSource,
    Fault::CutOne,
    Fault::CutAll,
    Fault::Stall,
    Fault::Cancel,
];

/// Numbers that depend on the seed alone (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap_or(0)]
    }
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Ends a process as no process can prevent.
fn kill(pid: i64) {
    // It may have ended by itself a moment ago.
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).output();
}

/// Starts a server again, once what is left of its old processes has gone.
fn restart(cluster: &Cluster) -> Result<()> {
    eventually("the server starts again", || Ok(cluster.start().is_ok()))
}

/// A session, once the server accepts any.
fn connect(cluster: &Cluster, database: &str) -> Result<Client> {
    let mut client = None;
    eventually("the server accepts sessions", || {
        client = cluster.client(database).ok();
        Ok(client.is_some())
    })?;
    client.context("no session")
}

struct Torture<'a> {
    databases: Databases<'a>,
    proxy: Proxy,
    random: Random,
    /// Milliseconds that an undisturbed run takes.
    span_ms: u64,
    log: Vec<String>,
}

impl Torture<'_> {
    fn pair(&self) -> &Pair {
        self.databases.pair()
    }

    fn target(&self) -> Result<Client> {
        connect(&self.pair().target, self.databases.name())
    }

    /// Calls a function in a session of its own, whose process id is returned.
    fn call(&self, sql: String) -> Result<i64> {
        let mut client = self.target()?;
        let pid: i32 = client.query_one("select pg_backend_pid()", &[])?.get(0);
        thread::spawn(move || client.batch_execute(&sql));
        Ok(i64::from(pid))
    }

    /// One of some processes.
    fn pick_process(&mut self, cluster: Side, condition: &str) -> Option<i64> {
        let side = match cluster {
            Side::Source => &self.pair().source,
            Side::Target => &self.pair().target,
        };
        let mut client = side.client("postgres").ok()?;
        let query = format!(
            "select a.pid::bigint from pg_catalog.pg_stat_activity a where {condition} order by 1"
        );
        let pids: Vec<i64> = client.query(&query, &[]).ok()?.iter().map(|row| row.get(0)).collect();
        (!pids.is_empty()).then(|| self.random.pick(&pids))
    }

    fn inject(&mut self, fault: Fault, caller: i64) -> Result<()> {
        const WORKER: &str = "a.backend_type = 'pgmig worker'";
        const COORDINATOR: &str = "a.backend_type = 'pgmig coordinator'";
        const SESSION: &str = "a.application_name like 'pgmig run %'";
        match fault {
            Fault::KillWorker => self.pick_process(Side::Target, WORKER).into_iter().for_each(kill),
            Fault::KillCoordinator => {
                self.pick_process(Side::Target, COORDINATOR).into_iter().for_each(kill);
            }
            Fault::KillCaller => {
                let condition = format!("a.pid = {caller}");
                self.pick_process(Side::Target, &condition).into_iter().for_each(kill);
            }
            Fault::TerminateWorker => self.terminate(Side::Target, WORKER),
            Fault::TerminateCoordinator => self.terminate(Side::Target, COORDINATOR),
            Fault::KillTarget => {
                kill(i64::from(self.pair().target.postmaster_pid()?));
                restart(&self.pair().target)?;
            }
            Fault::StopTarget => {
                self.pair().target.stop(StopMode::Immediate)?;
                restart(&self.pair().target)?;
            }
            Fault::TerminateSourceSession => self.terminate(Side::Source, SESSION),
            Fault::KillSourceSession => {
                self.pick_process(Side::Source, SESSION).into_iter().for_each(kill);
            }
            Fault::KillSource => {
                kill(i64::from(self.pair().source.postmaster_pid()?));
                restart(&self.pair().source)?;
            }
            Fault::StopSource => {
                self.pair().source.stop(StopMode::Immediate)?;
                restart(&self.pair().source)?;
            }
            Fault::CutOne => {
                let number = usize::try_from(self.random.below(16)).unwrap_or(0);
                self.proxy.cut_one(number);
            }
            Fault::CutAll => self.proxy.cut_all(),
            Fault::Stall => {
                self.proxy.stall(true);
                // Long ones are noticed, after some twenty seconds; ordinary test runs have none.
                let is_long = self.random.below(4) == 0 && variable("ROUNDS", ROUNDS) > ROUNDS;
                let length_ms = if is_long { 30_000 } else { self.random.below(4000) };
                thread::sleep(Duration::from_millis(length_ms));
                self.proxy.stall(false);
            }
            Fault::Cancel => {
                let cancel = "select pgmig.cancel(max(run_id)) from pgmig.runs";
                // The run may have come to its end.
                let _ = self.target()?.batch_execute(cancel);
            }
        }
        Ok(())
    }

    fn terminate(&mut self, side: Side, condition: &str) {
        let pid = self.pick_process(side, condition);
        let cluster = match side {
            Side::Source => &self.pair().source,
            Side::Target => &self.pair().target,
        };
        if let (Some(pid), Ok(mut client)) = (pid, cluster.client("postgres")) {
            // Another fault may have been faster.
            let _ = client.batch_execute(&format!("select pg_terminate_backend({pid})"));
        }
    }

    /// Does something to the run that the caller waits for, at some moment.
    fn disturb(&mut self, fault: Fault, caller: i64) -> Result<()> {
        let span_ms = self.span_ms * 11 / 10;
        let moment = self.random.below(span_ms);
        self.log.push(format!("{fault:?} after {moment} ms"));
        thread::sleep(Duration::from_millis(moment));
        self.inject(fault, caller)
    }

    /// Waits until nobody works on the run any more; its state then, None if it was never recorded. The
    /// caller has gone by then: before, a resumption may not even have begun.
    fn await_end(&self, caller: i64) -> Result<Option<String>> {
        let mut state = None;
        eventually("the run has come to an end", || {
            let look = "select (select r.state from pgmig.runs r order by r.run_id desc limit 1),
                exists (
                    select from pg_catalog.pg_stat_activity a
                    where a.datname = current_database()
                        and (a.backend_type like 'pgmig%' or a.pid::bigint = $1))";
            let mut client = self.target()?;
            let Ok(row) = client.query_one(look, &[&caller]) else { return Ok(false) };
            state = row.get(0);
            let is_live = state.as_deref().is_some_and(|s| s == "planning" || s == "running");
            Ok(!is_live && !row.get::<_, bool>(1))
        })?;
        Ok(state)
    }

    /// Makes sure that nothing of a run that has come to an end is left, and that its views say so.
    fn expect_aftermath(&self) -> Result<()> {
        // A server may have to come up first.
        drop((self.target()?, connect(&self.pair().source, self.databases.name())?));
        expect_nothing_left_soon(&self.databases)?;
        let busy = "select (select count(*) from pgmig.tasks t where t.state = 'running')
            + (select count(*) from pgmig.tables t where t.state = 'running')
            + (select count(*) from pgmig.workers)";
        let busy = self.databases.target_value(busy)?;
        ensure!(busy == "0", "{busy} rows of the views say that something is under way");
        Ok(())
    }

    /// Changes the source, if nothing there sees it as it was.
    fn change_source(&mut self) -> Result<()> {
        let mut source = connect(&self.pair().source, self.databases.name())?;
        let row = source.query_one(
            "select count(*) from pg_catalog.pg_stat_activity a
             where a.datname = current_database() and a.application_name like 'pgmig run %'",
            &[],
        )?;
        if row.get::<_, i64>(0) > 0 || self.random.below(2) == 0 {
            return Ok(());
        }
        let change = self.random.pick(&CHANGES);
        let number = self.random.below(100_000).to_string();
        self.log.push(format!("changed: {}", &change[..20]));
        Ok(source.batch_execute(&change.replace("{n}", &number))?)
    }

    /// A crash of the source empties its unlogged table and moves its sequences on, maybe after the run
    /// has read them: then the target is brought to what the source has now.
    ///
    /// One of the target after the run's end empties the same table there.
    fn forget_what_a_crash_took(&self) -> Result<()> {
        let crashed = "select w.stats_reset > r.finished_at
            from pg_stat_bgwriter w, pgmig.runs r order by r.run_id desc limit 1";
        if self.databases.target_value(crashed)? == "t" {
            self.databases.execute_on_source("truncate cache")?;
            self.databases.execute_on_target("truncate cache")?;
        }
        if !self.log.iter().any(|entry| entry.contains("Source after")) {
            return Ok(());
        }
        let mut source = self.databases.source()?;
        let cached: i64 = source.query_one("select count(*) from cache", &[])?.get(0);
        if cached == 0 {
            self.databases.execute_on_target("truncate cache")?;
        }
        for sequence in ["left_one_id_seq", "right_one_id_seq"] {
            let now: i64 =
                source.query_one(&format!("select last_value from {sequence}"), &[])?.get(0);
            self.databases.execute_on_target(&format!(
                "select setval('{sequence}', {now}) from {sequence}
                 where last_value between {now} - 32 and {now}"
            ))?;
        }
        Ok(())
    }

    fn round(&mut self, fault: Fault) -> Result<()> {
        let dsn = self.proxy.dsn(self.databases.name());
        let options = format!(
            r#"{{"jobs": {}, "partition_threshold": 2000, "chunk_size": {}, "retry_delay": {},
                "retries": {}, "use_unlogged_tables": {}, "validation": "checksum"}}"#,
            2 + self.random.below(3),
            1000 + self.random.below(8000),
            self.random.below(2),
            self.random.pick(&[0, 6, 6]),
            self.random.below(3) == 0,
        );
        let migrate = format!("select from pgmig.migrate($d${dsn}$d$, $o${options}$o$)");
        let mut caller = self.call(migrate.clone())?;
        self.disturb(fault, caller)?;
        for _ in 0..MAX_RESUMES {
            let state = self.await_end(caller)?;
            self.log.push(format!("{state:?}"));
            self.expect_aftermath()?;
            match state.as_deref() {
                Some("done") => return self.expect_success(),
                Some("failed" | "cancelled" | "interrupted") => {
                    self.change_source()?;
                    let resume = format!(
                        "select from pgmig.resume((select max(run_id) from pgmig.runs), $d${dsn}$d$,
                            '{{\"retries\": 6, \"retry_delay\": 0}}')"
                    );
                    caller = self.call(resume)?;
                    if self.random.below(3) == 0 {
                        let fault = self.random.pick(&FAULTS);
                        self.disturb(fault, caller)?;
                    }
                }
                Some(other) => bail!("the run ended as {other}"),
                None => caller = self.call(migrate.clone())?,
            }
        }
        let error = "select r.error from pgmig.runs r order by r.run_id desc limit 1";
        bail!("the run does not come to its end: {}", self.databases.target_value(error)?)
    }

    fn expect_success(&self) -> Result<()> {
        self.forget_what_a_crash_took()?;
        self.databases.expect_same_data()?;
        self.databases.expect_same_schema()?;
        let left = self.databases.target_value("select count(*) from pgmig.dropped")?;
        ensure!(left == "0", "{left} objects are still dropped");
        let bad = "select count(*) from pgmig.validation v
            where v.run_id = (select max(run_id) from pgmig.runs) and v.status <> 'match'";
        let bad = self.databases.target_value(bad)?;
        ensure!(bad == "0", "{bad} tables do not match");
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Source,
    Target,
}

#[test]
fn no_fault_at_any_moment_loses_or_repeats_anything() -> Result<()> {
    let (rounds, seed) = (variable("ROUNDS", ROUNDS), variable("SEED", 1));
    let start = |name| {
        ClusterOptions::new(Installation::of_extension()?, name)
            .settings(&[("max_worker_processes", "32"), ("max_wal_size", "2GB")])
            .setting("restart_after_crash", "on")
            .start()
    };
    let pair = Pair { source: start("torture-source")?, target: start("torture-target")? };
    let mut span_ms = 0;
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        let databases = pair.databases(&format!("torture_{seed}"))?;
        databases.execute_on_source(SCHEMA)?;
        let proxy = Proxy::open(&pair.source)?;
        if span_ms == 0 {
            let begun = Instant::now();
            databases.migrate_and_match("{}")?;
            span_ms = u64::try_from(begun.elapsed().as_millis())?;
            pair.target.drop_database(databases.name())?;
            pair.target.create_database(databases.name())?;
            databases.execute_on_target("create extension pgmig")?;
        }
        let mut torture =
            Torture { databases, proxy, random: Random(seed), span_ms, log: Vec::new() };
        let wanted = std::env::var("FAULT").ok();
        let wanted = FAULTS.into_iter().find(|fault| wanted == Some(format!("{fault:?}")));
        let fault = wanted.unwrap_or(FAULTS[usize::try_from(round)? % FAULTS.len()]);
        let outcome = torture.round(fault);
        println!("round {round}, seed {seed}: {}", torture.log.join(", "));
        outcome.with_context(|| {
            let log = torture.log.join(", ");
            format!("round {round}; ROUNDS=1 SEED={seed} FAULT={fault:?} repeats it: {log}")
        })?;
    }
    Ok(())
}
