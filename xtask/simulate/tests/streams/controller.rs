//! The controller's serving half on a simulated host: it follows the truth as a source does, compiles, and serves streams. It forgets everything
//! when it is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use mesh_controller::access::{Access, Accounts};
use mesh_controller::api::Kind;
use mesh_controller::app;
use mesh_controller::compile::compile;
use mesh_controller::index::Index;
use mesh_controller::serve::stream::Context;
use mesh_controller::serve::{ConfigServer, Publisher, Registry, Snapshot};
use mesh_controller::sources::freshness::Freshness;
use mesh_controller::sources::state::{Contents, DirState};
use mesh_controller::status::counters::ServeCounters;
use mesh_identity::{ClientAuth, Identity};
use mesh_lifecycle::{Clock, Tasks};
use mesh_model::spiffe::TrustDomain;
use tokio::sync::watch;

use crate::network::accepted;
use crate::truth::Truth;

/// Between two looks at the source.
pub const LOOK: Duration = Duration::from_millis(20);
/// Unix time at which simulations begin.
const EPOCH_MS: i64 = 1_800_000_000_000;

/// What the test does to a controller from outside.
#[derive(Clone, Default)]
pub struct Levers {
    /// Milliseconds that its clock is off.
    pub skew: Arc<AtomicI64>,
    /// It cannot follow its source.
    pub cut_off: Arc<AtomicBool>,
}

/// A host's clock: virtual time, and off by so much.
pub fn clock(truth: &Truth, skew: &Arc<AtomicI64>) -> Clock {
    let (truth, skew) = (truth.clone(), Arc::clone(skew));
    Clock::by(move || {
        let now = i64::try_from(truth.now()).unwrap() + EPOCH_MS + skew.load(Ordering::Relaxed);
        u64::try_from(now).unwrap()
    })
}

struct Source {
    state: DirState,
    index: Index,
    trust_domain: TrustDomain,
    seen: u32,
    revision: u64,
}

impl Source {
    fn read(
        &mut self,
        truth: &Truth,
        now_ms: u64,
        before: Option<&Snapshot>,
    ) -> (Arc<Snapshot>, mesh_controller::serve::Touched) {
        self.seen = truth.changes();
        let bytes = truth.yaml().into_bytes();
        self.index.apply(self.state.apply("all.yaml", Contents::Bytes(bytes)), now_ms);
        let compiled = compile(&self.index, &self.trust_domain);
        self.revision += 1;
        let (snapshot, touched) = Snapshot::build(&compiled, self.revision, now_ms, before);
        (Arc::new(snapshot), touched)
    }
}

/// Runs until the host is killed.
pub async fn run(truth: Truth, levers: Levers, identity: Identity) -> turmoil::Result {
    let tasks = Tasks::new();
    let clock = clock(&truth, &levers.skew);
    let trust_domain = TrustDomain::new("mesh.test").unwrap();
    let mut source = Source {
        state: DirState::default(),
        index: Index::default(),
        trust_domain: trust_domain.clone(),
        seen: 0,
        revision: 0,
    };
    let registry = Registry::new(100);
    let (first, _) = source.read(&truth, clock.now_ms(), None);
    let publisher = Publisher::new(first, registry.clone());
    let (_accounts, accounts) = watch::channel(Arc::<Accounts>::default());
    let freshness = Freshness::default();
    let context = Context {
        snapshots: publisher.subscribe(),
        registry,
        access: Access::new(trust_domain, accounts),
        freshness: freshness.clone(),
        clock: clock.clone(),
        counters: ServeCounters::default(),
        token: tasks.token(),
    };
    let tls = identity.server_config(ClientAuth::Required, &[b"h2"]);
    let incoming = accepted(tls, &tasks).await;
    let served =
        app::server().add_service(ConfigServer::new(context, tasks.clone())).serve_with_incoming(incoming);
    tasks.spawn("grpc server", async move {
        served.await.unwrap();
    });
    loop {
        if levers.cut_off.load(Ordering::Relaxed) {
            let now = clock.now_ms();
            freshness.lost(Kind::ALL.map(|(kind, _, _)| (kind, now)), now);
            while levers.cut_off.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
        }
        if source.seen != truth.changes() {
            let (snapshot, touched) = source.read(&truth, clock.now_ms(), Some(&publisher.newest()));
            publisher.publish(snapshot, &touched);
        }
        freshness.lost([], clock.now_ms());
        tokio::time::sleep(LOOK).await;
    }
}
