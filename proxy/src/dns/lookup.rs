//! What this proxy looks up itself: hosts outside the mesh that it dials, by the machine's rules, through the same cache and
//! resolvers. No blocking thread and no C library, so that a static binary resolves as any other. It must not know what is dialled.

use std::net::IpAddr;
use std::time::Duration;

use mesh_dns::virtual_addresses::VirtualAddresses;
use mesh_dns::wire::{Name, Query, Reply, kind, rcode};
use tokio::time::timeout;

use super::mesh::{Known, Look};
use super::{Dns, lock};
use crate::net;

/// How long the answer for one family is waited for when the other one has addresses (RFC 8305 section 3).
const OTHER_FAMILY: Duration = Duration::from_millis(50);

/// Why a host has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// It cannot be a name.
    #[error("it is no name of a host")]
    NoName,
    /// Resolvers say so.
    #[error("there is no such host")]
    Unknown,
    /// Resolvers say that the name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// They fail, or there is none.
    #[error("no resolver of this machine answers")]
    Failed,
    /// No answer within the deadline.
    #[error("no answer in time")]
    Timeout,
}

impl Dns {
    /// Addresses of a host, those first that this machine has a way to: never none.
    pub async fn addresses(&self, host: &str, deadline: Duration) -> Result<Vec<IpAddr>, Unresolved> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let (local, names) = {
            let machine = lock(&self.shared.machine);
            (machine.hosts.addresses(host), machine.conf.names(host))
        };
        let found = match local {
            Some(found) => found,
            None => timeout(deadline, self.search(&names)).await.map_err(|_| Unresolved::Timeout)??,
        };
        let mut found = usable(found);
        if found.is_empty() {
            return Err(Unresolved::NoAddress);
        }
        // Stable: else the resolver's order counts. Usually IPv6 comes first where it leads anywhere (RFC 6724).
        found.sort_by_key(|address| (!net::is_routable(*address), address.is_ipv4()));
        Ok(found)
    }

    /// What the application gets for a name: from here, where its queries come here; else as [`Self::addresses`].
    pub async fn for_application(&self, host: &str, deadline: Duration) -> Result<Vec<IpAddr>, Unresolved> {
        if self.shared.listen.is_empty() {
            return self.addresses(host, deadline).await;
        }
        let known = match self.look(host) {
            Look::Known(known) => Some(known),
            Look::Foreign => None,
            Look::Ask(question) => self.inquire(&question).await,
        };
        let names: Vec<String> = match known {
            Some(Known::Addresses(found)) => return Ok(found),
            Some(Known::NoAddress) => return Err(Unresolved::NoAddress),
            // Names of names are left to the machine's resolvers.
            Some(Known::Alias { alias, .. }) => match self.look(alias.as_str()) {
                Look::Known(Known::Addresses(found)) => return Ok(found),
                _ => vec![alias.to_string()],
            },
            Some(Known::Elsewhere(names)) => names.iter().map(ToString::to_string).collect(),
            None => vec![host.to_owned()],
        };
        let mut last = Unresolved::Unknown;
        for name in &names {
            match self.addresses(name, deadline).await {
                Ok(found) => return Ok(found),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// The first of the names that has addresses.
    async fn search(&self, names: &[String]) -> Result<Vec<IpAddr>, Unresolved> {
        let mut last = Unresolved::Unknown;
        for name in names {
            let Some(name) = Name::parse(name) else {
                last = Unresolved::NoName;
                continue;
            };
            match Box::pin(self.both_families(&name)).await {
                Ok(found) => return Ok(found),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    async fn both_families(&self, name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
        let mut six = std::pin::pin!(self.records(name, kind::AAAA));
        let mut four = std::pin::pin!(self.records(name, kind::A));
        // Neither is polled again after it has ended.
        let (first, second) = tokio::select! {
            six = &mut six => {
                let wait = if six.is_ok() { OTHER_FAMILY } else { Duration::MAX };
                (six, timeout(wait, four).await.unwrap_or(Err(Unresolved::Timeout)))
            }
            four = &mut four => {
                let wait = if four.is_ok() { OTHER_FAMILY } else { Duration::MAX };
                (four, timeout(wait, six).await.unwrap_or(Err(Unresolved::Timeout)))
            }
        };
        match (first, second) {
            (Ok(mut one), Ok(other)) => {
                one.extend(other);
                Ok(one)
            }
            (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
            // A failure may be the resolvers' and not the name's: it says more.
            (Err(Unresolved::Failed), Err(_)) | (Err(_), Err(Unresolved::Failed)) => Err(Unresolved::Failed),
            (Err(why), Err(_)) => Err(why),
        }
    }

    pub(super) async fn records(&self, name: &Name, kind: u16) -> Result<Vec<IpAddr>, Unresolved> {
        let asked = Query::build(name, kind);
        let query = Query::parse(&asked).map_err(|_| Unresolved::NoName)?;
        let message = self.forward(&asked, &query).await;
        let reply = Reply::scan(&message, &query, query.id).map_err(|_| Unresolved::Failed)?;
        let wants_v4 = kind == kind::A;
        let found: Vec<_> = reply.addresses.into_iter().filter(|ip| ip.is_ipv4() == wants_v4).collect();
        match reply.rcode {
            rcode::OK if !found.is_empty() => Ok(found),
            rcode::OK => Err(Unresolved::NoAddress),
            rcode::NO_NAME => Err(Unresolved::Unknown),
            _ => Err(Unresolved::Failed),
        }
    }
}

/// Without addresses that would lead back into a mesh's proxy.
fn usable(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut seen = Vec::with_capacity(found.len());
    for address in found {
        if !VirtualAddresses::is_virtual(address) && !address.is_unspecified() && !seen.contains(&address) {
            seen.push(address);
        }
    }
    seen
}
