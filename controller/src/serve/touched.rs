//! What one snapshot says differently from the one before, as far as it tells whom that concerns. It must not know streams.
//!
//! The unit is the service: what belongs to it (endpoints, routes, policies) is told to whoever uses it. Of what is a proxy's own there
//! is the workload; what is the mesh's concerns everybody.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::name::WorkloadName;

/// What is different.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Whom else than those below.
    pub others: Others,
    /// Services, by the names of their resources, of which something is different.
    pub services: BTreeSet<Arc<str>>,
    /// Workloads that serve something else, or to which another policy applies.
    pub workloads: BTreeSet<WorkloadName>,
    /// Addresses that mean something else.
    pub addresses: BTreeSet<IpAddr>,
}

/// Whom a change concerns that is not of single services, workloads or addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Others {
    /// Nobody.
    #[default]
    Nobody,
    /// Whoever asks what hosts stand for.
    AskingForHosts,
    /// Every proxy.
    All,
}

impl Touched {
    /// Whether the two snapshots say the same.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// It concerns these workloads too; `None`: everybody.
    pub(super) fn these(&mut self, workloads: Option<BTreeSet<WorkloadName>>) {
        match workloads {
            Some(workloads) => self.workloads.extend(workloads),
            None => self.also(Others::All),
        }
    }

    /// It concerns these too.
    pub(super) fn also(&mut self, others: Others) {
        self.others = self.others.max(others);
    }
}

/// What concerns one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interest {
    /// Services that it was told about or asked for, by the names of their resources.
    pub services: BTreeSet<Arc<str>>,
    /// Addresses that it asked about.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether it asked what hosts stand for.
    pub hosts: Hosts,
}

/// Whether a stream asked what hosts stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hosts {
    /// It did.
    Asked,
    /// It did not.
    #[default]
    NotAsked,
}
