//! What the controller writes to the cluster: conditions of objects, and the roots of the mesh beside every namespace's pods. Of several
//! controllers one writes: who holds the Lease. It must not know how objects become what is said about them.
//!
//! [`lease`] decides who leads, [`conditions`] what is to be said of an object, [`status`] how a status says it without touching what others
//! say, [`budget`] how fast; all purely. [`writer`] and [`roots`] ask the API server.

pub mod budget;
pub mod conditions;
pub mod lease;
pub mod roots;
pub mod status;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

use mesh_identity::Identity;
use mesh_lifecycle::Tasks;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::cluster::Cluster;
use crate::inspect::objects::Objects;
use crate::inspect::peers::Peers;
use crate::serve::{Registry, Snapshot};
use crate::sources::kube::ledger::Ledger;
use crate::status::counters::AnnounceCounters;
use conditions::Sayings;
use lease::Candidate;
use roots::Roots;
use writer::Writer;

/// Between looks at the Lease, and at what proxies have confirmed.
const TICK: Duration = Duration::from_secs(2);

/// Who this controller is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The namespace of the mesh's own parts.
    pub namespace: String,
    /// The name of this pod.
    pub pod: String,
}

/// What is needed to write.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The API server.
    pub cluster: Cluster,
    /// Who this is.
    pub place: Place,
    /// Whose trust bundle is copied.
    pub identity: Identity,
    /// What is to be said about objects.
    pub objects: watch::Receiver<Arc<Objects>>,
    /// The newest snapshot.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What proxies hold.
    pub registry: Registry,
    /// What objects' statuses say now.
    pub ledger: Ledger,
    /// What is counted.
    pub counters: AnnounceCounters,
}

/// Writes, while this controller leads. Ends with `tasks`, and then gives the Lease back.
pub fn spawn(parts: Parts, tasks: &Tasks) {
    let stop = tasks.token();
    tasks.keep("announce", parts, move |parts, _| {
        let stop = stop.clone();
        Box::pin(async move {
            let mut candidate = Candidate::new(parts.cluster.clone(), parts.place.clone());
            tokio::select! {
                () = stop.cancelled() => {}
                () = Box::pin(run(parts.clone(), &mut candidate)) => {}
            }
            candidate.resign().await;
        })
    });
}

async fn run(parts: Parts, candidate: &mut Candidate) {
    let Parts { cluster, place, identity, mut objects, snapshots, registry, ledger, counters } = parts;
    let mut peers = Peers::new(identity.clone());
    let mut writer = Writer::new(cluster.clone(), ledger, counters.clone());
    let mut roots = Roots::new(cluster, place.namespace.clone());
    let mut bundles = identity.changed();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = objects.changed() => if changed.is_err() { return },
            changed = bundles.changed() => if changed.is_err() { return },
        }
        let leads = candidate.leads().await;
        counters.leads.set(i64::from(leads));
        if !leads {
            continue;
        }
        let now = Instant::now();
        let said = Arc::clone(&objects.borrow_and_update());
        bundles.mark_unchanged();
        roots.follow(&identity.bundle(), &said, now).await;
        let snapshot = Arc::clone(&snapshots.borrow());
        let programmed = registry.programmed(&snapshot);
        let others = said.others(&place.namespace, &place.pod);
        peers.ask(&others, now).await;
        writer.pass(&Sayings::new(&said, &programmed, &peers), &said, now).await;
    }
}
