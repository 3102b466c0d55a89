//! What the other replicas of the controller say: on how many of their proxies each object is in force. Each is asked now and then; of one that
//! does not answer its last word counts while it is listed. It must not know who leads.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use mesh_identity::{ExpectedServer, Identity, channel, well_known};
use mesh_proto::inspect::v1::SyncRequest;
use mesh_proto::inspect::v1::inspect_service_client::InspectServiceClient;
use tokio::time::Instant;
use tonic::transport::Channel;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(5);
/// For one answer.
const DEADLINE: Duration = Duration::from_secs(3);
/// Largest answer: ten thousand proxies and as many objects.
const MAX_ANSWER: usize = 32 << 20;
/// Most replicas that are asked.
const MAX_REPLICAS: usize = 16;

/// On how many proxies an object is in force, of how many that use it.
type Counts = HashMap<String, (u32, u32)>;

/// The other replicas.
#[derive(Debug)]
pub struct Peers {
    identity: Identity,
    replicas: BTreeMap<SocketAddr, Replica>,
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Replica {
    client: InspectServiceClient<Channel>,
    counts: Counts,
}

impl Peers {
    /// Knows of none yet.
    pub fn new(identity: Identity) -> Self {
        Self { identity, replicas: BTreeMap::new(), asked: None }
    }

    /// Asks those at `addresses`, if it is time to.
    pub async fn ask(&mut self, addresses: &[SocketAddr], now: Instant) {
        self.replicas.retain(|address, _| addresses.contains(address));
        for address in addresses.iter().take(MAX_REPLICAS) {
            let identity = &self.identity;
            self.replicas.entry(*address).or_insert_with(|| Replica::at(*address, identity));
        }
        if self.asked.is_some_and(|asked| now.duration_since(asked) < EVERY) {
            return;
        }
        self.asked = Some(now);
        for (address, replica) in &mut self.replicas {
            match tokio::time::timeout(DEADLINE, replica.client.sync(SyncRequest::default())).await {
                Ok(Ok(answer)) => {
                    let objects = answer.into_inner().objects.into_iter();
                    let used = objects.filter(|object| object.programmed_of > 0);
                    replica.counts = used.map(|o| (o.object, (o.programmed, o.programmed_of))).collect();
                }
                Ok(Err(status)) => tracing::debug!(%address, %status, "another replica does not answer"),
                Err(_) => tracing::debug!(%address, "another replica does not answer in time"),
            }
        }
    }

    /// What the others say of an object, added up.
    pub fn of(&self, object: &str) -> (u32, u32) {
        let counts = self.replicas.values().filter_map(|replica| replica.counts.get(object));
        counts.fold((0, 0), |(n, of), (more, of_more)| (n.saturating_add(*more), of.saturating_add(*of_more)))
    }
}

impl Replica {
    fn at(address: SocketAddr, identity: &Identity) -> Self {
        let controller = well_known::controller(identity.svid().spiffe_id.trust_domain());
        let channel = channel::connect(identity, address, ExpectedServer::Exactly(controller));
        let client = InspectServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        Self { client, counts: Counts::new() }
    }
}
