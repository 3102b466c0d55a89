//! What the mesh knows about a name. It must not know the wire, nor who asks.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use mesh_dns::names::{self, Meaning};
use mesh_model::authority::{CLUSTER_DOMAIN, Candidates};
use mesh_model::name::ServiceName;

use super::counters::Trouble;
use super::{Dns, lock};
use crate::state::{Destination, Lookup};
use crate::xds::Undiscovered;

/// How long a client waits for the controller's word on a name. Most words take a round trip; a client whose name is nobody's in the
/// mesh must not wait long for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// It has these addresses.
    Addresses(Vec<IpAddr>),
    /// It is in the mesh and no address is left for it.
    NoAddress,
}

/// What a look at the present configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    Known(Known),
    /// Nobody's in the mesh.
    Foreign,
    /// The controller is to be asked about that service.
    Ask(ServiceName),
}

impl Dns {
    /// Looks, without waiting.
    pub(super) fn look(&self, name: &str) -> Look {
        let Meaning { candidates, .. } = names::meaning(name, &self.shared.namespace, CLUSTER_DOMAIN);
        let (Candidates::Perhaps(service) | Candidates::Only(service)) = candidates else {
            return Look::Foreign;
        };
        let snapshot = self.shared.discovery.snapshot();
        match snapshot.destination(&service) {
            Lookup::Known(destination) => Look::Known(self.describe(destination)),
            Lookup::Unknown => Look::Foreign,
            Lookup::NotAsked => Look::Ask(service),
        }
    }

    /// Asks the controller. `None`: there is no such service, or no word.
    pub(super) async fn inquire(&self, service: &ServiceName) -> Option<Known> {
        let shared = &self.shared;
        if !lock(&shared.strangers).take(Instant::now()) {
            shared.counters.trouble(Trouble::NotAsked);
            return None;
        }
        match shared.discovery.destination(service, PATIENCE).await {
            Ok(destination) => {
                lock(&shared.strangers).give_back();
                Some(self.describe(&destination))
            }
            Err(Undiscovered::Unknown) => None,
            Err(Undiscovered::Unavailable) => {
                shared.counters.trouble(Trouble::Unknown);
                None
            }
        }
    }

    /// A service's own virtual addresses, or those that this proxy gives it.
    fn describe(&self, destination: &Destination) -> Known {
        destination.mark_used();
        let service = &destination.service;
        if service.addresses.is_empty() {
            return self.virtual_addresses(&names::canonical(&service.name, CLUSTER_DOMAIN));
        }
        Known::Addresses(service.addresses.clone())
    }

    fn virtual_addresses(&self, host: &str) -> Known {
        let families = lock(&self.shared.machine).families;
        match lock(&self.shared.addresses).of(host, Instant::now()) {
            Ok(pair) => {
                let v4 = families.v4.then_some(IpAddr::V4(pair.v4));
                let v6 = families.v6.then_some(IpAddr::V6(pair.v6));
                Known::Addresses(v4.into_iter().chain(v6).collect())
            }
            Err(full) => {
                tracing::warn!(host, error = %full, "a host of the mesh gets no virtual address");
                self.shared.counters.trouble(Trouble::NoAddress);
                Known::NoAddress
            }
        }
    }
}
