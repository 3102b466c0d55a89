//! What is answered for names that lead out of the mesh: hosts of ExternalServices, and what ExternalName Services stand for. It must
//! not know the wire.
//!
//! Where the application's connections are captured such a name gets an address of this proxy's own: a connection to it comes with
//! the name, and so leads where the object says, whatever outbound mode is in force. Elsewhere nobody would be behind that address.

use mesh_dns::wire::{Name, kind};
use mesh_model::authority::{self, CLUSTER_DOMAIN};
use mesh_model::external::{ExternalService, Resolution};
use mesh_model::host::Host;

use super::Dns;
use super::lookup::Unresolved;
use super::mesh::{Known, PATIENCE};

impl Dns {
    /// `None`: the resolvers' answer is the right one.
    pub(super) fn outside(&self, host: &Host, external: &ExternalService) -> Option<Known> {
        match &external.resolution {
            // The application chooses among the addresses that it is given.
            Resolution::None => None,
            Resolution::Static(_) | Resolution::Dns(_) if self.shared.captures => {
                Some(self.virtual_addresses(host.as_str()))
            }
            Resolution::Static(ips) => Some(Known::Addresses(ips.clone())),
            Resolution::Dns(names) if names.is_empty() => None,
            Resolution::Dns(names) => Some(Known::Elsewhere(names.clone())),
        }
    }

    /// What another name stands for: addresses of a service, else of a host outside.
    pub(super) async fn behind(&self, alias: &Host, canonical: &str, kind: u16) -> Known {
        let shared = &self.shared;
        let candidates = authority::service_of(alias.as_str(), &shared.namespace, CLUSTER_DOMAIN);
        if let Some(service) = candidates.service()
            && let Ok(destination) = shared.discovery.destination(service, PATIENCE).await
        {
            return self.describe(&destination);
        }
        if shared.captures {
            return self.virtual_addresses(canonical);
        }
        self.elsewhere(std::slice::from_ref(alias), kind).await
    }

    /// What the resolvers say about the first of the names that they know. Never one of our own addresses.
    pub(super) async fn elsewhere(&self, names: &[Host], kind: u16) -> Known {
        if !matches!(kind, kind::A | kind::AAAA) {
            return Known::Addresses(Vec::new());
        }
        let mut known = Known::Addresses(Vec::new());
        for name in names.iter().filter_map(|name| Name::parse(name.as_str())) {
            match Box::pin(self.records(&name, kind)).await {
                Ok(found) => return Known::Addresses(found),
                Err(Unresolved::Unknown | Unresolved::NoAddress | Unresolved::NoName) => {}
                // That there is nothing must not be said when nobody knows.
                Err(Unresolved::Failed | Unresolved::Timeout) => known = Known::NoAddress,
            }
        }
        known
    }
}
