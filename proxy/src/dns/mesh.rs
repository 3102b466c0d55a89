//! What the mesh knows about a name. It must not know the wire, nor who asks.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mesh_dns::names::{self, Meaning};
use mesh_model::authority::{self, CLUSTER_DOMAIN, Candidates};
use mesh_model::external::HostMeaning;
use mesh_model::host::Host;

use super::counters::Trouble;
use super::{Dns, lock};
use crate::state::{Destination, Lookup, LookupHost};
use crate::xds::{Named, Undiscovered};

/// How long a client waits for the controller's word on a name. Most words take a round trip; a client whose name is nobody's in the
/// mesh must not wait long for that.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The same for a name that no Service can have: most are hosts that the mesh has no word on, and with a controller that is away all
/// of them wait.
const OUTSIDE_PATIENCE: Duration = Duration::from_millis(250);

/// What is known about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// It has these addresses.
    Addresses(Vec<IpAddr>),
    /// It is another name for `alias`.
    Alias {
        /// The name that it stands for.
        alias: Host,
        /// The one name of the ExternalName Service.
        canonical: String,
    },
    /// It is where DNS says that the first of these is that it knows.
    Elsewhere(Vec<Host>),
    /// It is in the mesh and no address is left for it.
    NoAddress,
}

/// What a look at the present configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    Known(Known),
    /// Nobody's in the mesh, or the resolvers' to answer.
    Foreign,
    /// The controller is to be asked.
    Ask(Question),
}

/// What the controller is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    host: Host,
    patience: Duration,
}

impl Dns {
    /// Looks, without waiting.
    pub(super) fn look(&self, name: &str) -> Look {
        let Some(host) = Host::parse(name) else { return Look::Foreign };
        let namespace = &self.shared.namespace;
        let Meaning { candidates, .. } = names::meaning(host.as_str(), namespace, CLUSTER_DOMAIN);
        let snapshot = self.shared.discovery.snapshot();
        if let Some(service) = candidates.service()
            && let Lookup::Known(destination) = snapshot.destination(service)
        {
            return Look::Known(self.describe(destination));
        }
        if candidates == Candidates::None && !names::may_be_outside(host.as_str(), namespace, CLUSTER_DOMAIN)
        {
            return Look::Foreign;
        }
        let patience = if candidates == Candidates::None { OUTSIDE_PATIENCE } else { PATIENCE };
        let ask = |host| Look::Ask(Question { host, patience });
        match snapshot.host(&host) {
            LookupHost::Unknown => Look::Foreign,
            LookupHost::NotAsked => ask(host),
            LookupHost::Known(known) => {
                known.mark_used();
                match (&known.entry.meaning, &known.external) {
                    // The service itself is not here.
                    (HostMeaning::Service(_), _) | (HostMeaning::External(_), None) => ask(host),
                    (HostMeaning::Endpoints(ips), _) => Look::Known(Known::Addresses(ips.clone())),
                    (HostMeaning::Alias(alias), _) => Look::Known(self.alias(&host, alias.clone())),
                    (HostMeaning::External(_), Some(external)) => {
                        self.outside(&host, external).map_or(Look::Foreign, Look::Known)
                    }
                }
            }
        }
    }

    /// Asks the controller. `None`: it is for the resolvers to answer, since the mesh does not know it or says so, or there is no word.
    pub(super) async fn inquire(&self, question: &Question) -> Option<Known> {
        let shared = &self.shared;
        let Question { host, patience } = question;
        if !lock(&shared.strangers).take(Instant::now()) {
            shared.counters.trouble(Trouble::NotAsked);
            return None;
        }
        let named = match shared.discovery.host(host, *patience).await {
            Ok(named) => named,
            Err(Undiscovered::Unknown) => return None,
            Err(Undiscovered::Unavailable) => {
                shared.counters.trouble(Trouble::Unknown);
                return None;
            }
        };
        lock(&shared.strangers).give_back();
        match named {
            Named::Service(destination) => Some(self.describe(&destination)),
            Named::Endpoints(ips) => Some(Known::Addresses(ips)),
            Named::Alias(alias) => Some(self.alias(host, alias)),
            Named::External(external) => self.outside(host, &external),
        }
    }

    fn alias(&self, host: &Host, alias: Host) -> Known {
        let candidates = authority::service_of(host.as_str(), &self.shared.namespace, CLUSTER_DOMAIN);
        let canonical = match candidates.service() {
            Some(service) => names::canonical(service, CLUSTER_DOMAIN),
            None => host.to_string(),
        };
        Known::Alias { alias, canonical }
    }

    /// A service's own virtual addresses, or those that this proxy gives it; those of its endpoints if it is headless.
    pub(super) fn describe(&self, destination: &Destination) -> Known {
        destination.mark_used();
        let service = &destination.service;
        if service.headless {
            let snapshot = self.shared.discovery.snapshot();
            let mut ips = snapshot.endpoints(&service.name).map(|all| all.addresses()).unwrap_or_default();
            // On one machine workloads have loopback addresses, which lead to the asking program itself where it is captured.
            if !ips.iter().any(IpAddr::is_loopback) {
                // Many clients take the first and no other.
                let first = self.shared.turn.fetch_add(1, Ordering::Relaxed);
                let first = first.checked_rem(ips.len()).unwrap_or(0);
                ips.rotate_left(first);
                return Known::Addresses(ips);
            }
        } else if !service.addresses.is_empty() {
            return Known::Addresses(service.addresses.clone());
        }
        self.virtual_addresses(&names::canonical(&service.name, CLUSTER_DOMAIN))
    }

    pub(super) fn virtual_addresses(&self, host: &str) -> Known {
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
