//! Federation: whom else members may know. Objects declare trust domains, their bundles are fetched now and then and reach every member
//! with our own; and our own is served for others. The arrow points down: `federation → {source, fetch, endpoint} → {declared,
//! document}`. It must not know what a member of another trust domain may do: policies say that.

mod declared;
mod document;
mod endpoint;
mod fetch;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mesh_identity::{MAX_FEDERATED, TrustBundle};
use mesh_lifecycle::{Backoff, Tasks};
use mesh_model::spiffe::TrustDomain;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::unix_now;
use crate::metrics::Metrics;
use crate::state::{Secrecy, StateDir};
use declared::Declared;
pub use endpoint::{BundleEndpoint, EndpointError};
pub(crate) use endpoint::{spawn as serve_endpoint, web_config};
pub(crate) use fetch::Fetcher;
pub use mesh_fetch::Loopback;
pub(crate) use source::Source;

/// Between two looks at what is declared, and at what is due.
const LOOK: Duration = Duration::from_secs(5);
/// When a bundle is asked for again, whatever it hints: not later, so that a root that is about to be used is known in time, and not more
/// often.
const REFRESH: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// Waits after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// What we hint ourselves, seconds.
const HINT: u64 = 300;

/// Our own bundle for others, as a document. It has the JWKS of our tokens; `changed` is when those last changed (Unix seconds).
pub(crate) fn own_document(roots: &TrustBundle, jwks: &str, changed: u64) -> String {
    // Both parts grow, so the number does; it stays below 2^53 for as long as there are less than 900,000 generations of roots.
    let sequence = roots.generation().saturating_mul(10_000_000_000).saturating_add(changed);
    document::write(roots, jwks, sequence, HINT)
}

/// Follows the bundles of other trust domains.
pub(crate) struct Federation {
    source: Source,
    fetcher: Fetcher,
    roots: watch::Receiver<Arc<TrustBundle>>,
    /// Where bundles are kept for the next start.
    kept: Option<Arc<StateDir>>,
    metrics: Metrics,
    out: watch::Sender<Arc<[TrustBundle]>>,
    followed: BTreeMap<TrustDomain, Followed>,
    said: Vec<String>,
}

struct Followed {
    declared: Declared,
    /// The last good one; at first what is kept, or the roots of the object.
    bundle: Option<TrustBundle>,
    due: Instant,
    backoff: Backoff,
    said: Option<String>,
}

impl Federation {
    pub(crate) fn new(
        source: Source,
        fetcher: Fetcher,
        roots: watch::Receiver<Arc<TrustBundle>>,
        kept: Option<Arc<StateDir>>,
        metrics: Metrics,
    ) -> Self {
        let out = watch::Sender::new(Arc::default());
        Self { source, fetcher, roots, kept, metrics, out, followed: BTreeMap::new(), said: Vec::new() }
    }

    /// The bundles now and after every change.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<[TrustBundle]>> {
        self.out.subscribe()
    }

    /// Takes what is declared and kept, so that the first members hear of it, then follows on `tasks`.
    pub(crate) async fn keep(mut self, tasks: &Tasks) {
        self.look().await;
        self.publish();
        tasks.keep_until("federation", self, |this, _| Box::pin(this.follow_for_ever()));
    }

    async fn follow_for_ever(&mut self) {
        loop {
            self.fetch_due().await;
            self.publish();
            tokio::time::sleep(LOOK).await;
            self.look().await;
        }
    }

    /// Reads what is declared. What cannot be read leaves everything as it was.
    async fn look(&mut self) {
        let ours = self.roots.borrow().trust_domain().clone();
        let (mut declared, wrong) = match self.source.read(&ours).await {
            Ok(read) => read,
            Err(why) => return self.tell(vec![why]),
        };
        declared.sort_by(|a, b| a.name.cmp(&b.name));
        let mut wrong = wrong;
        for one in declared.drain(MAX_FEDERATED.min(declared.len())..) {
            wrong.push(format!(
                "FederatedTrustDomain {}: more than {MAX_FEDERATED} are not followed",
                one.name
            ));
        }
        self.tell(wrong);
        self.followed.retain(|domain, _| declared.iter().any(|one| one.trust_domain == *domain));
        for one in declared {
            match self.followed.get_mut(&one.trust_domain) {
                Some(followed) => {
                    let same = followed.declared.url == one.url && followed.declared.profile == one.profile;
                    followed.declared = one;
                    if !same {
                        followed.due = Instant::now();
                    }
                }
                None => {
                    let followed = self.begin(one);
                    self.followed.insert(followed.declared.trust_domain.clone(), followed);
                }
            }
        }
    }

    fn begin(&self, declared: Declared) -> Followed {
        let ours = self.roots.borrow().clone();
        let text = self.kept.as_ref().and_then(|dir| dir.read(&file(&declared.trust_domain)).ok().flatten());
        let kept = text.and_then(|text| document::read(text.as_bytes(), &declared.trust_domain, &ours).ok());
        let bundle = kept.map(|kept| kept.bundle).or_else(|| declared.initial.clone());
        tracing::info!(trust_domain = %declared.trust_domain, url = %declared.url, "federating");
        let backoff = Backoff::new(RETRY.0, RETRY.1);
        Followed { declared, bundle, due: Instant::now(), backoff, said: None }
    }

    /// Says what is wrong with objects when that changes.
    fn tell(&mut self, wrong: Vec<String>) {
        for why in wrong.iter().filter(|why| !self.said.contains(why)) {
            tracing::error!("{why}");
        }
        self.said = wrong;
    }

    async fn fetch_due(&mut self) {
        let (now, ours) = (Instant::now(), self.roots.borrow().clone());
        let (fetcher, kept, metrics) = (&self.fetcher, self.kept.as_deref(), &self.metrics);
        let due = self.followed.values_mut().filter(|followed| followed.due <= now);
        join_all(due.map(|followed| followed.refresh(fetcher, &ours, kept, metrics))).await;
    }

    fn publish(&self) {
        let bundles: Arc<[TrustBundle]> =
            self.followed.values().filter_map(|followed| followed.bundle.clone()).collect();
        self.out.send_if_modified(|now| {
            let same = now.len() == bundles.len()
                && now.iter().zip(bundles.iter()).all(|(one, other)| one.says_the_same(other));
            if !same {
                *now = bundles;
            }
            !same
        });
    }
}

impl Followed {
    async fn refresh(
        &mut self,
        fetcher: &Fetcher,
        ours: &TrustBundle,
        kept: Option<&StateDir>,
        metrics: &Metrics,
    ) {
        let domain = self.declared.trust_domain.clone();
        // What the endpoint shows is verified by the newest that is known, and by the object's roots where those are newer.
        let mut fetched = fetcher.fetch(&self.declared, self.bundle.as_ref()).await;
        if fetched.is_err() && self.declared.initial.is_some() {
            fetched = fetcher.fetch(&self.declared, self.declared.initial.as_ref()).await;
        }
        let read = fetched.and_then(|text| self.accept(&text, ours).map(|read| (text, read)));
        match read {
            Ok((text, read)) => {
                let hint = Duration::from_secs(read.refresh_hint.unwrap_or(HINT)).clamp(REFRESH.0, REFRESH.1);
                self.due = Instant::now() + hint;
                self.backoff.reset();
                if self.said.take().is_some() || self.bundle.is_none() {
                    tracing::info!(trust_domain = %domain, sequence = read.bundle.generation(), "bundle fetched");
                }
                metrics.federation_fetched(domain.as_str(), unix_now());
                let new = self.bundle.as_ref().is_none_or(|held| !held.says_the_same(&read.bundle));
                self.bundle = Some(read.bundle);
                if let Some(dir) = kept.filter(|_| new)
                    && let Err(error) =
                        dir.write(&file(&domain), &String::from_utf8_lossy(&text), Secrecy::Public)
                {
                    tracing::warn!(trust_domain = %domain, %error, "the bundle cannot be kept for the next start");
                }
            }
            Err(why) => {
                metrics.federation_failed(domain.as_str());
                if self.said.as_ref() != Some(&why) {
                    tracing::warn!(
                        trust_domain = %domain, object = self.declared.name, reason = why,
                        "no new bundle of a federated trust domain; the last good one stays in force"
                    );
                    self.said = Some(why);
                }
                self.due = Instant::now() + self.backoff.next();
            }
        }
    }

    /// A sequence never goes back: who replays an old bundle would bring an old root back.
    fn accept(&self, text: &[u8], ours: &TrustBundle) -> Result<document::Read, String> {
        let read =
            document::read(text, &self.declared.trust_domain, ours).map_err(|error| error.to_string())?;
        let held = self.bundle.as_ref().map_or(0, TrustBundle::generation);
        if read.bundle.generation() < held {
            return Err(format!("its sequence went back from {held} to {}", read.bundle.generation()));
        }
        Ok(read)
    }
}

/// Its name in the state directory. A trust domain has no character that a file's name cannot have.
fn file(domain: &TrustDomain) -> String {
    let name: String = domain.as_str().chars().take(200).collect();
    format!("federated-{name}.json")
}

#[cfg(test)]
mod tests;
