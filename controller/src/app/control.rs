//! The control loop: what the source found becomes part of the index, is compiled, and is published. It must not know streams.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use mesh_identity::well_known;
use mesh_lifecycle::{Beginning, failpoint};
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::spiffe::TrustDomain;
use tokio::sync::watch;

use super::metrics::Metrics;
use crate::access::{Accounts, Others};
use crate::admit::NamespaceLabels;
use crate::api::{Kind, ObjectKey};
use crate::canary::States;
use crate::clock::now_ms;
use crate::compile::Compiled;
use crate::compile::incremental::{Compiler, Followed, Wide};
use crate::compile::routes::OTHERS;
use crate::index::Index;
use crate::inspect::facts::Facts;
use crate::inspect::objects::Objects;
use crate::keys::{Keys, Wanted};
use crate::observe::Observatory;
use crate::serve::{Publisher, Registry, Snapshot};
use crate::sources::barrier::Barrier;
use crate::sources::state::Report;
use crate::sources::{Batch, Source, refused};
use crate::status::{Condition, ObjectReport};

/// The port of the controller's Service where its replicas answer.
const GRPC_PORT: u16 = 15_010;

/// Follows the source.
#[derive(Debug)]
pub struct Control {
    /// `None` once it is followed.
    source: Option<Source>,
    /// A source must not be dropped while it looks, so what it finds is waited for as one future.
    next: Option<Next>,
    /// What was found and is not taken in yet.
    found: Option<Batch>,
    origin: Origin,
    index: Index,
    compiler: Compiler,
    publisher: Publisher,
    objects: watch::Sender<Arc<Objects>>,
    accounts: watch::Sender<Arc<Accounts>>,
    namespaces: watch::Sender<Arc<NamespaceLabels>>,
    otlp_secret: watch::Sender<Option<String>>,
    /// What was said in the log, so that it is said once.
    said: BTreeSet<String>,
    generations: Arc<BTreeMap<ObjectKey, i64>>,
    metrics: Metrics,
    keys: Keys,
    /// States of releases that this process keeps itself; of a cluster they are in the objects.
    releases: Option<watch::Receiver<Arc<States>>>,
    observatory: Observatory,
    reports: Vec<Report>,
    barrier: Barrier,
}

/// What kind of source it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Folder,
    Cluster,
}

/// Where this controller and its replicas are: the endpoints of its own Service.
fn replicas(compiled: &Compiled) -> Vec<(Option<WorkloadName>, SocketAddr)> {
    let service = ServiceName::new(well_known::SYSTEM_NAMESPACE, "mesh-controller").ok();
    let found = service.and_then(|service| compiled.services.get(&service));
    // One port of it is for proxies and tools; the others are for the API server and for metrics.
    let endpoints = found.map(|(_, endpoints)| endpoints.port(GRPC_PORT)).unwrap_or_default();
    endpoints.iter().map(|endpoint| (endpoint.workload.clone(), endpoint.address)).collect()
}

struct Next(Pin<Box<dyn Future<Output = (Source, Batch)> + Send>>);

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}

async fn follow(mut source: Source) -> (Source, Batch) {
    let batch = source.next().await;
    (source, batch)
}

/// A change of what may not be there.
async fn changed(states: &mut Option<watch::Receiver<Arc<States>>>) -> Result<(), watch::error::RecvError> {
    match states {
        Some(states) => states.changed().await,
        None => std::future::pending().await,
    }
}

/// Where keys are that objects name.
fn wanted(index: &Index) -> Wanted {
    let policies = index.policies.authentication.iter();
    let issuers = policies.flat_map(|(_, entry)| entry.object.spec.jwt.iter().flat_map(|jwt| &jwt.issuers));
    issuers.filter_map(|issuer| issuer.jwks_uri.as_deref()).map(Arc::from).collect()
}

impl Control {
    /// Nothing is read yet.
    pub fn new(
        source: Source,
        trust_domain: TrustDomain,
        metrics: Metrics,
        keys: Keys,
        registry: Registry,
        releases: Option<watch::Receiver<Arc<States>>>,
    ) -> Self {
        let index = Index::default();
        let compiler = Compiler::new(trust_domain);
        let (empty, _) = Snapshot::build(compiler.compiled(), 0, 0, None);
        let origin = match source {
            Source::Dir(_) => Origin::Folder,
            Source::Kube(_) => Origin::Cluster,
        };
        Self {
            barrier: source.barrier(),
            source: Some(source),
            next: None,
            found: None,
            origin,
            index,
            compiler,
            publisher: Publisher::new(Arc::new(empty), registry),
            objects: watch::Sender::default(),
            accounts: watch::Sender::default(),
            namespaces: watch::Sender::default(),
            otlp_secret: watch::Sender::default(),
            said: BTreeSet::new(),
            generations: Arc::default(),
            metrics,
            keys,
            releases,
            observatory: Observatory::default(),
            reports: Vec::new(),
        }
    }

    /// Tells what is promised there.
    pub fn counting_in(self, observatory: Observatory) -> Self {
        Self { observatory, ..self }
    }

    /// For readers of snapshots.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.publisher.subscribe()
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// For who wants to know what the source has by now.
    pub fn barrier(&self) -> Barrier {
        self.barrier.clone()
    }

    /// For readers of what is said about objects.
    pub fn objects(&self) -> watch::Receiver<Arc<Objects>> {
        self.objects.subscribe()
    }

    /// For readers of service accounts.
    pub fn accounts(&self) -> watch::Receiver<Arc<Accounts>> {
        self.accounts.subscribe()
    }

    /// For readers of the labels of namespaces.
    pub fn namespaces(&self) -> watch::Receiver<Arc<NamespaceLabels>> {
        self.namespaces.subscribe()
    }

    /// For readers of the Secret with headers for a collector.
    pub fn otlp_secret(&self) -> watch::Receiver<Option<String>> {
        self.otlp_secret.subscribe()
    }

    /// Reads everything for the first time.
    pub async fn first(&mut self) {
        let Some(mut source) = self.source.take() else { return };
        let batch = source.next().await;
        let changes = batch.changes.len();
        self.take(batch);
        let resources = self.publisher.newest().len();
        tracing::info!(objects = changes, resources, "{} is read", source.what());
        self.source = Some(source);
    }

    /// Follows the source for ever. After a panic nothing that was found is left out: what was being taken in is taken in again, and
    /// while that panics, the last snapshot stays in force.
    pub async fn run(&mut self, beginning: Beginning) {
        if let Some(source) = self.source.take() {
            self.next = Some(Next(Box::pin(follow(source))));
        }
        if beginning == Beginning::Again {
            self.compiler.distrust();
            self.take_found();
            self.index.apply([], now_ms());
            self.compile(Instant::now());
        }
        while let Some(Next(next)) = &mut self.next {
            tokio::select! {
                (source, batch) = next => {
                    self.next = Some(Next(Box::pin(follow(source))));
                    self.found = Some(batch);
                    self.take_found();
                }
                Ok(()) = self.keys.known.changed() => {
                    self.index.apply([], now_ms());
                    self.compile(Instant::now());
                }
                Ok(()) = changed(&mut self.releases) => {
                    self.index.apply([], now_ms());
                    self.compile(Instant::now());
                }
            }
        }
    }

    fn take_found(&mut self) {
        let Some(batch) = self.found.clone() else { return };
        batch.changes.iter().for_each(|change| failpoint::reach("control loop", &change.key().to_string()));
        self.take(batch);
        self.found = None;
    }

    fn take(&mut self, batch: Batch) {
        let began = Instant::now();
        self.say_problems(&batch);
        self.index.refused = refused(&batch.reports);
        self.index.apply(batch.changes, batch.time_ms);
        self.reports = batch.reports;
        if !batch.generations.is_empty() {
            let generations = Arc::make_mut(&mut self.generations);
            for (key, generation) in batch.generations {
                match generation {
                    Some(generation) => generations.insert(key, generation),
                    None => generations.remove(&key),
                };
            }
        }
        self.keys.wanted.send_if_modified(|before| {
            let wanted = wanted(&self.index);
            let changed = *before != wanted;
            *before = wanted;
            changed
        });
        self.compile(began);
        self.barrier.reached(batch.looked);
    }

    fn compile(&mut self, began: Instant) {
        self.index.keys = Arc::clone(&self.keys.known.borrow_and_update());
        self.index.releases = self.releases.as_mut().map(|known| Arc::clone(&known.borrow_and_update()));
        let followed = self.compiler.follow(&mut self.index);
        let (revision, time_ms) = (self.index.revision(), self.index.time_ms());
        let (before, compiled) = (self.publisher.newest(), self.compiler.compiled());
        let (snapshot, touched) = match &followed {
            Followed::Whole => Snapshot::build(compiled, revision, time_ms, Some(&before)),
            Followed::Part(changes) => before.follow(compiled, changes, revision, time_ms),
        };
        drop(before);
        self.say_conditions(&followed);
        self.metrics.compiled(began.elapsed(), &followed, self.reports.len(), &snapshot);
        self.publish_objects(&followed);
        self.publish_accounts(&followed);
        self.publisher.publish(Arc::new(snapshot), &touched);
        tracing::debug!(revision, ?touched, "compiled");
        if touched.is_nothing() {
            self.metrics.without_meaning();
        }
    }

    /// What is said about objects. Who waits for it to change is woken where something else is said; where only those that traffic is told
    /// together with are others, whoever asks sees it.
    fn publish_objects(&self, followed: &Followed) {
        let compiled = self.compiler.compiled();
        let services = compiled.services.clone();
        let now = Objects {
            problems: self.reports.clone(),
            compiled: compiled.objects.clone(),
            generations: Arc::clone(&self.generations),
            replicas: replicas(compiled),
            releases: compiled.canaries.clone(),
            facts: Facts::new(&self.index, services, Arc::clone(&compiled.authentication)),
        };
        self.objects.send_if_modified(|before| {
            let says = match followed {
                Followed::Whole => true,
                Followed::Part(changes) => {
                    changes.wide.contains(&Wide::Rules)
                        || !changes.objects.is_empty()
                        || before.problems != now.problems
                        || before.replicas != now.replicas
                        || !Arc::ptr_eq(&before.generations, &now.generations)
                }
            };
            *before = Arc::new(now);
            says
        });
    }

    /// Before the snapshot: a proxy that connects because of it is known by its account.
    fn publish_accounts(&self, followed: &Followed) {
        match followed {
            Followed::Whole => {
                let others = match self.origin {
                    Origin::Folder => Others::ByName,
                    Origin::Cluster => Others::Unknown,
                };
                self.accounts.send_replace(Arc::new(Accounts::of(&self.index, others)));
                self.observatory.promises(|promises| promises.set(&self.compiler.compiled().promises));
                self.publish_namespaces();
            }
            Followed::Part(changes) => {
                if changes.wide.contains(&Wide::Rules) {
                    self.observatory.promises(|promises| promises.set(&self.compiler.compiled().promises));
                }
                if !changes.pods.is_empty() {
                    let mut accounts = Accounts::clone(&self.accounts.borrow());
                    changes.pods.iter().for_each(|pod| accounts.follow(&self.index, pod));
                    self.accounts.send_replace(Arc::new(accounts));
                }
            }
        }
    }

    fn publish_namespaces(&self) {
        let named = self.index.namespaces.store.iter();
        let labels = named.map(|(key, entry)| {
            (key.name.to_string(), entry.object.metadata.labels.clone().unwrap_or_default())
        });
        self.namespaces.send_replace(Arc::new(labels.collect()));
        let settings = self.index.settings.find().map(|(_, entry)| &entry.object.spec);
        let collector = settings.and_then(|spec| spec.open_telemetry.as_ref());
        self.otlp_secret.send_replace(collector.and_then(|collector| collector.secret_name.clone()));
    }

    fn say_problems(&mut self, batch: &Batch) {
        let now: BTreeSet<String> = batch.reports.iter().map(ToString::to_string).collect();
        for report in now.difference(&self.said).filter(|line| !line.is_empty()) {
            tracing::warn!("{report}");
        }
        self.said = now;
    }

    /// What compiling found new: references that lead nowhere, parts that are not supported.
    fn say_conditions(&self, followed: &Followed) {
        let before = Arc::clone(&self.objects.borrow());
        let said = &self.compiler.compiled().objects;
        let all: Box<dyn Iterator<Item = (&ObjectKey, &ObjectReport)>> = match followed {
            Followed::Whole => Box::new(said.iter()),
            Followed::Part(changes) => {
                Box::new(changes.objects.iter().filter_map(|key| said.get_key_value(key)))
            }
        };
        for (key, report) in all {
            let known =
                before.compiled.get(key).map(|report| report.conditions.as_slice()).unwrap_or_default();
            // What is said on purpose of other controllers' parents is no news; nor is, of a cluster, a slice that came before its Service.
            let quiet = |condition: &&Condition| {
                condition.reason == OTHERS
                    || (key.kind == Kind::EndpointSlice && self.origin == Origin::Cluster)
            };
            let new = report.conditions.iter().filter(|condition| !known.contains(condition));
            for condition in new.filter(|condition| !quiet(condition)) {
                tracing::warn!("{}: {key}: {}: {}", report.origin, condition.field, condition.message);
            }
        }
    }
}
