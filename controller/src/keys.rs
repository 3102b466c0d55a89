//! Fetches the keys of issuers that objects name by URL, now and again, and keeps the last good ones for a while. Proxies fetch nothing. It
//! must not know what tokens are.
//!
//! What is fetched when, and how long keys are good, is decided in [`ledger`], which knows no network.

pub mod ledger;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mesh_fetch::{Fetcher, Loopback, Unfetched};
use mesh_lifecycle::Tasks;
use mesh_reach::Resolver;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::Instant;

use self::ledger::{Ledger, Times};
use crate::api::lower;
use crate::index::keys::FetchedKeys;

/// One fetch has this long.
const DEADLINE: Duration = Duration::from_secs(10);
/// Fetches at once.
const AT_ONCE: usize = 4;

/// URLs that are wanted.
pub type Wanted = BTreeSet<Arc<str>>;

/// Counters of fetching. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct KeyCounters {
    fetched: Counter,
    failed: Counter,
}

impl KeyCounters {
    /// Makes them part of `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let family = registry.sub_registry_with_prefix("mesh_controller_jwks");
        family.register("fetches", "Key sets of issuers fetched", self.fetched.clone());
        family.register("fetch_failures", "Key sets of issuers that could not be had", self.failed.clone());
    }
}

/// How keys are fetched.
#[derive(Debug, Clone)]
pub struct KeysConfig {
    /// From where, and with which bounds.
    pub fetcher: Fetcher,
    /// When, and for how long they are good.
    pub times: Times,
}

impl KeysConfig {
    /// With the usual bounds and times.
    pub fn new(loopback: Loopback, roots: Option<PathBuf>) -> Self {
        let resolver = Resolver::default();
        let fetcher =
            Fetcher { loopback, roots, resolver, deadline: DEADLINE, bytes: mesh_token::MAX_JWKS_BYTES };
        Self { fetcher, times: Times::default() }
    }
}

/// Both ends of a keeper: what is wanted goes in, what is known comes out.
#[derive(Debug)]
pub struct Keys {
    /// Read by the keeper.
    pub wanted: watch::Sender<Wanted>,
    /// Written by the keeper.
    pub known: watch::Receiver<Arc<FetchedKeys>>,
}

/// Begins to keep keys, on `tasks`.
pub fn keep(config: KeysConfig, counters: KeyCounters, tasks: &Tasks) -> Keys {
    let (wanted, asked) = watch::channel(Wanted::new());
    let (publish, known) = watch::channel(Arc::default());
    let ledger = Ledger::new(config.times);
    let keeper = Keeper { config, counters, publish };
    tasks.keep_until("keys of issuers", (keeper, asked, ledger), |(keeper, asked, ledger), _| {
        Box::pin(keeper.run(asked, ledger))
    });
    Keys { wanted, known }
}

struct Keeper {
    config: KeysConfig,
    counters: KeyCounters,
    publish: watch::Sender<Arc<FetchedKeys>>,
}

impl Keeper {
    /// After a panic the keys that are good are still known. What was being fetched then has failed.
    async fn run(&self, wanted: &mut watch::Receiver<Wanted>, ledger: &mut Ledger) {
        ledger.broke_off(Instant::now().into_std());
        let mut under_way = FuturesUnordered::new();
        loop {
            let now = Instant::now().into_std();
            ledger.want(&wanted.borrow_and_update(), now);
            for uri in ledger.begin(now, AT_ONCE.saturating_sub(under_way.len())) {
                under_way.push(self.fetch(uri));
            }
            self.show(ledger.known(now));
            let wake = ledger.wake(now).map(Instant::from_std);
            let rest = async {
                match wake {
                    Some(wake) => tokio::time::sleep_until(wake).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((uri, result)) = under_way.next(), if !under_way.is_empty() => {
                    match &result {
                        Ok(_) => self.counters.fetched.inc(),
                        Err(_) => self.counters.failed.inc(),
                    };
                    ledger.ended(&uri, result, Instant::now().into_std());
                }
                // Without anybody who could want something else the last wish stays.
                changed = wanted.changed() => if changed.is_err() { std::future::pending().await },
                () = rest => {}
            }
        }
    }

    async fn fetch(&self, uri: Arc<str>) -> (Arc<str>, Result<String, String>) {
        let fetched = self.config.fetcher.fetch(&uri).await.map_err(|error: Unfetched| error.to_string());
        let keys = fetched.and_then(|bytes| {
            lower::jwt::keys(&bytes).map_err(|why| format!("what `{uri}` answers cannot be used: {why}"))
        });
        (uri, keys)
    }

    fn show(&self, known: FetchedKeys) {
        self.publish.send_if_modified(|before| {
            let changed = **before != known;
            if changed {
                *before = Arc::new(known);
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests;
