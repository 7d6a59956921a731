//! The network between source and target: two network namespaces of our own with a veth pair between
//! them, and a delay on it where the kernel has netem, else in a relay.
//!
//! A thread enters the target's namespace and stays there; what it starts is on the target's machine, as
//! it were. Unix sockets know no namespaces, so both clusters can be reached from everywhere. Both
//! namespaces are gone when nothing is in them.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, unshare};
use pgmig_tests::{ClusterOptions, Pair, run};

use crate::relay::Relay;

/// What a round trip takes with the delay: half of it on the way there, half on the way back.
pub const ROUND_TRIP: Duration = Duration::from_millis(20);

/// Packets under way on a delayed link: at 10 ms never as many.
const QUEUE_PACKETS: &str = "100000";

/// The network that both addresses are in.
const NETWORK: &str = "10.213.77.0/30";
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 213, 77, 1);
const TARGET: Ipv4Addr = Ipv4Addr::new(10, 213, 77, 2);

/// Names of the two ends of the link.
const SOURCE_END: &str = "pgmig_source";
const TARGET_END: &str = "pgmig_target";

/// A link between the namespaces, seen from the target's.
pub struct Link {
    pub pair: Pair,
    /// Where the source is without delay.
    address: SocketAddr,
    delay: Delay,
}

/// What delays.
enum Delay {
    /// netem on both ends of the link; the source's namespace.
    Netem(File),
    Relay(Relay),
}

impl Link {
    /// Puts the calling thread into a new namespace, the source into another one, and starts both
    /// clusters; where namespaces are not to be had, both are on this machine's own network.
    pub fn open(source: ClusterOptions, target: ClusterOptions) -> Result<Link> {
        let source = source.tcp_auth("trust");
        let (source, address, namespace) = match make_namespaces() {
            Ok(namespace) => {
                let source = source.network(&SOURCE.to_string(), NETWORK);
                let source = in_namespace(&namespace, || source.start())?;
                (source, SOURCE, Some(namespace))
            }
            Err(error) => {
                eprintln!("latency: no network namespaces of our own, so 127.0.0.1: {error:#}");
                (source.start()?, Ipv4Addr::LOCALHOST, None)
            }
        };
        let pair = Pair { source, target: target.start()? };
        let address = SocketAddr::from((address, pair.source.port()));
        let delay = match namespace.map(|namespace| (delay_link(&namespace, true), namespace)) {
            Some((Ok(()), namespace)) => {
                delay_link(&namespace, false)?;
                Delay::Netem(namespace)
            }
            Some((Err(error), _)) => {
                eprintln!("latency: no netem, so a relay delays: {error:#}");
                Delay::Relay(Relay::open(address, ROUND_TRIP)?)
            }
            None => Delay::Relay(Relay::open(address, ROUND_TRIP)?),
        };
        Ok(Link { pair, address, delay })
    }

    /// What lies between the clusters, for the report.
    pub fn describe(&self) -> String {
        let half = ROUND_TRIP.as_millis() / 2;
        let place = match self.address.ip() == Ipv4Addr::LOCALHOST {
            true => "both clusters on 127.0.0.1 (network namespaces were not permitted)",
            false => {
                "source and target in network namespaces of their own, a veth pair between them"
            }
        };
        let delay = match self.delay {
            Delay::Netem(_) => format!(
                "`tc qdisc add dev … root netem delay {half}ms` on both ends, so every packet is \
                 delayed by {half} ms, those that open connections too"
            ),
            Delay::Relay(_) => format!(
                "this kernel has no netem, so a TCP relay before the source delays every byte by \
                 {half} ms in each direction, and a new connection's first ones by a round trip more; it \
                 has no slow start"
            ),
        };
        format!("{place}; {delay}")
    }

    /// Switches the delay on or off and returns where the source is then.
    pub fn set_delay(&self, is_delayed: bool) -> Result<(String, u16)> {
        let direct = (self.address.ip().to_string(), self.address.port());
        match &self.delay {
            Delay::Netem(namespace) => delay_link(namespace, is_delayed).map(|()| direct),
            Delay::Relay(relay) if is_delayed => Ok(("127.0.0.1".to_owned(), relay.port())),
            Delay::Relay(_) => Ok(direct),
        }
    }

    /// A way without delay that counts how often clients wait for the source.
    pub fn open_counter(&self) -> Result<Relay> {
        Relay::open(self.address, Duration::ZERO)
    }
}

/// Puts this thread into a namespace and makes another one, which is returned, with a link between them.
fn make_namespaces() -> Result<File> {
    let new = || unshare(CloneFlags::CLONE_NEWNET).context("could not make a network namespace");
    let source = thread::spawn(move || {
        new()?;
        File::open("/proc/thread-self/ns/net").context("could not open a network namespace")
    });
    let source = source.join().map_err(|_| anyhow!("a thread panicked"))??;
    new()?;
    let file = format!("/proc/{}/fd/{}", std::process::id(), source.as_raw_fd());
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", TARGET_END, "type", "veth", "peer", "name", SOURCE_END, "netns", &file])?;
    bring_up(TARGET_END, TARGET)?;
    in_namespace(&source, || {
        ip(&["link", "set", "lo", "up"])?;
        bring_up(SOURCE_END, SOURCE)
    })?;
    Ok(source)
}

fn bring_up(device: &str, address: Ipv4Addr) -> Result<()> {
    ip(&["address", "add", &format!("{address}/30"), "dev", device])?;
    ip(&["link", "set", device, "up"])
}

/// Adds the delay to both ends, or takes it away.
fn delay_link(source: &File, is_delayed: bool) -> Result<()> {
    let half = format!("{}ms", ROUND_TRIP.as_millis() / 2);
    let change = |device: &str| {
        let mut tc = Command::new("tc");
        match is_delayed {
            true => tc.args(["qdisc", "replace", "dev", device, "root", "netem"]).args([
                "delay",
                &half,
                "limit",
                QUEUE_PACKETS,
            ]),
            false => tc.args(["qdisc", "del", "dev", device, "root"]),
        };
        run(&mut tc).map(drop)
    };
    change(TARGET_END)?;
    in_namespace(source, || change(SOURCE_END))
}

/// Does something on a thread in another namespace.
fn in_namespace<T: Send>(namespace: &File, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::setns(namespace, CloneFlags::CLONE_NEWNET)
                .context("could not enter a network namespace")?;
            work()
        });
        thread.join().map_err(|_| anyhow!("a thread panicked"))?
    })
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}
