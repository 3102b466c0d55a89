//! Asks the other replicas of the controller: each knows the proxies that report to it. One that does not answer is named, and the
//! answer goes without it. It must not know questions.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use mesh_identity::{ExpectedServer, Identity, channel, well_known};
use mesh_proto::inspect::v1::inspect_service_client::InspectServiceClient;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::objects::Objects;

/// For one answer.
const DEADLINE: Duration = Duration::from_secs(3);
/// Largest answer: as many series as a replica keeps.
const MAX_ANSWER: usize = 64 << 20;
/// Most replicas that are asked.
const MAX_REPLICAS: usize = 16;

/// A way to one of them.
pub type Client = InspectServiceClient<Channel>;

/// The other replicas. Clones are handles of the same ones.
#[derive(Debug, Clone)]
pub struct Others {
    shared: Arc<Shared>,
}

type Listed = (watch::Receiver<Arc<Objects>>, (String, String));

#[derive(Debug)]
struct Shared {
    identity: Identity,
    /// Where replicas are listed, and which of them this one is; `None` outside of a cluster, where there is one controller.
    listed: Option<Listed>,
    clients: Mutex<BTreeMap<SocketAddr, Client>>,
}

impl Others {
    /// Of a controller that is the only one.
    pub fn none(identity: Identity) -> Self {
        Self { shared: Arc::new(Shared { identity, listed: None, clients: Mutex::default() }) }
    }

    /// Of one among replicas: its namespace and pod.
    pub fn of(identity: Identity, objects: watch::Receiver<Arc<Objects>>, own: (String, String)) -> Self {
        let listed = Some((objects, own));
        Self { shared: Arc::new(Shared { identity, listed, clients: Mutex::default() }) }
    }

    /// The pod that this replica is; empty outside of a cluster.
    pub fn own(&self) -> &str {
        self.shared.listed.as_ref().map_or("", |(_, (_, pod))| pod.as_str())
    }

    /// Where they are.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let Some((objects, (namespace, pod))) = &self.shared.listed else { return Vec::new() };
        let objects = Arc::clone(&objects.borrow());
        let mut others = objects.others(namespace, pod);
        others.sort_unstable();
        others.dedup();
        others.truncate(MAX_REPLICAS);
        others
    }

    /// Ways to all of them. Channels are kept, and connect when they are used.
    pub fn clients(&self) -> Vec<(SocketAddr, Client)> {
        let addresses = self.addresses();
        // Clients stay usable whatever panicked.
        let mut clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|address, _| addresses.contains(address));
        let one = |address: &SocketAddr| {
            let client = clients.entry(*address).or_insert_with(|| self.client(*address));
            (*address, client.clone())
        };
        addresses.iter().map(one).collect()
    }

    fn client(&self, address: SocketAddr) -> Client {
        let identity = &self.shared.identity;
        let controller = well_known::controller(identity.svid().spiffe_id.trust_domain());
        let channel = channel::connect(identity, address, ExpectedServer::Exactly(controller));
        InspectServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER)
    }

    /// Asks all at once; gives what they answered, and who did not.
    pub async fn ask<T, F>(&self, call: impl Fn(Client) -> F) -> (Vec<T>, Vec<String>)
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let asked = self.clients().into_iter().map(|(address, client)| {
            let answer = tokio::time::timeout(DEADLINE, call(client));
            async move { (address, answer.await) }
        });
        let (mut answers, mut unanswered) = (Vec::new(), Vec::new());
        for (address, answer) in join_all(asked).await {
            match answer {
                Ok(Ok(answer)) => answers.push(answer.into_inner()),
                Ok(Err(status)) => {
                    tracing::debug!(%address, %status, "another replica does not answer");
                    unanswered.push(address.to_string());
                }
                Err(_) => {
                    tracing::debug!(%address, "another replica does not answer in time");
                    unanswered.push(address.to_string());
                }
            }
        }
        (answers, unanswered)
    }
}
