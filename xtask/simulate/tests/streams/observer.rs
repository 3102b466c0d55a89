//! The oracle: beside each proxy, it compares what that proxy believes with what is true, and its age with what its metric says.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_model::name::ServiceName;
use mesh_proxy::state::{Lookup, Snapshot};
use mesh_proxy::xds::Discovery;
use prometheus_client::registry::Registry;

use crate::truth::{self, Truth};

/// Between looks.
const LOOK: Duration = Duration::from_millis(250);
/// A proxy may be behind so long without a word: a watermark's interval, the way, the looks at the source.
pub const BOUND_MS: u64 = 4_000;

#[derive(Clone)]
pub struct Observer {
    pub truth: Truth,
    pub counts: Arc<Counts>,
    /// As if the metric always said 0: the oracle has to find it out.
    pub deaf_metric: bool,
    /// When this process began, virtual milliseconds.
    pub began: u64,
}

/// What was seen of all proxies.
#[derive(Debug, Default)]
pub struct Counts {
    pub looks: AtomicU64,
    /// Looks at which a proxy was behind for longer than its bound.
    pub behind: AtomicU64,
    pub worst_ms: AtomicU64,
    /// Proxies that are right and say so at the last look, as bits.
    pub right: AtomicU64,
}

pub struct Watched {
    pub workload: String,
    pub services: Vec<usize>,
    pub discovery: Discovery,
}

impl Observer {
    pub async fn follow(&self, watched: &Watched) -> turmoil::Result {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look(watched);
        }
    }

    fn look(&self, watched: &Watched) {
        let (now, snapshot) = (self.truth.now(), watched.discovery.snapshot());
        let wrong = |service: &usize| self.truth.wrong_since(*service, believed(&snapshot, *service));
        let behind = watched.services.iter().filter_map(wrong).min();
        let behind_ms = behind.map_or(0, |since| now - since.max(self.began));
        let says_ms = if self.deaf_metric { 0 } else { staleness_ms(&watched.discovery) };
        self.counts.looks.fetch_add(1, Ordering::Relaxed);
        self.counts.worst_ms.fetch_max(behind_ms, Ordering::Relaxed);
        if behind_ms > BOUND_MS {
            self.counts.behind.fetch_add(1, Ordering::Relaxed);
            if says_ms + BOUND_MS < behind_ms {
                let who = &watched.workload;
                self.truth.violation(format!(
                    "at {now} ms {who} was behind for {behind_ms} ms and said {says_ms} ms"
                ));
            }
        }
        let bit = 1_u64 << watched.workload.trim_start_matches('p').parse::<u32>().unwrap();
        if behind.is_none() && says_ms <= BOUND_MS {
            self.counts.right.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.counts.right.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

/// The mark that a proxy's endpoints of a service carry; 0: it knows that there is no such service.
fn believed(snapshot: &Snapshot, service: usize) -> Option<u32> {
    let name = ServiceName::new("shop", &truth::name(service)).unwrap();
    match snapshot.destination(&name) {
        Lookup::NotAsked => None,
        Lookup::Unknown => Some(0),
        Lookup::Known(_) => {
            let endpoints = snapshot.endpoints(&name)?;
            let addresses = endpoints.ports.iter().flat_map(|port| &port.endpoints);
            addresses.filter_map(|one| one_mark(one.address.ip())).max()
        }
    }
}

fn one_mark(ip: IpAddr) -> Option<u32> {
    match ip {
        IpAddr::V4(ip) => Some(truth::mark(ip)),
        IpAddr::V6(_) => None,
    }
}

/// The largest `mesh_config_staleness_seconds`, in milliseconds.
fn staleness_ms(discovery: &Discovery) -> u64 {
    let (mut registry, mut text) = (Registry::default(), String::new());
    discovery.register(&mut registry);
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let samples = text.lines().filter(|line| line.starts_with("mesh_config_staleness_seconds"));
    let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    let most = values.fold(None, |most: Option<f64>, value| Some(most.map_or(value, |most| most.max(value))));
    let seconds = most.expect("the metric is there");
    u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap()
}
