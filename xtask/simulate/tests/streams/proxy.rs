//! A proxy's configuration client on a simulated host.

use std::sync::Arc;
use std::time::Duration;

use mesh_identity::{Identity, Way};
use mesh_lifecycle::{Clock, Ready, Tasks};
use mesh_model::name::ServiceName;
use mesh_proto::config::v1::ProxyId;
use mesh_proxy::xds::{self, ClientConfig};

use crate::network::ToHost;
use crate::observer::{Observer, Watched};
use crate::truth;

pub const CONTROLLER: &str = "controller";

/// Runs until the host is killed.
pub async fn run(
    workload: String,
    services: Vec<usize>,
    identity: Identity,
    clock: Clock,
    observer: Observer,
) -> turmoil::Result {
    let (tasks, ready) = (Tasks::new(), Ready::new());
    let node = ProxyId { namespace: "shop".to_owned(), workload: workload.clone(), instance: "1".to_owned() };
    let config = ClientConfig {
        identity,
        controller: Way::Through(Arc::new(ToHost(CONTROLLER))),
        node,
        keep: None,
        clock,
    };
    let discovery = xds::spawn(config, ready.gate("configuration"), &tasks);
    for service in &services {
        let name = ServiceName::new("shop", &truth::name(*service)).unwrap();
        let (discovery, tasks) = (discovery.clone(), tasks.clone());
        tasks.spawn("wish", async move {
            // Asked once; after that the client knows that it is wanted.
            drop(discovery.destination(&name, Duration::from_mins(1)).await);
        });
    }
    observer.follow(&Watched { workload, services, discovery }).await
}
