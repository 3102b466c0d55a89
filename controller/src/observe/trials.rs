//! Requests that operators have proxies send (`meshctl explain --live`): which proxies are there to be asked, and who waits for what came of
//! one. Bounded in how many are under way. It must not know who asks, nor how one is sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_proto::report::v1::{Trial, Tried};
use tokio::sync::{mpsc, oneshot};

use super::proxies::ProxyKey;

/// Most that are under way.
pub const MAX_WAITING: usize = 32;
/// Those that wait to be written to one proxy.
const QUEUE: usize = 4;
const MAX_TEXT: usize = 300;

/// The trials. Clones are handles of the same ones.
#[derive(Debug, Clone, Default)]
pub struct Trials {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    begun: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// By proxy; of two streams of one, as while it reconnects, the newer.
    proxies: BTreeMap<ProxyKey, (u64, mpsc::Sender<Trial>)>,
    /// By id, with the proxy that was asked: nobody else can answer.
    waiting: HashMap<u64, (ProxyKey, oneshot::Sender<Tried>)>,
    streams: u64,
    last: u64,
}

/// A proxy's stream, until it is dropped: what it is asked comes out here.
#[derive(Debug)]
pub struct Attendance {
    shared: Arc<Shared>,
    key: ProxyKey,
    stream: u64,
    asked: mpsc::Receiver<Trial>,
}

/// A trial under way, until it is dropped.
#[derive(Debug)]
pub struct Pending {
    shared: Arc<Shared>,
    id: u64,
    came: oneshot::Receiver<Tried>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// No proxy of that workload reports here.
    #[error("no sidecar of {0} reports to the controller; `meshctl sync` shows those that do")]
    Nobody(String),
    /// There are as many as there may be.
    #[error("{MAX_WAITING} requests of this kind are under way already; try again")]
    Full,
}

impl Trials {
    /// A proxy is there to be asked.
    pub fn attend(&self, key: &ProxyKey) -> Attendance {
        let (ask, asked) = mpsc::channel(QUEUE);
        let mut state = self.shared.state();
        state.streams += 1;
        let stream = state.streams;
        state.proxies.insert(key.clone(), (stream, ask));
        Attendance { shared: Arc::clone(&self.shared), key: key.clone(), stream, asked }
    }

    /// Asks a proxy of a workload.
    pub fn begin(&self, workload: (&str, &str), trial: Trial) -> Result<Pending, Unasked> {
        let mut state = self.shared.state();
        let refuse = |why| {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            Err(why)
        };
        let is_meant = |(key, _): &(&ProxyKey, &(u64, mpsc::Sender<Trial>))| {
            (key.0.as_str(), key.1.as_str()) == workload
        };
        let found = state.proxies.iter().find(is_meant).map(|(key, (_, ask))| (key.clone(), ask.clone()));
        // Another replica may know it: nothing is counted.
        let Some((key, ask)) = found else {
            return Err(Unasked::Nobody(format!("{}.{}", workload.1, workload.0)));
        };
        if state.waiting.len() >= MAX_WAITING {
            return refuse(Unasked::Full);
        }
        state.last += 1;
        let id = state.last;
        if ask.try_send(Trial { id, ..trial }).is_err() {
            return refuse(Unasked::Full);
        }
        let (answer, came) = oneshot::channel();
        state.waiting.insert(id, (key, answer));
        self.shared.begun.fetch_add(1, Ordering::Relaxed);
        Ok(Pending { shared: Arc::clone(&self.shared), id, came })
    }

    /// What a proxy says came of one. Only the one that was asked is heard.
    pub fn record(&self, key: &ProxyKey, mut tried: Tried) {
        for text in [&mut tried.refused, &mut tried.address, &mut tried.failure] {
            super::span::cut(text, MAX_TEXT);
        }
        let mut state = self.shared.state();
        if state.waiting.get(&tried.id).is_some_and(|(asked, _)| asked == key)
            && let Some((_, answer)) = state.waiting.remove(&tried.id)
        {
            // Whoever asked may have left.
            let _ = answer.send(tried);
        }
    }

    /// Those that were asked for, and those for which there was no room.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.begun.load(Ordering::Relaxed), self.shared.refused.load(Ordering::Relaxed))
    }
}

impl Attendance {
    /// The next one that the proxy is to be asked. Loses nothing when dropped. Without end while this is there.
    pub async fn asked(&mut self) -> Trial {
        match self.asked.recv().await {
            Some(trial) => trial,
            // A newer stream of the same proxy is asked.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.proxies.get(&self.key).is_some_and(|(stream, _)| *stream == self.stream) {
            state.proxies.remove(&self.key);
        }
    }
}

impl Pending {
    /// What came of it. `None`: the controller ends.
    pub async fn came(&mut self) -> Option<Tried> {
        (&mut self.came).await.ok()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.shared.state().waiting.remove(&self.id);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // It stays usable whatever panicked: every change is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(workload: &str, instance: &str) -> ProxyKey {
        ("shop".into(), workload.into(), instance.into())
    }

    fn trial() -> Trial {
        Trial { id: 99, method: "GET".into(), ..Trial::default() }
    }

    fn tried(id: u64) -> Tried {
        Tried { id, status: 200, ..Tried::default() }
    }

    #[tokio::test]
    async fn the_workloads_own_proxy_is_asked_and_only_it_is_heard() {
        let trials = Trials::default();
        let (mut web, _cart) = (trials.attend(&key("web", "a")), trials.attend(&key("cart", "a")));
        let mut pending = trials.begin(("shop", "web"), trial()).unwrap();
        let asked = web.asked().await;
        assert_eq!((asked.id, asked.method.as_str()), (1, "GET"), "the id is the controller's");
        trials.record(&key("cart", "a"), Tried { status: 500, ..tried(1) });
        trials.record(&key("web", "b"), Tried { status: 500, ..tried(1) });
        trials.record(&key("web", "a"), Tried { status: 500, ..tried(2) });
        trials.record(&key("web", "a"), tried(1));
        assert_eq!(pending.came().await, Some(tried(1)));
        trials.record(&key("web", "a"), tried(1));
        assert_eq!(trials.counts(), (1, 0));
    }

    #[tokio::test]
    async fn a_proxy_that_is_not_there_is_not_asked_and_a_newer_stream_counts() {
        let trials = Trials::default();
        let nobody = trials.begin(("shop", "web"), trial()).unwrap_err();
        assert_eq!(nobody, Unasked::Nobody("web.shop".into()));
        let old = trials.attend(&key("web", "a"));
        let mut new = trials.attend(&key("web", "a"));
        drop(old);
        let pending = trials.begin(("shop", "web"), trial()).unwrap();
        assert_eq!(new.asked().await.id, 1);
        drop((pending, new));
        assert!(trials.begin(("shop", "web"), trial()).is_err());
        assert!(trials.begin(("bank", "web"), trial()).is_err());
    }

    #[test]
    fn so_many_are_under_way_and_no_more_until_one_is_given_up() {
        let trials = Trials::default();
        let all: Vec<_> = (0..MAX_WAITING).map(|n| trials.attend(&key("web", &n.to_string()))).collect();
        let proxies: Vec<_> = (0..MAX_WAITING).map(|n| trials.attend(&key(&format!("w{n}"), "a"))).collect();
        let mut pending: Vec<_> =
            (0..MAX_WAITING).map(|n| trials.begin(("shop", &format!("w{n}")), trial()).unwrap()).collect();
        assert_eq!(trials.begin(("shop", "web"), trial()).unwrap_err(), Unasked::Full);
        pending.pop();
        let more = trials.begin(("shop", "web"), trial()).unwrap();
        assert_eq!(trials.counts(), (MAX_WAITING as u64 + 1, 1));
        drop((all, proxies, more));
    }

    #[test]
    fn a_proxy_that_does_not_read_is_not_asked_for_ever() {
        let trials = Trials::default();
        let _web = trials.attend(&key("web", "a"));
        let begun: Vec<_> = (0..9).filter_map(|_| trials.begin(("shop", "web"), trial()).ok()).collect();
        assert_eq!((begun.len(), trials.counts()), (QUEUE, (4, 5)));
    }
}
